// SPDX-License-Identifier: BSL-1.0
// score/key_bias: s + b_j, b [B|1, H|Hkv|1, Lk, 1].
//
// With b_j = log n_j a key stands for n_j equal keys: Σ_j n_j e^{s_ij} v_j / Σ_j n_j e^{s_ij}.
// ToMe, Bolya et al. 2022. Cost: an add a pair; a row of the table is read once a tile. Throws if b
// does not broadcast to the keys and heads.
#pragma once

#include <cmath>
#include <heed/core/broadcast.hpp>
#include <heed/score/concept.hpp>
#include <span>
#include <vector>

namespace heed {

struct key_bias {
  operand values;
  index group = 1;  // query heads that share a head of `values`: H / Hkv for a bias per kv head

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s + broadcast::element<S>(values, at.b, at.h / group, at.slot, 0);
  }
  // ds'/ds = 1; db_j sums ds over the rows and the group
  static constexpr bool shifts = true;
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  struct gradient {
    result values;  // as the bias
  };
  index sums(const gradient&) const { return 0; }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::key_bias", values, g.values, true);
  }
  bool in_place(const gradient& g) const { return g.values.present(); }
  void clear(const gradient& g) const { broadcast::clear(g.values); }
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T*, const T* ds, double*) const {
    if (!g.values.present()) return;
    for (index j = 0; j < at.keys; ++j) {
      double sum = 0;
      for (index i = 0; i < at.rows; ++i) sum += double(ds[j * at.pitch + i]);
      broadcast::add(g.values, at.b, at.h / group, at.slot + j, 0, sum);
    }
  }
  void deliver(const gradient&, const double*) const {}

  template <class Arch, class T> struct row {
    const T* table;
    template <class V> HEED_INLINE V operator()(const V& s, const lanes<V, T>& at) const {
      return s + V(table[at.key]);
    }
  };
  template <class Arch, class T> row<Arch, T> prepare(const tile& at, T*& scratch) const {
    T* const table = scratch;
    scratch += at.keys;
    broadcast::load(values, at.b, at.h / group, at.slot, 0, 2, at.keys, table);
    return {table};
  }
  index scratch(index, index keys) const { return keys; }
  void check(const problem_shape& shape) const {
    if (group < 1 || (values.extent[1] != 1 && values.extent[1] * group != shape.heads))
      check::fail("heed::key_bias", std::to_string(values.extent[1]) +
                                        " heads of the bias, each for " + std::to_string(group) +
                                        " query heads, do not make " + std::to_string(shape.heads));
    broadcast::check("heed::key_bias", "the bias", values,
                     {shape.batch, values.extent[1], shape.keys, 1});
  }
};

// b_j = log n_j; a key of count 0 is left out.
inline std::vector<float> log_counts(std::span<const index> counts) {
  std::vector<float> values;
  for (const index n : counts) {
    if (n < 0)
      check::fail("heed::log_counts",
                  "a count must not be negative, but one is " + std::to_string(n));
    values.push_back(std::log(static_cast<float>(n)));
  }
  return values;
}

}  // namespace heed
