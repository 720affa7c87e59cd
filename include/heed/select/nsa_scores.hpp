// SPDX-License-Identifier: BSL-1.0
// What the blocks of tokens weigh by attention to compressed keys (select/nsa):
//
//   P_ij = Σ_c (how many strides of c lie in block j) Σ_h p_ihc
//
// A panel of queries at a time, lanes are queries; products are those of the compressed branch.
// 2 Nc D flops a query and head, and as many additions of p as a key has strides.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/storage.hpp>
#include <heed/select/compressed_past.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/tile.hpp>
#include <vector>

namespace heed::detail {

template <class T, class Arch> class nsa_scores {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, widest = tuned::panel, tile = tuned::key_tile;

 public:
  nsa_scores(const compressed_past& past, index selected, index depth, index blocks)
      : past_(past),
        selected_(selected),
        blocks_(blocks),
        q_(static_cast<std::size_t>(depth * widest)),
        rows_(static_cast<std::size_t>(depth * widest)),
        s_(static_cast<std::size_t>(tile * widest)),
        sums_(static_cast<std::size_t>(blocks * widest)) {}

  static constexpr index rows() { return widest; }
  void start() { std::fill(sums_.begin(), sums_.end(), T(0)); }

  // The p of one query head, rows [first, first + count) at positions from `at` on, added.
  // `lse(row)` is that of the compressed branch; `keys` are its K̃, contiguous.
  template <class Lse>
  void add(const operand& q, index b, index h, index first, index count, index at, const T* keys,
           T scale, const Lse& lse) {
    const index depth = q.extent[3], vectors = (count + W - 1) / W, pitch = vectors * W;
    for (index i = 0; i < count; ++i)
      simd::load_row(q.type, q.row(b, h, first + i), q.stride[3], depth, rows_.data() + i * depth);
    for (index v = 0; v < vectors; ++v)
      simd::to_lanes<T, Arch>(rows_.data() + v * W * depth, depth, std::min(W, count - v * W),
                              depth, T(1), q_.data() + v * W, pitch);
    const T factor = scale * static_cast<T>(1.44269504088896340736);
    T shift[widest], seen[widest];
    for (index i = 0; i < pitch; ++i) {
      const index r = std::min(i, count - 1);
      const T row = lse(first + r);
      shift[i] = std::isfinite(row) ? -row * static_cast<T>(1.44269504088896340736) : T(0);
      seen[i] = static_cast<T>(i < count ? past_.seen(at + r) : 0);
    }
    const index last = past_.seen(at + count - 1), ratio = selected_ / past_.stride,
                strides = past_.block / past_.stride;
    for (index from = 0; from < last; from += tile) {
      const index some = std::min(tile, last - from);
      simd::scores<T, Arch>(vectors, keys + from * depth, depth, some, q_.data(), pitch, depth,
                            s_.data());
      for (index j = 0; j < some; ++j) {
        const index c = from + j;
        for (index v = 0; v < vectors; ++v) {
          const B x = simd::load<T, Arch>(s_.data() + j * pitch + v * W);
          const B p = simd::select(
              B(static_cast<T>(c)) < simd::load<T, Arch>(seen + v * W),
              B(simd::exp2(B(simd::fma(x, B(factor), simd::load<T, Arch>(shift + v * W))))),
              B(T(0)));
          for (index u = c, next; u < c + strides; u = next) {
            const index block = u / ratio;
            next = std::min((block + 1) * ratio, c + strides);
            if (block >= blocks_) break;
            T* const sum = sums_.data() + block * widest + v * W;
            simd::store(sum,
                        B(simd::fma(p, B(static_cast<T>(next - u)), simd::load<T, Arch>(sum))));
          }
        }
      }
    }
  }
  // P of the rows, [row][block].
  void result(index count, T* to) const {
    simd::transpose<T, Arch>(sums_.data(), widest, blocks_, count, T(1), to, blocks_);
  }

 private:
  compressed_past past_;
  index selected_, blocks_;
  std::vector<T> q_, rows_, s_, sums_;
};

}  // namespace heed::detail
