// SPDX-License-Identifier: BSL-1.0
// Holds ONNX Runtime sessions for bench/peers/ort.hpp. Arguments: the folder in which
// onnxruntime-node is installed, and a folder to exchange tensors through. Commands, a line each:
//   prepare NAME batch heads kv_heads queries keys dim full|causal|window WINDOW threads
//   decode NAME float32|float16 batch heads kv_heads keys dim threads layers
//                       one query on caches in the files k0, v0, k1, …, whose turns come one by one
//   recur NAME rule heads tokens dim decays beta threads layers scale
//                       LinearAttention on q, k, v [tokens, heads, dim], `decays` logarithms a row
//                       in the file decay, rates in beta; on as many copies in turn of the state in
//                       the file past as there are layers, or on none
//   run NAME times      answers nanoseconds a run
//   fetch NAME          writes the last output, or that of the first cache, as [batch, heads, queries,
//                       dim], to the file `out`
//   release NAME
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';

const [modules, folder] = process.argv.slice(2);
const ort = createRequire(join(resolve(modules), 'index.js'))('onnxruntime-node');

// The few pieces of protobuf that a model of one node needs.
const varint = (n) => {
  const bytes = [];
  for (let rest = BigInt.asUintN(64, BigInt(n)); ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
};
const integer = (field, n) => Buffer.concat([varint(field << 3), varint(n)]);
const bytes = (field, data) => Buffer.concat([varint((field << 3) | 2), varint(data.length), data]);
const text = (field, s) => bytes(field, Buffer.from(s));
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));
const float = (field, x) => {
  const data = Buffer.alloc(4);
  data.writeFloatLE(x);
  return Buffer.concat([varint((field << 3) | 5), data]);
};

const FLOAT = 1, INT32 = 6, FLOAT16 = 10;
const attribute = ([name, value]) =>
  typeof value === 'string' ? message(5, text(1, name), text(4, value), integer(20, 3)) :
  value.float === undefined
    ? message(5, text(1, name), integer(3, value), integer(20, 2))
    : message(5, text(1, name), float(2, value.float), integer(20, 1));
const valueInfo = (field, name, type, dims) =>
  message(field, text(1, name),
    message(2, message(1, integer(1, type), message(2, ...dims.map((d) => message(1, integer(1, d)))))));

// A graph of one operator, or of the given `nodes`, whose slots and results are names.
function model({ op, domain, inputs, outputs, attributes, slots, nodes }) {
  const one = [{ slots: slots ?? inputs.map((i) => i.name), results: outputs.map((o) => o.name) }];
  const graph = message(7,
    ...(nodes ?? one).map((node) => message(1, ...node.slots.map((name) => text(1, name)),
      ...node.results.map((name) => text(2, name)), text(4, op), ...Object.entries(attributes).map(attribute),
      text(7, domain))),
    text(2, 'attention'),
    ...inputs.map((i) => valueInfo(11, i.name, i.type ?? FLOAT, i.dims)),
    ...outputs.map((o) => valueInfo(12, o.name, o.type ?? FLOAT, o.dims)));
  return Buffer.concat([integer(1, 10), graph, message(8, text(1, ''), integer(2, 23)),
    message(8, text(1, 'com.microsoft'), integer(2, 1))]);
}

const floats = (name) => {
  const data = readFileSync(join(folder, name));
  return new Float32Array(data.buffer, data.byteOffset, data.length / 4);
};

// [batch, a, b, dim] to [batch, b, a, dim].
function swap(from, batch, a, b, dim) {
  const to = new Float32Array(from.length);
  for (let n = 0; n < batch; ++n)
    for (let i = 0; i < a; ++i)
      for (let j = 0; j < b; ++j) {
        const at = ((n * a + i) * b + j) * dim;
        to.set(from.subarray(at, at + dim), ((n * b + j) * a + i) * dim);
      }
  return to;
}

function description(op, s) {
  const scale = { float: 1 / Math.sqrt(s.dim) };
  const merged = (heads, length) => [s.batch, length, heads * s.dim];
  const split = (heads, length) => [s.batch, heads, length, s.dim];
  const three = (dims) => [
    { name: 'q', dims: dims(s.heads, s.queries) },
    { name: 'k', dims: dims(s.kvHeads, s.keys) },
    { name: 'v', dims: dims(s.kvHeads, s.keys) }];
  if (op === 'ort_mha')
    return { op: 'MultiHeadAttention', domain: 'com.microsoft', merged: true, inputs: three(merged),
      outputs: [{ name: 'out', dims: merged(s.heads, s.queries) }], attributes: { num_heads: s.heads, scale } };
  if (op === 'ort_attention')
    return { op: 'Attention', domain: '', merged: false, inputs: three(split),
      outputs: [{ name: 'out', dims: split(s.heads, s.queries) }],
      attributes: { is_causal: s.mask === 'causal' ? 1 : 0, scale } };
  if (op === 'ort_gqa')
    return { op: 'GroupQueryAttention', domain: 'com.microsoft', merged: true,
      inputs: [...three(merged),
        { name: 'lengths', type: INT32, dims: [s.batch], data: new Int32Array(s.batch).fill(s.keys - 1) },
        { name: 'total', type: INT32, dims: [], data: Int32Array.of(s.keys) }],
      slots: ['q', 'k', 'v', '', '', 'lengths', 'total'],
      outputs: [{ name: 'out', dims: merged(s.heads, s.queries) },
        { name: 'present_key', dims: split(s.kvHeads, s.keys) },
        { name: 'present_value', dims: split(s.kvHeads, s.keys) }],
      attributes: { num_heads: s.heads, kv_num_heads: s.kvHeads, scale,
        ...(s.mask === 'window' ? { local_window_size: s.window } : {}) } };
  throw new Error(`unknown operator ${op}`);
}

// Rounded to float16, ties to even; what a cache holds is neither huge nor denormal.
function halves(from) {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  const to = new Uint16Array(from.length);
  for (let i = 0; i < bits.length; ++i) {
    const sign = (bits[i] >>> 16) & 0x8000, magnitude = bits[i] & 0x7fffffff;
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000;
    to[i] = sign | (rounded < 0 ? 0 : rounded >>> 13);
  }
  return to;
}
function wide(from) {
  const to = new Float32Array(from.length);
  for (let i = 0; i < from.length; ++i) {
    const exponent = (from[i] >>> 10) & 31, fraction = from[i] & 1023;
    const magnitude = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24;
    to[i] = from[i] & 0x8000 ? -magnitude : magnitude;
  }
  return to;
}

// Every worker on a processor of its own, as the other contenders' are; processors count from 1.
function open(description, threads) {
  const places = Array.from({ length: threads - 1 }, (_, i) => i + 2).join(';');
  return ort.InferenceSession.create(model(description), {
    executionProviders: ['cpu'], intraOpNumThreads: threads, interOpNumThreads: 1, logSeverityLevel: 3,
    extra: { session: places && availableParallelism() >= threads ? { intra_op_thread_affinities: places } : {} } });
}

const size = (dims) => dims.reduce((a, b) => a * b, 1);
const sessions = new Map();

const commands = {
  async prepare(op, ...words) {
    const [batch, heads, kvHeads, queries, keys, dim] = words.slice(0, 6).map(Number);
    const s = { batch, heads, kvHeads, queries, keys, dim, mask: words[6], window: Number(words[7]) };
    const d = description(op, s);
    const session = await open(d, Number(words[8]));
    const data = { q: floats('q'), k: floats('k'), v: floats('v') };
    if (d.merged) {
      data.q = swap(data.q, batch, heads, queries, dim);
      data.k = swap(data.k, batch, kvHeads, keys, dim);
      data.v = swap(data.v, batch, kvHeads, keys, dim);
    }
    const feeds = {}, fetches = {};
    for (const i of d.inputs)
      feeds[i.name] = new ort.Tensor(i.type === INT32 ? 'int32' : 'float32', i.data ?? data[i.name], i.dims);
    for (const o of d.outputs) fetches[o.name] = new ort.Tensor('float32', new Float32Array(size(o.dims)), o.dims);
    sessions.set(op, { session, feeds, fetches, s, merged: d.merged });
  },
  // The binding copies what is fetched, so the caches stay inside of one graph: a call for each layer,
  // with the output of the one before it as its query, so that they run in turn. Each still copies its
  // past to its present, as the operator does on this processor unless the caller has one buffer for
  // both.
  async decode(op, type, ...words) {
    const [batch, heads, kvHeads, keys, dim, threads, layers] = words.map(Number);
    const code = type === 'float16' ? FLOAT16 : FLOAT, stored = type === 'float16' ? halves : (x) => x;
    const one = (n) => [batch, 1, n * dim], all = [batch, kvHeads, keys, dim];
    const last = `out${layers - 1}`;
    const inputs = [{ name: 'q', type: code, dims: one(heads) }, { name: 'lengths', type: INT32, dims: [batch] },
      { name: 'total', type: INT32, dims: [] }];
    for (let n = 0; n < layers; ++n)
      inputs.push({ name: `k${n}`, type: code, dims: one(kvHeads) }, { name: `v${n}`, type: code, dims: one(kvHeads) },
        { name: `keys${n}`, type: code, dims: all }, { name: `values${n}`, type: code, dims: all });
    const nodes = Array.from({ length: layers }, (_, n) => (
      { slots: [n ? `out${n - 1}` : 'q', `k${n}`, `v${n}`, `keys${n}`, `values${n}`, 'lengths', 'total'],
        results: [`out${n}`, `present_keys${n}`, `present_values${n}`] }));
    const session = await open({ op: 'GroupQueryAttention', domain: 'com.microsoft', inputs, nodes,
      outputs: [...new Set(['out0', last])].map((name) => ({ name, type: code, dims: one(heads) })),
      attributes: { num_heads: heads, kv_num_heads: kvHeads, scale: { float: 1 / Math.sqrt(dim) } } }, threads);
    const feeds = { q: new ort.Tensor(type, stored(floats('q')), one(heads)),
      lengths: new ort.Tensor('int32', new Int32Array(batch).fill(keys - 1), [batch]),
      total: new ort.Tensor('int32', Int32Array.of(keys), []) };
    for (let n = 0; n < layers; ++n)
      for (const [name, cache] of [[`k${n}`, `keys${n}`], [`v${n}`, `values${n}`]]) {
        const data = stored(floats(name));
        // The last row of every head, which the operator puts back where it was.
        const rows = new data.constructor(batch * kvHeads * dim);
        for (let head = 0; head < batch * kvHeads; ++head)
          rows.set(data.subarray((head * keys + keys - 1) * dim, (head + 1) * keys * dim), head * dim);
        feeds[cache] = new ort.Tensor(type, data, all);
        feeds[name] = new ort.Tensor(type, rows, one(kvHeads));
      }
    const fetches = {};
    for (const name of new Set(['out0', last]))
      fetches[name] = new ort.Tensor(type, stored(new Float32Array(size(one(heads)))), one(heads));
    sessions.set(op, { session, feeds, fetches, s: { batch, heads, queries: 1, dim }, merged: true, calls: layers, out: 'out0' });
  },
  // As for caches, a chain of calls, each of which writes a state that is its own. What is not read
  // again may share memory.
  async recur(op, rule, ...words) {
    const [heads, tokens, dim, decays, beta, threads, layers, scale] = words.map(Number);
    const all = [1, tokens, heads * dim], row = [1, tokens, heads], state = [1, heads, dim, dim];
    const inputs = ['q', 'k', 'v'].map((name) => ({ name, type: FLOAT, dims: all }));
    if (decays) inputs.push({ name: 'decay', type: FLOAT, dims: [1, tokens, heads * decays] });
    if (beta) inputs.push({ name: 'beta', type: FLOAT, dims: row });
    for (let n = 0; n < layers; ++n) inputs.push({ name: `past${n}`, type: FLOAT, dims: state });
    const calls = Math.max(layers, 1), last = `out${calls - 1}`;
    const nodes = Array.from({ length: calls }, (_, n) => {
      const slots = [n ? `out${n - 1}` : 'q', 'k', 'v', layers ? `past${n}` : '',
        decays ? 'decay' : '', beta ? 'beta' : ''];
      while (!slots.at(-1)) slots.pop();
      return { slots, results: [`out${n}`, `present${n}`] };
    });
    // What is fetched is copied, so that only the state, not the rows, is fetched while time is taken.
    const names = layers ? [...new Set(['out0', last])] : ['out0', 'present0'];
    const dimsOf = (name) => (name === 'present0' ? state : all);
    const session = await open({ op: 'LinearAttention', domain: 'com.microsoft', inputs, nodes,
      outputs: names.map((name) => ({ name, type: FLOAT, dims: dimsOf(name) })),
      attributes: { update_rule: rule, q_num_heads: heads, kv_num_heads: heads, scale: { float: scale } } }, threads);
    const feeds = {}, fetches = {};
    for (const i of inputs) feeds[i.name] = new ort.Tensor('float32', floats(i.name.replace(/^past.*/, 'past')), i.dims);
    for (const name of names)
      fetches[name] = new ort.Tensor('float32', new Float32Array(size(dimsOf(name))), dimsOf(name));
    sessions.set(op, { session, feeds, fetches, timed: layers ? fetches : { present0: fetches.present0 },
      s: { batch: 1, heads, queries: tokens, dim }, merged: true, calls, out: 'out0' });
  },
  async run(op, times) {
    const { session, feeds, fetches, timed = fetches, calls = 1 } = sessions.get(op);
    const runs = Math.ceil(Number(times) / calls);
    const start = process.hrtime.bigint();
    for (let i = 0; i < runs; ++i) await session.run(feeds, timed);
    return Number(process.hrtime.bigint() - start) / (runs * calls);
  },
  async fetch(op) {
    const { session, feeds, fetches, timed = fetches, merged, s, out: name = 'out' } = sessions.get(op);
    if (timed !== fetches) await session.run(feeds, fetches);
    const given = fetches[name].data;
    const data = given instanceof Float32Array ? given : wide(new Uint16Array(given.buffer, given.byteOffset, given.length));
    const out = merged ? swap(data, s.batch, s.queries, s.heads, s.dim) : data;
    writeFileSync(join(folder, 'out'), Buffer.from(out.buffer, out.byteOffset, out.byteLength));
  },
  async release(op) {
    await sessions.get(op)?.session.release();
    sessions.delete(op);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.trim().split(/\s+/);
  try {
    const answer = await commands[command](...words);
    process.stdout.write(`${answer ?? 'ok'}\n`);
  } catch (problem) {
    process.stdout.write(`error ${String(problem.message ?? problem).split('\n')[0]}\n`);
  }
}
