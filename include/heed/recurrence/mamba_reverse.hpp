// SPDX-License-Identifier: BSL-1.0
// The selective scan, backward. A task is a block of channels of some sequences:
//
//   forward once, keeping the states every 32 tokens
//   for each 32 tokens, the last first
//     for four states, for each vector of channels
//       forward again, decays and states of these tokens in L1
//       backward: g = C dy + decay g;   dC, dB, dA, and what reaches Δ and Δ u
//     du, dδ, dz stored
//
// dB and dC sum over channels: each block of channels leaves a share, and so does each of some
// groups of sequences for dA, dD and dbias. All are cut by the shape alone and added in order, so
// the bits do not depend on the threads. Memory: L · C · N / 128 numbers for each of dB and dC, and
// for every worker the states of its block every 32 tokens. Decays are computed twice; states kept
// by the forward call would save one of the three passes, at the price of a second interface.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/recurrence/mamba_block.hpp>
#include <heed/simd/shape.hpp>

namespace heed {

// Where the gradients of a selective scan go; what is absent is not stored.
struct selective_scan_gradients {
  result du{}, ddelta{}, db{}, dc{};
  selective_scan::gradient spec{};
};

namespace detail {

template <class T, class Arch> class selective_backward {
  static constexpr index channels = 128;
  using block_type = selective_block<T, Arch, channels>;
  using B = simd::batch<T, Arch>;
  static constexpr index W = block_type::W, pitch = block_type::pitch, most = block_type::most;

 public:
  // `initial` may be null: all zeros.
  selective_backward(const selective_problem& p, const recurrent_state<T>* initial,
                     const operand& d_out, recurrent_state<T>& d_state,
                     const selective_scan_gradients& to)
      : p_(p),
        initial_(initial),
        d_out_(d_out),
        d_state_(d_state),
        to_(to),
        blocks_{p.channels(), p.groups(), channels},
        sequences_(p.sequences()),
        rows_(p.u.extent[0] * p.tokens()),
        shares_(std::clamp<index>(simd::most_units / std::max<index>(1, blocks_.count()), 1,
                                  std::max<index>(1, sequences_.count()))) {
    for (index i = 0; i < sequences_.count(); ++i)
      longest_ = std::max(longest_, sequences_[i].length);
  }

  void run(const executor_ref& executor, workspace& memory) {
    const index count = blocks_.count(), tasks = shares_ * count;
    const index learned = block_type(p_).table_bytes() + 2 * aligned_bytes(pitch, sizeof(T));
    const index tokens = aligned_bytes(rows_ * p_.states(), sizeof(T));
    arena& shared = memory.shared();
    shared.reserve(static_cast<std::size_t>(tasks * learned + 2 * count * tokens));
    da_ = shared.take<T>(tasks * learned / index(sizeof(T)));
    learned_ = learned / index(sizeof(T));
    db_ = shared.take<T>(count * rows_ * p_.states());
    dc_ = shared.take<T>(count * rows_ * p_.states());
    memory.crew(executor.workers());
    executor.for_each(tasks, [&](index task, index worker) {
      one(task / count, task % count, memory.worker(worker));
    });
    executor.for_each(
        count, [&](index task, index worker) { store_learned(task, memory.worker(worker)); });
    if (to_.db.present() || to_.dc.present())
      executor.for_each((rows_ + most - 1) / most, [&](index task, index) {
        for (index row = task * most; row < std::min(rows_, (task + 1) * most); ++row) {
          store_sum(db_, row, to_.db);
          store_sum(dc_, row, to_.dc);
        }
      });
  }

 private:
  struct scratch {
    T *u, *raw, *dy, *into, *exponent, *y, *z;
    T *decays, *kept, *db, *dc, *h, *g, *states;
  };

  index snapshots() const { return std::max<index>(1, (longest_ + most - 1) / most); }
  index bytes(const block_type& x) const {
    return x.bytes() + 7 * block_type::row_bytes() + 4 * aligned_bytes(most * 4 * W, sizeof(T)) +
           (2 + snapshots()) * x.table_bytes();
  }
  T* share(index i, index block) const { return da_ + (i * blocks_.count() + block) * learned_; }

  void one(index i, index block, arena& from) const {
    block_type x(p_);
    from.reserve(static_cast<std::size_t>(bytes(x)));
    x.take(from);
    scratch w;
    for (T** rows : {&w.u, &w.raw, &w.dy, &w.into, &w.exponent, &w.y, &w.z})
      *rows = block_type::take_rows(from);
    for (T** lanes : {&w.decays, &w.kept, &w.db, &w.dc}) *lanes = from.take<T>(most * 4 * W);
    w.h = x.take_table(from), w.g = x.take_table(from);
    w.states = from.take<T>(snapshots() * p_.states() * pitch);
    x.begin(blocks_[block]);
    T* const da = share(i, block);
    std::fill_n(da, learned_, T(0));
    const index count = sequences_.count();
    for (index id = count * i / shares_; id < count * (i + 1) / shares_; ++id)
      sequence(x, id, block, w, da);
  }

  void sequence(block_type& x, index id, index block, const scratch& w, T* da) const {
    const token_run s = sequences_[id];
    const index table = p_.states() * pitch, count = (s.length + most - 1) / most;
    x.load_state(initial_ ? initial_->head(id, 0) : nullptr, w.states);
    for (index k = 0; k + 1 < count; ++k) {
      x.load_rows(p_.u, s, k * most, most, w.u);
      x.load(s, k * most, most, w.u, w.raw);
      T* const next = w.states + (k + 1) * table;
      std::copy_n(w.states + k * table, table, next);
      x.expect({p_.u, p_.delta}, s, (k + 1) * most, most);
      x.template advance<false>(next);
    }
    x.load_state(d_state_.head(id, 0), w.g);
    for (index k = count - 1; k >= 0; --k) {
      const index first = k * most, tokens = std::min(most, s.length - first);
      begin_tokens(x, s, first, tokens, w);
      x.expect({p_.u, p_.delta, d_out_, p_.spec.gate, to_.du, to_.ddelta}, s, first - most,
               first >= most ? most : 0);
      replay(x, s, first, block, w, w.states + k * table, da);
      finish_tokens(x, s, first, tokens, w, da + table);
    }
    x.store_table(w.g, d_state_.head(id, 0) + x.block.first * p_.states());
  }

  bool gated() const { return p_.spec.gate.present(); }

  void begin_tokens(block_type& x, const token_run& s, index first, index tokens,
                    const scratch& w) const {
    x.load_rows(p_.u, s, first, tokens, w.u);
    x.load(s, first, tokens, w.u, w.raw);
    x.load_rows(d_out_, s, first, tokens, w.dy);
    if (gated()) x.load_rows(p_.spec.gate, s, first, tokens, w.z);
    x.for_vectors([&](index at, index v) {
      simd::store(w.into + at, B(T(0)));
      simd::store(w.exponent + at, B(T(0)));
      if (!gated()) return;
      const B z = simd::load<T, Arch>(w.z + at), d = simd::load<T, Arch>(w.dy + at);
      simd::store(w.y + at, B(simd::load<T, Arch>(w.u + at) * simd::load<T, Arch>(x.d + v)));
      simd::store(w.dy + at, B(d * simd::silu(z)));
      simd::store(w.z + at, B(d * simd::silu_slope(z)));
    });
  }

  // The tokens loaded, forward and back. `before`: the states before them.
  void replay(const block_type& x, const token_run& s, index first, index block, const scratch& w,
              const T* before, T* da) const {
    index piece = 0;
    for_states(p_.states(), [&]<int R>(index n, std::integral_constant<int, R>) {
      std::fill_n(w.db, x.tokens * R * W, T(0));
      std::fill_n(w.dc, x.tokens * R * W, T(0));
      for (index v = 0; v < x.vectors * W; v += W) {
        const index at = n * pitch + v;
        const auto tile = x.tile(v, n);
        x.ask(piece++, x.pieces());
        for (index r = 0; r < R; ++r)
          simd::store(w.h + at + r * pitch, simd::load<T, Arch>(before + at + r * pitch));
        selective_advance<T, Arch, R, false, true>(tile, x.a + at, w.h + at, nullptr, w.decays,
                                                   w.kept);
        const selective_sums<T> to{w.into + v, w.exponent + v, w.y + v, da + at, w.db, w.dc};
        const auto back =
            gated() ? &selective_reverse<T, Arch, R, true> : &selective_reverse<T, Arch, R, false>;
        back(tile, x.a + at, before + at, w.decays, w.kept, w.dy + v, w.g + at, to);
      }
      for (index t = 0; t < x.tokens; ++t) {
        const index row = s.b * p_.tokens() + s.row(first + t);
        const index to = (block * rows_ + row) * p_.states() + n;
        sum_lanes<R>(w.db + t * R * W, db_ + to);
        sum_lanes<R>(w.dc + t * R * W, dc_ + to);
      }
    });
  }
  template <int R> static void sum_lanes(const T* from, T* to) {
    B x[R];
    HEED_UNROLL for (int r = 0; r < R; ++r) x[r] = simd::load<T, Arch>(from + r * W);
    simd::sum_each<T, Arch>(x, to);
  }

  // Of the numbers a channel: D, then the bias.
  void finish_tokens(const block_type& x, const token_run& s, index first, index tokens,
                     const scratch& w, T* learned) const {
    const bool soft = p_.spec.softplus;
    const auto load = [](const T* p) HEED_INLINE_LAMBDA { return simd::load<T, Arch>(p); };
    x.for_vectors([&](index at, index v) {
      const B u = load(w.u + at), dy = load(w.dy + at), into = load(w.into + at);
      B d_delta = simd::fma(u, into, B(load(w.exponent + at) * B(T(simd::ln2))));
      if (soft) d_delta = d_delta * simd::sigmoid(load(w.raw + at));
      simd::store(learned + v, B(simd::fma(dy, u, load(learned + v))));
      simd::store(learned + pitch + v, B(d_delta + load(learned + pitch + v)));
      simd::store(w.exponent + at, d_delta);
      simd::store(w.into + at, B(simd::fma(load(x.d + v), dy, B(into * load(x.delta + at)))));
      if (gated()) simd::store(w.z + at, B(load(w.z + at) * load(w.y + at)));
    });
    if (to_.du.present()) x.store_rows(w.into, s, first, tokens, to_.du);
    if (to_.ddelta.present()) x.store_rows(w.exponent, s, first, tokens, to_.ddelta);
    if (to_.spec.gate.present()) x.store_rows(w.z, s, first, tokens, to_.spec.gate);
  }

  void store_learned(index block, arena& from) const {
    T* const sum = share(0, block);
    for (index i = 1; i < shares_; ++i)
      for (index j = 0; j < learned_; ++j) sum[j] += share(i, block)[j];
    block_type x(p_);
    from.reserve(static_cast<std::size_t>(x.bytes() + x.table_bytes()));
    x.take(from);
    T* const rows = x.take_table(from);
    x.begin(blocks_[block]);
    x.store_table(sum, rows);
    const index first = x.block.first, table = p_.states() * pitch;
    for (index i = 0; to_.spec.a.present() && i < x.block.count; ++i)
      simd::store_row(to_.spec.a.type, rows + i * p_.states(), p_.states(),
                      to_.spec.a.row(0, 0, first + i), to_.spec.a.stride[3]);
    x.store_channels(sum + table, to_.spec.d);
    x.store_channels(sum + table + pitch, to_.spec.delta_bias);
  }
  void store_sum(T* shares, index row, const result& to) const {
    if (!to.present()) return;
    const index n = p_.states(), per = blocks_.per_group();
    for (index g = 0; g < p_.groups(); ++g) {
      T* const sum = shares + (g * per * rows_ + row) * n;
      for (index i = 1; i < per; ++i)
        for (index j = 0; j < n; ++j) sum[j] += sum[i * rows_ * n + j];
      simd::store_row(to.type, sum, n, to.row(row / p_.tokens(), g, row % p_.tokens()),
                      to.stride[3]);
    }
  }

  const selective_problem& p_;
  const recurrent_state<T>* initial_;
  const operand& d_out_;
  recurrent_state<T>& d_state_;
  const selective_scan_gradients& to_;
  channel_blocks blocks_;
  sequence_list sequences_;
  index rows_, shares_, longest_ = 0, learned_ = 0;
  T *da_ = nullptr, *db_ = nullptr, *dc_ = nullptr;
};

}  // namespace detail

}  // namespace heed
