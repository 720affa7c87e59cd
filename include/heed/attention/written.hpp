// SPDX-License-Identifier: BSL-1.0
// A finished query row: to the output through its epilogue, and what else the caller asked of it.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/simd/pack.hpp>

namespace heed::detail {

// `row` counts from the first query of the sequence; `x` holds its channels, normalised, and is
// changed.
template <class Arch, class Spec, class T>
void write_row(const Spec& spec, const problem& p, const sequence& s, index h, index row, T* x) {
  const result& out = p.to.out;
  const index depth = p.shape.value_depth;
  simd::transform_row<Arch>(spec.output, x, depth,
                            row_position{s.b, h, row + s.offset, s.row + row});
  simd::store_row(out.type, x, depth, out.row(s.batch, h, s.row + row), out.stride[3]);
}

// lse and observer. `scale` is that of the scores which the normaliser took.
template <class Spec, class T>
HEED_NOINLINE void report_row(const Spec& spec, const problem& p, const sequence& s, index h,
                              index row, const row_state<T>& end, double scale) {
  const index r = s.row + row;
  if constexpr (has_lse<decltype(Spec::normalizer)>)
    if (p.to.lse.present()) {
      const T lse = spec.normalizer.lse(end);
      simd::store_row(p.to.lse.type, &lse, 1, p.to.lse.row(s.batch, h, r), 1);
    }
  if (p.to.observe)
    p.to.observe->row(
        {s.b, h, row + s.offset, r},
        {double(end.max), double(end.sum), double(steps_of(spec.normalizer).finish(end)), scale});
}

}  // namespace heed::detail
