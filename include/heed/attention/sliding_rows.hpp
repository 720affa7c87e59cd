// SPDX-License-Identifier: BSL-1.0
// The rows of a grid that blocks of places meet, packed as [channel][place], each once for all
// blocks of a segment; slots are used again when the blocks have moved on.
#pragma once

#include <heed/attention/kv_rows.hpp>
#include <heed/attention/sliding_grid.hpp>
#include <heed/core/workspace.hpp>
#include <heed/simd/pack.hpp>

namespace heed::detail {

// Two kinds of rows side by side: keys and values, or queries and gradients of outputs.
template <class T> struct sliding_row {
  T* first = nullptr;
  T* second = nullptr;
  bool finite = true;  // the second
};

template <class T, class Arch> class sliding_ring {
  static constexpr index W = simd::width<T, Arch>;

 public:
  // Rows of `high` values of y for each of `deep` of z, at least; `wide` places a row.
  sliding_ring(index deep, index high, index wide, index first_width, index second_width)
      : deep_(deep), high_(high), widths_{first_width, second_width} {
    // An odd number of lines: channels do not share cache sets.
    constexpr index line = 64 / index(sizeof(T));
    pitch_ = (wide + line - 1) / line * line;
    if (pitch_ / line % 2 == 0) pitch_ += line;
  }
  static index bytes(index rows, index wide, index channels) {
    return rows * channels * (wide + 64 / index(sizeof(T))) * index(sizeof(T));
  }

  template <class Arena> void take(Arena& scratch) {
    const index rows = deep_ * high_;
    tags_ = scratch.template take<index>(2 * rows);
    finite_ = scratch.template take<unsigned char>(rows);
    planes_ = scratch.template take<T>(rows * (widths_[0] + widths_[1]) * pitch_);
  }
  // `wide` places of each row are going to be packed.
  void start(index wide) {
    packed_ = (wide + W - 1) / W * W;
    std::fill_n(tags_, 2 * deep_ * high_, index{-1});
  }

  index pitch() const { return pitch_; }
  bool holds(index z, index y) const {
    const index slot = z % deep_ * high_ + y % high_;
    return tags_[2 * slot] == z && tags_[2 * slot + 1] == y;
  }

  // Row (z, y), packed by `pack(row)` where it is not there yet; returns whether it is
  // finite.
  template <class Pack> sliding_row<T> row(index z, index y, const Pack& pack) {
    const index slot = z % deep_ * high_ + y % high_;
    T* const first = planes_ + slot * (widths_[0] + widths_[1]) * pitch_;
    sliding_row<T> at{first, first + widths_[0] * pitch_};
    if (tags_[2 * slot] != z || tags_[2 * slot + 1] != y) {
      // What lies beyond the packed places is read, and must be a number.
      if (tags_[2 * slot] < 0)
        for (index c = 0; c < widths_[0] + widths_[1]; ++c)
          std::fill_n(first + c * pitch_ + packed_, pitch_ - packed_, T(0));
      finite_[slot] = pack(at);
      tags_[2 * slot] = z, tags_[2 * slot + 1] = y;
    }
    at.finite = finite_[slot] != 0;
    return at;
  }

 private:
  index deep_, high_, widths_[2], pitch_, packed_ = 0;
  index* tags_ = nullptr;
  unsigned char* finite_ = nullptr;
  T* planes_ = nullptr;
};

// Rows of operands that are wanted soon: memory is asked for them a few tokens at a time. Only
// where tokens lie close: 4 heads of 32 channels side by side took 10 % longer with than without,
// one head by itself 20 % less (128 × 128 tokens, window 7, AVX-512).
class rows_ahead {
 public:
  static constexpr index most = 24;

  // `count` tokens, `step` apart; more rows than `most` are left alone.
  void add(const operand& x, index b, index h, index token, index step, index count) {
    if (count_ == most || !x.present()) return;
    const index size = size_of(x.type);
    if (x.stride[2] * step > 2 * x.extent[3]) return;
    rows_[count_++] = {static_cast<const char*>(x.row(b, h, token)), x.stride[2] * step * size,
                       x.stride[3] == 1 ? x.extent[3] * size : 1};
    tokens_ = count;
  }
  // In so many calls of `some` all is asked for.
  void share(index calls) {
    row_ = token_ = 0;
    quota_ = (count_ * tokens_ + calls - 1) / std::max<index>(calls, 1);
  }
  void clear() { count_ = 0, row_ = 0; }
  void some() {
    for (index n = quota_; n > 0 && row_ < count_; --n) {
      const line& x = rows_[row_];
      simd::prefetch<2>(x.first + token_ * x.stride, x.bytes);
      if (++token_ == tokens_) token_ = 0, ++row_;
    }
  }

 private:
  struct line {
    const char* first;
    index stride, bytes;
  };
  line rows_[most];
  index count_ = 0, tokens_ = 0, quota_ = 0, row_ = 0, token_ = 0;
};

}  // namespace heed::detail
