// SPDX-License-Identifier: BSL-1.0
// weights/column_scale: p'_ij = c_j p_ij (+ a_j) for chosen keys, the row normalised again or not.
//
//   .weights = column_scale{c}              c_j p_ij; the row sums to Σ_j c_j p_ij
//   .weights = column_add{a, c}             c_j p_ij + a_j where the mask allows the pair
//   .score = renormalized_column_scale{c}   c_j p_ij / Σ_j c_j p_ij, as the last modifier
//
// c and a [B|1, H|1, Lk, 1]; which keys, and by how much, is the caller's. MotionCLR (Chen et al.
// 2024) edits the columns of words by either of the first two, GIFT raises visual tokens, RefAM
// hides stop words and sinks (c = 0, normalised again; where they are hidden from every row, a mask
// skips them).
#pragma once

#include <heed/score/key_bias.hpp>
#include <heed/weights/concept.hpp>

namespace heed {

struct column_scale {
  operand scale;  // c, any sign

  template <class Arch, class T, class Put> void factors(const tile& at, const Put& put) const {
    using B = simd::batch<T, Arch>;
    constexpr index chunk = 64;
    T c[chunk];
    for (index first = 0; first < at.keys; first += chunk) {
      const index keys = std::min(chunk, at.keys - first);
      broadcast::load(scale, at.b, at.h, at.slot + first, 0, 2, keys, c);
      for (index j = 0; j < keys; ++j)
        for (index lane = 0; lane < at.rows; lane += simd::width<T, Arch>)
          put((first + j) * at.pitch + lane, B(c[j]));
    }
  }
  void check(const problem_shape& shape) const {
    broadcast::check("heed::column_scale", "the scale", scale,
                     {shape.batch, shape.heads, shape.keys, 1});
  }

  struct gradient {
    result scale;  // as the scale
  };
  index sums(const gradient&) const { return 0; }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::column_scale", scale, g.scale, true);
  }
  bool in_place(const gradient& g) const { return g.scale.present(); }
  void clear(const gradient& g) const { broadcast::clear(g.scale); }
  // dc_j = Σ_i p_ij dp_ij
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T* p, const T* dp, double*) const {
    if (!g.scale.present()) return;
    for (index j = 0; j < at.keys; ++j) {
      double sum = 0;
      for (index i = j * at.pitch; i < j * at.pitch + at.rows; ++i)
        if (p[i] != T(0)) sum += double(p[i]) * double(dp[i]);
      broadcast::add(g.scale, at.b, at.h, at.slot + j, 0, sum);
    }
  }
  void deliver(const gradient&, const double*) const {}
};

struct renormalized_column_scale {
  operand scale;  // c >= 0; 0 hides a key

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s + std::log(broadcast::element<S>(scale, at.b, at.h, at.slot, 0));
  }
  static constexpr bool shifts = true;
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  template <class Arch, class T> auto prepare(const tile& at, T*& scratch) const {
    T* const table = scratch;
    scratch += at.keys;
    broadcast::load(scale, at.b, at.h, at.slot, 0, 2, at.keys, table);
    for (index j = 0; j < at.keys; ++j) table[j] = std::log(table[j]);
    return key_bias::row<Arch, T>{table};
  }
  index scratch(index, index keys) const { return keys; }
  void check(const problem_shape& shape) const {
    broadcast::check("heed::renormalized_column_scale", "the scale", scale,
                     {shape.batch, shape.heads, shape.keys, 1});
    if (!all_above(true))
      check::fail("heed::renormalized_column_scale", "a scale must not be negative");
  }

  struct gradient {
    result scale;  // as the scale, of which none may be 0
  };
  index sums(const gradient&) const { return 0; }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::renormalized_column_scale", scale, g.scale, true);
    if (g.scale.present() && !all_above(false))
      check::fail("heed::renormalized_column_scale", "no gradient by a scale of 0");
  }
  bool in_place(const gradient& g) const { return g.scale.present(); }
  void clear(const gradient& g) const { broadcast::clear(g.scale); }
  // d log c_j = Σ_i ds_ij
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T*, const T* ds, double*) const {
    if (!g.scale.present()) return;
    for (index j = 0; j < at.keys; ++j) {
      double sum = 0;
      for (index i = 0; i < at.rows; ++i) sum += double(ds[j * at.pitch + i]);
      const double c = broadcast::element<double>(scale, at.b, at.h, at.slot + j, 0);
      broadcast::add(g.scale, at.b, at.h, at.slot + j, 0, sum / c);
    }
  }
  void deliver(const gradient&, const double*) const {}

 private:
  bool all_above(bool zero_too) const {
    for (index b = 0; b < scale.extent[0]; ++b)
      for (index h = 0; h < scale.extent[1]; ++h)
        for (index l = 0; l < scale.extent[2]; ++l) {
          const double c = broadcast::element<double>(scale, b, h, l, 0);
          if (!(zero_too ? c >= 0 : c > 0)) return false;
        }
    return true;
  }
};

}  // namespace heed
