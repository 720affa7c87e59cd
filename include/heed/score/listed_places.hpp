// SPDX-License-Identifier: BSL-1.0
// A score modifier s + table[h][place(k) - place(q) + origin()] on patches: biases by where a key
// lies to its query on a grid (neighborhood/relative_position_bias).
//
// Patches that differ by a shift of the grid, as nearly all do, get the same numbers: these are put
// together once and added to the next patches as they are. Cost where they are the same: a load and
// an add a vector; `place` is asked once a token and call.
#pragma once

#include <algorithm>
#include <heed/core/broadcast.hpp>
#include <heed/core/policy.hpp>
#include <heed/core/workspace.hpp>
#include <heed/simd/simd.hpp>

namespace heed {

template <class S>
concept bias_by_place = requires(const S& f) {
  { f.place(index{}) } -> std::convertible_to<index>;
  { f.origin() } -> std::convertible_to<index>;
  { f.entries() } -> std::convertible_to<index>;
  { f.table } -> std::convertible_to<operand>;
};

namespace detail {

// The first such modifier of a chain; `none` without one.
template <class S> const auto& place_bias_of(const S& f) {
  if constexpr (bias_by_place<S>) {
    return f;
  } else if constexpr (is_chain<S>) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(place_bias_of(f.first))>, none>)
      return place_bias_of(f.second);
    else
      return place_bias_of(f.first);
  } else {
    static constexpr none nothing{};
    return nothing;
  }
}

// What one worker keeps of the bias; a block of numbers for each query head of a group, or, where
// these would be large, one for all.
template <class T, class Bias> class listed_places {
 public:
  static constexpr index most = 32 * 1024;  // elements of all blocks

  // `place` by token; `rows`, a multiple of the lanes, and `keys` of the largest patch.
  template <class Arena>
  listed_places(const Bias& of, const int* place, index rows, index keys, index group, Arena& from)
      : of_(of),
        place_(place),
        pitch_(rows),
        size_(rows * keys),
        blocks_(std::clamp<index>(size_ > 0 ? most / size_ : 1, 1, std::max<index>(group, 1))) {
    if (blocks_ < group) blocks_ = 1;
    block_ = from.template take<T>(size_ * blocks_);
    values_ = from.template take<T>(of.entries());
    form_ = from.template take<int>(rows + keys);
    made_ = from.template take<made>(blocks_);
  }
  void start() { std::fill_n(made_, blocks_, made{}); }

  // Before the panels of a patch.
  void see(const index* queries, index rows, const index* keys, index count) {
    const int from = rows > 0 ? place_[queries[0]] : 0;
    bool same = rows == rows_ && count == count_;
    if (!same) std::fill_n(form_, pitch_ + size_ / pitch_, 0);
    for (index i = 0; i < rows; ++i) replace(form_[i], place_[queries[i]] - from, same);
    for (index j = 0; j < count; ++j) replace(form_[pitch_ + j], place_[keys[j]] - from, same);
    rows_ = rows, count_ = count;
    if (!same) ++seen_;
  }

  // S[j][lane] += bias for the lanes from `lane` on and the keys of `of`; `g` counts in the group.
  template <class Arch>
  void add(index h, index g, index lane, index vectors, span of, T* s, index pitch) {
    constexpr index W = simd::width<T, Arch>;
    const index i = blocks_ > 1 ? g : 0;
    T* const block = block_ + i * size_;
    if (made_[i].form != seen_ || made_[i].h != h) make(h, block), made_[i] = {seen_, h};
    for (index j = of.begin; j < of.end; ++j, s += pitch)
      for (index v = 0; v < vectors * W; v += W)
        simd::store(s + v,
                    simd::batch<T, Arch>(simd::load<T, Arch>(s + v) +
                                         simd::load<T, Arch>(block + j * pitch_ + lane + v)));
  }

 private:
  struct made {
    index form = 0, h = -1;
  };
  static void replace(int& x, int by, bool& same) {
    same &= x == by;
    x = by;
  }
  HEED_NOINLINE void make(index h, T* block) {
    const int last = static_cast<int>(of_.entries()) - 1, origin = static_cast<int>(of_.origin());
    broadcast::load(of_.table, 0, h, 0, 0, 2, of_.entries(), values_);
    for (index j = 0; j < count_; ++j) {
      const int key = form_[pitch_ + j] + origin;
      T* const row = block + j * pitch_;
      // Pairs beyond the table are for the mask to hide.
      for (index i = 0; i < pitch_; ++i) row[i] = values_[std::clamp(key - form_[i], 0, last)];
    }
  }

  const Bias& of_;
  const int* place_;
  index pitch_, size_, blocks_;
  T* block_;
  T* values_;
  int* form_;
  made* made_;
  index rows_ = 0, count_ = 0, seen_ = 0;
};

}  // namespace detail

}  // namespace heed
