// SPDX-License-Identifier: BSL-1.0
// One query a sequence, as when a decoder writes. Cases:
//   decode/<type>/...     f32, f16, bf16, as plain tensors; int8: kv_as::int8(); int8g32, int4g32:
//                         scale and zero point of 16 bits for 32 channels. Against every peer; 16
//                         bits and codes also against f32, vs_f32
//   decode/short/...      f32, one cache that stays in the processor's caches
//   decode/draft4/...     f32, four queries, causal; vs_one, a call with one
//   decode/window1024/... f32, the last 1024 keys and the first 4; vs_plain, as many keys unmasked
//   decode/ragged/...     f16, eight sequences of 100 to 30000 tokens; vs_one_by_one
//   decode/paged16/..., paged64: f32 in pages of the caller's, in random order; vs_flat
//   decode/mla/...        latent attention, absorbed: 16 heads, rows of 512 + 64 channels, f32;
//                         `fma_share` of the peak of multiply-adds, which binds before memory does
//   decode/append/<type>/..., paged16: a token more for each of 8 sequences; `ns` a token
// `gbps` counts the bytes of keys and values, scales included; `share` is of the rate at which as
// many threads read memory, taken in the same run. Every call but the short ones finds its keys in
// memory: caches (as of several layers) take turns that are together four times as large as L3.
#define EIGEN_USE_THREADS
#include "peers/decode_ort.hpp"
#include "support/caches.hpp"
#include "support/calls.hpp"

#include <heed/attention.hpp>
#include <heed/heads/mla.hpp>
#include <heed/kv/latent.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

using bench::buffer;
using bench::device;
using bench::index;
using bench::shape;
using bench::trial;
using heed::contiguous_kv;
using heed::kv_format;
using heed::kv_type;

const kv_format f32 = heed::kv_as::single(), f16 = heed::kv_as::half(),
                bf16 = heed::kv_as::bfloat(), int8 = heed::kv_as::int8(),
                int4g32 = heed::kv_as::int4().with_zero(),
                int8g32{
                    .type = kv_type::i8, .group = 32, .zero = true, .scale = heed::element::f16};

constexpr auto all_keys = [](index, index) { return true; };

// So many caches of `bytes` each do not fit L3.
index layers_for(const trial& t, double bytes) {
  const long l3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  const double apart = 4.0 * static_cast<double>(l3 > 0 ? l3 : 32 << 20);
  return t.timed() ? static_cast<index>(std::ceil(apart / bytes)) : 2;
}

std::vector<index> equal_lengths(const shape& form) {
  return std::vector<index>(static_cast<std::size_t>(form.batch), form.keys);
}
// Bytes that a call reads of so many tokens.
double bytes_of(const shape& form, const kv_format& how, index tokens) {
  return 2.0 * static_cast<double>(tokens * form.kv_heads * bench::row_bytes(how, form.dim));
}
double bytes_of(const shape& form, const kv_format& how) {
  return bytes_of(form, how, form.batch * form.keys);
}
contiguous_kv one_layer(const shape& form, const kv_format& how, const std::vector<index>& lengths,
                        index seed = 0) {
  return bench::contiguous({form.batch, form.kv_heads, form.dim, form.dim}, how, lengths, seed);
}
std::vector<contiguous_kv> layers_of(const trial& t, const kv_format& how) {
  std::vector<contiguous_kv> all;
  for (index n = layers_for(t, bytes_of(t.form(), how)); n > 0; --n)
    all.push_back(one_layer(t.form(), how, equal_lengths(t.form()), n));
  return all;
}
template <class Cache> Cache& in_turn(std::vector<Cache>& all, index turn) {
  return all[static_cast<std::size_t>(turn) % all.size()];
}

// Calls `call(turn, executor)` for turn 0, 1, 2, …
template <class Call> bench::contender in_turns(std::string name, int threads, const Call& call) {
  return {std::move(name), [call, threads, turn = index{0}](int times) mutable {
            const bench::leading here(threads);
            return bench::seconds_per_call(times, [&] {
              if (threads == 1)
                call(turn++, heed::executor_ref(heed::serial{}));
              else
                call(turn++, heed::executor_ref(heed::on(device(threads))));
            });
          }};
}

// Attention on caches that take turns.
struct decoding {
  const shape& form;
  buffer<float> q = bench::normal_numbers(form.query_size(), 1), out = bench::room(form);
  heed::workspace scratch{};

  heed::view<const float> queries() const {
    return bench::heads_outside(q.data(), form.batch, form.heads, form.queries, form.dim);
  }
  heed::view<float> results() {
    return bench::heads_outside(out.data(), form.batch, form.heads, form.queries, form.dim);
  }
  // On plain tensors where the elements have a type of their own.
  template <class Spec>
  void run(const Spec& spec, const kv_format& how, const contiguous_kv& cache,
           const heed::executor_ref& on) {
    const auto plain = [&]<class T>(std::type_identity<T>) {
      const bench::plain_pair<T> x(cache, 0);
      heed::attend(spec, queries(), x.k, x.v, results(), on, scratch);
    };
    if (how.type == kv_type::f32) return plain(std::type_identity<float>{});
    if (how.type == kv_type::f16) return plain(std::type_identity<Eigen::half>{});
    if (how.type == kv_type::bf16) return plain(std::type_identity<Eigen::bfloat16>{});
    run(spec, cache, on);
  }
  template <class Spec, heed::kv_source Source>
  void run(const Spec& spec, const Source& source, const heed::executor_ref& on) {
    heed::attend(spec, queries(), source, results(), on, scratch);
  }
  template <class Sees>
  void check(const std::string& who, const heed::kv_ref& cache, const Sees& sees) const {
    bench::check_decoded(who, form, q.data(), cache, out.data(), bench::float_tolerance(form.dim),
                         sees);
  }
};

const std::shared_ptr<bench::ort_process>& ort(const trial& t) {
  static const auto process =
      t.ort().empty() ? nullptr : std::make_shared<bench::ort_process>(t.ort());
  return process;
}

const bench::budget limit{.least_rounds = 7, .shortest_sample = 2e-3};

// Peers that were checked, as contenders.
struct rivals {
  std::vector<std::unique_ptr<bench::decode_peer>> peers{};
  std::vector<buffer<float>> outs{}, floats{};

  rivals(const trial& t, const kv_format& how, const decoding& ours,
         const std::vector<contiguous_kv>& caches, std::vector<bench::contender>& field) {
    const shape& form = t.form();
    const bool half = how.type == kv_type::f16;
    if (how.type != kv_type::f32 && !half) return;
    bench::decode_problem task{form, ours.q.data(), {}, {}, nullptr};
    const auto pointer = [&](const heed::stored_rows& rows) {
      if (!half) return reinterpret_cast<const float*>(rows.data);
      auto& wide = floats.emplace_back(static_cast<std::size_t>(form.key_size()));
      heed::simd::load_row(heed::element::f16, rows.data, 1, form.key_size(), wide.data());
      return static_cast<const float*>(wide.data());
    };
    auto installed = bench::decode_peers(half, t.wants("ort_gqa") ? ort(t) : nullptr);
    if (std::none_of(installed.begin(), installed.end(),
                     [&](const auto& one) { return t.wants(one->name()); }))
      return;
    for (const contiguous_kv& cache : caches) {
      const heed::kv_run run = cache.run(0, 0, 0);
      task.k.push_back(pointer(run.k)), task.v.push_back(pointer(run.v));
    }
    outs.reserve(installed.size());
    for (auto& one : installed) {
      if (!t.wants(one->name())) continue;
      task.out = outs.emplace_back(static_cast<std::size_t>(form.query_size()), 0.0f).data();
      one->prepare(task);
      one->run(1);
      one->fetch();
      bench::check_decoded(one->name(), form, ours.q.data(), caches[0], task.out,
                           half ? 0x1p-8 : bench::float_tolerance(form.dim), all_keys);
      field.push_back({one->name(), [p = one.get()](int times) { return p->run(times); }});
      peers.push_back(std::move(one));
    }
    floats.clear();
  }
  ~rivals() {
    for (const auto& one : peers) one->release();
  }
};

void plain(trial& t, const kv_format& how) {
  const shape& form = t.form();
  auto caches = layers_of(t, how);
  decoding ours{form}, wide{form};
  const heed::attention spec{};
  ours.run(spec, how, caches[0], {});
  ours.check("heed", caches[0], all_keys);
  std::vector<bench::contender> field;
  field.push_back(in_turns("heed", form.threads, [&](index turn, const heed::executor_ref& on) {
    ours.run(spec, how, in_turn(caches, turn), on);
  }));
  const rivals others(t, how, ours, caches, field);
  std::vector<contiguous_kv> floats;
  if (how.type != kv_type::f32 && form.keys <= 32768) {
    floats = layers_of(t, f32);
    field.push_back(in_turns("f32", form.threads, [&](index turn, const heed::executor_ref& on) {
      wide.run(spec, f32, in_turn(floats, turn), on);
    }));
  }
  t.measure_reads(std::move(field), bytes_of(form, how), limit);
}

void brief(trial& t) {
  const shape& form = t.form();
  std::vector<contiguous_kv> cache;
  cache.push_back(one_layer(form, f32, equal_lengths(form)));
  decoding ours{form};
  ours.run(heed::attention{}, f32, cache[0], {});
  ours.check("heed", cache[0], all_keys);
  std::vector<bench::contender> field;
  field.push_back(in_turns("heed", form.threads, [&](index, const heed::executor_ref& on) {
    ours.run(heed::attention{}, f32, cache[0], on);
  }));
  const rivals others(t, f32, ours, cache, field);
  t.measure_reads(std::move(field), bytes_of(form, f32), limit);
}

void drafted(trial& t) {
  const shape& form = t.form();
  shape one = form;
  one.queries = 1;
  auto caches = layers_of(t, f32);
  decoding ours{form}, alone{one};
  const heed::attention spec{.mask = heed::causal{}};
  ours.run(spec, f32, caches[0], {});
  ours.check("heed with drafted tokens", caches[0], [](index q, index k) { return k <= q; });
  t.measure_reads({in_turns("heed", form.threads,
                            [&](index turn, const heed::executor_ref& on) {
                              ours.run(spec, f32, in_turn(caches, turn), on);
                            }),
                   in_turns("one", form.threads,
                            [&](index turn, const heed::executor_ref& on) {
                              alone.run(heed::attention{}, f32, in_turn(caches, turn), on);
                            })},
                  bytes_of(form, f32), limit);
}

// The query moves from call to call, so that its window lies elsewhere in memory.
void windowed(trial& t) {
  const shape& form = t.form();
  const index sinks = 4, window = std::min<index>(1024, form.keys / 4);
  const contiguous_kv cache = one_layer(form, f32, equal_lengths(form));
  const bench::plain_pair<float> x(cache, 0);
  decoding ours{form}, dense{form};
  const auto spec = [&](index turn) {
    const index places = form.keys / window - 1;
    return heed::attention{
        .mask = heed::causal{} && (heed::window{.left = window - 1} || heed::first_keys{sinks}),
        .offset = form.keys - 1 - turn % places * window};
  };
  ours.run(spec(0), f32, cache, {});
  ours.check("heed with a window", cache,
             [&](index q, index k) { return k < sinks || k > q - window; });
  t.measure_reads({in_turns("heed", form.threads,
                            [&](index turn, const heed::executor_ref& on) {
                              ours.run(spec(turn), f32, cache, on);
                            }),
                   in_turns("plain", form.threads,
                            [&](index turn, const heed::executor_ref& on) {
                              const index first = spec(turn).offset + 1 - window - sinks;
                              heed::attend(heed::attention{}, dense.queries(),
                                           x.k.slice_rows(first, window + sinks),
                                           x.v.slice_rows(first, window + sinks), dense.results(),
                                           on, dense.scratch);
                            })},
                  bytes_of(form, f32, window + sinks), limit);
}

void ragged(trial& t) {
  shape form = t.form();
  std::vector<index> lengths{100, 300, 1000, 3000, 6000, 12000, 20000, 30000};
  lengths.resize(static_cast<std::size_t>(form.batch));
  for (index& n : lengths) n = std::max<index>(1, n * form.keys / 30000);
  const double bytes =
      bytes_of(form, f16, std::accumulate(lengths.begin(), lengths.end(), index{0}));
  std::vector<contiguous_kv> caches;
  for (index n = layers_for(t, bytes); n > 0; --n)
    caches.push_back(one_layer(form, f16, lengths, n));
  decoding ours{form}, apart{form};
  const heed::attention spec{};
  ours.run(spec, caches[0], {});
  ours.check("heed on sequences of different lengths", caches[0], all_keys);
  const auto one_by_one = [&](index turn, const heed::executor_ref& on) {
    for (index b = 0; b < form.batch; ++b) {
      const bench::plain_pair<Eigen::half> x(in_turn(caches, turn), b);
      const index first = b * form.heads * form.dim;
      heed::attend(spec, bench::heads_outside(apart.q.data() + first, 1, form.heads, 1, form.dim),
                   x.k, x.v,
                   bench::heads_outside(apart.out.data() + first, 1, form.heads, 1, form.dim), on,
                   apart.scratch);
    }
  };
  t.measure_reads({in_turns("heed", form.threads,
                            [&](index turn, const heed::executor_ref& on) {
                              ours.run(spec, in_turn(caches, turn), on);
                            }),
                   in_turns("one_by_one", form.threads, one_by_one)},
                  bytes, limit);
}

void paged(trial& t, index page) {
  const shape& form = t.form();
  auto flat = layers_of(t, f32);
  std::vector<bench::shuffled_pages> caches;
  for (index n = layers_for(t, bytes_of(form, f32)); n > 0; --n)
    caches.emplace_back(form.kv_heads, form.dim, form.keys, page, n);
  decoding ours{form}, plain{form};
  const heed::attention spec{};
  ours.run(spec, caches[0].cache(), {});
  ours.check("heed on pages", caches[0].cache(), all_keys);
  t.measure_reads({in_turns("heed", form.threads,
                            [&](index turn, const heed::executor_ref& on) {
                              ours.run(spec, in_turn(caches, turn).cache(), on);
                            }),
                   in_turns("flat", form.threads,
                            [&](index turn, const heed::executor_ref& on) {
                              plain.run(spec, f32, in_turn(flat, turn), on);
                            })},
                  bytes_of(form, f32), limit);
}

// Attention to the rows alone, without the products before and after it.
void latent(trial& t) {
  const shape& form = t.form();
  const index content = 128, rope = 64, rank = form.dim - rope;
  const double bytes = bytes_of(form, f32) / 2;
  std::vector<contiguous_kv> caches;
  for (index n = layers_for(t, bytes); n > 0; --n)
    caches.push_back(
        bench::contiguous({form.batch, form.kv_heads, form.dim, 0}, f32, equal_lengths(form), n));
  decoding ours{form};
  const auto call = [&](index turn, const heed::executor_ref& on) {
    const heed::latent_source rows(in_turn(caches, turn), rank);
    heed::attend(heed::attention{.scale = heed::mla::scale(content, rope)}, ours.queries(), rows,
                 bench::heads_outside(ours.out.data(), form.batch, form.heads, 1, rank), on,
                 ours.scratch);
  };
  call(0, {});
  bench::check_decoded("heed on latent rows", form, ours.q.data(),
                       heed::latent_source(caches[0], rank), ours.out.data(),
                       bench::float_tolerance(form.dim), all_keys, content + rope);
  if (!t.timed()) return;
  const double peak = bench::fma_rate(form.threads);
  const double best = t.measure_reads({in_turns("heed", form.threads, call)}, bytes, limit);
  const double work =
      2.0 * static_cast<double>(form.batch * form.heads * form.keys * (form.dim + rank));
  t.note("gflops", work / best * 1e-9);
  t.note("fma_share", work / best / std::max(peak, bench::fma_rate(form.threads)));
}

// Calls append(k, v) with one token for every sequence; a full cache begins anew.
void append(trial& t, const kv_format& how, heed::kv_source auto cache) {
  const shape& form = t.form();
  index turn = 0;
  const auto rows = [&](index seed) {
    auto x = bench::noise(seed, form.batch * form.kv_heads, 1, form.dim);
    return heed::view<const float>(x.data, {form.batch, form.kv_heads, 1, form.dim});
  };
  const auto call = [&] {
    if (cache.length(0) == form.keys)
      for (index b = 0; b < form.batch; ++b) cache.truncate(b, 0);
    const index seed = turn++ % 64;
    cache.append(rows(2 * seed), rows(2 * seed + 1));
  };
  for (index n = 0; n < form.keys; ++n) call();
  for (index n = 0; n < std::min<index>(form.keys, 64); ++n)
    bench::check_appended(cache, how, n, rows(2 * n), rows(2 * n + 1));
  const double best =
      t.measure_bytes({bench::timed("heed", call)}, bytes_of(form, how, form.batch));
  t.note("ns", best / static_cast<double>(form.batch) * 1e9);
}

std::string name(const std::string& kind, const shape& form) {
  return "decode/" + kind + "/" + heads_name(form) + "/d" + std::to_string(form.dim) + "/n" +
         std::to_string(form.keys) + "/t" + std::to_string(form.threads);
}

void add_all(bench::suite& all, int threads) {
  const auto add = [&](const std::string& kind, const shape& form, auto body) {
    all.add(name(kind, form), form, body);
  };
  const auto of = [](const kv_format& how) { return [&how](trial& t) { plain(t, how); }; };
  const std::vector<std::pair<std::string, const kv_format*>> types{
      {"f32", &f32}, {"f16", &f16}, {"bf16", &bf16}, {"int8", &int8}};
  for (const auto& [name, how] : types)
    for (index keys = 1024; keys <= 65536; keys *= 2)
      add(name, bench::models::decoding(keys, threads), of(*how));
  for (const index keys : {8192, 32768}) {
    const shape form = bench::models::decoding(keys, threads);
    add("int8g32", form, of(int8g32));
    add("int4g32", form, of(int4g32));
    shape heads = form, narrow = form;
    heads.kv_heads = heads.heads;
    narrow.dim = 64;
    if (keys == 8192) add("f32", heads, of(f32));
    add("f32", narrow, of(f32));
    add("draft4", bench::models::decoding(keys, threads, 4), drafted);
    add("paged16", form, [](trial& t) { paged(t, 16); });
    add("paged64", form, [](trial& t) { paged(t, 64); });
  }
  add("window1024", bench::models::decoding(32768, threads), windowed);
  shape batch = bench::models::decoding(30000, threads);
  batch.batch = 8;
  add("ragged", batch, ragged);
  for (const index keys : {128, 256, 512})
    add("short", bench::models::decoding(keys, threads), brief);
  for (const index keys : {4096, 16384})
    add("mla",
        {.heads = 16, .kv_heads = 1, .queries = 1, .keys = keys, .dim = 576, .threads = threads},
        latent);
  if (threads > 1) return;
  shape many = bench::models::decoding(4096, 1);
  many.batch = 8;
  const auto store = [](const shape& form) {
    return heed::kv_shape{form.batch, form.kv_heads, form.dim, form.dim};
  };
  for (const auto& [name, how] : types)
    if (how != &bf16)
      add("append/" + name, many, [store, how = how](trial& t) {
        append(t, *how, contiguous_kv(store(t.form()), t.form().keys, *how));
      });
  add("append/paged16", many, [store](trial& t) {
    const shape& form = t.form();
    const index pages = (form.keys + 15) / 16;
    append(t, f32,
           heed::paged_kv(store(form), {.pages = form.batch * pages, .page = 16, .table = pages}));
  });
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__GLIBC__)
  // Memory once touched stays: pages of new caches took longer than the calls that are timed.
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
