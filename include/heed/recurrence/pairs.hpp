// SPDX-License-Identifier: BSL-1.0
// Stages 2 and 4 of the chunk loop: what the tokens of a chunk are to each other. With decays α, a
// read r of token i and a write w of token j meet as
//
//   P[i][j] = factor_i Σ_c r_ic w_jc Π_{j<t<=i} α_tc        j <= i, or j < i if the read is
//   `strict`
//                                   Π_{j<t<i}               j < i, if it comes `before` token i
//                                   decays
//
// and everything else is 0, whatever the rows hold. A read meets the state of before the chunk
// through `decayed` (r times the decays up to it), a write the state after it through `writes`.
//
// Only products of decays are used: no logarithm is subtracted, so 0 and 1 are decays like any.
#pragma once

#include <heed/recurrence/tokens.hpp>
#include <heed/simd/lanes.hpp>
#include <heed/simd/product.hpp>

namespace heed::detail {

template <class T> struct chunk_read {
  const T* rows = nullptr;  // [token][channel]
  bool before = false, strict = false;
  const T* factor = nullptr;         // by token, or none
  T* decayed = nullptr;              // [token][channel]; `rows` where nothing decays
  T* pairs[2] = {nullptr, nullptr};  // by write, [i][j]
};
template <class T> struct chunk_write {
  const T* rows = nullptr;  // [token][channel]
  T* lanes = nullptr;       // [channel][token]
  T* decayed = nullptr;     // [token][channel], times the decays that come after it
};

struct chunk_shape {
  index depth = 0, key_pitch = 0, pitch = 0;  // pitch: of pairs and of lanes, the most tokens
};

// P = factor ∘ table ∘ P below the diagonal, or on it if not strict, else 0. Row i of the table
// starts at table + i * table_pitch; none stands for ones.
template <class T, class Arch>
HEED_NOINLINE void weigh_pairs(index tokens, index pitch, const T* table, index table_pitch,
                               const T* factor, bool strict, T* p) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  const B lane = simd::iota<T, Arch>(), zero(T(0));
  for (index i = 0; i < tokens; ++i) {
    const B f(factor ? factor[i] : T(1));
    const index last = strict ? i - 1 : i;
    for (index j = 0; j < tokens; j += W) {
      T* const x = p + i * pitch + j;
      if (j > last) {
        simd::store(x, zero);
        continue;
      }
      B y = simd::load<T, Arch>(x) * f;
      if (table) y = y * simd::load<T, Arch>(table + i * table_pitch + j);
      simd::store(x, B(simd::select(lane > B(T(last - j)), zero, y)));
    }
  }
}

// out[i] = x[i] * factor[i], rows of `width` numbers.
template <class T, class Arch>
HEED_NOINLINE void scale_rows(index rows, index width, const T* x, index pitch, const T* factor,
                              T* out) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  for (index i = 0; i < rows; ++i) {
    const B f(factor[i]);
    for (index c = 0; c < width; c += W)
      simd::store(out + i * pitch + c, B(simd::load<T, Arch>(x + i * pitch + c) * f));
  }
}

template <class T, class Arch, decay_kind Kind> class chunk_decays;

// Nothing decays.
template <class T, class Arch> class chunk_decays<T, Arch, decay_kind::none> {
 public:
  static constexpr bool copies = false;
  template <class Memory> chunk_decays(const chunk_shape& shape, Memory&) : s_(shape) {}
  void begin(const T*, index) {}
  void meet(index tokens, std::span<const chunk_read<T>> reads,
            std::span<const chunk_write<T>> writes) const {
    for (const chunk_read<T>& r : reads)
      for (std::size_t w = 0; w < writes.size(); ++w) {
        simd::product<T, Arch>(tokens, tokens,
                               {{r.rows, s_.key_pitch, 1, writes[w].lanes, s_.pitch, s_.depth}},
                               {r.pairs[w], s_.pitch, simd::onto::nothing, nullptr, true});
        weigh_pairs<T, Arch>(tokens, s_.pitch, nullptr, 0, r.factor, r.before || r.strict,
                             r.pairs[w]);
      }
  }
  // What the rows of the state are multiplied with; nothing means 1.
  const T* kept() const { return nullptr; }

 private:
  chunk_shape s_;
};

// One decay a token.
template <class T, class Arch> class chunk_decays<T, Arch, decay_kind::scalar> {
  static constexpr index W = simd::width<T, Arch>;

 public:
  static constexpr bool copies = true;
  template <class Memory>
  chunk_decays(const chunk_shape& shape, Memory& from)
      : s_(shape),
        table_(from.template take<T>((shape.pitch + 1) * shape.pitch)),
        since_(from.template take<T>(shape.pitch + 1)),
        kept_(from.template take<T>(shape.depth)) {}

  void begin(const T* alpha, index tokens) {
    using B = simd::batch<T, Arch>;
    const B lane = simd::iota<T, Arch>();
    std::fill_n(table_, s_.pitch, T(0));
    since_[0] = 1;
    for (index i = 0; i < tokens; ++i) {
      const B f(alpha[i]);
      T* const row = table_ + (i + 1) * s_.pitch;
      for (index j = 0; j < tokens; j += W) {
        const B later = simd::load<T, Arch>(row - s_.pitch + j) * f;
        simd::store(row + j, B(simd::select(lane == B(T(i - j)), B(T(1)), later)));
      }
      since_[i + 1] = since_[i] * alpha[i];
    }
    std::fill_n(kept_, s_.depth, since_[tokens]);
    last_ = table_ + tokens * s_.pitch;
  }
  void meet(index tokens, std::span<const chunk_read<T>> reads,
            std::span<const chunk_write<T>> writes) const {
    for (const chunk_read<T>& r : reads) {
      for (std::size_t w = 0; w < writes.size(); ++w) {
        simd::product<T, Arch>(tokens, tokens,
                               {{r.rows, s_.key_pitch, 1, writes[w].lanes, s_.pitch, s_.depth}},
                               {r.pairs[w], s_.pitch, simd::onto::nothing, nullptr, true});
        weigh_pairs<T, Arch>(tokens, s_.pitch, table_ + (r.before ? 0 : s_.pitch), s_.pitch,
                             r.factor, r.before || r.strict, r.pairs[w]);
      }
      scale_rows<T, Arch>(tokens, s_.key_pitch, r.rows, s_.key_pitch,
                          r.before ? since_ : since_ + 1, r.decayed);
    }
    for (const chunk_write<T>& w : writes)
      scale_rows<T, Arch>(tokens, s_.key_pitch, w.rows, s_.key_pitch, last_, w.decayed);
  }
  const T* kept() const { return kept_; }
  // For gradients: row i of what weighs pairs of such a read, what a read and a write were
  // multiplied with, by token.
  const T* table(bool before) const { return table_ + (before ? 0 : s_.pitch); }
  const T* since(bool before) const { return before ? since_ : since_ + 1; }
  const T* until() const { return last_; }

 private:
  chunk_shape s_;
  T *table_, *since_, *kept_;  // table_[i + 1][j] = Π_{j<t<=i} α_t; since_[i] = Π_{t<i} α_t
  const T* last_ = nullptr;
};

}  // namespace heed::detail
