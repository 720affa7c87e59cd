// SPDX-License-Identifier: BSL-1.0
// Driver `replay`: the exact weights of a finished call, a panel of queries against a span of keys
// at a time, from its lse. Backward, column observers and the edits of final weights are loops over
// such panels.
//
// What the normaliser needs of a row is kept as {max, sum}: softmax-like ones replay with
// max = lse · log2 e and sum = 1, so that e^{s - lse} is the finished weight; the others with what
// the forward pass ended with.
#pragma once

#include <heed/attention/columns.hpp>
#include <heed/attention/kv_heads.hpp>
#include <heed/attention/panel.hpp>
#include <heed/core/executor.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/simd/rows.hpp>
#include <vector>

namespace heed::detail {

// A row that saw nothing: every weight 0.
template <class T> row_state<T> replayed(double lse) {
  if (lse == -std::numeric_limits<double>::infinity()) return {-masked<T>, T(1)};
  return {static_cast<T>(lse * simd::log2e), T(1)};
}

// Scores to finished weights, in place.
template <class Arch, class N, class T>
void replay_weights(const N& normalizer, T* s, index pitch, index keys,
                    const row_state<simd::batch<T, Arch>>& state) {
  using B = simd::batch<T, Arch>;
  if constexpr (requires { normalizer.template replay<Arch>(s, pitch, keys, state); }) {
    normalizer.template replay<Arch>(s, pitch, keys, state);
  } else {
    const auto& steps = steps_of(normalizer);
    row_state<B> running{state.max, B(T(0))};
    B factor(T(1));
    steps.template absorb<Arch>(s, pitch, keys, running, factor);
    const B finish = steps.finish(state);
    for (index j = 0; j < keys; ++j)
      simd::store(s + j * pitch, B(simd::load<T, Arch>(s + j * pitch) * finish));
  }
}

// {max, sum} of every query row of the tensors, as the forward pass left them.
template <class T> class row_states final : public observer {
 public:
  explicit row_states(const problem_shape& shape)
      : batch_(shape.batch),
        heads_(shape.heads),
        rows_(shape.queries),
        of_(static_cast<std::size_t>(batch_ * heads_ * rows_),
            replayed<T>(-std::numeric_limits<double>::infinity())) {}

  void row(const row_position& at, const row_end& end) override {
    (*this)(batch_ == 1 ? 0 : at.b, at.h, at.row) = {static_cast<T>(end.max),
                                                     static_cast<T>(end.sum)};
  }
  row_state<T>& operator()(index b, index h, index row) {
    return of_[static_cast<std::size_t>((b * heads_ + h) * rows_ + row)];
  }
  // From what a softmax-like normaliser ended with.
  template <class N> void to_lse(const N& normalizer) {
    for (row_state<T>& s : of_)
      s = replayed<T>(normalizer.lse(row_state<double>{double(s.max), double(s.sum)}));
  }
  void read(const operand& lse) {
    for (index b = 0; b < batch_; ++b)
      for (index h = 0; h < heads_; ++h)
        for (index r = 0; r < rows_; ++r) {
          double value = 0;
          simd::load_row(lse.type, lse.row(b, h, r), 1, 1, &value);
          (*this)(b, h, r) = replayed<T>(value);
        }
  }

 private:
  index batch_, heads_, rows_;
  std::vector<row_state<T>> of_;
};

// How a call is cut; from its shape alone, so that no sum depends on the threads.
template <class T, class Arch> struct replay_plan {
  using tuned = simd::shape<T, Arch>;

  index panels, rows;              // of a query head, whole panels
  index panels_per_chunk, chunks;  // chunks of panels are prepared and finished side by side
  index height;                    // keys of a tile
  index tiles_per_range, ranges;   // ranges of key tiles

  // `heads` kv heads; at most `most_ranges` ranges, more only where heads are few.
  replay_plan(index queries, index keys, index heads, index most_ranges) {
    panels = (queries + tuned::panel - 1) / tuned::panel;
    rows = panels * tuned::panel;
    panels_per_chunk = std::max(tuned::panels, (panels + simd::most_units - 1) / simd::most_units);
    chunks = (panels + panels_per_chunk - 1) / panels_per_chunk;
    keys = std::max<index>(keys, 1);
    const index tiles = (keys + tuned::backward_keys - 1) / tuned::backward_keys;
    height = ((keys + tiles - 1) / tiles + 3) / 4 * 4;
    const index wanted =
        std::clamp<index>((tuned::tasks + heads - 1) / std::max<index>(heads, 1), 1, most_ranges);
    tiles_per_range = (tiles + wanted - 1) / wanted;
    ranges = (tiles + tiles_per_range - 1) / tiles_per_range;
  }
  span tile(index range, index i, index keys) const {
    const index first = (range * tiles_per_range + i) * height;
    return {std::min(first, keys), std::min(first + height, keys)};
  }
};

// Memory handed out in aligned pieces; from a null pointer it only counts them.
class pieces {
 public:
  explicit pieces(std::byte* at) : start_(at) {}
  template <class X> X* take(index count) {
    X* const piece = start_ ? reinterpret_cast<X*>(start_ + used_) : nullptr;
    used_ += aligned_bytes(count, sizeof(X));
    return piece;
  }
  index used() const { return used_; }

 private:
  std::byte* start_;
  index used_ = 0;
};

template <class T, class Arch, class Spec> struct replay {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  using panel = query_panel<T, Spec>;
  static constexpr index W = tuned::lanes, widest = tuned::panel;
  static constexpr bool masks = has_mask<Spec>, scores = has_score<Spec>;
  static constexpr bool elementwise_weights =
      !requires(const decltype(Spec::normalizer)& n) { n.template start<T>(row_position{}); };

  // One query head: its panels, rows as [panel][channel][lane], and what each row ended with.
  struct head {
    panel* panels;
    T* q;
    T *max, *sum;
    index* intervals;
  };

  const Spec& spec;
  const problem& p;
  row_states<T>& states;
  sequences<decltype(Spec::plan)> items;
  replay_plan<T, Arch> plan;
  panels<T, Arch, Spec> read;
  columns<T, Arch> q;

  replay(const Spec& s, const problem& of, row_states<T>& ended, index most_ranges)
      : spec(s),
        p(of),
        states(ended),
        items{of, s.plan},
        plan(items.longest_queries(), items.longest_keys(), items.count() * of.shape.kv_heads,
             most_ranges),
        read{s, of},
        q{read.width} {}

  index heads() const { return items.count() * p.shape.kv_heads; }
  sequence item(index kv) const { return items(kv / p.shape.kv_heads, kv_head(kv)); }
  index kv_head(index kv) const { return kv % p.shape.kv_heads; }

  head located(pieces& memory) const {
    head d{};
    d.panels = memory.take<panel>(plan.panels);
    d.q = memory.take<T>(plan.rows * q.width());
    d.max = memory.take<T>(plan.rows);
    d.sum = memory.take<T>(plan.rows);
    if (masks) d.intervals = memory.take<index>(lane_intervals::scratch(plan.rows));
    return d;
  }

  // Panel i of a head, and which keys it may see.
  panel& open(const head& d, const sequence& s, index h, index i) const {
    panel& x = *new (d.panels + i) panel{};
    x.h = h, x.row = i * widest, x.rows = std::clamp<index>(s.rows - x.row, 0, widest);
    x.vectors = (x.rows + W - 1) / W;
    x.pitch = x.vectors * W;
    x.q = d.q + x.row * q.width();
    if constexpr (masks)
      if (x.rows > 0) read.collect(x, s, d.intervals + lane_intervals::scratch(x.row));
    return x;
  }
  // W of its rows, scaled, in `rows` [W][q.width()] and in lanes; beyond the last query zeros.
  void load(const head& d, const panel& x, const sequence& s, index lane, T* rows) const {
    for (index j = 0; j < W; ++j) {
      T* const row = rows + j * q.width();
      const index r = x.row + lane + j;
      std::fill_n(row, q.width(), T(0));
      row_state<T> state = replayed<T>(-std::numeric_limits<double>::infinity());
      if (lane + j < x.rows) {
        read.load({s.b, x.h, r + s.offset, s.row + r}, s.batch, 1, row);
        simd::map_row<Arch>(row, q.channels, [scale = static_cast<T>(p.scale)](auto y) {
          return y * decltype(y)(scale);
        });
        state = states(s.batch, x.h, s.row + r);
      }
      d.max[r] = state.max, d.sum[r] = state.sum;
    }
    simd::to_lanes<T, Arch>(rows, q.width(), W, q.channels, T(1), x.q + lane, x.pitch);
  }
  row_state<B> state(const head& d, index row) const {
    return {simd::load<T, Arch>(d.max + row), simd::load<T, Arch>(d.sum + row)};
  }

  // The keys of a vector of queries, as one span, where its panel knows them one by one.
  span seen(const panel& x, index vector, span keys) const {
    if constexpr (masks)
      if (x.keys.count == 1 && !x.keys.overflows) {
        const span s = x.keys.seen(vector * W, std::min((vector + 1) * W, x.rows));
        return {std::max(s.begin, keys.begin), std::min(s.end, keys.end)};
      }
    return keys;
  }

  // Keys as the similarity wants them, rows of q.width().
  void load_keys(const sequence& s, index h, span keys, T* rows) const {
    detail::load_keys<Arch>(spec, p, s, h, keys, q.width(), rows);
  }
  bool blind(const panel& x, span keys) const {
    if constexpr (masks)
      if (x.rows > 0) return x.keys.clip(keys.begin, keys.end).empty();
    return x.rows == 0;
  }

  // Where a row's state is NaN or infinite: what is masked still has weight 0.
  HEED_NOINLINE void select_weights(const row_state<B>& row, T* s, index pitch, index keys) const {
    for (index j = 0; j < keys; ++j, s += pitch) {
      const B score = simd::load<T, Arch>(s);
      replay_weights<Arch>(spec.normalizer, s, pitch, 1, row);
      simd::store(s, simd::select(score <= B(masked<T> / 2), B(T(0)), simd::load<T, Arch>(s)));
    }
  }

  // Finished weights [key][lane] of one panel against the rows `k`. What was on the way is copied
  // where it is wanted: the scores before their modifiers, and those that the normaliser saw. Extra
  // slots get no modifier and no mask. True if the mask hid anything.
  struct wanted {
    T* raw = nullptr;
    T* shown = nullptr;
    bool extra = false;
  };
  bool weights(const sequence& s, const head& d, const panel& x, span keys, const T* k, index pitch,
               const wanted& also, T* weight, T* tables) const {
    const index count = keys.size(), lanes = x.vectors * W;
    [[maybe_unused]] const tile at = read.corner(x, s, keys, pitch);
    const auto copy = [&](T* to) {
      for (index j = 0; to && j < count; ++j)
        std::copy_n(weight + j * pitch, lanes, to + j * pitch);
    };
    bool hidden = false;
    if constexpr (masks)
      if (!also.extra) {
        if (blind(x, keys) || read.covers(x, s, keys) == cover::none) {
          for (index j = 0; j < count; ++j) std::fill_n(weight + j * pitch, lanes, masked<T>);
          copy(also.raw), copy(also.shown);
          for (index j = 0; j < count; ++j) std::fill_n(weight + j * pitch, lanes, T(0));
          return true;
        }
      }
    read.products(x, k, q.width(), count, weight, pitch);
    copy(also.raw);
    if constexpr (scores)
      if (!also.extra) modify_panel<Arch>(spec.score, at, weight, tables);
    if constexpr (masks)
      if (!also.extra) hidden = read.hide(x, at, keys, read.covers(x, s, keys), weight);
    copy(also.shown);
    for (index v = 0; v < x.vectors; ++v) {
      const row_state<B> row = state(d, x.row + v * W);
      const B zeros = (row.max + row.sum) * B(T(0));
      if (hidden && simd::sum_lanes<T, Arch>(zeros) != T(0))
        select_weights(row, weight + v * W, pitch, count);
      else
        replay_weights<Arch>(spec.normalizer, weight + v * W, pitch, count, row);
    }
    for (index j = 0; j < count; ++j)
      std::fill(weight + j * pitch + x.rows, weight + j * pitch + lanes, T(0));
    return hidden;
  }
};

}  // namespace heed::detail
