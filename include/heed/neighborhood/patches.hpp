// SPDX-License-Identifier: BSL-1.0
// Patches of a neighbourhood: n-D tiles of one dilation group, against the union of their windows.
//
// On each axis the tokens of every group are cut into tiles of so many; a patch is a product of
// tiles. How many is a trade: a small tile wastes lanes and shares little, a large one sees keys
// that most of its queries do not. `stride` queries share a window, so tiles that hold whole
// strides win by themselves.
#pragma once

#include <array>
#include <heed/attention/patch.hpp>
#include <heed/neighborhood/axis.hpp>
#include <heed/simd/shape.hpp>

namespace heed::detail {

// The tiles of one axis, group after group. The first groups may have a token more than the others.
class axis_tiles {
 public:
  struct place {
    index group = 0, size = 0, first = 0, rows = 0;  // counted within the group
    span keys, core;                                 // what some and what all of them see
  };

  axis_tiles() = default;
  axis_tiles(const neighborhood_axis& a, index length)
      : axis_(a),
        length_(length),
        longer_(a.size % a.dilation),
        each_(tiles_of(a.dilation - 1)),
        before_(longer_ * tiles_of(0)),
        count_(before_ + (a.dilation - longer_) * each_) {}

  const neighborhood_axis& axis() const { return axis_; }
  index length() const { return length_; }
  index count() const { return count_; }
  place at(index i) const {
    place x;
    if (i < before_) {
      const index each = before_ / longer_;
      x.group = i / each, x.first = i % each * length_;
    } else {
      x.group = longer_ + (i - before_) / each_, x.first = (i - before_) % each_ * length_;
    }
    x.size = axis_.size / axis_.dilation + (x.group < longer_);
    x.rows = std::min(length_, x.size - x.first);
    const span low = axis_.keys(x.first, x.size), high = axis_.keys(x.first + x.rows - 1, x.size);
    x.keys = {low.begin, high.end};
    x.core = {high.begin, low.end};
    return x;
  }
  // Keys that the tiles see, all taken together: from a few in the middle.
  double keys() const {
    const index all = count(), some = std::min<index>(all, 16), from = (all - some) / 2;
    index sum = 0;
    for (index i = from; i < from + some; ++i) sum += at(i).keys.size();
    return double(sum) * double(all) / double(some);
  }

 private:
  index tiles_of(index group) const { return (axis_.group_size(group) + length_ - 1) / length_; }

  neighborhood_axis axis_;
  index length_ = 1, longer_ = 0, each_ = 1, before_ = 0, count_ = 0;
};

template <int N> class grid_patches {
 public:
  static constexpr bool hides = true;

  grid_patches(const std::array<neighborhood_axis, N>& axes, index lanes, index vectors) {
    for (std::size_t n = 0; n < N; ++n) axes_[n] = {axes[n], 1};
    most_rows_ = 2 * lanes * vectors;
    std::array<axis_tiles, N> tried = axes_;
    double least = -1;
    choose<0>(tried, 1, 1, 1, lanes, vectors, least);
    rows_ = 1, count_ = 1;
    for (const axis_tiles& x : axes_) rows_ *= x.length(), count_ *= x.count();
  }

  index count() const { return count_; }
  index most_rows() const { return rows_; }
  index most_keys() const {
    index keys = 1;
    // A tile reaches as far as its length beyond a window, and to the end of its leader's stride.
    for (const axis_tiles& x : axes_)
      keys *= std::min(x.axis().group_size(0), x.axis().window + x.length() + x.axis().stride);
    return keys;
  }

  template <class T> void fill(index i, patch<T>& x) const {
    std::array<axis_tiles::place, N> at;
    index base = 0, steps[N];
    index step = 1;
    for (std::size_t n = N; n-- > 0;) {
      const index tiles = axes_[n].count();
      at[n] = axes_[n].at(i % tiles);
      i /= tiles;
      base += at[n].group * step;
      steps[n] = step * axes_[n].axis().dilation;
      step *= axes_[n].axis().size;
    }
    x.axes = N;
    x.rows = x.count = 1;
    for (std::size_t n = 0; n < N; ++n) {
      x.extent[n] = at[n].keys.size();
      x.core[n] = {at[n].core.begin - at[n].keys.begin, at[n].core.end - at[n].keys.begin};
      x.rows *= at[n].rows;
      x.count *= x.extent[n];
    }
    index* query = x.queries;
    index* key = x.keys;
    each<0>([&](std::size_t n) { return span{at[n].first, at[n].first + at[n].rows}; }, steps, base,
            query);
    each<0>([&](std::size_t n) { return at[n].keys; }, steps, base, key);
    index run = x.rows, before = 1;
    for (std::size_t n = 0; n < N; ++n) {
      run /= at[n].rows;
      spans(axes_[n].axis(), at[n], run, before, x.lo + index(n) * x.pitch,
            x.hi + index(n) * x.pitch);
      before *= at[n].rows;
      // Lanes without a query do as the first.
      const index filled = x.rows;
      std::fill(x.lo + index(n) * x.pitch + filled, x.lo + index(n + 1) * x.pitch,
                x.lo[index(n) * x.pitch]);
      std::fill(x.hi + index(n) * x.pitch + filled, x.hi + index(n + 1) * x.pitch,
                x.hi[index(n) * x.pitch]);
    }
  }

 private:
  // Tokens of a box, the last axis fastest.
  template <std::size_t Axis, class Box>
  static void each(const Box& box, const index* steps, index base, index*& out) {
    const span along = box(Axis);
    for (index i = along.begin; i < along.end; ++i)
      if constexpr (Axis + 1 < N)
        each<Axis + 1>(box, steps, base + i * steps[Axis], out);
      else
        *out++ = base + i * steps[Axis];
  }
  // Spans of one axis by lane: each token of the axis for `run` lanes, all of that `times` times.
  template <class T>
  static void spans(const neighborhood_axis& axis, const axis_tiles::place& at, index run,
                    index times, T* lo, T* hi) {
    const index period = run * at.rows;
    for (index i = 0; i < at.rows; ++i) {
      const span seen = axis.keys(at.first + i, at.size);
      std::fill_n(lo + i * run, run, static_cast<T>(seen.begin - at.keys.begin));
      std::fill_n(hi + i * run, run, static_cast<T>(seen.end - at.keys.begin));
    }
    for (index t = 1; t < times; ++t) {
      std::copy_n(lo, period, lo + t * period);
      std::copy_n(hi, period, hi + t * period);
    }
  }

  template <std::size_t Axis>
  void choose(std::array<axis_tiles, N>& tried, index rows, double tiles, double keys, index lanes,
              index vectors, double& least) {
    const index most = std::min(tried[Axis].axis().group_size(0), most_rows_ / rows);
    for (index length = 1; length <= most; ++length) {
      tried[Axis] = {tried[Axis].axis(), length};
      const double all_tiles = tiles * double(tried[Axis].count());
      const double all_keys = keys * tried[Axis].keys();
      if constexpr (Axis + 1 < N) {
        choose<Axis + 1>(tried, rows * length, all_tiles, all_keys, lanes, vectors, least);
      } else {
        const index needed = (rows * length + lanes - 1) / lanes;
        const index panels = (needed + vectors - 1) / vectors;
        const index each = (needed + panels - 1) / panels;
        const double cost =
            all_keys * double(needed) * simd::listed_cost(each) +
            all_tiles * (simd::patch_cost + double(needed) * simd::patch_vector_cost);
        if (least >= 0 && cost >= least) continue;
        least = cost;
        axes_ = tried;
      }
    }
  }

  std::array<axis_tiles, N> axes_{};
  index most_rows_ = 1, rows_ = 1, count_ = 1;
};

}  // namespace heed::detail
