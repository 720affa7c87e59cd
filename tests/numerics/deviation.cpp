// SPDX-License-Identifier: BSL-1.0
// The harness itself, and the two rules of accuracy: fused float is as exact as unfused float, and
// 16-bit storage does not lose digits to length.
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/where.hpp>
#include <heed/numerics/deviation.hpp>
#include <heed/numerics/merge.hpp>

#include "support/exact.hpp"

namespace heed::test {
namespace {

// Root mean squares and largest errors of several draws together: a row of few keys weighs too much
// in one. `offset` moves the mean of the values away from zero.
template <class T, class Out, class Mask, class Run>
deviation_pair over_draws(index queries, index keys, index depth, double offset, const Run& run) {
  deviation_pair all{};
  const auto add = [](deviation& to, const deviation& one) {
    to.rms =
        std::sqrt((to.rms * to.rms * double(to.count) + one.rms * one.rms * double(one.count)) /
                  double(to.count + one.count));
    to.largest = std::max(to.largest, one.largest), to.count += one.count;
  };
  for (const unsigned stream : {10u, 20u, 30u, 40u}) {
    const auto q = random<T>({1, 1, queries, depth}, stream),
               k = random<T>({1, 1, keys, depth}, stream + 1);
    auto v = random<T>({1, 1, keys, depth}, stream + 2);
    for (T& x : v.data) x = T(float(x) + float(offset));
    const deviation_pair one = deviation_of<Out>(
        Mask{}, q.in(), k.in(), v.in(), [&](view<Out> out) { run(q.in(), k.in(), v.in(), out); });
    add(all.fused, one.fused), add(all.unfused, one.unfused);
  }
  return all;
}

constexpr auto engine = []<class Arch, class Mask>(Arch, Mask) {
  return [](auto q, auto k, auto v, auto out) { attend<Arch>(attention<Mask>{}, q, k, v, out); };
};

template <class T, class Mask, class Run> void as_exact(index keys, index depth, const Run& run) {
  const deviation_pair found =
      over_draws<T, float, Mask>(keys == 256 ? 256 : 96, keys, depth, 0, run);
  CAPTURE(keys, depth, seed(), found.fused.rms / found.unfused.rms);
  CHECK(found.fused.rms <= found.unfused.rms);
  CHECK(found.fused.largest <= 2 * found.unfused.largest);
}

}  // namespace

TEST_CASE("deviations are those of a list of known errors") {
  deviations list;
  CHECK(list.summary().count == 0);
  for (int i = 1; i <= 1000; ++i) list.add(3 + i, 3);
  const deviation d = list.summary();
  CHECK(d.count == 1000);
  CHECK(d.largest == 1000);
  CHECK(d.p999 == 999);
  CHECK(d.rms == Approx(std::sqrt(1001.0 * 2001 / 6)));
  CHECK(d.relative == Approx(d.rms / 3));
  list.add(std::nan(""), 0);
  CHECK(std::isinf(list.summary().largest));
}

TEST_CASE("what is not written, and what is rounded once more, shows") {
  const auto x = random<float>({1, 2, 40, 16}, 1);
  const exact_attention<full, const float, const float, const float> exact(full{}, x.in(), x.in(),
                                                                           x.in());
  const auto nothing = exact.of<float>([](auto) {});
  CHECK(std::isinf(nothing.fused.rms));
  CHECK(nothing.unfused.rms < 1e-6);
  const auto run = [&](auto out) { attend(attention{}, x.in(), x.in(), x.in(), out); };
  const double fine = exact.of<float>(run).fused.rms,
               coarse = exact.of<Eigen::bfloat16>(run).fused.rms;
  CHECK(fine < 1e-6);
  CHECK(coarse > 1000 * fine);
  CHECK(exact.of<double>(run).fused.rms <= fine);
}

TEMPLATE_TEST_CASE("fused float is as exact as unfused float, for tiles of every size", "", float,
                   Eigen::half, Eigen::bfloat16) {
  for (const index keys : {256, 1000}) {
    as_exact<TestType, full>(keys, 64, engine(simd::best{}, full{}));
    as_exact<TestType, causal>(keys, 64, engine(simd::best{}, causal{}));
  }
  as_exact<TestType, full>(500, 64, engine(simd::scalar{}, full{}));
}

TEST_CASE("so are single queries, modified scores and merged parts") {
  as_exact<float, full>(700, 64, [](auto q, auto k, auto v, auto out) {
    for (index i = 0; i < q.extent[2]; ++i)
      attend(attention{}, q.slice_rows(i, 1), k, v, out.slice_rows(i, 1));
  });
  as_exact<float, full>(700, 64, [](auto q, auto k, auto v, auto out) {
    const attention spec{.score = [](auto s, auto) { return s; }};
    attend(spec, q, k, v, out);
  });
  as_exact<float, full>(700, 64, [](auto q, auto k, auto v, auto out) {
    auto one = unwritten<float>(out.extent), two = one;
    auto lse = unwritten<float>({1, 1, out.extent[2], 1}), lse2 = lse;
    attend(attention{}, q, k.slice_rows(0, 300), v.slice_rows(0, 300),
           {.out = one.in(), .lse = lse.in()});
    attend(attention{}, q, k.slice_rows(300, 400), v.slice_rows(300, 400),
           {.out = two.in(), .lse = lse2.in()});
    merge({{one.in(), lse.in()}, {two.in(), lse2.in()}}, {.out = out});
  });
}

TEST_CASE("bfloat16 storage: the error at 64 K keys is at most twice that at 4 K") {
  using stored = Eigen::bfloat16;
  const auto run = engine(simd::best{}, full{});
  for (const double offset : {0.0, 1.0}) {
    const deviation at_4k = over_draws<stored, stored, full>(4, 4096, 64, offset, run).fused,
                    at_64k = over_draws<stored, stored, full>(4, 65536, 64, offset, run).fused;
    CAPTURE(offset, seed());
    CHECK(at_64k.rms <= 2 * at_4k.rms);
    CHECK(at_64k.largest <= 2 * at_4k.largest);
  }
  // Without the rounding of the output, which hides the rest.
  const deviation at_4k = over_draws<stored, float, full>(4, 4096, 64, 0, run).fused,
                  at_64k = over_draws<stored, float, full>(4, 65536, 64, 0, run).fused;
  CAPTURE(seed());
  CHECK(at_64k.rms <= 2 * at_4k.rms);
  CHECK(at_64k.largest <= 2 * at_4k.largest);
}

}  // namespace heed::test
