// SPDX-License-Identifier: BSL-1.0
// Edits of the weights after normalising; the denominator and lse stay as they were.
//
// One that looks at a pair alone, p'_ij = f_ij p_ij, has
//   template <class Arch, class T, class Put> void factors(const tile&, const Put& put) const;
//     // put(i, f): f the factors of the vector at place i of the panel, i = key · pitch + lane
// and where f is learned, besides `gradient` and its members,
//   template <class Arch, class T>
//   void add_gradient(const gradient&, const tile&, const T* p, const T* dp, double* sum) const;
//     // p finished and unedited, dp by p': df_ij = p_ij dp_ij
// One that needs more than the pair, such as the mass that a row puts on some keys, runs the call
// itself and has
//   using driver = …;
//   template <class T, class Arch, class Spec>
//   void attend(spec, q, k, v, outputs, executor, scratch) const;     // checked operands
//   template <class T, class Arch, class Spec>
//   void backward(spec, q, k, v, saved, upstream, gradients, executor, scratch) const;  // checks
//   void edit(double* p, const position* at, index count) const;    // one row, for the oracle
// Extra slots are left alone, as by scores and masks. What a mask hides has weight 0 and keeps it.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/simd/simd.hpp>

namespace heed {

// Whether the policy multiplies each weight by a factor of its pair.
template <class W, class Arch, class T>
inline constexpr bool scales_weights = requires(const W& w, const tile& at) {
  w.template factors<Arch, T>(at, [](index, const simd::batch<T, Arch>&) {});
};

template <class W> inline constexpr bool has_driver = requires { typename W::driver; };

// p *= f for the panel and key tile `at`, where the policy has factors.
template <class Arch, class W, class T>
void scale_weights([[maybe_unused]] const W& weights, [[maybe_unused]] const tile& at,
                   [[maybe_unused]] T* p) {
  using B = simd::batch<T, Arch>;
  if constexpr (scales_weights<W, Arch, T>)
    weights.template factors<Arch, T>(
        at, [p](index i, const B& f) { simd::store(p + i, B(simd::load<T, Arch>(p + i) * f)); });
}

}  // namespace heed
