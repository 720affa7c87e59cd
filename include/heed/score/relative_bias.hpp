// SPDX-License-Identifier: BSL-1.0
// score/relative_bias: s + table[h][f(k - q)], with T5's buckets, a clipped table or a Toeplitz
// vector.
//
// The table is a view [1, H|1, entries, 1] with free strides: T5's [buckets][H] has head stride 1
// and entry stride H. Cost: one row of the Toeplitz vector is built per (head, tile), keys + lanes
// entries; then one unaligned load and one add a vector of scores. T5, Raffel et al. 2019. Throws
// if the table has no entries or does not fit the heads, or an entry is not in it.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/core/broadcast.hpp>
#include <heed/score/concept.hpp>
#include <vector>

namespace heed {

enum class bucket_order { causal, bidirectional };

// T5: n = |k - q| (causal: max(q - k, 0)), nb = buckets (bidirectional: half of them, + nb where
// k > q), e = nb / 2; n if n < e, else min(e + floor(ln(n/e) / ln(distance/e) · (nb - e)), nb - 1).
inline index t5_bucket(index delta, index buckets, bucket_order order, index distance = 128) {
  const bool both = order == bucket_order::bidirectional;
  const index nb = both ? buckets / 2 : buckets, base = both && delta > 0 ? nb : 0, e = nb / 2;
  const index n = both ? std::abs(delta) : std::max<index>(-delta, 0);
  if (n < e) return base + n;
  // The nudge keeps whole results, such as ln 4 / ln 16 · 8, from rounding below themselves.
  const double far = std::log(double(n) / double(e)) / std::log(double(distance) / double(e));
  return base + std::min(e + index(std::floor(far * double(nb - e) + 1e-9)), nb - 1);
}

struct relative_bias {
  operand table;
  index origin = 0;            // k - q is looked up at min(max(k - q + origin, 0), n - 1) …
  std::vector<index> entries;  // … in here, n of them, each an entry of the table; if empty, in the
                               // table itself

  static relative_bias t5(const operand& table, bucket_order order, index distance = 128) {
    const index buckets = table.extent[2];
    const index least = order == bucket_order::bidirectional ? 4 : 2;
    if (buckets < least || buckets % (least / 2) != 0 || distance <= buckets / least)
      check::fail(
          "heed::relative_bias",
          std::to_string(buckets) + " buckets do not fit the distance " + std::to_string(distance));
    relative_bias bias{table, distance, {}};
    for (index delta = -distance; delta <= distance; ++delta)
      bias.entries.push_back(t5_bucket(delta, buckets, order, distance));
    return bias;
  }
  // 2w + 1 entries: entry min(max(k - q, -w), w) + w.
  static relative_bias clipped(const operand& table) {
    return {table, (table.extent[2] - 1) / 2, {}};
  }
  // Lq + Lk - 1 entries, one a diagonal: row r and key j meet at j - r + Lq - 1, the last query
  // being at the last key.
  static relative_bias toeplitz(const operand& table, index keys) { return {table, keys - 1, {}}; }

  template <simd::number S, class At> S operator()(S s, const At& at) const {
    return s + broadcast::element<S>(table, 0, at.h,
                                     entry(static_cast<index>(at.k) - static_cast<index>(at.q)), 0);
  }
  // ds'/ds = 1; d table[h][e] sums ds over the pairs that meet in e
  static constexpr bool shifts = true;
  template <class S, class At> S grad(const S&, const At&) const { return simd::constant<S>(1); }

  struct gradient {
    result table;  // as the table
  };
  index sums(const gradient& g) const { return broadcast::sums(g.table); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::relative_bias", table, g.table);
  }
  // Diagonals first: one table entry a diagonal, not one a pair.
  template <class Arch, class T>
  void add_gradient(const gradient& g, const tile& at, const T*, const T* ds, double* sum) const {
    if (!g.table.present()) return;
    constexpr index block = 64;
    for (index first = 0; first < at.keys; first += block)
      for (index lane = 0; lane < at.rows; lane += block) {
        const index keys = std::min(block, at.keys - first), rows = std::min(block, at.rows - lane);
        T diagonal[2 * block] = {};
        for (index j = 0; j < keys; ++j)
          for (index i = 0; i < rows; ++i)
            diagonal[i - j + block - 1] += ds[(first + j) * at.pitch + lane + i];
        for (index d = 1 - keys; d < rows; ++d)
          sum[broadcast::sum_at(g.table, 0, at.h, entry(at.k + first - at.q - lane - d), 0)] +=
              double(diagonal[d + block - 1]);
      }
  }
  void deliver(const gradient& g, const double* sum) const { broadcast::store_sums(g.table, sum); }

  template <class Arch, class T> struct diagonals {
    const T* last;              // lane 0, key 0; a lane more is one on, a key more is one back
    const relative_bias* each;  // asked pair by pair where keys are not consecutive
    template <class V> HEED_INLINE V operator()(const V& s, const lanes<V, T>& at) const {
      if (!last) return asked(s, at);
      return s + simd::load<T, Arch>(last + (at.lane - at.key));
    }

   private:
    template <class V> HEED_NOINLINE V asked(const V& s, const lanes<V, T>& at) const {
      T x[simd::width<T, Arch>], q[simd::width<T, Arch>];
      simd::store(x, s), simd::store(q, at.q);
      for (index i = 0; i < simd::width<T, Arch>; ++i)
        x[i] = (*each)(x[i], point<T>{.b = at.b, .h = at.h, .q = q[i], .k = at.k});
      return simd::load<T, Arch>(x);
    }
  };
  template <class Arch, class T> diagonals<Arch, T> prepare(const tile& at, T*& scratch) const {
    // x counts up with q - k: k - q = from - x.
    if (at.places) return {nullptr, this};
    const index from = at.k - at.q + at.keys - 1, count = at.keys + at.pitch - 1;
    T* const row = scratch;
    scratch += count;
    if (entries.empty()) {
      const index last = table.extent[2] - 1;
      const index high =
          std::clamp<index>(from + origin - last, 0, count);  // x below it: the last entry
      const index low =
          std::clamp<index>(from + origin + 1, high, count);  // x from it on: the first
      if (high > 0) std::fill_n(row, high, broadcast::element<T>(table, 0, at.h, last, 0));
      if (low > high)
        simd::load_row(table.type,
                       broadcast::element_address(table, 0, at.h, from + origin - high, 0),
                       -table.stride[2], low - high, row + high);
      if (count > low)
        std::fill_n(row + low, count - low, broadcast::element<T>(table, 0, at.h, 0, 0));
    } else {
      T* const values = scratch;
      scratch += table.extent[2];
      broadcast::load(table, 0, at.h, 0, 0, 2, table.extent[2], values);
      for (index x = 0; x < count; ++x) row[x] = values[entry(from - x)];
    }
    return {row + at.keys - 1, this};
  }
  index scratch(index pitch, index keys) const {
    return keys + pitch + (entries.empty() ? 0 : table.extent[2]);
  }
  void check(const problem_shape& shape) const {
    if (table.extent[2] < 1) check::fail("heed::relative_bias", "the table has no entries");
    broadcast::check("heed::relative_bias", "the table", table,
                     {1, shape.heads, table.extent[2], 1});
    for (const index e : entries)
      if (e < 0 || e >= table.extent[2])
        check::fail("heed::relative_bias", "entry " + std::to_string(e) + " is not in a table of " +
                                               std::to_string(table.extent[2]));
  }

 private:
  index entry(index delta) const {
    const index n = entries.empty() ? table.extent[2] : static_cast<index>(entries.size());
    const index at = std::clamp<index>(delta + origin, 0, n - 1);
    return entries.empty() ? at : entries[static_cast<std::size_t>(at)];
  }
};

}  // namespace heed
