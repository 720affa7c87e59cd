// SPDX-License-Identifier: BSL-1.0
// similarity/additive: s_ij = wᵀ act(u_i + t_j + b) + b₀ on projected rows, u = W_q q in the place
// of q and t = W_k k in that of k; their channels are A.
//
// Everything else (masks, scores, normalisers, heads) is as for `dot`. act takes vectors and single
// numbers (`auto`) or single numbers only; tanh by default. Leave `attention::scale` alone: it
// would multiply u. Cost: Lq · Lk · A activations; no GEMM form exists, b is added once a key.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/core/parameters.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/rows.hpp>

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
    switch (vectors) {
      case 1:
        return rows<Arch, 1>(key, stride, keys, q, pitch, depth, s);
      case 2:
        return rows<Arch, 2>(key, stride, keys, q, pitch, depth, s);
      default:
        return rows<Arch, 3>(key, stride, keys, q, pitch, depth, s);
    }
  }

 private:
  static constexpr index chunk = 64;

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
