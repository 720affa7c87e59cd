// SPDX-License-Identifier: BSL-1.0
// node run.js <path of the onnxruntime-node module> <folder>
// Runs every job of <folder>/jobs.json on ONNX Runtime, CPU, and writes <folder>/results.json.
const fs = require('fs');
const path = require('path');
const [modulePath, folder] = process.argv.slice(2);
const ort = require(path.resolve(modulePath));

const arrays = {
  float32: Float32Array.from.bind(Float32Array),
  int32: Int32Array.from.bind(Int32Array),
  int64: (x) => BigInt64Array.from(x.map(BigInt)),
  bool: Uint8Array.from.bind(Uint8Array),
  int8: Int8Array.from.bind(Int8Array),
  uint8: Uint8Array.from.bind(Uint8Array),
};

async function main() {
  const results = {};
  for (const job of JSON.parse(fs.readFileSync(path.join(folder, 'jobs.json')))) {
    try {
      const session = await ort.InferenceSession.create(path.join(folder, job.model),
                                                        {logSeverityLevel: 3});
      const feeds = {};
      for (const [name, x] of Object.entries(job.inputs))
        feeds[name] = new ort.Tensor(x.type, arrays[x.type](x.data), x.dims);
      const outputs = await session.run(feeds);
      results[job.name] = {};
      for (const [name, y] of Object.entries(outputs))
        results[job.name][name] = {dims: y.dims, data: Array.from(y.data)};
    } catch (error) {
      throw new Error(`${job.name}: ${error.message}`);
    }
  }
  fs.writeFileSync(path.join(folder, 'results.json'), JSON.stringify(results));
}

main();
