// SPDX-License-Identifier: BSL-1.0
// Non-local means (Buades, Coll and Morel, 2005) is neighborhood attention: every pixel asks with
// the patch around it, the pixels of a window answer with theirs, the score is minus the squared
// distance of the two patches, and what is averaged is the pixels themselves. In a clip the window
// reaches into the frames before and after, where the same things are seen again.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <heed/attention/attend.hpp>
#include <heed/eigen.hpp>
#include <heed/neighborhood/natten.hpp>
#include <heed/similarity/distance.hpp>
#include <span>
#include <vector>

#include "image.hpp"
#include "patches.hpp"

namespace denoise {

struct settings {
  int patch = 5;          // side of a patch, odd
  int window = 21;        // side of the window of keys, no larger than the picture
  int frames = 1;         // depth of the window of a clip, no larger than the clip
  bool causal = false;    // whether a frame sees those before it only
  double level = 25;      // standard deviation of the noise
  double strength = 0.6;  // a mean squared difference of (strength * level)^2 weighs 1/e
  int memory = 256;       // MiB that patches may take; a picture that needs more is done in parts

  int depth() const { return 3 * patch * patch; }
  int keys() const { return frames * window * window; }
  double bandwidth() const { return depth() * strength * strength * level * level; }
  // A patch is at distance 0 from itself, yet two noisy views of one thing are at 2 level^2 a
  // value: a pixel is charged that, or it would listen to itself alone.
  double self_score() const { return -2 / (strength * strength); }
};

// Non-local means on a grid of pixels, [y, x] or [frame, y, x].
template <int N> class non_local {
 public:
  using grid = heed::neighborhood<N>;
  using part = std::array<heed::span, N>;

  non_local(std::span<const image> noisy, std::span<image> quiet, const settings& s,
            const grid& whole, const heed::executor_ref& executor)
      : quiet_(quiet), set_(s), whole_(whole), executor_(executor) {
    frames_.reserve(noisy.size());
    for (const image& frame : noisy) frames_.emplace_back(frame, s.patch / 2);
    part all;
    for (std::size_t n = 0; n < N; ++n) all[n] = {0, whole.size[n]};
    run(all);
  }

 private:
  // Positions are floats where a score sees them.
  static constexpr heed::index most_pixels = heed::index{1} << 24;

  // Halves what is too large, but not a part as narrow as its windows.
  void run(const part& some) {
    const part all = seen(some);
    std::size_t n = 0;
    const auto windows = [&](std::size_t axis) { return some[axis].size() / whole_.window[axis]; };
    for (std::size_t axis = 1; axis < N; ++axis)
      if (windows(axis) > windows(n)) n = axis;
    const heed::index bytes = heed::index{sizeof(Eigen::half)} * set_.depth() * pixels(all);
    const bool fits = bytes >> 20 < set_.memory && pixels(all) <= most_pixels;
    if (fits || windows(n) < 2) return average(some, all);
    part first = some, second = some;
    second[n].begin = first[n].end = some[n].begin + some[n].size() / 2;
    run(first);
    run(second);
  }

  // A part with all that it sees. This is a grid on which the pixels of the part, though not those
  // around it, have the window they have in the whole one: windows that are shifted inwards there
  // end where the picture ends.
  part seen(const part& some) const {
    part all;
    for (std::size_t n = 0; n < N; ++n) {
      const heed::neighborhood_axis a = whole_.axis(static_cast<int>(n));
      const heed::index begin = a.keys(some[n].begin, a.size).begin;
      all[n] = {begin, std::max(a.keys(some[n].end - 1, a.size).end, begin + a.window)};
    }
    return all;
  }

  void average(const part& some, const part& all) {
    const heed::index count = pixels(all);
    patches_.make_room(count * set_.depth());
    average_.make_room(count * 3);
    const heed::index width = all[N - 1].size(), height = all[N - 2].size();
    executor_.for_each(count / width, [&](heed::index row, heed::index) {
      const centred& from = frames_[static_cast<std::size_t>(frame(all) + row / height)];
      Eigen::half* to = patches_.data() + row * width * set_.depth();
      for (heed::index x = 0; x < width; ++x)
        to = from.copy_patch(all[N - 1].begin + x, all[N - 2].begin + row % height, set_.patch, to);
    });
    grid here = whole_;
    for (std::size_t n = 0; n < N; ++n) here.size[n] = all[n].size();
    const heed::attention spec{
        .mask = here,
        .similarity = heed::distance{set_.bandwidth()},
        .score = [extra = static_cast<float>(set_.self_score())](auto score, auto at) {
          return heed::simd::select(at.q == at.k, score + extra, score);
        }};
    const heed::view<const Eigen::half> patch(patches_.data(), {1, 1, count, set_.depth()});
    const heed::view<float> out(average_.data(), {1, 1, count, 3});
    const int middle = set_.depth() / 2 - 1;
    heed::attend(spec, patch, patch, patch.slice_channels(middle, 3), out, executor_, scratch_);
    keep(some, all);
  }

  void keep(const part& some, const part& all) {
    const heed::index width = all[N - 1].size(), height = all[N - 2].size();
    const heed::span ys = some[N - 2], xs = some[N - 1];
    const heed::index depth = N == 3 ? some[0].size() : 1;
    for (heed::index t = frame(some); t < frame(some) + depth; ++t)
      for (heed::index y = ys.begin; y < ys.end; ++y) {
        const heed::index row = (t - frame(all)) * height + y - all[N - 2].begin;
        const float* const from = average_.data() + 3 * (row * width + xs.begin - all[N - 1].begin);
        std::transform(from, from + 3 * xs.size(),
                       quiet_[static_cast<std::size_t>(t)].at(xs.begin, y),
                       [](float value) { return value + centred::grey; });
      }
  }

  static heed::index frame(const part& p) { return N == 3 ? p[0].begin : 0; }
  static heed::index pixels(const part& p) {
    heed::index count = 1;
    for (const heed::span& axis : p) count *= axis.size();
    return count;
  }

  std::span<image> quiet_;
  settings set_;
  grid whole_;
  heed::executor_ref executor_;
  std::vector<centred> frames_;
  memory<Eigen::half> patches_;
  memory<float> average_;
  heed::workspace scratch_;
};

// A picture whose values are levels of 8 bits.
inline image non_local_means(const image& noisy, const settings& s,
                             const heed::executor_ref& executor) {
  image quiet(noisy.width, noisy.height);
  non_local<2>({&noisy, 1}, {&quiet, 1}, s,
               {.size = {noisy.height, noisy.width}, .window = {s.window, s.window}}, executor);
  return quiet;
}

// A clip: frames of one size.
inline std::vector<image> non_local_means(std::span<const image> noisy, const settings& s,
                                          const heed::executor_ref& executor) {
  const int width = noisy[0].width, height = noisy[0].height;
  std::vector<image> quiet(noisy.size(), image(width, height));
  non_local<3>(noisy, quiet, s,
               {.size = {std::ssize(noisy), height, width},
                .window = {s.frames, s.window, s.window},
                .causal = {s.causal, false, false}},
               executor);
  return quiet;
}

// Useful floating-point operations: a distance and a weighted sum for every pixel and key.
inline double operations(const image& picture, const settings& s) {
  return 2.0 * picture.width * picture.height * s.keys() * (s.depth() + 3);
}

}  // namespace denoise
