// SPDX-License-Identifier: BSL-1.0
// Driver `few`: a handful of queries against a handful of keys, read where they lie.
//
// Lanes along channels for the products, lanes along queries for the normaliser; nothing is packed
// and nothing allocated. Worth it where a call costs more than its arithmetic: `stream` spends some
// 100 ns before the first product. Only for specs that leave rows as they are.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/heads/grouped.hpp>
#include <heed/mask/concept.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/score/concept.hpp>
#include <heed/simd/pack.hpp>
#include <heed/similarity/dot.hpp>

namespace heed::detail {

template <class Spec>
inline constexpr bool plain_rows =
    std::is_same_v<decltype(Spec::similarity), dot> &&
    std::is_same_v<decltype(Spec::query), none> && std::is_same_v<decltype(Spec::key), none> &&
    std::is_same_v<decltype(Spec::value), none> && std::is_same_v<decltype(Spec::output), none> &&
    std::is_same_v<decltype(Spec::extra), none> && std::is_same_v<decltype(Spec::plan), none>;

template <class T, class Arch, class Spec> class few {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes;

 public:
  static bool fits(const problem& p) {
    const auto in_place = [](const auto& x) {
      return x.type == element_of<T>::value && x.stride[3] == 1;
    };
    return p.shape.queries <= std::min(W, tuned::few) && p.shape.keys <= tuned::few &&
           in_place(p.q) && in_place(p.k) && in_place(p.v) && in_place(p.to.out) && !p.to.observe;
  }

  static void run(const Spec& spec, const problem& p) {
    for (index b = 0; b < p.shape.batch; ++b)
      for (index h = 0; h < p.shape.heads; ++h) attend(spec, p, b, h);
  }

 private:
  static HEED_INLINE T dot_product(const T* x, const T* y, index depth) {
    B sum(T(0));
    index c = 0;
    for (; c + W <= depth; c += W)
      sum = simd::fma(simd::load<T, Arch>(x + c), simd::load<T, Arch>(y + c), sum);
    T total = simd::sum_lanes<T, Arch>(sum);
    for (; c < depth; ++c) total += x[c] * y[c];
    return total;
  }

  static void attend(const Spec& spec, const problem& p, index b, index h) {
    const problem_shape& shape = p.shape;
    const index kv = shape.kv_heads == shape.heads ? h : kv_head_of(h, shape);
    const T scale = static_cast<T>(p.scale);
    const T* const q = static_cast<const T*>(p.q.row(b, h, 0));
    const T* const k = static_cast<const T*>(p.k.row(b, kv, 0));
    const T* const v = static_cast<const T*>(p.v.row(b, kv, 0));
    T s[tuned::few * W];
    for (index j = 0; j < shape.keys; ++j) {
      simd::store(s + j * W, B(T(0)));
      for (index i = 0; i < shape.queries; ++i) {
        const position at{b, h, i + shape.offset, j, i, j};
        T& x = s[j * W + i];
        x = modified(spec.score,
                     scale * dot_product(q + i * p.q.stride[2], k + j * p.k.stride[2], shape.depth),
                     at);
        if constexpr (!std::is_same_v<decltype(Spec::mask), full>)
          if (!spec.mask(at)) x = masked<T>;
      }
    }
    row_state<T> state[W];
    // One or two queries stay in scalar registers: a vector load of what was just stored by
    // elements would wait for the stores.
    if (shape.queries <= 2)
      for (index i = 0; i < shape.queries; ++i)
        normalize<simd::scalar>(spec, p, b, h, s + i, state + i);
    else
      normalize<Arch>(spec, p, b, h, s, state);
    for (index i = 0; i < shape.queries; ++i)
      mix(s + i, v, p.v.stride[2], shape.keys, shape.value_depth,
          static_cast<T*>(p.to.out.row(b, h, i)));
    if (p.to.lse.present()) report(spec, p, b, h, state);
  }

  // Scores to finished weights, in place.
  template <class A>
  static void normalize(const Spec& spec, const problem& p, index b, index h, T* s,
                        row_state<T>* out) {
    using V = simd::batch<T, A>;
    const auto& normalizer = steps_of(spec.normalizer);
    const row_state<T> start = normalizer.template start<T>(row_position{b, h, p.shape.offset, 0});
    row_state<V> state{V(start.max), V(start.sum)};
    V factor(T(1));
    if (p.shape.keys > 0) normalizer.template absorb<A>(s, W, p.shape.keys, state, factor);
    const V finish = normalizer.finish(state);
    for (index j = 0; j < p.shape.keys; ++j)
      simd::store(s + j * W, V(simd::load<T, A>(s + j * W) * finish));
    if (!p.to.lse.present()) return;
    T max[W], sum[W];
    simd::store(max, state.max);
    simd::store(sum, state.sum);
    for (index i = 0; i < simd::width<T, A>; ++i) out[i] = {max[i], sum[i]};
  }

  // out = Σ_j w[j · W] v_j; a weight of exactly 0 hides its value.
  static void mix(const T* w, const T* v, index stride, index keys, index depth, T* out) {
    index c = 0;
    for (; c + W <= depth; c += W) {
      B sum(T(0));
      for (index j = 0; j < keys; ++j)
        if (w[j * W] != T(0))
          sum = simd::fma(B(w[j * W]), simd::load<T, Arch>(v + j * stride + c), sum);
      simd::store(out + c, sum);
    }
    for (; c < depth; ++c) {
      T sum = 0;
      for (index j = 0; j < keys; ++j)
        if (w[j * W] != T(0)) sum += w[j * W] * v[j * stride + c];
      out[c] = sum;
    }
  }

  HEED_NOINLINE static void report(const Spec& spec, const problem& p, index b, index h,
                                   const row_state<T>* state) {
    if constexpr (has_lse<decltype(Spec::normalizer)>)
      for (index i = 0; i < p.shape.queries; ++i) {
        const T lse = spec.normalizer.lse(state[i]);
        simd::store_row(p.to.lse.type, &lse, 1, p.to.lse.row(b, h, i), 1);
      }
  }
};

}  // namespace heed::detail
