// SPDX-License-Identifier: BSL-1.0
// similarity/additive: s_ij = wᵀ act(u_i + t_j + b) + b₀ on projected rows, u = W_q q in the place
// of q and t = W_k k in that of k; their channels are A.
//
// Everything else (masks, scores, normalisers, heads) is as for `dot`. act takes vectors and single
// numbers (`auto`) or single numbers only; tanh by default. Leave `attention::scale` alone: it
// would multiply u. Cost: Lq · Lk · A activations; no GEMM form exists, b is added once a key.
// Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate, 2014.
// Throws if w or b do not have one entry a channel.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/core/parameters.hpp>
#include <heed/simd/dual.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/rows.hpp>
#include <heed/simd/with_constant.hpp>

namespace heed {

struct tanh_activation {
  template <class V> V operator()(const V& x) const { return simd::tanh(x); }
};

template <class Activation = tanh_activation> struct additive {
  parameters weight{};  // w [A]
  parameters bias{};    // b [A], or nothing
  double offset = 0;    // b₀
  Activation act{};

  void check(const problem_shape& shape) const {
    const std::string wanted = ", " + std::to_string(shape.depth) + ", not ";
    if (weight.size() != shape.depth)
      check::fail("heed::additive",
                  "weight must have one entry a channel" + wanted + std::to_string(weight.size()));
    if (!bias.empty() && bias.size() != shape.depth)
      check::fail("heed::additive",
                  "bias must have one entry a channel" + wanted + std::to_string(bias.size()));
  }
  double default_scale(index) const { return 1; }

  template <class Arch, class T> void key(T* row, index depth, const row_position&) const {
    if (!bias.empty())
      for (index c = 0; c < depth; ++c) row[c] += T(bias[c]);
  }

  template <class Arch, class T>
  void scores(index vectors, const T* key, index stride, index keys, const T* q, index pitch,
              index depth, T* s) const {
    simd::detail::with_constant<3>(vectors, [&]<int NV>(std::integral_constant<int, NV>) {
      rows<Arch, NV>(key, stride, keys, q, pitch, depth, s);
    });
  }

  struct gradient {
    parameters_gradient weight, bias;  // as those
    parameters_gradient offset;        // [1]
  };
  index sums(const gradient& g) const { return g.weight.size() + g.bias.size() + g.offset.size(); }
  void check(const gradient& g) const {
    g.weight.check("heed::additive", "the weight", weight.size());
    g.bias.check("heed::additive", "the bias", bias.size());
    g.offset.check("heed::additive", "the offset", 1);
  }
  // With x = u_i + t_j + b: du_i = dt_j = ds w act'(x), dw = Σ ds act(x), db₀ = Σ ds.
  template <class Arch, class T>
  void backward(index vectors, const T* key, index stride, index keys, const T* q, index pitch,
                index depth, const T* ds, T* du, T* dt, const gradient& g, double* sum) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    for (index channel = 0; channel < depth; ++channel) {
      const B w(static_cast<T>(weight[channel])), zero(T(0));
      B dw = zero;
      for (index j = 0; j < keys; ++j) {
        const B t(key[j * stride + channel]);
        B own(T(0));
        for (index v = 0; v < vectors; ++v) {
          const index i = channel * pitch + v * W;
          const auto [value, slope] = activation<Arch, T>(B(simd::load<T, Arch>(q + i) + t));
          const B d = simd::load<T, Arch>(ds + j * pitch + v * W);
          const auto hidden = d == zero;  // x may be NaN
          const B pull = simd::select(hidden, zero, B(d * w * slope));
          simd::store(du + i, B(simd::load<T, Arch>(du + i) + pull));
          own = own + pull;
          dw = dw + simd::select(hidden, zero, B(d * value));
        }
        dt[j * stride + channel] += simd::sum_lanes<T, Arch>(own);
      }
      if (g.weight.size() > 0) sum[channel] += double(simd::sum_lanes<T, Arch>(dw));
    }
    if (g.offset.size() > 0)
      for (index j = 0; j < keys; ++j)
        for (index i = 0; i < vectors * W; ++i)
          sum[g.weight.size() + g.bias.size()] += double(ds[j * pitch + i]);
  }
  // b was added to t.
  template <class Arch, class T>
  void key_backward(const T*, T* dx, index depth, const row_position&, const gradient& g,
                    double* sum) const {
    if (g.bias.size() > 0)
      for (index c = 0; c < depth; ++c) sum[g.weight.size() + c] += double(dx[c]);
  }
  void deliver(const gradient& g, const double* sum) const {
    g.weight.store(sum);
    g.bias.store(sum + g.weight.size());
    g.offset.store(sum + g.weight.size() + g.bias.size());
  }

 private:
  static constexpr index chunk = 64;

  template <class Arch, class T, class B> dual<B> activation(const B& x) const {
    if constexpr (requires { act(dual<B>{}).slope; }) {
      return act(dual<B>::variable(x));
    } else {
      static_assert(requires { act(dual<T>{}).slope; }, "this activation takes no dual numbers");
      constexpr index W = simd::width<T, Arch>;
      T value[W], slope[W];
      simd::store(value, x);
      for (index i = 0; i < W; ++i) {
        const dual<T> y = act(dual<T>::variable(value[i]));
        value[i] = y.value, slope[i] = y.slope;
      }
      return {simd::load<T, Arch>(value), simd::load<T, Arch>(slope)};
    }
  }

  template <class Arch, int NV, class T>
  HEED_NOINLINE void rows(const T* key, index stride, index keys, const T* q, index pitch,
                          index depth, T* s) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    T w[chunk];
    for (index first = 0; first < depth; first += chunk) {
      const index count = std::min(chunk, depth - first);
      for (index c = 0; c < count; ++c) w[c] = T(weight[first + c]);
      for (index j = 0; j < keys; ++j) {
        const T* k = key + j * stride + first;
        B sum[NV];
        HEED_UNROLL for (int v = 0; v < NV; ++v) sum[v] =
            first == 0 ? B(T(offset)) : simd::load<T, Arch>(s + j * pitch + v * W);
        for (index c = 0; c < count; ++c) HEED_UNROLL for (int v = 0; v < NV; ++v) {
            const B x = simd::load<T, Arch>(q + (first + c) * pitch + v * W) + B(k[c]);
            sum[v] = simd::fma(B(w[c]), simd::map_lanes<Arch, T>(act, x), sum[v]);
          }
        HEED_UNROLL for (int v = 0; v < NV; ++v) simd::store(s + j * pitch + v * W, sum[v]);
      }
    }
  }
};

}  // namespace heed
