// SPDX-License-Identifier: BSL-1.0
// How a grid is cut into work, and the inputs of a piece as the loops read them.
#pragma once

#include <algorithm>
#include <heed/core/workspace.hpp>
#include <heed/local/weights.hpp>

namespace heed::detail {

// Channels that are worked on together: of one head of x, and where positions have kernels of
// their own, of one kernel.
struct local_unit {
  index head = 0, first = 0, count = 0;  // channels of that head
  index kernel = 0;                      // of the first channel
  index vectors = 0, pitch = 0;          // channels of a row in scratch, and from row to row
};
struct local_tile {
  index y0 = 0, y1 = 0, x0 = 0, x1 = 0;
  index lines() const { return y1 - y0; }
  index columns() const { return x1 - x0; }
};
// Some positions: data[(y - y0) line + (x - x0) column + channel].
template <class T> struct local_patch {
  local_tile of;
  const T* data = nullptr;
  index line = 0, column = 0;
  index at(index y, index x) const { return (y - of.y0) * line + (x - of.x0) * column; }
};

template <class T, class Arch> class local_plan {
 public:
  static constexpr index W = simd::width<T, Arch>, most = 128;

  explicit local_plan(const local_problem& p, index rows_before = 0) : p_(p), low_(-rows_before) {
    run_ = std::max<index>(1, p.each() ? p.group() : p.depth());
    blocks_ = (run_ + most - 1) / most;
    units_ = p.channels() / run_ * blocks_;
    // Weights that positions share are prepared for every piece: longer ones.
    const index positions = p.each() ? 512 : 1024;
    columns_ = std::clamp<index>(p.size[1], 1, p.size[0] > 1 ? 64 : positions / 2);
    lines_ = std::clamp<index>(positions / columns_, 1, std::max<index>(1, p.size[0]));
    across_ = (p.size[1] + columns_ - 1) / columns_;
    tiles_ = across_ * ((p.size[0] + lines_ - 1) / lines_);
  }

  index units() const { return units_; }
  index blocks() const { return blocks_; }
  index tiles() const { return tiles_; }
  // The most that any has.
  index pitch() const { return of_row(std::min(run_, most)); }
  index lines() const { return lines_; }
  index columns() const { return columns_; }
  index patch_lines() const { return lines_ + p_.taps[0] - 1; }
  index patch_columns() const { return columns_ + p_.taps[1] - 1; }
  static index whole(index lanes) { return (lanes + W - 1) / W * W; }

  local_unit unit(index i) const {
    local_unit u;
    const index channel = i / blocks_ * run_, skip = i % blocks_ * most;
    u.head = channel / p_.depth(), u.first = channel % p_.depth() + skip;
    u.count = std::min(most, run_ - skip);
    u.kernel = (channel + skip) / p_.group();
    u.vectors = whole(u.count), u.pitch = of_row(u.count);
    return u;
  }
  local_tile tile(index i) const {
    const index y = i / across_ * lines_, x = i % across_ * columns_;
    return {y, std::min(y + lines_, p_.size[0]), x, std::min(x + columns_, p_.size[1])};
  }
  // What the positions of a tile see.
  local_tile around(const local_tile& t) const {
    const index up = p_.before(0), left = p_.before(1);
    return {std::max<index>(0, t.y0 - up), std::min(p_.size[0], t.y1 - up + p_.taps[0] - 1),
            std::max(low_, t.x0 - left), std::min(p_.size[1], t.x1 - left + p_.taps[1] - 1)};
  }

  // Whole vectors only: what lies beyond the channels is not the call's.
  static bool plain(const operand& x, const local_unit& u) {
    return x.type == element_of<T>::value && x.stride[3] == 1 && u.vectors == u.count;
  }
  template <class Void>
  Void* row(const basic_operand<Void>& x, const local_unit& u, index b, index y, index at) const {
    return static_cast<typename basic_operand<Void>::byte*>(x.row(b, u.head, y * p_.size[1] + at)) +
           u.first * x.stride[3] * size_of(x.type);
  }
  static void load(const operand& x, const local_unit& u, const void* row, T* to) {
    simd::load_row(x.type, row, x.stride[3], u.count, to);
    std::fill(to + u.count, to + u.vectors, T(0));
  }
  // Whether the loops read x where it lies. A copy does not help rows that lie far apart: it took
  // maps of 256 channels from 29 to 23 % of peak.
  static bool in_place(const operand& x, const local_unit& u, const local_tile& of) {
    return plain(x, u) && of.x0 >= 0;
  }
  // `room` takes what is not read in place; `before` has the rows left of the grid.
  local_patch<T> patch(const operand& x, const local_unit& u, index b, const local_tile& of,
                       const operand& before, T* room) const {
    if (in_place(x, u, of))
      return {of, static_cast<const T*>(row(x, u, b, of.y0, of.x0)), p_.size[1] * x.stride[2],
              x.stride[2]};
    T* to = room;
    for (index y = of.y0; y < of.y1; ++y)
      for (index at = of.x0; at < of.x1; ++at, to += u.pitch) {
        if (at >= 0)
          load(x, u, row(x, u, b, y, at), to);
        else
          load(before, u, row(before, u, b, 0, at - low_), to);
      }
    return {of, room, of.columns() * u.pitch, u.pitch};
  }

 private:
  // Rows of a power of two of vectors would share cache sets.
  static index of_row(index count) { return whole(count) + (count > W ? W : 0); }

  const local_problem& p_;
  index low_, run_ = 0, blocks_ = 0, units_ = 0;
  index lines_ = 0, columns_ = 0, across_ = 0, tiles_ = 0;
};

// Prepared weights of one kernel a position, w[tap][line][column], lines of whole vectors.
template <class T, class Arch>
void load_position_weights(const local_problem& p, index item, index kernel, const local_tile& of,
                           T* w, T* room, T* share) {
  const index line = local_plan<T, Arch>::whole(of.columns());
  std::fill_n(share, line, share_of<T>(p, kernel));
  for (index y = of.y0; y < of.y1; ++y) {
    const lane_weights<T, Arch> lanes{p, w + (y - of.y0) * line, of.columns(), of.lines() * line,
                                      share};
    const index first = y * p.size[1] + of.x0;
    lanes.load([&](index i) { return p.weight.row(item, kernel, first + i); }, p.weight.stride[2],
               room);
    lanes.prepare();
  }
}

}  // namespace heed::detail
