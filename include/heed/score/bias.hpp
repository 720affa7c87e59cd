// SPDX-License-Identifier: BSL-1.0
// score/bias: s + b, b broadcast from [B|1, H|1, Lq|1, Lk|1]; free strides, any element type.
//
// -inf takes a pair away: its weight is exactly 0, and a row of nothing else gives zeros. A bias
// does not hide what a key or a value holds, NaN goes through; masks do that. The element type is
// read at run time, so that every bias is one instantiation.
//
// Cost: transposed in registers and added to a panel of scores, one load and one store a vector.
// Graphormer, Ying et al. 2021.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/score/concept.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/transpose_add.hpp>
#include <limits>

namespace heed {

struct bias {
  operand values;

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s + broadcast::element<S>(values, at.b, at.h, at.row, at.slot);
  }
  // ds'/ds = 1; db sums ds over the broadcast axes
  static constexpr bool shifts = true;
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  struct gradient {
    result values;  // as the bias
  };
  // A bias of one number a query is summed apart; others are added to where they lie.
  bool in_place(const gradient& g) const { return g.values.present() && values.extent[3] != 1; }
  index sums(const gradient& g) const { return in_place(g) ? 0 : broadcast::sums(g.values); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::bias", values, g.values, in_place(g));
  }
  void clear(const gradient& g) const { broadcast::clear(g.values); }
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T*, const T* ds, double* sum) const {
    if (!g.values.present()) return;
    const bool keys = values.extent[3] != 1, rows = values.extent[2] != 1;
    for (index i = 0; i < at.rows; ++i)
      for (index j = 0; j < at.keys; ++j) {
        const double d = double(ds[j * at.pitch + i]);
        if (keys)
          broadcast::add(g.values, at.b, at.h, rows ? at.row + i : 0, at.slot + j, d);
        else
          sum[broadcast::sum_at(g.values, at.b, at.h, at.row + i, 0)] += d;
      }
  }
  void deliver(const gradient& g, const double* sum) const {
    if (!in_place(g)) broadcast::store_sums(g.values, sum);
  }

  template <class Arch, class T> void apply(const tile& at, T* s, T*& scratch) const {
    const auto row = [&](index i) {
      return broadcast::element_address(values, at.b, at.h, at.row + i, at.slot);
    };
    const auto add = [&](index key, const T* b) {
      for (index i = 0; i < at.rows; ++i) s[key * at.pitch + i] += b[i];
    };
    if (values.extent[2] == 1) {
      broadcast::load(values, at.b, at.h, 0, at.slot, 3, at.keys, scratch);
      add_keys<Arch>(at, scratch, s);
    } else if (values.extent[3] == 1) {
      broadcast::load(values, at.b, at.h, at.row, 0, 2, at.rows, scratch);
      for (index j = 0; j < at.keys; ++j) add(j, scratch);
    } else if (simd::stored_as<T>(values)) {
      simd::transpose_add<T, Arch>(static_cast<const T*>(row(0)), values.stride[2], at.rows,
                                   at.keys, s, at.pitch);
    } else if (values.stride[3] == 1) {
      for (index i = 0; i < at.rows; ++i)
        simd::load_row(values.type, row(i), 1, at.keys, scratch + i * at.keys);
      simd::transpose_add<T, Arch>(scratch, at.keys, at.rows, at.keys, s, at.pitch);
    } else {
      for (index j = 0; j < at.keys; ++j) {
        broadcast::load(values, at.b, at.h, at.row, at.slot + j, 2, at.rows, scratch);
        add(j, scratch);
      }
    }
  }
  // Where keys lie next to each other; else the table is small or read by queries.
  void fetch(const tile& at) const {
    if (values.extent[2] == 1 || values.extent[3] == 1 || values.stride[3] != 1) return;
    for (index i = 0; i < at.rows; ++i)
      simd::prefetch(broadcast::element_address(values, at.b, at.h, at.row + i, at.slot),
                     at.keys * size_of(values.type));
  }
  index scratch(index pitch, index keys) const { return pitch * keys; }
  void check(const problem_shape& shape) const {
    broadcast::check("heed::bias", "the bias", values,
                     {shape.batch, shape.heads, shape.queries, shape.keys});
  }

 private:
  template <class Arch, class T> static void add_keys(const tile& at, const T* b, T* s) {
    using B = simd::batch<T, Arch>;
    for (index j = 0; j < at.keys; ++j, s += at.pitch)
      for (index lane = 0; lane < at.rows; lane += simd::width<T, Arch>)
        simd::store(s + lane, B(simd::load<T, Arch>(s + lane) + B(b[j])));
  }
};

// The boolean form: 0 where `allowed` [B|1, H|1, Lq|1, Lk|1] is true, else -inf.
struct boolean_bias {
  view<const bool> allowed;

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return pass(at.b, at.h, at.row, at.slot) ? s : -std::numeric_limits<S>::infinity();
  }
  // ds'/ds = 1; what is not allowed has weight 0
  static constexpr bool shifts = true;
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  template <class Arch, class T> void apply(const tile& at, T* s, T*&) const {
    for (index i = 0; i < at.rows; ++i)
      for (index j = 0; j < at.keys; ++j)
        if (!pass(at.b, at.h, at.row + i, at.slot + j))
          s[j * at.pitch + i] = -std::numeric_limits<T>::infinity();
  }
  void check(const problem_shape& shape) const {
    const extents whole{shape.batch, shape.heads, shape.queries, shape.keys};
    for (std::size_t i = 0; i < 4; ++i)
      if (!allowed.data || (allowed.extent[i] != 1 && allowed.extent[i] != whole[i]))
        check::fail("heed::boolean_bias", "the mask is " + check::print(allowed.extent) +
                                              ", but must broadcast to " + check::print(whole));
  }

 private:
  bool pass(index b, index h, index row, index slot) const {
    const extents& e = allowed.extent;
    return allowed(e[0] == 1 ? 0 : b, e[1] == 1 ? 0 : h, e[2] == 1 ? 0 : row, e[3] == 1 ? 0 : slot);
  }
};

}  // namespace heed
