// SPDX-License-Identifier: BSL-1.0
// Driver `few` against the plain loop and against `stream`, over all the shapes that it takes and
// the first that it does not.
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/reference/attend.hpp>
#include <heed/score/alibi.hpp>

#include "support/catch.hpp"
#include "support/operands.hpp"
#include "support/plain.hpp"

using namespace heed::test;

namespace {

template <class T, class Arch> constexpr heed::index most = heed::simd::shape<T, Arch>::few;

struct seen final : heed::observer {
  void row(const heed::row_position&, const heed::row_end&) override {}
};

// Weights are off by a few ulp, sums of `depth` products of order 1 by their roundings.
template <class T> double tolerance(heed::index depth) {
  return 16 * double(std::numeric_limits<T>::epsilon()) * (1 + std::sqrt(double(depth)));
}

template <class T> double difference(const operand_block<T>& x, const operand_block<double>& y) {
  double worst = 0;
  for (heed::index b = 0; b < x.extent[0]; ++b)
    for (heed::index h = 0; h < x.extent[1]; ++h)
      for (heed::index l = 0; l < x.extent[2]; ++l)
        for (heed::index d = 0; d < x.extent[3]; ++d) {
          const double got = double(x.read()(b, h, l, d)), expected = y.read()(b, h, l, d);
          if (got == expected) continue;  // two infinities
          const double apart = std::abs(got - expected);
          worst =
              std::isnan(apart) ? std::numeric_limits<double>::infinity() : std::max(worst, apart);
        }
  return worst;
}

// Against the oracle, and against `stream`, which an observer asks for.
template <class T, class Arch = heed::simd::best, class Spec>
void check(const Spec& spec, heed::index queries, heed::index keys, heed::index depth,
           heed::index value_depth, const layout& how = {}, heed::index batch = 2,
           heed::index heads = 2, heed::index kv_heads = 1) {
  static engine random(5);
  const auto q = input<T>({batch, heads, queries, depth}, how, random);
  const auto k = input<T>({batch, kv_heads, keys, depth}, how, random);
  const auto v = input<T>({batch, kv_heads, keys, value_depth}, how, random);
  const heed::extents whole{batch, heads, queries, value_depth}, rows{batch, heads, queries, 1};
  auto out = output<T>(whole, how, random), lse = output<T>(rows, how, random);
  auto streamed = output<T>(whole, {}, random);
  auto exact = output<double>(whole, {}, random), exact_lse = output<double>(rows, {}, random);
  constexpr bool with_lse = heed::has_lse<decltype(Spec::normalizer)>;
  heed::outputs to{.out = out.mutable_view()}, oracle{.out = exact.mutable_view()};
  if constexpr (with_lse) to.lse = lse.mutable_view(), oracle.lse = exact_lse.mutable_view();
  heed::attend<Arch>(spec, q.read(), k.read(), v.read(), to);
  seen observer;
  heed::attend<Arch>(spec, q.read(), k.read(), v.read(),
                     {.out = streamed.mutable_view(), .observe = &observer});
  heed::reference::attend(spec, q.read(), k.read(), v.read(), oracle);

  INFO(queries << " x " << keys << ", D " << depth << ", Dv " << value_depth);
  CHECK(difference(out, exact) <= tolerance<T>(depth));
  CHECK(difference(streamed, exact) <= tolerance<T>(depth));
  if constexpr (with_lse) {
    CHECK(difference(lse, exact_lse) <= 8 * tolerance<T>(depth));
    CHECK(rest_untouched(lse));
  }
  CHECK(rest_untouched(out));

  auto again = output<T>(whole, {}, random);
  heed::attend<Arch>(spec, q.read(), k.read(), v.read(), again.mutable_view());
  bool same = true;
  for (heed::index b = 0; b < batch; ++b)
    for (heed::index h = 0; h < heads; ++h)
      for (heed::index l = 0; l < queries; ++l)
        for (heed::index d = 0; d < value_depth; ++d)
          same &= again.read()(b, h, l, d) == out.read()(b, h, l, d);
  if (!how.strided_channels && !how.reversed) CHECK(same);  // else `out` alone sends it to `stream`
}

template <class T, class Arch = heed::simd::best, class F> void each_shape(F f) {
  for (heed::index queries = 1; queries <= most<T, Arch> + 1; ++queries)
    for (heed::index keys = 0; keys <= most<T, Arch> + 1; ++keys) f(queries, keys);
}

}  // namespace

TEST_CASE("every number of channels, of keys and of values") {
  each_shape<float>([](heed::index queries, heed::index keys) {
    for (heed::index d = 1; d <= 130; ++d) {
      check<float>(heed::attention<>{}, queries, keys, d, 131 - d);
      check<float>(heed::attention<>{}, queries, keys, d, d, {}, 1, 1, 1);
    }
  });
}

TEST_CASE("in double, and on one lane") {
  each_shape<double>([](heed::index queries, heed::index keys) {
    for (heed::index d : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130}) {
      check<double>(heed::attention<>{}, queries, keys, d, 17);
      check<double>(heed::attention<heed::causal>{}, queries, keys, 17, d);
      check<float, heed::simd::scalar>(heed::attention<>{}, queries, keys, d, 5);
    }
  });
}

TEST_CASE("masks, scores and normalisers") {
  const std::vector<float> slopes{0.5f, 0.25f, 0.75f, 0.1f}, sinks{0.3f, -1, 2, 0};
  each_shape<float>([&](heed::index queries, heed::index keys) {
    for (heed::index d : {3, 16, 40}) {
      const auto all = [&](const auto& spec) {
        check<float>(spec, queries, keys, d, d + 1);
        check<float>(spec, queries, keys, d, d, {}, 1, 4, 2);
      };
      all(heed::attention{.mask = heed::causal{}});
      all(heed::attention{.mask = heed::window{.left = 1}});
      all(heed::attention{.mask = heed::causal{}, .offset = -1});
      all(heed::attention{.mask = heed::causal{}, .scale = 0.75, .offset = 1});
      all(heed::attention{.normalizer = heed::sigmoid{}});
      all(heed::attention{.mask = heed::causal{}, .normalizer = heed::sigmoid{}});
      all(heed::attention{.score = [](auto s, const auto& at) { return s + at.k * 0.5f; }});
    }
    check<float>(heed::attention{.score = heed::alibi{slopes}}, queries, keys, 8, 8, {}, 1, 4, 4);
    check<float>(heed::attention{.normalizer = heed::sink_softmax{sinks}}, queries, keys, 8, 8, {},
                 1, 4, 4);
  });
}

TEST_CASE("any strides") {
  for (int bits = 0; bits < 16; ++bits)
    each_shape<float>([bits](heed::index queries, heed::index keys) {
      const layout how{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
      check<float>(heed::attention<>{}, queries, keys, 20, 11, how);
      check<float>(heed::attention<heed::causal>{}, queries, keys, 9, 32, how, 3, 6, 3);
    });
}

TEST_CASE("what a mask hides never leaks") {
  const float nan = std::nanf("");
  for (heed::index n = 2; n <= most<float, heed::simd::best>; ++n)
    for (heed::index d : {5, 16, 21}) {
      const auto size = static_cast<std::size_t>(n * d);
      std::vector<float> q(size, 0.5f), k(size, 0.25f), v(size, 2), out(size, nan);
      for (std::size_t i = size - static_cast<std::size_t>(d); i < size; ++i) k[i] = v[i] = nan;
      const heed::extents e{1, 1, n, d};
      heed::attend(heed::attention<heed::causal>{}, heed::view<const float>(q.data(), e),
                   heed::view<const float>(k.data(), e), heed::view<const float>(v.data(), e),
                   heed::view<float>(out.data(), e));
      for (std::size_t i = 0; i < size; ++i)
        CHECK((i < size - static_cast<std::size_t>(d) ? out[i] == Approx(2) : std::isnan(out[i])));
    }
}

TEST_CASE("scores far apart and far from zero") {
  for (float base : {-3000.f, 0.f, 3000.f}) {
    const float q = 1, k[] = {base, base + 200, base + 199}, v[] = {5, 1, 2};
    float out = std::nanf("");
    heed::attend(heed::attention{.scale = 1}, heed::view<const float>(&q, {1, 1, 1, 1}),
                 heed::view<const float>(k, {1, 1, 3, 1}), heed::view<const float>(v, {1, 1, 3, 1}),
                 heed::view<float>(&out, {1, 1, 1, 1}));
    // Without a fused multiply the product of a score and log2 e is rounded before the maximum is
    // taken off.
    const double rounding = heed::simd::fused ? 1e-5 : 2e-7 * (std::abs(double(base)) + 200);
    CHECK(out == Approx((1 + 2 * std::exp(-1.0)) / (1 + std::exp(-1.0))).epsilon(rounding));
  }
}
