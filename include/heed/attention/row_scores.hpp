// SPDX-License-Identifier: BSL-1.0
// What policies see that must know whole rows, or several heads of a row, before any weight is
// known: the scores of a block of query rows against all keys that the block may see, lanes being
// queries as everywhere.
//
// A normaliser of whole rows says `using whole_rows = void` and has, for one head at a time,
//   index scratch(index keys, index pitch) const;
//   template <class Arch, class T> void solve(const row_scores<T>& x, T* scratch) const;
//     // scores -> finished weights in place, exactly 0 where masked; a row without keys: zeros
//   template <class Arch, class T>
//   void solve_backward(const row_scores<T>& p, T* d, T* scratch) const;
//     // p finished; d, laid out as p: the derivative by p -> that by the score; 0 where masked.
//     // One that needs the scores takes `T* s` before d,
//     // which it may overwrite
// and `using all_queries = void` where the rows of a sequence must be in one block.
//
// A mixer of heads stands in `.weights`, says `using mixes_heads = void`, and has
//   index rows_before() const;     // earlier rows that a row depends on
//   index scratch(index keys, index pitch) const;
//   template <class Arch, class T> void before(const row_scores<T>& s, T* to, T* scratch) const;
//     // scores -> mixed scores; what is masked counts as 0 and is masked again by the driver
//   template <class Arch, class T> void after(const row_scores<T>& p, T* to, T* scratch) const;
//     // weights -> mixed weights, laid out alike
//   template <class Arch, class T>
//   void after_backward(const row_scores<T>& p, const T* d, T* to, T* scratch, const gradient&,
//                       double* sum) const;
//   template <class Arch, class T>
//   void before_backward(const row_scores<T>& s, const T* d, T* to, T* scratch, const gradient&,
//                        double* sum) const;
//     // d, by what was given -> by what was taken; sums of learned numbers over the own rows of d
// besides what attention/gradient.hpp asks of learned numbers. lse is that of the mixed scores.
//
// Score modifiers of whole rows: score/row_queries.hpp.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/normalizer/concept.hpp>
#include <heed/simd/lanes.hpp>

namespace heed {

// The score of lane r of head i by key j lies at s[i * head_pitch + j * pitch + r], `masked<T>`
// where a pair is hidden and in lanes from `rows` on; weights are 0 there.
template <class T> struct row_scores {
  T* s = nullptr;
  index heads = 1, keys = 0, rows = 0;
  index pitch = 0, head_pitch = 0;     // lanes of a key, a multiple of the vector; of a head
  index first = 0, own = 0;            // lanes that are to be written; the others lend their scores
  index b = 0, h = 0, q = 0, row = 0;  // sequence, head 0, position and row of lane 0
  index k = 0;                         // position of key 0; the others follow

  T* head(index i) const { return s + i * head_pitch; }
  // The same block with other numbers in it.
  row_scores of(T* other) const {
    row_scores x = *this;
    x.s = other;
    return x;
  }
  row_scores only(index head) const {
    row_scores x = *this;
    x.s += head * head_pitch, x.h += head, x.heads = 1;
    return x;
  }
};

namespace detail {

// Σ x y over the own rows of a head, keys of both so far apart; a masked y counts as 0.
template <class Arch, class T>
double sum_of_products(const row_scores<T>& block, const T* x, index x_pitch, const T* y,
                       index y_pitch) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>, some = 64;
  const B zero(T(0)), lowest(masked<T> / 2);
  double all = 0;
  for (index v = block.first / W * W; v < block.first + block.own; v += W) {
    T own[W];
    for (index i = 0; i < W; ++i)
      own[i] = T(v + i >= block.first && v + i < block.first + block.own);
    const auto kept = zero < simd::load<T, Arch>(own);
    for (index first = 0; first < block.keys; first += some) {
      B sum = zero;
      for (index j = first; j < std::min(first + some, block.keys); ++j) {
        const B s = simd::load<T, Arch>(y + j * y_pitch + v);
        sum = simd::fma(simd::load<T, Arch>(x + j * x_pitch + v),
                        B(simd::select(s <= lowest, zero, s)), sum);
      }
      all += double(simd::sum_lanes<T, Arch>(B(simd::select(kept, sum, zero))));
    }
  }
  return all;
}

template <class P> inline constexpr bool takes_rows = requires { typename P::whole_rows; };
template <class P> inline constexpr bool takes_all_queries = requires { typename P::all_queries; };
template <class P> inline constexpr bool mixes_heads = requires { typename P::mixes_heads; };
template <class S> inline constexpr bool modifies_rows = takes_rows<S>;
template <class First, class Second>
inline constexpr bool modifies_rows<chain<First, Second>> =
    modifies_rows<First> || modifies_rows<Second>;
template <class Spec>
inline constexpr bool needs_rows =
    takes_rows<decltype(Spec::normalizer)> || mixes_heads<decltype(Spec::weights)> ||
    modifies_rows<decltype(Spec::score)>;

}  // namespace detail

}  // namespace heed
