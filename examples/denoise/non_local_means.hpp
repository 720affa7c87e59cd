// SPDX-License-Identifier: BSL-1.0
// Non-local means (Buades, Coll and Morel, 2005) is softmax attention: every pixel asks with the
// patch around it, the pixels of a window answer with theirs, the score is minus the squared
// distance of the two patches, and what is averaged is the pixels themselves.
#pragma once

#include <algorithm>
#include <cstddef>
#include <heed/attention/attend.hpp>
#include <heed/similarity/distance.hpp>
#include <vector>

#include "image.hpp"

namespace denoise {

struct settings {
  int patch = 5;          // side of a patch, odd
  int window = 21;        // side of the window of keys, odd, no larger than the picture
  double level = 25;      // standard deviation of the noise
  double strength = 0.6;  // a mean squared difference of (strength * level)^2 weighs 1/e

  int depth() const { return 3 * patch * patch; }
  double bandwidth() const { return depth() * strength * strength * level * level; }
  // A patch is at distance 0 from itself, yet two noisy views of one thing are at 2 level^2 a
  // value: a pixel is charged that, or it would listen to itself alone.
  double self_score() const { return -2 / (strength * strength); }
};

// Mirrored at the borders, which are not repeated.
inline int mirror(int i, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1), j = ((i % period) + period) % period;
  return std::min(j, period - j);
}

// The picture with a mirrored border and 0 for middle grey, for small |q|^2 - 2 qk + |k|^2.
inline image padded(const image& picture, int border) {
  image wide(picture.width + 2 * border, picture.height + 2 * border);
  for (int y = 0; y < wide.height; ++y)
    for (int x = 0; x < wide.width; ++x) {
      const float* from =
          picture.at(mirror(x - border, picture.width), mirror(y - border, picture.height));
      for (int c = 0; c < 3; ++c) wide.at(x, y)[c] = from[c] - 127.5f;
    }
  return wide;
}

// At the borders the window moves inwards rather than shrinks.
inline int window_begin(int at, int window, int size) {
  return std::clamp(at - window / 2, 0, size - window);
}

// The patches and pixels of `window` consecutive image rows, column by column. A new row takes the
// place of the oldest: within a column the order of the keys is of no account to softmax, so the
// window of a query is one run of whole columns and every patch is written once.
class key_ring {
 public:
  key_ring(const image& noisy, const image& padded, const settings& s)
      : noisy_(noisy),
        padded_(padded),
        set_(s),
        patches_(static_cast<std::size_t>(size() * s.depth())),
        pixels_(static_cast<std::size_t>(size() * 3)) {}

  void push(int y) {
    for (int x = 0; x < noisy_.width; ++x) {
      const std::ptrdiff_t key = static_cast<std::ptrdiff_t>(x) * set_.window + slot(y);
      std::copy_n(noisy_.at(x, y), 3, pixels_.data() + 3 * key);
      write_patch(x, y, patches_.data() + set_.depth() * key);
    }
  }
  int slot(int y) const { return y % set_.window; }

  // Adds to the score of every query of row y with itself. Positions count from the last key
  // backwards: query 0 is at size - width.
  auto self_score(int y) const {
    return [n = static_cast<float>(set_.window), slot = static_cast<float>(slot(y)),
            first = static_cast<float>(size() - noisy_.width),
            extra = static_cast<float>(set_.self_score())](auto score, auto at) {
      return heed::simd::select((at.q - first) * n + slot == at.k, score + extra, score);
    };
  }
  heed::view<const float> queries(int y) const {
    const heed::index pitch = set_.window * set_.depth();
    return {patches_.data() + slot(y) * set_.depth(),
            {1, 1, noisy_.width, set_.depth()},
            {0, 0, pitch, 1}};
  }
  heed::view<const float> keys() const { return {patches_.data(), {1, 1, size(), set_.depth()}}; }
  heed::view<const float> values() const { return {pixels_.data(), {1, 1, size(), 3}}; }

 private:
  heed::index size() const { return static_cast<heed::index>(noisy_.width) * set_.window; }

  void write_patch(int x, int y, float* to) const {
    for (int v = 0; v < set_.patch; ++v) to = std::copy_n(padded_.at(x, y + v), 3 * set_.patch, to);
  }

  const image& noisy_;
  const image& padded_;
  settings set_;
  std::vector<float> patches_, pixels_;
};

// Query x sees the columns [window_begin(x), window_begin(x) + window), `window` keys each.
struct columns {
  heed::index width, window;

  static constexpr bool exact = true;

  heed::span keys_of(heed::index x) const {
    const heed::index first = std::clamp<heed::index>(x - window / 2, 0, width - window);
    return {first * window, (first + window) * window};
  }
  bool operator()(heed::position at) const {
    const heed::span seen = keys_of(at.row);
    return seen.begin <= at.slot && at.slot < seen.end;
  }
  template <class F> void intervals(heed::position at, heed::index, F emit) const {
    emit(keys_of(at.row));
  }
};

// Rows [begin, end) of the result, one call of `attend` a row.
inline void denoise_rows(const image& noisy, const image& wide, const settings& s, int begin,
                         int end, image& quiet) {
  key_ring ring(noisy, wide, s);
  heed::workspace scratch;
  int pushed = window_begin(begin, s.window, noisy.height);
  for (int y = begin; y < end; ++y) {
    const int needed = window_begin(y, s.window, noisy.height) + s.window;
    while (pushed < needed) ring.push(pushed++);
    const heed::attention spec{.mask = columns{noisy.width, s.window},
                               .similarity = heed::distance{s.bandwidth()},
                               .score = ring.self_score(y)};
    const heed::view<float> out{quiet.at(0, y), {1, 1, noisy.width, 3}};
    heed::attend(spec, ring.queries(y), ring.keys(), ring.values(), {.out = out}, heed::serial{},
                 scratch);
  }
}

// Bands of rows go to the workers of the executor; their height is fixed, and so are the results.
template <heed::executor Executor>
image non_local_means(const image& noisy, const settings& s, const Executor& executor) {
  constexpr int band = 16;
  const image wide = padded(noisy, s.patch / 2);
  image quiet(noisy.width, noisy.height);
  executor.for_each((noisy.height + band - 1) / band, [&](heed::index i, heed::index) {
    const int begin = static_cast<int>(i) * band;
    denoise_rows(noisy, wide, s, begin, std::min(begin + band, noisy.height), quiet);
  });
  return quiet;
}

// Useful floating-point operations: a distance and a weighted sum for every pixel and key.
inline double operations(const image& picture, const settings& s) {
  return 2.0 * picture.width * picture.height * s.window * s.window * (s.depth() + 3);
}

}  // namespace denoise
