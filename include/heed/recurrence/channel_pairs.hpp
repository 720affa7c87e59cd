// SPDX-License-Identifier: BSL-1.0
// Pairs of a chunk where every channel decays by itself: no table can be taken out of the product.
//
//   in blocks of as many tokens as there are lanes
//     within a block     lanes are writes; each is carried along the tokens, multiplied by what
//                        decays it, and read on the way: one multiplication and one multiply-add
//     against earlier    a product of the reads decayed from the block's start and of the writes
//                        decayed up to it
#pragma once

#include <heed/recurrence/pairs.hpp>

namespace heed::detail {

// out[i][j] = factor_i Σ_c r[i][c] w[c][j] Π α, as above, for one block.
template <class T, class Arch, bool Before>
HEED_NOINLINE void block_pairs(index depth, const T* r, index pitch, const T* alpha, const T* lanes,
                               index lanes_pitch, const T* factor, bool strict, T* out) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  const B lane = simd::iota<T, Arch>();
  B acc[W];
  HEED_UNROLL for (index i = 0; i < W; ++i) acc[i] = B(T(0));
  for (index c = 0; c < depth; ++c) {
    B w = simd::load<T, Arch>(lanes + c * lanes_pitch);
    HEED_UNROLL for (index i = 0; i < W; ++i) {
      if constexpr (Before) acc[i] = simd::fma(B(r[i * pitch + c]), w, acc[i]);
      if (i > 0) w = simd::scale_first<T, Arch>(w, B(alpha[i * pitch + c]), i);
      if constexpr (!Before) acc[i] = simd::fma(B(r[i * pitch + c]), w, acc[i]);
    }
  }
  HEED_UNROLL for (index i = 0; i < W; ++i) {
    const index last = Before || strict ? i - 1 : i;
    const B x = factor ? B(acc[i] * B(factor[i])) : acc[i];
    simd::store(out + i * lanes_pitch, B(simd::select(lane > B(T(last)), B(T(0)), x)));
  }
}

template <class T, class Arch> class chunk_decays<T, Arch, decay_kind::channel> {
  static constexpr index W = simd::width<T, Arch>;
  using B = simd::batch<T, Arch>;

 public:
  static constexpr bool copies = true;
  template <class Memory>
  chunk_decays(const chunk_shape& shape, Memory& from)
      : s_(shape),
        kept_(from.template take<T>(shape.key_pitch)),
        rows_(from.template take<T>(W * shape.key_pitch)),
        block_(from.template take<T>(W * shape.key_pitch)) {}

  void begin(const T* alpha, index) { alpha_ = alpha; }

  void meet(index tokens, std::span<const chunk_read<T>> reads,
            std::span<const chunk_write<T>> writes) {
    for (index first = 0; first < tokens; first += W) {
      for (const chunk_read<T>& r : reads)
        for (std::size_t w = 0; w < writes.size(); ++w) block_row(first, tokens, r, w, writes[w]);
      if (first + W < tokens)
        for (const chunk_write<T>& w : writes) carry(first, w);
    }
    for (const chunk_read<T>& r : reads) decay_reads(0, tokens, r.rows, r.before, r.decayed);
    for (const chunk_write<T>& w : writes) decay_writes(0, tokens, w.rows, w.decayed);
  }
  const T* kept() const { return kept_; }

 private:
  void block_row(index first, index tokens, const chunk_read<T>& r, std::size_t which,
                 const chunk_write<T>& w) {
    const index pitch = s_.key_pitch;
    T* const out = r.pairs[which] + first * s_.pitch;
    const T* const factor = r.factor ? r.factor + first : nullptr;
    if (r.before)
      block_pairs<T, Arch, true>(s_.depth, r.rows + first * pitch, pitch, alpha_ + first * pitch,
                                 w.lanes + first, s_.pitch, factor, true, out + first);
    else
      block_pairs<T, Arch, false>(s_.depth, r.rows + first * pitch, pitch, alpha_ + first * pitch,
                                  w.lanes + first, s_.pitch, factor, r.strict, out + first);
    for (index i = 0; i < W; ++i)
      std::fill(out + i * s_.pitch + first + W, out + i * s_.pitch + tokens, T(0));
    if (first == 0) return;
    decay_reads(first, W, r.rows + first * pitch, r.before, rows_);
    if (factor) scale_rows<T, Arch>(W, pitch, rows_, pitch, factor, rows_);
    simd::product<T, Arch>(W, first, {{rows_, pitch, 1, w.lanes, s_.pitch, s_.depth}},
                           {out, s_.pitch});
  }
  // Lanes of the writes up to and with a block become those that the next block meets.
  void carry(index first, const chunk_write<T>& w) {
    const index pitch = s_.key_pitch;
    decay_writes(first, W, w.rows + first * pitch, block_);  // kept_ is what the block decays by
    for (index c = 0; c < s_.depth; ++c)
      for (index j = 0; j < first; j += W) {
        T* const x = w.lanes + c * s_.pitch + j;
        simd::store(x, B(simd::load<T, Arch>(x) * B(kept_[c])));
      }
    simd::to_lanes<T, Arch>(block_, pitch, W, s_.depth, T(1), w.lanes + first, s_.pitch);
  }
  // out[i] = r[i] Π α from token `first` up to i, without i where it comes before.
  HEED_NOINLINE void decay_reads(index first, index tokens, const T* r, bool before, T* out) const {
    const index pitch = s_.key_pitch;
    for (index c = 0; c < pitch; c += W) {
      B since(T(1));
      for (index i = 0; i < tokens; ++i) {
        const B then = since;
        since = since * simd::load<T, Arch>(alpha_ + (first + i) * pitch + c);
        simd::store(out + i * pitch + c,
                    B(simd::load<T, Arch>(r + i * pitch + c) * (before ? then : since)));
      }
    }
  }
  // out[j] = w[j] Π α of the tokens after j; kept_ = Π α of all.
  HEED_NOINLINE void decay_writes(index first, index tokens, const T* w, T* out) {
    const index pitch = s_.key_pitch;
    for (index c = 0; c < pitch; c += W) {
      B until(T(1));
      for (index j = tokens - 1; j >= 0; --j) {
        simd::store(out + j * pitch + c, B(simd::load<T, Arch>(w + j * pitch + c) * until));
        until = until * simd::load<T, Arch>(alpha_ + (first + j) * pitch + c);
      }
      simd::store(kept_ + c, until);
    }
  }

  chunk_shape s_;
  const T* alpha_ = nullptr;
  T *kept_, *rows_, *block_;
};

}  // namespace heed::detail
