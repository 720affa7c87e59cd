// SPDX-License-Identifier: BSL-1.0
// Driver `few` beside the plain loop and `stream`, over all the shapes that it takes and the first
// that it does not.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/reference/attend.hpp>

#include "support/catch.hpp"
#include "support/operands.hpp"
#include "support/plain.hpp"

namespace heed::test {

template <class T, class Arch> inline constexpr index most = simd::shape<T, Arch>::few;

struct few_watcher final : observer {
  void row(const row_position&, const row_end&) override {}
};

// Weights are off by a few ulp, sums of `depth` products of order 1 by their roundings.
template <class T> double few_tolerance(index depth) {
  return 16 * double(std::numeric_limits<T>::epsilon()) * (1 + std::sqrt(double(depth)));
}

template <class T>
double few_difference(const operand_block<T>& x, const operand_block<double>& y) {
  double worst = 0;
  for (index b = 0; b < x.extent[0]; ++b)
    for (index h = 0; h < x.extent[1]; ++h)
      for (index l = 0; l < x.extent[2]; ++l)
        for (index d = 0; d < x.extent[3]; ++d) {
          const double got = double(x.read()(b, h, l, d)), expected = y.read()(b, h, l, d);
          if (got == expected) continue;  // two infinities
          const double apart = std::abs(got - expected);
          worst =
              std::isnan(apart) ? std::numeric_limits<double>::infinity() : std::max(worst, apart);
        }
  return worst;
}

// Against the oracle, and against `stream`, which an observer asks for.
template <class T, class Arch = simd::best, class Spec>
void check_few(const Spec& spec, index queries, index keys, index depth, index value_depth,
               const layout& how = {}, index batch = 2, index heads = 2, index kv_heads = 1) {
  static engine random(5);
  const auto q = input<T>({batch, heads, queries, depth}, how, random);
  const auto k = input<T>({batch, kv_heads, keys, depth}, how, random);
  const auto v = input<T>({batch, kv_heads, keys, value_depth}, how, random);
  const extents whole{batch, heads, queries, value_depth}, rows{batch, heads, queries, 1};
  auto out = output<T>(whole, how, random), lse = output<T>(rows, how, random);
  auto streamed = output<T>(whole, {}, random);
  auto exact = output<double>(whole, {}, random), exact_lse = output<double>(rows, {}, random);
  constexpr bool with_lse = has_lse<decltype(Spec::normalizer)>;
  outputs to{.out = out.mutable_view()}, oracle{.out = exact.mutable_view()};
  if constexpr (with_lse) to.lse = lse.mutable_view(), oracle.lse = exact_lse.mutable_view();
  heed::attend<Arch>(spec, q.read(), k.read(), v.read(), to);
  few_watcher observer;
  heed::attend<Arch>(spec, q.read(), k.read(), v.read(),
                     {.out = streamed.mutable_view(), .observe = &observer});
  heed::reference::attend(spec, q.read(), k.read(), v.read(), oracle);

  INFO(queries << " x " << keys << ", D " << depth << ", Dv " << value_depth);
  CHECK(few_difference(out, exact) <= few_tolerance<T>(depth));
  CHECK(few_difference(streamed, exact) <= few_tolerance<T>(depth));
  if constexpr (with_lse) {
    CHECK(few_difference(lse, exact_lse) <= 8 * few_tolerance<T>(depth));
    CHECK(rest_untouched(lse));
  }
  CHECK(rest_untouched(out));

  auto again = output<T>(whole, {}, random);
  heed::attend<Arch>(spec, q.read(), k.read(), v.read(), again.mutable_view());
  bool same = true;
  for (index b = 0; b < batch; ++b)
    for (index h = 0; h < heads; ++h)
      for (index l = 0; l < queries; ++l)
        for (index d = 0; d < value_depth; ++d)
          same &= again.read()(b, h, l, d) == out.read()(b, h, l, d);
  if (!how.strided_channels && !how.reversed) CHECK(same);  // else `out` alone sends it to `stream`
}

template <class T, class Arch = simd::best, class F> void each_few_shape(F f) {
  for (index queries = 1; queries <= most<T, Arch> + 1; ++queries)
    for (index keys = 0; keys <= most<T, Arch> + 1; ++keys) f(queries, keys);
}

}  // namespace heed::test
