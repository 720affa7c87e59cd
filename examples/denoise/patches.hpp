// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "image.hpp"

namespace denoise {

// Mirrored at the borders, which are not repeated.
inline int mirror(int i, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1), j = ((i % period) + period) % period;
  return std::min(j, period - j);
}

// A picture with a mirrored border and 0 for middle grey, for small |q|^2 - 2 qk + |k|^2. Levels of
// 8 bits stay exact in 16.
class centred {
 public:
  static constexpr float grey = 127.5f;

  centred(const image& picture, int border) : row_(3 * (picture.width + 2 * border)) {
    rgb_.reserve(static_cast<std::size_t>(row_ * (picture.height + 2 * border)));
    for (int y = -border; y < picture.height + border; ++y)
      for (int x = -border; x < picture.width + border; ++x) {
        const float* const from = picture.at(mirror(x, picture.width), mirror(y, picture.height));
        for (int c = 0; c < 3; ++c) rgb_.emplace_back(from[c] - grey);
      }
  }
  // The patch whose middle is at x, y of the picture.
  Eigen::half* copy_patch(std::ptrdiff_t x, std::ptrdiff_t y, int side, Eigen::half* to) const {
    for (std::ptrdiff_t v = 0; v < side; ++v)
      to = std::copy_n(rgb_.data() + (y + v) * row_ + 3 * x, 3 * side, to);
    return to;
  }

 private:
  std::ptrdiff_t row_;
  std::vector<Eigen::half> rgb_;
};

// Numbers that nobody has written: its pages are first touched by the threads that fill them.
template <class T> class memory {
 public:
  void make_room(std::ptrdiff_t count) {
    if (count <= room_) return;
    numbers_ = std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(count));
    room_ = count;
  }
  T* data() { return numbers_.get(); }

 private:
  std::unique_ptr<T[]> numbers_;
  std::ptrdiff_t room_ = 0;
};

}  // namespace denoise
