// SPDX-License-Identifier: BSL-1.0
// The tile loop backward: one replay over key tiles.
//
//   rows     Q and dO of the query heads in flight, packed both ways; δ = Σ dO·O; {max, sum}
//   task     a range of key tiles of one kv head
//     for each key tile
//       for each block of queries that may see it, head by head of the group
//         P  = weights(K Qᵀ)            [key][lane]    replay.hpp
//         dS = dscore(P, V dOᵀ, δ)      [key][lane]
//         dV += P dO,  dK += dS Q       the tile's own, in L2
//         dQ += dSᵀ K                   one partial a range
//   reduce   dQ: partials added in the order of their ranges
//
// 10 · rows · keys · D flops where D = Dv, on the two micro-kernels of the forward pass: a product
// of two packed blocks of rows is `scores`, one with its first factor transposed is `accumulate`.
// Ranges follow from the shape alone, so the bits do not depend on the threads. Memory: about
// (4 + ranges) · Lq · D elements a query head in flight.
#pragma once

#include <heed/attention/columns.hpp>
#include <heed/attention/gradient.hpp>
#include <heed/attention/replay.hpp>
#include <heed/score/gradient.hpp>

namespace heed::detail {

struct backward_operands {
  operand out, d_out;
  result dq, dk, dv;
};

template <class T, class Arch, class Spec> class backward {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  using similarity = decltype(Spec::similarity);
  static constexpr index W = tuned::lanes, widest = tuned::panel;
  static constexpr bool masks = has_mask<Spec>, scores = has_score<Spec>;
  static constexpr bool own = own_products<similarity, T, Arch>;
  static constexpr bool keeps_scores = needs_scores<decltype(Spec::score)>();
  static constexpr bool elementwise_weights =
      !requires(const decltype(Spec::normalizer)& n) { n.template start<T>(row_position{}); };
  static constexpr bool edits = !std::is_same_v<decltype(Spec::weights), none>;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;
  static constexpr index most_units = 32;

  struct panel : query_panel<T, Spec> {
    T* d_out = nullptr;
    bool finite = true;
  };
  // One query head in flight.
  struct head {
    panel* panels;
    T *q, *d_out;            // [panel][channel][lane]
    T *q_rows, *d_out_rows;  // strips
    T *max, *sum, *delta;
    T* dq;  // strips, one block a range; [panel][channel][lane] for a similarity of its own
    index* intervals;
  };
  // One key tile: rows, the keys also in strips, and what is summed for them.
  struct tile_rows {
    T *k, *k_strips, *v, *dk, *dv;
    bool finite;
  };

 public:
  backward(const Spec& spec, const problem& p, const backward_operands& x,
           const spec_gradients<Spec>& g, row_states<T>& states)
      : spec_(spec),
        p_(p),
        x_(x),
        g_(g),
        states_(states),
        items_{p, spec.plan},
        read_{spec, p},
        q_{read_.width},
        v_{p.shape.value_depth} {
    rows_ = (items_.longest_queries() + widest - 1) / widest * widest;
    panels_ = rows_ / widest;
    per_chunk_ = std::max(tuned::panels, (panels_ + most_units - 1) / most_units);
    chunks_ = (panels_ + per_chunk_ - 1) / per_chunk_;
    const index keys = std::max<index>(items_.longest_keys(), 1), heads = this->heads();
    const index tiles = (keys + tuned::backward_keys - 1) / tuned::backward_keys;
    height_ = ((keys + tiles - 1) / tiles + 3) / 4 * 4;
    const index wanted =
        std::clamp<index>((most_units + heads - 1) / std::max<index>(heads, 1), 1, 8);
    per_range_ = (tiles + wanted - 1) / wanted;
    ranges_ = (tiles + per_range_ - 1) / per_range_;
    per_block_ = own ? 1 : std::max<index>(1, tuned::backward_rows / widest);
    offset_.score = 0;
    offset_.similarity = offset_.score + sums_of(spec.score, g.score);
    offset_.normalizer = offset_.similarity + sums_of(spec.similarity, g.similarity);
    offset_.query = offset_.normalizer + sums_of(spec.normalizer, g.normalizer);
    offset_.key = offset_.query + sums_of(spec.query, g.query);
    offset_.value = offset_.key + sums_of(spec.key, g.key);
    offset_.output = offset_.value + sums_of(spec.value, g.value);
    offset_.extra = offset_.output + sums_of(spec.output, g.output);
    offset_.end = offset_.extra + sums_of(spec.extra, g.extra);
    turns_ = in_place(spec.score, g.score);
  }

  void run(executor_ref executor, workspace& scratch) {
    const index heads = this->heads(), group = p_.shape.group();
    const index workers = executor.workers(), size = head_bytes() * group;
    const index wave = std::clamp<index>(tuned::in_flight / std::max<index>(size, 1),
                                         std::min(workers, heads), std::max<index>(heads, 1));
    scratch.crew(workers);
    scratch.shared().reserve(
        static_cast<std::size_t>(wave * size + aligned_bytes(most_units * offset_.end, 8)));
    for (index i = 0; i < workers; ++i)
      scratch.worker(i).reserve(static_cast<std::size_t>(task_bytes()));
    std::byte* const base = scratch.shared().data();
    sums_ = reinterpret_cast<double*>(base + wave * size);
    std::fill_n(sums_, most_units * offset_.end, 0.0);
    clear_gradient(spec_.score, g_.score);
    clear_gradient(spec_.output, g_.output);

    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first), query_heads = count * group;
      const auto at = [&](index i) { return located(base + i * head_bytes()); };
      // Rows that add to common sums are visited head by head, chunks side by side.
      const auto rows = [&](bool in_turn, auto f) {
        executor.for_each(in_turn ? chunks_ : chunks_ * query_heads, [&](index task, index worker) {
          const index chunk = in_turn ? task : task % chunks_;
          for (index i = in_turn ? 0 : task / chunks_; i < query_heads; ++i) {
            const index kv = first + i / group;
            f(items_[kv / p_.shape.kv_heads], kv % p_.shape.kv_heads * group + i % group, at(i),
              chunk, scratch.worker(worker));
            if (!in_turn) break;
          }
        });
      };
      rows(offset_.query > offset_.normalizer || offset_.extra > offset_.output ||
               in_place(spec_.output, g_.output),
           [&](const sequence& s, index h, const head& d, index chunk, arena& a) {
             prepare(s, h, d, chunk, a);
           });
      const bool in_turn = turns_ || offset_.end > 0;
      executor.for_each(in_turn ? units() : count * ranges_, [&](index task, index worker) {
        for (index i = in_turn ? 0 : task; i < count * ranges_; ++i) {
          const index kv = first + i / ranges_, range = i % ranges_;
          const index unit = turns_ ? range : (kv * ranges_ + range) % most_units;
          if (in_turn && unit != task) continue;
          visit(
              items_[kv / p_.shape.kv_heads], kv % p_.shape.kv_heads, range,
              [&](index g) { return at(i / ranges_ * group + g); }, sums_ + unit * offset_.end,
              scratch.worker(worker));
          if (!in_turn) break;
        }
      });
      if (x_.dq.present() || offset_.key > offset_.query || offset_.normalizer > offset_.similarity)
        rows(offset_.end > 0, [&](const sequence& s, index h, const head& d, index chunk,
                                  arena& a) { finish_queries(s, h, d, chunk, a); });
    }
    for (index u = 1; u < most_units; ++u)
      for (index i = 0; i < offset_.end; ++i) sums_[i] += sums_[u * offset_.end + i];
    deliver(spec_.score, g_.score, sums_ + offset_.score);
    deliver(spec_.similarity, g_.similarity, sums_ + offset_.similarity);
    deliver(spec_.normalizer, g_.normalizer, sums_ + offset_.normalizer);
    deliver(spec_.query, g_.query, sums_ + offset_.query);
    deliver(spec_.key, g_.key, sums_ + offset_.key);
    deliver(spec_.value, g_.value, sums_ + offset_.value);
    deliver(spec_.output, g_.output, sums_ + offset_.output);
    deliver(spec_.extra, g_.extra, sums_ + offset_.extra);
  }

 private:
  index heads() const { return items_.count() * p_.shape.kv_heads; }
  index units() const { return turns_ ? ranges_ : most_units; }
  index depth() const { return p_.shape.depth; }
  index value_depth() const { return p_.shape.value_depth; }
  index row_width() const { return std::max({q_.width(), v_.width(), depth()}); }
  // Rows of staging, and those that chains of row transforms ask for.
  static constexpr index staged_rows() {
    return 2 * W + 3 + links<decltype(Spec::query)>() + links<decltype(Spec::key)>() +
           links<decltype(Spec::value)>() + links<decltype(Spec::output)>();
  }

  index head_bytes() const {
    return aligned_bytes(panels_, sizeof(panel)) +
           2 * aligned_bytes(rows_ * q_.width(), sizeof(T)) +
           2 * aligned_bytes(rows_ * v_.width(), sizeof(T)) + 3 * aligned_bytes(rows_, sizeof(T)) +
           ranges_ * aligned_bytes(rows_ * q_.width(), sizeof(T)) +
           (masks ? aligned_bytes(lane_intervals::scratch(rows_), sizeof(index)) : 0);
  }
  head located(std::byte* at) const {
    const auto take = [&]<class X>(X*& x, index count) {
      x = reinterpret_cast<X*>(at);
      at += aligned_bytes(count, sizeof(X));
    };
    head d{};
    take(d.panels, panels_);
    take(d.q, rows_ * q_.width());
    take(d.q_rows, rows_ * q_.width());
    take(d.d_out, rows_ * v_.width());
    take(d.d_out_rows, rows_ * v_.width());
    take(d.max, rows_), take(d.sum, rows_), take(d.delta, rows_);
    take(d.dq, ranges_ * aligned_bytes(rows_ * q_.width(), sizeof(T)) / index(sizeof(T)));
    if (masks) take(d.intervals, lane_intervals::scratch(rows_));
    return d;
  }
  T* partial(const head& d, index range) const {
    return d.dq + range * aligned_bytes(rows_ * q_.width(), sizeof(T)) / index(sizeof(T));
  }
  index lanes_per_block() const { return per_block_ * widest; }
  index task_bytes() const {
    const index square = aligned_bytes(height_ * lanes_per_block(), sizeof(T));
    const index spare = links<decltype(Spec::score)>() + 4;
    return square * spare + 3 * aligned_bytes(height_ * q_.width(), sizeof(T)) +
           2 * aligned_bytes(height_ * v_.width(), sizeof(T)) +
           aligned_bytes(scratch_of(spec_.score, lanes_per_block(), height_), sizeof(T)) * 2 +
           aligned_bytes(staged_rows() * row_width(), sizeof(T));
  }

  // A chunk of panels of one query head, as `head` holds them.
  void prepare(const sequence& s, index h, const head& d, index chunk, arena& scratch) {
    scratch.reserve(0);
    T* const queries = scratch.take<T>(staged_rows() * row_width());
    T* const grads = queries + W * row_width();
    T* const out = grads + W * row_width();
    const index last = std::min((chunk + 1) * per_chunk_, panels_);
    for (index i = chunk * per_chunk_; i < last; ++i) {
      panel& x = *new (d.panels + i) panel{};
      x.h = h, x.row = i * widest, x.rows = std::clamp<index>(s.rows - x.row, 0, widest);
      x.vectors = (x.rows + W - 1) / W;
      x.pitch = x.vectors * W;
      x.q = d.q + x.row * q_.width();
      x.d_out = d.d_out + x.row * v_.width();
      for (index lane = 0; lane < x.pitch; lane += W) {
        const index some = std::min(W, x.rows - lane);
        for (index j = 0; j < W; ++j) {
          T* const q = queries + j * q_.width();
          T* const grad = grads + j * v_.width();
          const index r = x.row + lane + j;
          std::fill_n(q, q_.width(), T(0));
          std::fill_n(grad, v_.width(), T(0));
          d.max[r] = -masked<T>, d.sum[r] = T(1), d.delta[r] = T(0);
          if (j >= some) continue;
          const row_position at{s.b, h, r + s.offset, s.row + r};
          read_.load(at, s.batch, q);
          for (index c = 0; c < q_.channels; ++c) q[c] *= static_cast<T>(p_.scale);
          load_gradient(at, s.batch, grad, out, unit_sums(chunk));
          d.delta[r] = product(grad, out);
          const row_state<T> state = states_(s.batch, h, at.row);
          d.max[r] = state.max, d.sum[r] = state.sum;
          if constexpr (learns<decltype(Spec::normalizer)>)
            if (offset_.query > offset_.normalizer)
              spec_.normalizer.add_gradient(g_.normalizer, at, double(state.max) * simd::ln2,
                                            double(d.delta[r]),
                                            unit_sums(chunk) + offset_.normalizer);
        }
        x.finite = x.finite && simd::all_finite(queries, q_.width(), some, q_.channels) &&
                   simd::all_finite(grads, v_.width(), some, v_.channels);
        simd::to_lanes<T, Arch>(queries, q_.width(), W, q_.channels, T(1), x.q + lane, x.pitch);
        simd::to_lanes<T, Arch>(grads, v_.width(), W, v_.channels, T(1), x.d_out + lane, x.pitch);
        q_.pack(queries, q_.width(), W, d.q_rows, rows_, x.row + lane);
        v_.pack(grads, v_.width(), W, d.d_out_rows, rows_, x.row + lane);
      }
      if constexpr (masks)
        if (x.rows > 0) read_.collect(x, s, d.intervals + lane_intervals::scratch(x.row));
    }
  }
  // dO and O of one row before the output transforms.
  void load_gradient(const row_position& at, index batch, T* grad, T* out, double* sum) {
    const index n = value_depth();
    simd::load_row(x_.d_out.type, x_.d_out.row(batch, at.h, at.row), x_.d_out.stride[3], n, grad);
    simd::load_row(x_.out.type, x_.out.row(batch, at.h, at.row), x_.out.stride[3], n, out);
    transform_row_backward<Arch>(spec_.output, out, grad, n, at, g_.output, sum + offset_.output,
                                 out + row_width());
  }
  T product(const T* x, const T* y) const {
    double sum = 0;
    for (index c = 0; c < value_depth(); ++c) sum += double(x[c]) * double(y[c]);
    return static_cast<T>(sum);
  }
  double* unit_sums(index unit) const { return sums_ + unit * offset_.end; }

  template <class At>
  void visit(const sequence& s, index h, index range, At at, double* sum, arena& scratch) const {
    scratch.reserve(0);
    tile_rows t{};
    t.k = scratch.take<T>(height_ * q_.width());
    t.k_strips = scratch.take<T>(height_ * q_.width());
    t.v = scratch.take<T>(height_ * v_.width());
    t.dk = scratch.take<T>(height_ * q_.width());
    t.dv = scratch.take<T>(height_ * v_.width());
    T* const staged = scratch.take<T>(staged_rows() * row_width());
    T* const squares =
        scratch.take<T>((4 + links<decltype(Spec::score)>()) * height_ * lanes_per_block() +
                        2 * scratch_of(spec_.score, lanes_per_block(), height_));
    const index group = p_.shape.group();
    for (index g = 0; g < group; ++g) std::fill_n(partial(at(g), range), rows_ * q_.width(), T(0));
    const auto blocks = [&](span keys, bool extra) {
      std::fill_n(t.dk, height_ * q_.width(), T(0));
      std::fill_n(t.dv, height_ * v_.width(), T(0));
      for (index g = 0; g < group; ++g)
        for (index i = 0; i < panels_; i += per_block_)
          block(s, at(g), range, i, keys, t, extra, squares, sum);
    };
    for (index i = range * per_range_; i < (range + 1) * per_range_; ++i) {
      const span keys{i * height_, std::min((i + 1) * height_, s.keys)};
      if (keys.empty()) break;
      load_keys(s, h, keys, t);
      blocks(keys, false);
      finish_keys(s, h, keys, t, staged, sum);
    }
    if constexpr (has_extra)
      if (range == 0)
        for (index first = 0; first < spec_.extra.slots(); first += height_) {
          const span slots{first, std::min(first + height_, spec_.extra.slots())};
          load_extra(s, h, slots, t);
          blocks(slots, true);
          finish_extra(s, h, slots, t, staged, sum);
        }
  }

  void load_keys(const sequence& s, index h, span keys, tile_rows& t) const {
    for (index j = 0; j < keys.size(); ++j) {
      const row_position at{s.b, h, keys.begin + j, s.slot + keys.begin + j};
      T* const k = t.k + j * q_.width();
      T* const v = t.v + j * v_.width();
      simd::load_row(p_.k.type, p_.k.row(s.batch, h, at.row), p_.k.stride[3], depth(), k);
      simd::transform_row<Arch>(spec_.key, k, depth(), at);
      rewrite_key(k, at);
      simd::load_row(p_.v.type, p_.v.row(s.batch, h, at.row), p_.v.stride[3], value_depth(), v);
      simd::transform_row<Arch>(spec_.value, v, value_depth(), at);
    }
    strip(keys.size(), t);
  }
  void load_extra(const sequence& s, index h, span slots, tile_rows& t) const {
    for (index j = 0; j < slots.size(); ++j) {
      const index slot = slots.begin + j;
      spec_.extra.key(s.b, h, slot, t.k + j * q_.width());
      rewrite_key(t.k + j * q_.width(), {s.b, h, slot, slot});
      spec_.extra.value(s.b, h, slot, t.v + j * v_.width(), value_depth());
    }
    strip(slots.size(), t);
  }
  void rewrite_key(T* row, const row_position& at) const {
    if constexpr (requires { spec_.similarity.template key<Arch>(row, depth(), at); })
      spec_.similarity.template key<Arch>(row, depth(), at);
  }
  void strip(index count, tile_rows& t) const {
    q_.pack(t.k, q_.width(), count, t.k_strips, height_, 0);
    t.finite = simd::all_finite(t.k, q_.width(), count, q_.channels) &&
               simd::all_finite(t.v, v_.width(), count, v_.channels);
  }

  // A block of panels of one head against one key tile.
  void block(const sequence& s, const head& d, index range, index first, span keys,
             const tile_rows& t, bool extra, T* squares, double* sum) const {
    index low = first, high = std::min(first + per_block_, panels_);
    const auto blind = [&](const panel& x) {
      if constexpr (masks)
        if (!extra && x.rows > 0) return x.keys.clip(keys.begin, keys.end).empty();
      return x.rows == 0;
    };
    while (low < high && blind(d.panels[low])) ++low;
    while (low < high && blind(d.panels[high - 1])) --high;
    if (low >= high) return;
    const index count = keys.size(), square = height_ * lanes_per_block();
    const index pitch = (high - 1 - low) * widest + d.panels[high - 1].pitch;
    T* const p = squares;
    T* const ds = squares + square;
    bool hidden = false, finite = t.finite;
    for (index i = low; i < high; ++i) {
      hidden |= weigh(s, d, d.panels[i], keys, t, extra, (i - low) * widest, pitch, squares, sum);
      finite &= d.panels[i].finite;
    }
    const index row = low * widest;
    T* const dq = partial(d, range);
    const bool selected = hidden && !finite;
    const auto onto_keys = [&](const columns<T, Arch>& c, const T* a, const T* b, T* to) {
      if (selected)
        add_rows_selected(c, a, pitch, count, pitch, b, rows_, row, to, height_, false);
      else
        add_rows(c, a, pitch, count, pitch, b, rows_, row, to, height_);
    };
    onto_keys(v_, p, d.d_out_rows, t.dv);
    if constexpr (own) {
      const panel& x = d.panels[low];
      if constexpr (learns<similarity>)
        spec_.similarity.template backward<Arch>(x.vectors, t.k, q_.width(), count, x.q, pitch,
                                                 q_.channels, ds, dq + x.row * q_.width(), t.dk,
                                                 g_.similarity, sum + offset_.similarity);
      else
        spec_.similarity.template backward<Arch>(x.vectors, t.k, q_.width(), count, x.q, pitch,
                                                 q_.channels, ds, dq + x.row * q_.width(), t.dk);
    } else {
      onto_keys(q_, ds, d.q_rows, t.dk);
      if (selected)
        add_rows_selected(q_, ds, pitch, count, pitch, t.k_strips, height_, row, dq, rows_, true);
      else
        add_rows_transposed(q_, ds, pitch, count, pitch, t.k_strips, height_, dq, rows_, row);
    }
  }

  // P and dS of one panel, at lane `lane` of the block; true if the mask hid anything.
  bool weigh(const sequence& s, const head& d, const panel& x, span keys, const tile_rows& t,
             bool extra, index lane, index pitch, T* squares, double* sum) const {
    const index count = keys.size(), square = height_ * lanes_per_block();
    T* const p = squares + lane;
    T* const ds = p + square;
    T* const raw = ds + square;     // scores before the modifiers
    T* const shown = raw + square;  // scores as the normaliser saw them
    T* const spare = squares + 4 * square;
    [[maybe_unused]] const tile at = read_.corner(x, s, keys, pitch);
    const auto copy = [&](const T* from, T* to) {
      for (index j = 0; j < count; ++j) std::copy_n(from + j * pitch, x.pitch, to + j * pitch);
    };
    read_.products(x, t.k, q_.width(), count, p, pitch);
    if constexpr (scores)
      if (!extra) {
        if constexpr (keeps_scores) copy(p, raw);
        T* tables = spare;
        modify_panel<Arch>(spec_.score, at, p, tables);
      }
    bool hidden = false;
    if constexpr (masks)
      if (!extra) {
        const cover inside = read_.covers(x, s, keys);
        if (inside == cover::none || x.keys.clip(keys.begin, keys.end).empty()) {
          for (index j = 0; j < count; ++j) {
            std::fill_n(p + j * pitch, x.pitch, T(0));
            std::fill_n(ds + j * pitch, x.pitch, T(0));
          }
          return true;
        }
        hidden = read_.hide(x, at, keys, inside, p);
      }
    if constexpr (elementwise_weights) copy(p, shown);
    for (index v = 0; v < x.vectors; ++v)
      replay_weights<Arch>(spec_.normalizer, p + v * W, pitch, count, state(d, x.row + v * W));
    for (index j = 0; j < count; ++j)
      std::fill(p + j * pitch + x.rows, p + j * pitch + x.pitch, T(0));
    simd::scores<T, Arch>(x.vectors, t.v, v_.width(), count, x.d_out, x.pitch, value_depth(), ds,
                          pitch);
    if constexpr (edits) scale_weights(at, ds, spare);
    const auto& steps = steps_of(spec_.normalizer);
    const B zero(T(0)), lowest(masked<T> / 2);
    for (index v = 0; v < x.vectors; ++v) {
      const row_state<B> row = state(d, x.row + v * W);
      const B delta = simd::load<T, Arch>(d.delta + x.row + v * W);
      for (index j = 0; j < count; ++j) {
        const index i = j * pitch + v * W;
        const B weight = simd::load<T, Arch>(p + i), dp = simd::load<T, Arch>(ds + i);
        if constexpr (elementwise_weights) {
          const B score = simd::load<T, Arch>(shown + i);
          simd::store(ds + i, simd::select(score <= lowest, zero,
                                           B(steps.dscore(score, weight, dp, delta, row))));
        } else {
          simd::store(ds + i, simd::select(weight == zero, zero,
                                           B(steps.dscore(zero, weight, dp, delta, row))));
        }
      }
    }
    if constexpr (edits) scale_weights(at, p, spare);
    if constexpr (scores)
      if (!extra)
        score_backward<Arch>(spec_.score, g_.score, at, raw, ds, sum + offset_.score, spare);
    for (index j = 0; j < count; ++j)
      std::fill(ds + j * pitch + x.rows, ds + j * pitch + x.pitch, T(0));
    return hidden;
  }
  // x *= the factor that the weights policy puts on each pair.
  void scale_weights(const tile& at, T* x, T* factors) const {
    spec_.weights.template factors<Arch>(at, factors);
    for (index j = 0; j < at.keys; ++j)
      for (index l = 0; l < at.rows; ++l) x[j * at.pitch + l] *= factors[j * at.pitch + l];
  }
  row_state<B> state(const head& d, index row) const {
    return {simd::load<T, Arch>(d.max + row), simd::load<T, Arch>(d.sum + row)};
  }

  // dK' and dV' of one row of the tile, before the prologues.
  void key_gradient(const tile_rows& t, index j, T* k, T* v) const {
    if constexpr (own)
      std::copy_n(t.dk + j * q_.width(), q_.channels, k);
    else
      q_.unpack(t.dk, height_, j, k);
    v_.unpack(t.dv, height_, j, v);
  }
  void finish_keys(const sequence& s, index h, span keys, const tile_rows& t, T* staged,
                   double* sum) const {
    T* const grad = staged;
    T* const value_grad = staged + row_width();
    T* const row = staged + 2 * row_width();
    T* const rest = staged + 4 * row_width();
    for (index j = 0; j < keys.size(); ++j) {
      const row_position at{s.b, h, keys.begin + j, s.slot + keys.begin + j};
      key_gradient(t, j, grad, value_grad);
      if (x_.dk.present() || offset_.value > offset_.key) {
        simd::load_row(p_.k.type, p_.k.row(s.batch, h, at.row), p_.k.stride[3], depth(), row);
        prologue_backward<false>(spec_.key, row, grad, at, g_.key, sum + offset_.key, sum, rest);
        if (x_.dk.present())
          simd::store_row(x_.dk.type, grad, depth(), x_.dk.row(s.batch, h, at.row),
                          x_.dk.stride[3]);
      }
      simd::load_row(p_.v.type, p_.v.row(s.batch, h, at.row), p_.v.stride[3], value_depth(), row);
      transform_row_backward<Arch>(spec_.value, row, value_grad, value_depth(), at, g_.value,
                                   sum + offset_.value, rest);
      if (x_.dv.present())
        simd::store_row(x_.dv.type, value_grad, value_depth(), x_.dv.row(s.batch, h, at.row),
                        x_.dv.stride[3]);
    }
  }
  void finish_extra(const sequence& s, index h, span slots, const tile_rows& t, T* staged,
                    double* sum) const {
    T* const row = staged + 2 * row_width();
    for (index j = 0; j < slots.size(); ++j) {
      const index slot = slots.begin + j;
      key_gradient(t, j, staged, staged + row_width());
      spec_.extra.key(s.b, h, slot, row);
      prologue_backward<false>(none{}, row, staged, {s.b, h, slot, slot}, {}, nullptr, sum, row);
      if constexpr (learns<decltype(Spec::extra)>)
        spec_.extra.add_gradient(g_.extra, s.b, h, slot, staged, staged + row_width(),
                                 sum + offset_.extra);
    }
  }
  void finish_queries(const sequence& s, index h, const head& d, index chunk, arena& scratch) {
    scratch.reserve(0);
    T* const grad = scratch.take<T>(staged_rows() * row_width());
    T* const row = grad + row_width();
    T* const rest = grad + 3 * row_width();
    const index last = std::min((chunk + 1) * per_chunk_ * widest, s.rows);
    for (index r = chunk * per_chunk_ * widest; r < last; ++r) {
      const row_position at{s.b, h, r + s.offset, s.row + r};
      std::fill_n(grad, row_width(), T(0));
      for (index range = 0; range < ranges_; ++range) {
        const T* const from = partial(d, range);
        if constexpr (own) {
          const panel& x = d.panels[r / widest];
          for (index c = 0; c < q_.channels; ++c)
            grad[c] += from[x.row * q_.width() + c * x.pitch + (r - x.row)];
        } else {
          q_.unpack(from, rows_, r, grad, true);
        }
      }
      for (index c = 0; c < q_.channels; ++c) grad[c] *= static_cast<T>(p_.scale);
      simd::load_row(p_.q.type, p_.q.row(s.batch, h, at.row), p_.q.stride[3], depth(), row);
      prologue_backward<true>(spec_.query, row, grad, at, g_.query,
                              unit_sums(chunk) + offset_.query, unit_sums(chunk), rest);
      if (x_.dq.present())
        simd::store_row(x_.dq.type, grad, depth(), x_.dq.row(s.batch, h, at.row), x_.dq.stride[3]);
    }
  }
  // Row transform first, similarity second; so backward the other way round. `x` is overwritten.
  template <bool Query, class F>
  void prologue_backward(const F& f, T* x, T* dx, const row_position& at, const gradient_of<F>& g,
                         double* sum, double* all, T* rest) const {
    T* const seen = rest;
    const auto similarity_backward = [&](const auto&... more) {
      std::copy_n(x, depth(), seen);
      simd::transform_row<Arch>(f, seen, depth(), at);
      if constexpr (Query)
        spec_.similarity.template query_backward<Arch>(seen, dx, depth(), at, more...);
      else
        spec_.similarity.template key_backward<Arch>(seen, dx, depth(), at, more...);
    };
    constexpr bool rewritten = [] {
      if constexpr (Query)
        return requires(const similarity& y, T* r) {
          y.template query<Arch>(r, index{}, row_position{});
        };
      else
        return requires(const similarity& y, T* r) {
          y.template key<Arch>(r, index{}, row_position{});
        };
    }();
    if constexpr (rewritten) {
      if constexpr (learns<similarity>)
        similarity_backward(g_.similarity, all + offset_.similarity);
      else
        similarity_backward();
    }
    transform_row_backward<Arch>(f, x, dx, depth(), at, g, sum, rest + row_width());
  }

  const Spec& spec_;
  const problem& p_;
  const backward_operands& x_;
  const spec_gradients<Spec>& g_;
  row_states<T>& states_;
  sequences<decltype(Spec::plan)> items_;
  panels<T, Arch, Spec> read_;
  columns<T, Arch> q_, v_;
  index rows_ = 0, panels_ = 0, per_chunk_ = 1, chunks_ = 0, height_ = 0;
  index per_range_ = 1, ranges_ = 1, per_block_ = 1;
  struct {
    index score, similarity, normalizer, query, key, value, output, extra, end;
  } offset_{};
  bool turns_ = false;
  double* sums_ = nullptr;
};

}  // namespace heed::detail
