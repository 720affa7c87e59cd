// SPDX-License-Identifier: BSL-1.0
// The backward pass where keys are met by many tasks: each share of the queries of a kv head keeps
// sums of dK and dV of its own, which are added in their order once all are there.
//
// A share keeps (D + Dv) · keys elements. Shares follow from the shape alone, so the bits do not
// depend on the threads.
#pragma once

#include <heed/attention/backward_rows.hpp>
#include <heed/attention/head_rows.hpp>
#include <heed/attention/in_flight.hpp>

namespace heed::detail {

// One panel of queries, both as lanes and in strips, and what it does to some keys.
template <class T> struct backward_panel {
  index rows = 0, vectors = 0, pitch = 0;
  bool finite = true;
  T *q = nullptr, *q_rows = nullptr, *d_out = nullptr, *d_out_rows = nullptr, *dq = nullptr;
  T *max = nullptr, *sum = nullptr, *delta = nullptr;
  T *p = nullptr, *ds = nullptr;   // [key][lane]
  T *dk = nullptr, *dv = nullptr;  // strips of the keys at hand
  T* staged = nullptr;
};

// One kv head in flight.
template <class T> struct shared_head {
  sequence s;
  index kv = 0;
  rows_of_head<T> rows;
  unsigned char* finite = nullptr;  // by piece, keys as well; where some pairs are hidden
  span* touched = nullptr;          // keys that a share has sums of
  T* sums = nullptr;                // [share][key][channel]: dK and dV
};

template <class T, class Arch, class Spec> struct backward_shares : backward_rows<T, Arch, Spec> {
  using base = backward_rows<T, Arch, Spec>;
  using base::q_, base::v_, base::depth, base::value_depth, base::row_width, base::staging;
  using base::spec_, base::p_, base::x_, base::g_, base::replay_, base::sums_, base::store;
  using base::W;
  using typename base::B;

  static constexpr index most_shares = 8;
  static constexpr index touched_bytes = index(arena::rounded(most_shares * sizeof(span)));

  index sum_width_, sum_bytes_, shares_ = 1;

  backward_shares(const Spec& spec, const problem& p, const backward_operands& x,
                  const spec_gradients<Spec>& g, row_states<T>& states)
      : base(spec, p, x, g, states),
        sum_width_(q_.width() + v_.width()),
        sum_bytes_(aligned_bytes(replay_.items.longest_keys() * sum_width_, sizeof(T))) {}

  // `count` pieces of work of a kv head are to be shared out.
  void cut(index count) {
    const index heads = std::max<index>(replay_.heads(), 1);
    shares_ = std::clamp<index>((simd::shape<T, Arch>::tasks + heads - 1) / heads, 1, most_shares);
    shares_ = std::clamp<index>(count, 1, shares_);
  }
  // What a head in flight takes.
  template <class Rows> index head_bytes(const Rows& rows) const {
    return rows.bytes() + aligned_bytes(rows.pieces(), 1) + touched_bytes + shares_ * sum_bytes_;
  }
  // `wave` heads at a time, laid out from `memory` on: keys and values as rows, visit(count, at)
  // with at(i) the i-th of `count` heads, then the shares added.
  template <bool Hides, class Rows, class Visit>
  void each_wave(const Rows& rows, std::byte* memory, index wave, const executor_ref& executor,
                 workspace& scratch, const Visit& visit) {
    const index pieces = rows.pieces();
    for (index first = 0; first < rows.heads(); first += wave) {
      const index count = std::min(wave, rows.heads() - first);
      const auto at = [&](index i) {
        std::byte* const start = memory + i * head_bytes(rows);
        std::byte* const flags = start + rows.bytes();
        std::byte* const touched = flags + aligned_bytes(pieces, 1);
        shared_head<T> x{};
        x.s = rows.item(first + i), x.kv = rows.kv_head(first + i);
        x.rows = rows.located(x.s, x.kv, start);
        x.finite = reinterpret_cast<unsigned char*>(flags);
        x.touched = reinterpret_cast<span*>(touched);
        x.sums = reinterpret_cast<T*>(touched + touched_bytes);
        return x;
      };
      executor.for_each(count * pieces, [&](index i, index) {
        const shared_head<T> x = at(i / pieces);
        rows.prepare(x.rows, x.s, x.kv, i % pieces);
        if constexpr (Hides) x.finite[i % pieces] = rows.finite(x.rows, x.s, i % pieces);
      });
      visit(count, at);
      // Tasks with common sums of learned numbers go one after another.
      const index turns = sums_.any() ? 1 : count * pieces;
      executor.for_each(turns, [&](index turn, index worker) {
        for (index i = turn; i < count * pieces; i += turns) {
          const shared_head<T> x = at(i / pieces);
          finish_keys(x, rows.keys_of(x.s, i % pieces), scratch.worker(worker));
        }
      });
    }
  }
  T* sums_of(const shared_head<T>& d, index share) const {
    return d.sums + share * sum_bytes_ / index(sizeof(T));
  }
  // The sums of a share begin at zero as far as it reaches.
  void touch(span keys, span& touched, T* sums) const {
    const span all = touched.empty() ? keys
                                     : span{std::min(touched.begin, keys.begin),
                                            std::max(touched.end, keys.end)};
    if (touched.empty()) touched = {all.begin, all.begin};
    std::fill(sums + all.begin * sum_width_, sums + touched.begin * sum_width_, T(0));
    std::fill(sums + touched.end * sum_width_, sums + all.end * sum_width_, T(0));
    touched = all;
  }
  // Row j of strips of `rows` keys to the sums of a key.
  void add_row(const backward_panel<T>& p, index rows, index j, T* sums, index key) const {
    T* const to = sums + key * sum_width_;
    q_.unpack(p.dk, rows, j, to, true);
    v_.unpack(p.dv, rows, j, to + q_.width(), true);
  }

  // P and dS from scores and dP, in place; `hidden`: some pairs may be masked.
  void slopes(const backward_panel<T>& p, index count, bool hidden) const {
    const B zero(T(0));
    for (index v = 0; v < p.vectors; ++v) {
      const row_state<B> row{simd::load<T, Arch>(p.max + v * W),
                             simd::load<T, Arch>(p.sum + v * W)};
      const B delta = simd::load<T, Arch>(p.delta + v * W);
      const B zeros = (row.max + row.sum) * zero;
      if (hidden && simd::sum_lanes<T, Arch>(zeros) != T(0))
        replay_.select_weights(row, p.p + v * W, p.pitch, count);
      else
        replay_weights<Arch>(spec_.normalizer, p.p + v * W, p.pitch, count, row);
      for (index i = v * W; i < count * p.pitch; i += p.pitch) {
        const B weight = simd::load<T, Arch>(p.p + i), dp = simd::load<T, Arch>(p.ds + i);
        simd::store(p.ds + i,
                    simd::select(weight == zero, zero,
                                 B(spec_.normalizer.dscore(zero, weight, dp, delta, row))));
      }
    }
  }
  // dV += P dO, dK += dS Q of the first `lanes` for `count` keys from `first` on, in strips of
  // `rows` keys.
  void add_to_keys(const backward_panel<T>& p, index count, index rows, index first, bool selected,
                   index lanes) const {
    if (selected) {
      add_rows_selected(v_, p.p, p.pitch, count, lanes, p.d_out_rows, p.pitch, 0, p.dv, rows, first,
                        false);
      add_rows_selected(q_, p.ds, p.pitch, count, lanes, p.q_rows, p.pitch, 0, p.dk, rows, first,
                        false);
    } else {
      add_rows(v_, p.p, p.pitch, count, lanes, p.d_out_rows, p.pitch, 0, p.dv, rows, first);
      add_rows(q_, p.ds, p.pitch, count, lanes, p.q_rows, p.pitch, 0, p.dk, rows, first);
    }
  }

  // The shares of some keys added, back through `.key` and `.value`.
  void finish_keys(const shared_head<T>& d, span keys, arena& scratch) {
    scratch.reserve(0);
    T* const staged = scratch.take<T>(staging() + sum_width_);
    T* const grad = staged;
    T* const value_grad = grad + row_width();
    T* const row = value_grad + row_width();
    T* const rest = row + row_width();
    double* const sum = sums_.of(0);
    for (index key = keys.begin; key < keys.end; ++key) {
      T* const both = rest + staging() - 3 * row_width();
      std::fill_n(both, sum_width_, T(0));
      for (index share = 0; share < shares_; ++share) {
        if (key < d.touched[share].begin || key >= d.touched[share].end) continue;
        const T* const source = sums_of(d, share) + key * sum_width_;
        for (index c = 0; c < sum_width_; c += W)
          simd::store(both + c, B(simd::load<T, Arch>(both + c) + simd::load<T, Arch>(source + c)));
      }
      std::copy_n(both, q_.channels, grad);
      std::copy_n(both + q_.width(), v_.channels, value_grad);
      const row_position at{d.s.b, d.kv, d.s.key(key), d.s.slot + key};
      if constexpr (base::template has_prologue<false, decltype(Spec::key)>())
        p_.load_key(d.s.batch, d.kv, at.row, row);
      this->template prologue_backward<false>(spec_.key, row, grad, at, g_.key, sum + sums_.key,
                                              sum, rest);
      store(x_.dk, grad, depth(), d.s.batch, d.kv, at.row);
      if constexpr (!std::is_same_v<decltype(Spec::value), none>)
        if (!base::is_zero(value_grad, value_depth())) {
          p_.load_value(d.s.batch, d.kv, at.row, row);
          transform_row_backward<Arch>(spec_.value, row, value_grad, value_depth(), at, g_.value,
                                       sum + sums_.value, rest);
        }
      store(x_.dv, value_grad, value_depth(), d.s.batch, d.kv, at.row);
    }
  }
};

}  // namespace heed::detail
