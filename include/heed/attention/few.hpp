// SPDX-License-Identifier: BSL-1.0
// Driver `few`: a handful of queries against a handful of keys, read where they lie.
//
// Lanes along channels for the products, lanes along queries for the normaliser; nothing is packed,
// nothing allocated and no type erased. Worth it where a call costs more than its arithmetic:
// `stream` spends some 100 ns before the first product. Only for specs that leave rows as they are.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/attention/spec.hpp>
#include <heed/heads/grouped.hpp>
#include <heed/mask/concept.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/score/concept.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/shape.hpp>
#include <heed/similarity/dot.hpp>

namespace heed::detail {

template <class Spec>
inline constexpr bool plain_rows =
    std::is_same_v<decltype(Spec::similarity), dot> &&
    std::is_same_v<decltype(Spec::weights), none> && std::is_same_v<decltype(Spec::query), none> &&
    std::is_same_v<decltype(Spec::key), none> && std::is_same_v<decltype(Spec::value), none> &&
    std::is_same_v<decltype(Spec::output), none> && std::is_same_v<decltype(Spec::extra), none> &&
    std::is_same_v<decltype(Spec::plan), none>;

template <class T, class Arch, class Spec> class few {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, most = std::min(W, tuned::few);

 public:
  // Views by reference: copying one costs as much as the products of a small call.
  template <class X> struct rows {
    X* data;
    const extents &extent, &stride;
    X* row(index b, index h) const { return data + (b * stride[0] + h * stride[1]); }
  };
  struct operands {
    rows<const T> q, k, v;
    rows<T> out;
    const result* lse;
  };

  // False also for whatever the front would refuse, without saying why. Few branches: in a call
  // this small a chain of them costs as much as the products.
  static HEED_INLINE bool fits(const operands& x) {
    const extents &q = x.q.extent, &k = x.k.extent, &v = x.v.extent, &o = x.out.extent;
    return all(q[2] <= most, k[2] <= tuned::few) &&
           all(q[0] > 0, q[1] > 0, k[1] > 0, q[2] > 0, k[2] >= 0, q[3] > 0, v[3] >= 0, q[0] == k[0],
               q[0] == v[0], q[0] == o[0], q[1] == o[1], k[1] == v[1], q[2] == o[2], k[2] == v[2],
               q[3] == k[3], v[3] == o[3], x.q.stride[3] == 1, x.k.stride[3] == 1,
               x.v.stride[3] == 1, x.out.stride[3] == 1, x.q.data != nullptr, x.k.data != nullptr,
               x.v.data != nullptr, x.out.data != nullptr) &&
           (q[1] == k[1] || q[1] % k[1] == 0) && (!x.lse || !x.lse->present() || reports(x));
  }

  static HEED_INLINE void run(const Spec& spec, const operands& x) {
    if (x.k.extent[2] == 1)
      heads<1>(spec, x);
    else if (x.k.extent[2] == 2)
      heads<2>(spec, x);
    else
      heads<tuned::few>(spec, x);
  }

 private:
  template <class... Bool> static HEED_INLINE bool all(Bool... each) { return (each & ...); }

  static constexpr bool masks = !std::is_same_v<decltype(Spec::mask), full>;

  static bool reports(const operands& x) {
    const extents &q = x.q.extent, &l = x.lse->extent;
    return has_lse<decltype(Spec::normalizer)> && l == extents{q[0], q[1], q[2], 1};
  }

  static HEED_INLINE T dot_product(const T* x, const T* y, index depth) {
    B even(T(0)), odd(T(0));
    const auto add = [&](B& sum, index c) HEED_INLINE_LAMBDA {
      sum = simd::fma(simd::load<T, Arch>(x + c), simd::load<T, Arch>(y + c), sum);
    };
    index c = 0;
    for (; c + 2 * W <= depth; c += 2 * W) add(even, c), add(odd, c + W);
    if (c + W <= depth) add(even, c), c += W;
    if (const index rest = depth - c; rest > 0)
      odd = simd::fma(simd::load_first<T, Arch>(x + c, rest),
                      simd::load_first<T, Arch>(y + c, rest), odd);
    return simd::sum_lanes<T, Arch>(B(even + odd));
  }

  // Up to K keys, a constant so that the normaliser stays in registers.
  template <index K> HEED_NOINLINE static void heads(const Spec& spec, const operands& x) {
    problem_shape shape = shape_of(x.q.extent, x.k.extent, x.v.extent);
    if (spec.offset != aligned_ends) shape.offset = spec.offset;
    check_policies(spec, shape);
    const T scale = static_cast<T>(resolved_scale(spec, shape.depth));
    for (index b = 0; b < shape.batch; ++b)
      for (index h = 0; h < shape.heads; ++h) attend<K>(spec, shape, scale, x, b, h);
  }

  template <index K>
  static HEED_INLINE void attend(const Spec& spec, const problem_shape& shape, T scale,
                                 const operands& x, index b, index h) {
    const index kv = shape.kv_heads == shape.heads ? h : kv_head_of(h, shape);
    const index keys = K < tuned::few ? K : shape.keys;
    const T *const q = x.q.row(b, h), *const k = x.k.row(b, kv), *const v = x.v.row(b, kv);
    const auto score = [&](index i, index j) HEED_INLINE_LAMBDA {
      const position at{b, h, i + shape.offset, j, i, j};
      if constexpr (masks)
        if (!spec.mask(at)) return masked<T>;
      const T s = dot_product(q + i * x.q.stride[2], k + j * x.k.stride[2], shape.depth);
      return modified(spec.score, scale * s, at);
    };
    // A row of lanes a key. Put together in registers: a vector load of what was just stored by
    // elements would wait for the stores. Lanes beyond the last query repeat it.
    T s[K * W];
    const B lane = simd::iota<T, Arch>();
    for (index j = 0; j < keys; ++j) {
      B row(T(0));
      for (index i = 0; i < shape.queries; ++i)
        row = simd::select(lane >= B(static_cast<T>(i)), B(score(i, j)), row);
      simd::store(s + j * W, row);
    }
    for (index j = keys; j < K; ++j) simd::store(s + j * W, B(masked<T>));

    const row_state<B> state = weigh<K>(steps_of(spec.normalizer), {b, h, shape.offset, 0}, s);
    T finish[W];
    simd::store(finish, steps_of(spec.normalizer).finish(state));
    T* const out = x.out.row(b, h);
    for (index i = 0; i < shape.queries; ++i)
      mix<K>(s + i, B(finish[i]), v, x.v.stride[2], keys, shape.value_depth,
             out + i * x.out.stride[2]);
    if (x.lse && x.lse->present()) report(spec, shape, *x.lse, b, h, state);
  }

  // Scores to weights, in place.
  template <index K, class N>
  static HEED_INLINE row_state<B> weigh(const N& normalizer, const row_position& at, T* s) {
    if constexpr (requires { normalizer.template absorb_all<Arch>(s, W, K); }) {
      return normalizer.template absorb_all<Arch>(s, W, K);
    } else {
      const row_state<T> start = normalizer.template start<T>(at);
      row_state<B> state{B(start.max), B(start.sum)};
      B factor(T(1));
      normalizer.template absorb<Arch>(s, W, K, state, factor);
      return state;
    }
  }

  // out = finish · Σ_j w[j · W] v_j; under a mask, a weight of exactly 0 hides its value.
  template <index K>
  static HEED_INLINE void mix(const T* w, const B& finish, const T* v, index stride, index keys,
                              index depth, T* out) {
    const auto mixed = [&](auto load) HEED_INLINE_LAMBDA {
      B sum(T(0));
      for (index j = 0; j < keys; ++j)
        if (!masks || w[j * W] != T(0)) sum = simd::fma(B(w[j * W]), load(v + j * stride), sum);
      return B(sum * finish);
    };
    index c = 0;
    for (; c + W <= depth; c += W)
      simd::store(out + c, mixed([c](const T* row) { return simd::load<T, Arch>(row + c); }));
    if (const index rest = depth - c; rest > 0)
      simd::store_first<T, Arch>(
          out + c, mixed([=](const T* row) { return simd::load_first<T, Arch>(row + c, rest); }),
          rest);
  }

  HEED_NOINLINE static void report(const Spec& spec, const problem_shape& shape, const result& to,
                                   index b, index h, const row_state<B>& state) {
    if constexpr (has_lse<decltype(Spec::normalizer)>) {
      T max[W], sum[W];
      simd::store(max, state.max);
      simd::store(sum, state.sum);
      for (index i = 0; i < shape.queries; ++i) {
        const T lse = spec.normalizer.lse(row_state<T>{max[i], sum[i]});
        simd::store_row(to.type, &lse, 1, to.row(b, h, i), 1);
      }
    }
  }
};

}  // namespace heed::detail
