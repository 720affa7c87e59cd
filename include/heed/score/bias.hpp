// SPDX-License-Identifier: BSL-1.0
// score/bias: s + b, b broadcast from [B|1, H|1, Lq|1, Lk|1]; free strides, any element type.
//
// -inf takes a pair away: its weight is exactly 0, and a row of nothing else gives zeros. A bias
// does not hide what a key or a value holds, NaN goes through; masks do that. The element type is
// read at run time, so that every bias is one instantiation.
//
// Cost: a tile of b is transposed to [key][lane] once, then one load and one add a vector of
// scores.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/score/concept.hpp>
#include <heed/simd/pack.hpp>
#include <limits>

namespace heed {

namespace detail {

// s + table[key][lane], or s + table[key] where the step of a lane is 0.
template <class Arch, class T> struct biased_tile {
  const T* table;
  index key_step, lane_step;
  template <class V> HEED_INLINE V operator()(const V& s, const lanes<V, T>& at) const {
    const T* b = table + at.key * key_step;
    return lane_step ? V(s + simd::load<T, Arch>(b + at.lane)) : V(s + V(*b));
  }
};

// Tail lanes get zeros.
template <class Arch, class T> void clear_tail(const tile& at, T* table) {
  const index lanes =
      (at.rows + simd::width<T, Arch> - 1) / simd::width<T, Arch> * simd::width<T, Arch>;
  if (at.rows == lanes) return;
  for (index j = 0; j < at.keys; ++j)
    std::fill(table + j * at.pitch + at.rows, table + j * at.pitch + lanes, T(0));
}

}  // namespace detail

struct bias {
  operand values;

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s + broadcast::element<S>(values, at.b, at.h, at.row, at.slot);
  }
  // ds'/ds = 1; db sums ds over the broadcast axes

  template <class Arch, class T>
  detail::biased_tile<Arch, T> prepare(const tile& at, T*& scratch) const {
    T* const table = scratch;
    if (values.extent[2] == 1) {
      scratch += at.keys;
      broadcast::load(values, at.b, at.h, 0, at.slot, 3, at.keys, table);
      return {table, 1, 0};
    }
    scratch += 2 * at.pitch * at.keys;
    const auto row = [&](index i) {
      return broadcast::element_address(values, at.b, at.h, at.row + i, at.slot);
    };
    if (values.extent[3] == 1) {
      broadcast::load(values, at.b, at.h, at.row, 0, 2, at.rows, table);
      std::fill(table + at.rows, table + at.pitch, T(0));
      return {table, 0, 1};
    }
    if (simd::stored_as<T>(values)) {
      simd::transpose<T, Arch>(static_cast<const T*>(row(0)), values.stride[2], at.rows, at.keys,
                               T(1), table, at.pitch);
    } else if (values.stride[3] == 1) {
      T* const staged = table + at.pitch * at.keys;
      for (index i = 0; i < at.rows; ++i)
        simd::load_row(values.type, row(i), 1, at.keys, staged + i * at.keys);
      simd::transpose<T, Arch>(staged, at.keys, at.rows, at.keys, T(1), table, at.pitch);
    } else {
      for (index j = 0; j < at.keys; ++j)
        broadcast::load(values, at.b, at.h, at.row, at.slot + j, 2, at.rows, table + j * at.pitch);
    }
    detail::clear_tail<Arch>(at, table);
    return {table, at.pitch, 1};
  }
  index scratch(index pitch, index keys) const {
    return values.extent[2] == 1 ? keys : 2 * pitch * keys;
  }
  void check(const problem_shape& shape) const {
    broadcast::check("heed::bias", "the bias", values,
                     {shape.batch, shape.heads, shape.queries, shape.keys});
  }
};

// The boolean form: 0 where `allowed` [B|1, H|1, Lq|1, Lk|1] is true, else -inf.
struct boolean_bias {
  view<const bool> allowed;

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s + added<S>(at.b, at.h, at.row, at.slot);
  }
  // ds'/ds = 1

  template <class Arch, class T>
  detail::biased_tile<Arch, T> prepare(const tile& at, T*& scratch) const {
    T* const table = scratch;
    scratch += at.pitch * at.keys;
    for (index j = 0; j < at.keys; ++j)
      for (index i = 0; i < at.rows; ++i)
        table[j * at.pitch + i] = added<T>(at.b, at.h, at.row + i, at.slot + j);
    detail::clear_tail<Arch>(at, table);
    return {table, at.pitch, 1};
  }
  index scratch(index pitch, index keys) const { return pitch * keys; }
  void check(const problem_shape& shape) const {
    const extents whole{shape.batch, shape.heads, shape.queries, shape.keys};
    for (std::size_t i = 0; i < 4; ++i)
      if (!allowed.data || (allowed.extent[i] != 1 && allowed.extent[i] != whole[i]))
        check::fail("heed::boolean_bias", "the mask is " + check::print(allowed.extent) +
                                              ", but must broadcast to " + check::print(whole));
  }

 private:
  template <class T> T added(index b, index h, index row, index slot) const {
    const extents& e = allowed.extent;
    const bool pass =
        allowed(e[0] == 1 ? 0 : b, e[1] == 1 ? 0 : h, e[2] == 1 ? 0 : row, e[3] == 1 ? 0 : slot);
    return pass ? T(0) : -std::numeric_limits<T>::infinity();
  }
};

}  // namespace heed
