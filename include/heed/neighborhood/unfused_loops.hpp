// SPDX-License-Identifier: BSL-1.0
// The three loops of unfused neighbourhoods; all gradients are made of them. A [B,H,L,taps], X as
// queries [B,H,L,·], Y as keys [B,Hkv,L,·]:
//
//   dots     A_it = c · X_i·Y_t          t: the key of tap t of query i
//   gather   X_i  = c · Σ_t A_it Y_t
//   scatter  Y_j  = c · Σ_i A_it X_i     over the queries i that see j
//
// A task is 64 tokens of a kv head and owns what it writes: no sum depends on the executor. Rows
// that the kernels cannot read as they lie are packed first.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/neighborhood/taps.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/row_tile.hpp>

namespace heed::detail {

// Rows of T, or of what the kernels widen to T, with their channels side by side.
template <class T> class tap_rows {
 public:
  tap_rows(const operand& x, bool as_stored) : from_(x) {
    const bool half = std::is_same_v<T, float> && size_of(x.type) == 2;
    copied_ = x.stride[3] != 1 || !(x.type == element_of<T>::value || (as_stored && half));
  }
  index bytes() const { return copied_ ? aligned_bytes(numbers(), sizeof(T)) : 0; }
  void pack(arena& memory, const executor_ref& executor) {
    if (!copied_) return;
    const operand x = from_;
    const extents& e = x.extent;
    T* const to = memory.take<T>(numbers());
    from_ = view<const T>(to, e);
    executor.for_each(e[0] * e[1], [&](index i, index) {
      for (index l = 0; l < e[2]; ++l)
        simd::load_row(x.type, x.row(i / e[1], i % e[1], l), x.stride[3], e[3],
                       to + (i * e[2] + l) * e[3]);
    });
  }

  index channels() const { return from_.extent[3]; }
  index head_stride() const { return from_.stride[1]; }
  const T* row(index b, index h, index l) const {
    return static_cast<const T*>(from_.row(b, h, l));
  }
  // Rows l, l + step, …
  stored_rows run(index b, index h, index l, index step) const {
    stored_rows r;
    r.data = static_cast<const unsigned char*>(from_.row(b, h, l));
    r.type = kv_type_of(from_.type);
    r.stride = step * from_.stride[2] * size_of(from_.type);
    return r;
  }

 private:
  index numbers() const {
    const extents& e = from_.extent;
    return e[0] * e[1] * e[2] * e[3];
  }
  operand from_;
  bool copied_;
};

template <class T, class Arch> class unfused_loops {
  static constexpr index block = 64;

 public:
  unfused_loops(const grid_taps& taps, index batch, index heads, index kv_heads, index tokens,
                const executor_ref& executor, const workspace_ref& scratch)
      : taps_(taps),
        group_(kv_heads > 0 ? heads / kv_heads : 0),
        tokens_(tokens),
        tasks_{batch, kv_heads, (tokens + block - 1) / block},
        step_(taps.axes.back().dilation),
        executor_(executor),
        memory_(scratch.scratch ? *scratch.scratch : own_) {
    memory_.crew(executor.workers());
  }

  // Absent taps get `absent`.
  void dots(const operand& x, const operand& y, T scale, T absent, const result& a) {
    tap_rows<T> queries(x, false), keys(y, true);
    start({&queries, &keys});
    each_task(group_ * taps_.count, 0, [&](index b, index kv, index i, T* s, T*) {
      const index h = kv * group_;
      std::fill_n(s, group_ * taps_.count, absent);
      taps_.each_run(i, [&](index key, index count, index tap) {
        simd::row_scores<T, Arch>(keys.run(b, kv, key, step_), count, queries.row(b, h, i),
                                  queries.head_stride(), group_, keys.channels(), s + tap,
                                  taps_.count);
        for (index g = 0; g < group_; ++g)
          for (index t = 0; t < count; ++t) s[g * taps_.count + tap + t] *= scale;
      });
      store(a, b, h, i, s);
    });
  }
  void gather(const operand& a, const operand& y, T scale, const result& x) {
    tap_rows<T> values(y, true);
    start({&values});
    const index channels = x.extent[3];
    each_task(group_ * taps_.count, group_ * channels, [&](index b, index kv, index i, T* p, T* o) {
      const index h = kv * group_;
      for (index g = 0; g < group_; ++g)
        simd::load_row(a.type, a.row(b, h + g, i), a.stride[3], taps_.count, p + g * taps_.count);
      std::fill_n(o, group_ * channels, T(0));
      taps_.each_run(i, [&](index key, index count, index tap) {
        simd::row_accumulate<T, Arch>(values.run(b, kv, key, step_), count, p + tap, taps_.count,
                                      group_, channels, o, channels);
      });
      for (index n = 0; n < group_ * channels; ++n) o[n] *= scale;
      store(x, b, h, i, o);
    });
  }
  void scatter(const operand& a, const operand& x, T scale, const result& y) {
    tap_rows<T> weights(a, false), rows(x, true);
    start({&weights, &rows});
    const index channels = y.extent[3];
    each_task(tokens_, channels, [&](index b, index kv, index j, T* p, T* o) {
      std::fill_n(o, channels, T(0));
      for (index h = kv * group_; h < (kv + 1) * group_; ++h)
        taps_.each_seer(j, [&](index query, index count, const auto& tap) {
          for (index n = 0; n < count; ++n) p[n] = weights.row(b, h, query + n * step_)[tap(n)];
          simd::row_accumulate<T, Arch>(rows.run(b, h, query, step_), count, p, count, 1, channels,
                                        o, channels);
        });
      for (index c = 0; c < channels; ++c) o[c] *= scale;
      simd::store_row(y.type, o, channels, y.row(b, kv, j), y.stride[3]);
    });
  }

 private:
  void start(std::initializer_list<tap_rows<T>*> all) {
    index bytes = 0;
    for (const auto* rows : all) bytes += rows->bytes();
    memory_.shared().reserve(static_cast<std::size_t>(bytes));
    for (auto* rows : all) rows->pack(memory_.shared(), executor_);
  }
  // f(batch item, kv head, token, two pieces of scratch)
  template <class F> void each_task(index first, index second, const F& f) {
    executor_.for_each(tasks_[0] * tasks_[1] * tasks_[2], [&](index task, index worker) {
      arena& from = memory_.worker(worker);
      from.reserve(static_cast<std::size_t>(aligned_bytes(first, sizeof(T)) +
                                            aligned_bytes(second, sizeof(T))));
      T* const one = from.take<T>(first);
      T* const two = from.take<T>(second);
      const index head = task / tasks_[2], begin = task % tasks_[2] * block;
      for (index i = begin; i < std::min(begin + block, tokens_); ++i)
        f(head / tasks_[1], head % tasks_[1], i, one, two);
    });
  }
  // Rows of the heads that share a kv head.
  void store(const result& to, index b, index h, index i, const T* rows) const {
    const index width = to.extent[3];
    for (index g = 0; g < group_; ++g)
      simd::store_row(to.type, rows + g * width, width, to.row(b, h + g, i), to.stride[3]);
  }

  const grid_taps& taps_;
  index group_, tokens_;
  std::array<index, 3> tasks_;
  index step_;
  const executor_ref& executor_;
  workspace own_;
  workspace& memory_;
};

}  // namespace heed::detail
