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

}  // namespace heed::detail
