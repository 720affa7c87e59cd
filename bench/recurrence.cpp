// SPDX-License-Identifier: BSL-1.0
// Recurrences over whole sequences, from the zero state on:
//   recurrence/<kind>/d<D>/n<tokens>/t<threads>
// 32 heads of up to 4096 tokens, then as many fewer heads as a sequence is longer, at least one, so
// that all lengths but the longest are as much work. `gflops` counts a token of a head as
// 4 D² + 128 D, where it corrects the state as 6 D² + 256 D (a chunk of 64 tokens); `fma_share` is
// of the multiply-add peak; `ns` is a token of a head; `vs_n1024` the time of the same tokens as
// sequences of 1024. The peer is LinearAttention of ONNX Runtime, where it has the rule.
#define EIGEN_USE_THREADS
#include "peers/linear_attention.hpp"

namespace {

using bench::index;
using bench::sequences;
using bench::shape;
using bench::trial;

constexpr index longest = 32 * 4096;

// Calls heed on tokens that are split into sequences of `length`.
template <class Kind> struct scanning {
  sequences x;
  heed::view<float> out;
  int threads;
  heed::workspace scratch{};

  void operator()() {
    const bench::some_tokens all{x, 0, x.length()};
    const auto run = [&](const heed::executor_ref& on) {
      heed::scan(Kind::spec(all), all[sequences::q], all[sequences::k], all[sequences::v], out, on,
                 scratch);
    };
    threads == 1 ? run(heed::serial{}) : run(heed::on(bench::device(threads)));
  }
};

template <class Kind> double flops(index dim) {
  const auto d = static_cast<double>(dim);
  return Kind::corrects ? 6 * d * d + 256 * d : 4 * d * d + 128 * d;
}

template <class Kind>
void check(const std::string& who, const sequences& x, const heed::view<const float>& out) {
  const index count = std::min<index>(x.length(), 150);
  for (const index head : {index{0}, x.heads() - 1})
    bench::check_tokens(who + "'s " + Kind::name, out, head, Kind::exact({x, head, count}).out);
}

template <class Kind> void scan(trial& t) {
  const shape& form = t.form();
  bench::buffer<float> out = bench::room(form), theirs;
  const auto with = [&](index length) {
    const index heads = form.heads * form.queries / length;
    return scanning<Kind>{sequences(heads, length, form.dim),
                          {out.data(), {1, heads, length, form.dim}},
                          form.threads};
  };
  scanning<Kind> ours = with(form.queries), split = with(std::min<index>(form.queries, 1024));
  ours();
  check<Kind>("heed", ours.x, ours.out);
  if (!t.timed()) return;
  const auto led = [&](std::string name, scanning<Kind>& call) {
    return bench::contender{std::move(name), [&](int times) {
                              const bench::leading here(form.threads);
                              return bench::seconds_per_call(times, [&] { call(); });
                            }};
  };
  std::vector<bench::contender> field{led("heed", ours)};
  if (form.queries > 4096) field.push_back(led("n1024", split));
  std::optional<bench::ort_recurrence> ort;
  if (Kind::ort.rule && form.queries <= 4096 && t.wants("ort") && bench::ort_for(t)) {
    ort.emplace(*bench::ort_for(t), Kind::ort, ours.x, 0, form.queries, form.threads);
    ort->run(1);
    theirs = ort->fetch();
    check<Kind>("ONNX Runtime", ours.x, {theirs.data(), ours.out.extent});
    field.push_back({"ort", [&](int times) { return ort->run(times); }});
  }
  const double rows = static_cast<double>(form.heads * form.queries);
  const double best = t.measure(std::move(field), rows * flops<Kind>(form.dim),
                                {.least_rounds = 5, .shortest_sample = 5e-3});
  t.note("fma_share", t.noted("share"));
  t.note("ns", best / rows * 1e9);
  t.note("tokens/s", static_cast<double>(form.queries) / best);
}

void add_all(bench::suite& all, int threads) {
  for (const index dim : {64, 128})
    bench::kinds::for_each([&]<class Kind>(Kind) {
      for (const index length : {1024, 4096, 16384, 65536, 262144}) {
        const index heads = std::clamp<index>(longest / length, 1, 32);
        if (heads < threads || (all.chosen().smoke && length != 4096)) continue;
        all.add(std::string("recurrence/") + Kind::name + "/d" + std::to_string(dim) + "/n" +
                    std::to_string(length) + "/t" + std::to_string(threads),
                bench::square(bench::masking::causal, heads, heads, dim, length, threads),
                scan<Kind>);
      }
    });
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
