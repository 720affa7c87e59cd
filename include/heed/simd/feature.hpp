// SPDX-License-Identifier: BSL-1.0
// Feature maps φ of rows: elementwise, called with vectors and single numbers (`auto`) or single
// numbers only, or a map that may change the width, in place in `width(depth)` channels:
//   struct { index width(index depth) const;  void operator()(auto* row, index depth) const;
//            void backward(const auto* x, auto* dx, index depth) const; }
// or, to use vectors, template <class Arch> void row(auto* row, index depth) const. Where queries
// and keys differ the map has `query` and `key` in its place. A map may have `check(depth)`.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/simd/dual.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

template <class F> index feature_width(const F& f, index depth) {
  if constexpr (requires { f.width(depth); })
    return f.width(depth);
  else
    return depth;
}
enum class feature_role : unsigned char { query, key };

template <class Arch, class F, class T>
void apply_feature(const F& f, T* row, index depth, feature_role role = feature_role::key) {
  if constexpr (std::is_same_v<F, none>)
    return;
  else if constexpr (requires { f.template query<Arch>(row, depth); })
    role == feature_role::query ? f.template query<Arch>(row, depth)
                                : f.template key<Arch>(row, depth);
  else if constexpr (requires { f.template row<Arch>(row, depth); })
    f.template row<Arch>(row, depth);
  else if constexpr (requires { f(row, depth); })
    f(row, depth);
  else
    simd::map_row<Arch>(row, depth, f);
}
// dx of `depth` channels in place of dφ, x the row before φ; φ' by dual numbers, or `backward`, or
// `query_backward` and `key_backward` where the two differ.
template <class Arch, class F, class T>
void feature_backward(const F& f, const T* x, T* dx, index depth,
                      [[maybe_unused]] feature_role role = feature_role::key) {
  if constexpr (std::is_same_v<F, none>) {
    return;
  } else if constexpr (requires { f.query_backward(x, dx, depth); }) {
    role == feature_role::query ? f.query_backward(x, dx, depth) : f.key_backward(x, dx, depth);
  } else if constexpr (requires { f.backward(x, dx, depth); }) {
    f.backward(x, dx, depth);
  } else {
    static_assert(
        requires { f(dual<T>{}).slope; },
        "this feature takes no dual numbers and has no backward(x, dx, depth)");
    using B = simd::batch<T, Arch>;
    index c = 0;
    if constexpr (requires(B b) { B(f(dual<B>::variable(b)).slope); })
      for (; c + simd::width<T, Arch> <= depth; c += simd::width<T, Arch>)
        simd::store(dx + c, B(simd::load<T, Arch>(dx + c) *
                              f(dual<B>::variable(simd::load<T, Arch>(x + c))).slope));
    for (; c < depth; ++c) dx[c] *= f(dual<T>::variable(x[c])).slope;
  }
}

}  // namespace heed
