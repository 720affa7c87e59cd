// SPDX-License-Identifier: BSL-1.0
// score/contextual: positions that count what the query attends to (CoPE: Golovneva et al.,
// Contextual Position Encoding, 2024).
//
//   g_ij = σ(s_ij),  p_ij = min(Σ_{t ≥ j} g_it, p_max)  over the keys that the query sees
//   s_ij + (1 - w) q_i·e[⌊p⌋] + w q_i·e[⌊p⌋ + 1],  w = p - ⌊p⌋
//
//   attention{.mask = causal{}, .score = contextual{table}}      table [1,1|H,p_max+1,D]
//
// The gates take the scores as they come, scaled, as the paper's code does; for its text, with
// gates by plain products, set `.scale = 1`. The queries that meet the table are those that meet
// the keys, without the scale. Where p_ij lies at a whole number its slope is that of one side.
//
// Driver `rows`. Cost: 2 (p_max + 1) D flops a query; a sigmoid and two gathers a pair as far back
// as p < p_max.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/score/row_queries.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/gather.hpp>
#include <heed/simd/tile.hpp>

namespace heed {

struct contextual {
  operand table;

  struct gradient {
    result table;
  };
  index sums(const gradient& g) const { return broadcast::sums(g.table); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::contextual", table, g.table);
  }
  void deliver(const gradient& g, const double* sum) const { broadcast::store_sums(g.table, sum); }

  void check(const problem_shape& shape) const {
    const extents& e = table.extent;
    if (e[0] != 1 || (e[1] != 1 && e[1] != shape.heads) || e[2] < 1 || e[2] > (1 << 16) ||
        e[3] != shape.depth || !table.present())
      heed::check::fail("heed::contextual",
                        "the table is " + heed::check::print(e) + ", but must be [1,1|" +
                            std::to_string(shape.heads) + ",p_max+1," +
                            std::to_string(shape.depth) + "], with at most 65536 positions");
  }

  using whole_rows = void;  // all keys of a query at once
  index scratch(index lanes, index keys) const {
    return (2 * (places() + 1) + keys) * lanes + places() * depth() +
           (lanes + places()) * (depth() + widest);
  }

  template <class Arch, class T>
  void modify_rows(const row_scores<T>& x, const row_queries<T>& q, T* scratch) const {
    using B = simd::batch<T, Arch>;
    const index pitch = q.pitch;
    T* const z = scratch;
    project<Arch>(q, table_rows(x.h, z + (places() + 1) * pitch), z);
    for (index lane = 0; lane < pitch; lane += simd::width<T, Arch>) {
      T* const s = x.s + lane;
      const B last = simd::load<T, Arch>(z + (places() - 1) * pitch + lane);
      const index far = each_place<Arch>(x, lane, [&](index j, const B& score, const B& p) {
        const place<B> at(p);
        const B low = simd::gather_columns<T, Arch>(z + lane, at.low, pitch),
                high = simd::gather_columns<T, Arch>(z + lane + pitch, at.low, pitch);
        put(s + j * x.pitch, score, B(score + simd::fma(at.rest, B(high - low), low)), score);
      });
      for (index j = 0; j < far; ++j) {
        const B score = simd::load<T, Arch>(s + j * x.pitch);
        put(s + j * x.pitch, score, B(score + last), score);
      }
    }
  }

  // With d by what was given: dz_i[⌊p⌋] += (1 - w) d, dz_i[⌊p⌋ + 1] += w d, dp = d (z[⌊p⌋ + 1] -
  // z[⌊p⌋]) where p < p_max, ds_it = d_it + g (1 - g) Σ_{j ≤ t} dp_ij, dq = Σ dz e, de = Σ dz q.
  template <class Arch, class T>
  void modify_rows_backward(const row_scores<T>& x, const row_queries<T>& q, T* d, T* dq,
                            const gradient& g, double* sum, T* scratch) const {
    using B = simd::batch<T, Arch>;
    constexpr index W = simd::width<T, Arch>;
    const index pitch = q.pitch, size = (places() + 1) * pitch;
    T *const z = scratch, *const dz = z + size, *const p = dz + size,
             *const rows = p + x.keys * pitch;
    const B zero(T(0)), one(T(1)), most(static_cast<T>(places() - 1));
    const auto e = table_rows(x.h, rows);
    project<Arch>(q, e, z);
    std::fill_n(dz, size, T(0));
    for (index lane = 0; lane < pitch; lane += W) {
      T* const ds = d + lane;
      const index far = each_place<Arch>(
          x, lane, [&](index j, const B&, const B& at) { simd::store(p + j * pitch + lane, at); });
      B last(T(0)), before(T(0));  // before: Σ_{i ≤ j} dp_i
      for (index j = 0; j < far; ++j) last = last + simd::load<T, Arch>(ds + j * x.pitch);
      for (index j = far; j < x.keys; ++j) {
        const B score = simd::load<T, Arch>(x.s + lane + j * x.pitch),
                by = simd::load<T, Arch>(ds + j * x.pitch),
                sums = simd::load<T, Arch>(p + j * pitch + lane);
        const place<B> at(sums);
        const B low = simd::gather_columns<T, Arch>(z + lane, at.low, pitch),
                high = simd::gather_columns<T, Arch>(z + lane + pitch, at.low, pitch);
        simd::add_to_columns<T, Arch>(dz + lane, at.low, pitch, B(by * (one - at.rest)));
        simd::add_to_columns<T, Arch>(dz + lane + pitch, at.low, pitch, B(by * at.rest));
        before = before + simd::select(sums < most, B(by * (high - low)), zero);
        const B gate = simd::sigmoid(score);
        put(ds + j * x.pitch, score, B(by + before * (gate * (one - gate))), zero);
      }
      T* const end = dz + (places() - 1) * pitch + lane;
      simd::store(end, B(simd::load<T, Arch>(end) + last));
    }
    for (index i = 0; i < places() * pitch; ++i) dz[i] *= q.factor;
    simd::accumulate<T, Arch>(pitch / W, dz, pitch, places(), e.rows, e.stride, index{4}, depth(),
                              dq);
    if (g.table.present())
      add_table<Arch>(x, q, dz, sum + broadcast::sum_at(g.table, 0, x.h, 0, 0),
                      rows + places() * depth());
  }

 private:
  static constexpr index widest = 16;  // lanes of the widest vector
  template <class T> struct entries {
    const T* rows;
    index stride;
  };
  // A place as the entry below it, and how far beyond it lies.
  template <class B> struct place {
    B low, rest;
    explicit place(const B& p)
        : low(simd::max(simd::constant<B>(0), B(simd::nearbyint(B(p - simd::constant<B>(0.5)))))),
          rest(p - low) {}
  };

  index places() const { return table.extent[2]; }
  index depth() const { return table.extent[3]; }

  template <class T> entries<T> table_rows(index h, T* to) const {
    const index head = table.extent[1] == 1 ? 0 : h;
    if (table.type == element_of<T>::value && table.stride[3] == 1)
      return {static_cast<const T*>(table.row(0, head, 0)), table.stride[2]};
    for (index i = 0; i < places(); ++i)
      simd::load_row(table.type, table.row(0, head, i), table.stride[3], depth(), to + i * depth());
    return {to, depth()};
  }
  // z[i][lane] = q·e[i], and a row of zeros beyond the last.
  template <class Arch, class T>
  void project(const row_queries<T>& q, const entries<T>& e, T* z) const {
    simd::scores<T, Arch>(q.pitch / simd::width<T, Arch>, e.rows, e.stride, places(), q.q, q.pitch,
                          depth(), z);
    for (index i = 0; i < places() * q.pitch; ++i) z[i] *= q.factor;
    std::fill_n(z + places() * q.pitch, q.pitch, T(0));
  }
  // f(key, score, place) from the last key on, until all lanes are at the last place: how many keys
  // are left. Lanes without a query are there from the start.
  template <class Arch, class T, class F>
  index each_place(const row_scores<T>& x, index lane, const F& f) const {
    using B = simd::batch<T, Arch>;
    const B most(static_cast<T>(places() - 1));
    B p = simd::select(simd::iota<T, Arch>() < B(static_cast<T>(x.rows - lane)), B(T(0)), most);
    index j = x.keys;
    while (j > 0 && simd::any(p < most)) {
      const B score = simd::load<T, Arch>(x.s + lane + --j * x.pitch);
      // Hidden keys have a gate of exactly 0. A NaN goes to the last place: its row is NaN anyway.
      p = simd::min(B(p + simd::sigmoid(score)), most);
      f(j, score, p);
    }
    return j;
  }
  template <class B> static auto hidden(const B& score) {
    return score <= B(masked<simd::value<B>> / 2);
  }
  template <class T, class B>
  static void put(T* to, const B& score, const B& x, const B& where_hidden) {
    simd::store(to, simd::select(hidden(score), where_hidden, x));
  }

  // Σ_lanes dz q, in rows of whole vectors. A query that nothing depends on may be NaN.
  template <class Arch, class T>
  void add_table(const row_scores<T>& x, const row_queries<T>& q, const T* dz, double* sum,
                 T* scratch) const {
    constexpr index W = simd::width<T, Arch>;
    const index wide = (depth() + W - 1) / W * W;
    T *const rows = scratch, *const d = rows + x.rows * wide;
    std::fill_n(rows, x.rows * wide, T(0));
    simd::to_lanes<T, Arch>(q.q, q.pitch, depth(), x.rows, T(1), rows, wide);
    for (index r = 0; r < x.rows; ++r) {
      bool used = false;
      for (index i = 0; i < places() && !used; ++i) used = dz[i * q.pitch + r] != T(0);
      if (!used) std::fill_n(rows + r * wide, wide, T(0));
    }
    for (index c = 0; c < wide; c += 3 * W)
      simd::scores<T, Arch>(std::min<index>(wide - c, 3 * W) / W, dz, q.pitch, places(), rows + c,
                            wide, x.rows, d + c, wide);
    for (index i = 0; i < places(); ++i)
      for (index c = 0; c < depth(); ++c) sum[i * depth() + c] += double(d[i * wide + c]);
  }
};

}  // namespace heed
