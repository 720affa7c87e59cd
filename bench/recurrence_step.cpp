// SPDX-License-Identifier: BSL-1.0
// Recurrences as when a decoder writes: a token for each of 32 heads.
//   recurrence/step/<kind>/d<D>/t<threads>       states (as of several layers) take turns that are
//                                                together four times as large as L3
//   recurrence/step/<kind>/one/d<D>/t<threads>   one state, in the processor's caches
// `gbps` counts the bytes of the state, read and written once; `share` is of the rate at which as
// many threads read memory, and `vs_update` the time over that of x ← a x + b on the same states.
// The peer is LinearAttention of ONNX Runtime, from a past to a present.
#define EIGEN_USE_THREADS
#include "peers/linear_attention.hpp"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

using bench::index;
using bench::sequences;
using bench::trial;
using states = std::vector<heed::recurrent_state<float>>;

constexpr index before = 65;  // tokens that a state has seen: more than one chunk

index layers_for(double bytes) {
  const long l3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  return static_cast<index>(std::ceil(4.0 * static_cast<double>(l3 > 0 ? l3 : 32 << 20) / bytes));
}

// What a step at least has to do to memory: numbers in place, in the threads' parts.
void update(float* x, index count) {
  using bench::detail::lanes;
  const lanes a(0.999f), b(1e-3f);
  for (index i = 0; i + 4 * index{lanes::size} <= count; i += 4 * index{lanes::size})
    for (index n = 0; n < 4; ++n) {
      float* const p = x + i + n * index{lanes::size};
      xsimd::fma(lanes::load_unaligned(p), a, b).store_unaligned(p);
    }
}

template <class Kind> void step(trial& t, bool one) {
  const bench::shape& form = t.form();
  const index heads = form.heads, dim = form.dim;
  const sequences x(heads, before + 1, dim);
  bench::buffer<float> out(static_cast<std::size_t>(heads * before * dim));
  heed::workspace scratch;
  states all(1);
  const bench::some_tokens past{x, 0, before}, token{x, before, 1};
  heed::scan(Kind::spec(past), past[sequences::q], past[sequences::k], past[sequences::v],
             heed::view<float>(out.data(), {1, heads, before, dim}), all[0]);
  const heed::recurrent_state<float> first = all[0];
  const auto bytes = static_cast<double>(first.format().size()) * sizeof(float);
  if (t.timed() && !one)
    for (index n = layers_for(bytes); n > 1; --n) all.push_back(first);

  // One token again and again: what it writes keeps a state that decays from vanishing.
  const heed::view<float> to(out.data(), {1, heads, 1, dim});
  const auto call = [&](heed::recurrent_state<float>& state, const heed::executor_ref& on) {
    heed::step(Kind::spec(token), token[sequences::q], token[sequences::k], token[sequences::v], to,
               state, on, scratch);
  };
  call(all[0], {});
  const auto check = [&](const std::string& who, const heed::view<const float>& got) {
    for (const index head : {index{0}, heads - 1})
      bench::check_tokens(who + "'s step of " + Kind::name, got, head,
                          Kind::exact({x, head, before + 1}).out.bottomRows(1));
  };
  check("heed", to);
  if (!t.timed()) return;

  const auto in_turns = [&](std::string name, const auto& body) {
    return bench::contender{std::move(name), [&, body, turn = std::size_t{0}](int times) mutable {
                              const bench::leading here(form.threads);
                              return bench::seconds_per_call(times, [&] {
                                auto& state = all[turn++ % all.size()];
                                if (form.threads == 1)
                                  body(state, heed::executor_ref(heed::serial{}));
                                else
                                  body(state,
                                       heed::executor_ref(heed::on(bench::device(form.threads))));
                              });
                            }};
  };
  std::vector<bench::contender> field{in_turns("heed", call)};
  std::optional<bench::ort_recurrence> ort;
  if (Kind::ort.rule && t.wants("ort") && bench::ort_for(t)) {
    ort.emplace(*bench::ort_for(t), Kind::ort, x, before, 1, form.threads, first.head(0, 0),
                static_cast<index>(all.size()));
    ort->run(1);
    const auto theirs = ort->fetch();
    check("ONNX Runtime", {theirs.data(), to.extent});
    field.push_back({"ort", [&](int times) { return ort->run(times); }});
  }
  field.push_back(
      in_turns("update", [](heed::recurrent_state<float>& state, const heed::executor_ref& on) {
        const heed::state_format& f = state.format();
        on.for_each(f.heads, [&](index h, index) { update(state.head(0, h), f.head_size()); });
      }));
  const double best =
      t.measure_reads(std::move(field), 2 * bytes, {.least_rounds = 7, .shortest_sample = 2e-3});
  t.note("ns", best / static_cast<double>(heads) * 1e9);
}

void add_all(bench::suite& all, int threads) {
  for (const index dim : {64, 128})
    for (const bool one : {false, true})
      bench::kinds::for_each([&]<class Kind>(Kind) {
        all.add(std::string("recurrence/step/") + Kind::name + (one ? "/one" : "") + "/d" +
                    std::to_string(dim) + "/t" + std::to_string(threads),
                bench::square(bench::masking::causal, 32, 32, dim, 1, threads),
                [one](trial& t) { step<Kind>(t, one); });
      });
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__GLIBC__)
  // Memory once touched stays: pages of new states took longer than the calls that are timed.
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
