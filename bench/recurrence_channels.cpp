// SPDX-License-Identifier: BSL-1.0
// Scans whose channels do not meet, of L tokens and C channels:
//   recurrence/mamba/c<C>/n<L>/t<threads>        16 states a channel; `gexp` counts an exponential
//                                                a state, in 10⁹ a second
//   recurrence/short_conv/c<C>/n<L>/t<threads>   width 4, with SiLU
// `gbps` counts the bytes of inputs and outputs, `ns` is a token.
#define EIGEN_USE_THREADS
#include "support/recurrences.hpp"

#include <heed/recurrence/mamba.hpp>
#include <heed/recurrence/short_conv.hpp>
#include <heed/reference/recurrence/mamba.hpp>
#include <heed/reference/recurrence/short_conv.hpp>

namespace {

using bench::buffer;
using bench::index;
using bench::matrix;
using bench::trial;

constexpr index states = 16, width = 4;

matrix first_rows(const buffer<float>& x, index count, index columns) {
  return Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
             x.data(), count, columns)
      .cast<double>();
}

// Times `call(executor)` on what it reads and writes of a token.
template <class Call> double timed(trial& t, double bytes, const Call& call) {
  const bench::shape& form = t.form();
  const double best = t.measure_bytes(
      {{"heed",
        [&](int times) {
          const bench::leading here(form.threads);
          return bench::seconds_per_call(times, [&] {
            form.threads == 1 ? call(heed::executor_ref(heed::serial{}))
                              : call(heed::executor_ref(heed::on(bench::device(form.threads))));
          });
        }}},
      bytes * static_cast<double>(form.queries));
  t.note("ns", best / static_cast<double>(form.queries) * 1e9);
  return best;
}

void mamba(trial& t) {
  const index tokens = t.form().queries, channels = t.form().dim;
  const auto u = bench::normal_numbers(tokens * channels, 1),
             b = bench::normal_numbers(tokens * states, 3),
             c = bench::normal_numbers(tokens * states, 4), d = bench::normal_numbers(channels, 5);
  auto delta = bench::normal_numbers(tokens * channels, 2);
  for (float& x : delta) x = std::log1p(std::exp(x - 4));
  buffer<float> a(static_cast<std::size_t>(channels * states)), out(u.size());
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = -1 - static_cast<float>(i % states);
  const auto rows = [&](const buffer<float>& x, index columns) {
    return heed::view<const float>(x.data(), {1, 1, tokens, columns});
  };
  const heed::selective_scan spec{.a = heed::view<const float>(a.data(), {1, 1, channels, states}),
                                  .d = heed::view<const float>(d.data(), {1, 1, 1, channels})};
  const heed::view<float> to(out.data(), {1, 1, tokens, channels});
  heed::workspace scratch;
  const auto call = [&](const heed::executor_ref& on) {
    heed::scan(spec, rows(u, channels), rows(delta, channels), rows(b, states), rows(c, states), to,
               on, scratch);
  };
  call({});
  const index count = std::min<index>(tokens, 100);
  const auto want = heed::reference::recurrence::mamba(
      first_rows(u, count, channels), first_rows(delta, count, channels),
      first_rows(a, channels, states), first_rows(b, count, states), first_rows(c, count, states),
      first_rows(d, 1, channels).row(0).transpose(), matrix::Zero(channels, states));
  bench::check_tokens("heed's mamba", heed::view<const float>(to.data, to.extent), 0, want.out);
  const double best =
      timed(t, static_cast<double>((3 * channels + 2 * states) * index{sizeof(float)}), call);
  t.note("gexp", static_cast<double>(tokens * channels * states) / best * 1e-9);
}

void short_conv(trial& t) {
  const index tokens = t.form().queries, channels = t.form().dim;
  const auto x = bench::normal_numbers(tokens * channels, 1),
             w = bench::normal_numbers(channels * width, 2);
  buffer<float> out(x.size());
  const heed::short_conv spec{.weight = heed::view<const float>(w.data(), {1, 1, channels, width}),
                              .silu = true};
  const heed::view<const float> from(x.data(), {1, 1, tokens, channels});
  const heed::view<float> to(out.data(), from.extent);
  heed::workspace scratch;
  const auto call = [&](const heed::executor_ref& on) { heed::scan(spec, from, to, on, scratch); };
  call({});
  const index count = std::min<index>(tokens, 100);
  const matrix y = heed::reference::recurrence::short_conv(
      first_rows(x, count, channels), first_rows(w, channels, width), bench::vector::Zero(channels),
      matrix::Zero(width - 1, channels));
  bench::check_tokens("heed's short convolution", heed::view<const float>(to.data, to.extent), 0,
                      (y.array() / (1 + (-y.array()).exp())).matrix());
  timed(t, static_cast<double>(2 * channels * index{sizeof(float)}), call);
}

void add_all(bench::suite& all, int threads) {
  for (const index channels : {512, 2048})
    for (const index length : {1024, 4096}) {
      const bench::shape form =
          bench::square(bench::masking::causal, 1, 1, channels, length, threads);
      const std::string size = "/c" + std::to_string(channels) + "/n" + std::to_string(length) +
                               "/t" + std::to_string(threads);
      all.add("recurrence/mamba" + size, form, mamba);
      all.add("recurrence/short_conv" + size, form, short_conv);
    }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
