// SPDX-License-Identifier: BSL-1.0
// The tile loop backward: one replay over key tiles.
//
//   rows     Q and dO of the query heads in flight, packed both ways; δ = Σ dO·O
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
// Memory: about (4 + ranges) · Lq · D elements a query head in flight.
#pragma once

#include <heed/attention/backward_rows.hpp>
#include <heed/attention/in_flight.hpp>
#include <heed/score/gradient.hpp>
#include <heed/weights/concept.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class backward : backward_rows<T, Arch, Spec> {
  using rows = backward_rows<T, Arch, Spec>;
  using tuned = typename rows::from::tuned;
  using rows::located, rows::partial, rows::store, rows::is_zero;
  using rows::q_, rows::v_, rows::depth, rows::value_depth, rows::row_width, rows::staging;
  using rows::spec_, rows::p_, rows::x_, rows::g_, rows::replay_, rows::plan_, rows::sums_;
  using rows::W, rows::widest, rows::masks, rows::own;
  using typename rows::B, typename rows::head, typename rows::similarity;
  static constexpr bool keeps_scores = needs_scores<decltype(Spec::score)>();
  static constexpr bool elementwise_weights = rows::from::elementwise_weights;
  static constexpr bool edits = scales_weights<decltype(Spec::weights), Arch, T>;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;
  // Panels of keys and queries: raw scores and those shown to the normaliser only where asked for.
  static constexpr index squares = 2 + keeps_scores + elementwise_weights;

  // One key tile: rows, the keys also in strips, and what is summed for them.
  struct tile_rows {
    T *k, *k_strips, *v, *dk, *dv;
    bool finite;
  };

 public:
  backward(const Spec& spec, const problem& p, const backward_operands& x,
           const spec_gradients<Spec>& g, row_states<T>& states)
      : rows(spec, p, x, g, states),
        per_block_(own ? 1 : std::max<index>(1, tuned::backward_rows / widest)) {
    pieces counter(nullptr);
    located(counter);
    head_bytes_ = counter.used();
  }

  void run(executor_ref executor, workspace& scratch) {
    const index heads = replay_.heads(), group = p_.shape.group(), ranges = plan_.ranges;
    const index workers = executor.workers(), size = head_bytes_ * group;
    const index wave = heads_in_reverse<T, Arch>(size, heads, workers);
    scratch.shared().reserve(static_cast<std::size_t>(wave * size + sums_.bytes()));
    scratch.crew(workers, static_cast<std::size_t>(task_bytes()));
    std::byte* const base = scratch.shared().data();
    sums_.start(base + wave * size);

    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first), query_heads = count * group;
      const auto at = [&](index i) {
        pieces memory(base + i * head_bytes_);
        return located(memory);
      };
      // Rows that add to common sums are visited head by head, chunks side by side.
      const auto by_row = [&](bool in_turn, auto f) {
        executor.for_each(
            in_turn ? plan_.chunks : plan_.chunks * query_heads, [&](index task, index worker) {
              const index chunk = in_turn ? task : task % plan_.chunks;
              for (index i = in_turn ? 0 : task / plan_.chunks; i < query_heads; ++i) {
                const index kv = first + i / group;
                f(replay_.item(kv), replay_.kv_head(kv) * group + i % group, at(i), chunk,
                  scratch.worker(worker));
                if (!in_turn) break;
              }
            });
      };
      by_row(sums_.by_row(), [&](const sequence& s, index h, const head& d, index chunk, arena& a) {
        rows::prepare(s, h, d, chunk, a);
      });
      const bool in_turn = sums_.any();
      executor.for_each(
          in_turn ? sums_.units(ranges) : count * ranges, [&](index task, index worker) {
            for (index i = in_turn ? 0 : task; i < count * ranges; ++i) {
              const index kv = first + i / ranges, unit = sums_.unit(kv, i % ranges, ranges);
              if (in_turn && unit != task) continue;
              visit(
                  replay_.item(kv), replay_.kv_head(kv), i % ranges,
                  [&](index g) { return at(i / ranges * group + g); }, sums_.of(unit),
                  scratch.worker(worker));
              if (!in_turn) break;
            }
          });
      if (x_.dq.present() || sums_.any())
        by_row(sums_.any(), [&](const sequence& s, index h, const head& d, index chunk, arena& a) {
          rows::finish_queries(s, h, d, chunk, a);
        });
    }
    sums_.deliver();
  }

 private:
  index lanes_per_block() const { return per_block_ * widest; }
  index square() const { return plan_.height * lanes_per_block(); }
  // What a block of queries against a key tile takes besides the tile itself.
  index block_scratch() const {
    return (squares + links<decltype(Spec::score)>() + edits) * square() +
           2 * scratch_of(spec_.score, lanes_per_block(), plan_.height);
  }
  index task_bytes() const {
    return 3 * aligned_bytes(plan_.height * q_.width(), sizeof(T)) +
           2 * aligned_bytes(plan_.height * v_.width(), sizeof(T)) +
           aligned_bytes(block_scratch(), sizeof(T)) + aligned_bytes(staging(), sizeof(T));
  }

  template <class At>
  void visit(const sequence& s, index h, index range, At at, double* sum, arena& scratch) const {
    scratch.reserve(0);
    tile_rows t{};
    t.finite = true;
    t.k = scratch.take<T>(plan_.height * q_.width());
    t.k_strips = scratch.take<T>(plan_.height * q_.width());
    t.v = scratch.take<T>(plan_.height * v_.width());
    t.dk = scratch.take<T>(plan_.height * q_.width());
    t.dv = scratch.take<T>(plan_.height * v_.width());
    T* const staged = scratch.take<T>(staging());
    T* const memory = scratch.take<T>(block_scratch());
    const index group = p_.shape.group();
    for (index g = 0; g < group; ++g)
      std::fill_n(partial(at(g), range), plan_.rows * q_.width(), T(0));
    const auto blocks = [&](span keys, bool extra) {
      std::fill_n(t.dk, plan_.height * q_.width(), T(0));
      std::fill_n(t.dv, plan_.height * v_.width(), T(0));
      if (s.rows == 0) return;
      q_.pack(t.k, q_.width(), keys.size(), t.k_strips, plan_.height, 0);
      if constexpr (masks)
        t.finite = simd::all_finite(t.k, q_.width(), keys.size(), q_.channels) &&
                   simd::all_finite(t.v, v_.width(), keys.size(), v_.channels);
      for (index g = 0; g < group; ++g)
        for (index i = 0; i < plan_.panels; i += per_block_)
          block(s, at(g), range, i, keys, t, extra, memory, sum);
    };
    for (index i = 0; i < plan_.tiles_per_range; ++i) {
      const span keys = plan_.tile(range, i, s.keys);
      if (keys.empty()) break;
      if (s.rows > 0) {  // else keys and values may be absent
        replay_.load_keys(s, h, keys, t.k);
        load_values<Arch>(spec_, p_, s, h, keys, v_.width(), t.v);
      }
      blocks(keys, false);
      finish_keys(s, h, keys, t, staged, sum);
    }
    if constexpr (has_extra)
      if (range == 0)
        for (index first = 0; first < spec_.extra.slots(); first += plan_.height) {
          const span slots{first, std::min(first + plan_.height, spec_.extra.slots())};
          load_extra<Arch>(spec_, p_.shape, s.b, h, slots, q_.width(), t.k, v_.width(), t.v);
          blocks(slots, true);
          finish_extra(s, h, slots, t, staged, sum);
        }
  }

  // A block of panels of one head against one key tile. Where a mask cuts through it, a few keys at
  // a time, so that little is computed that nobody sees.
  void block(const sequence& s, const head& d, index range, index first, span keys,
             const tile_rows& t, bool extra, T* memory, double* sum) const {
    const index last = std::min(first + per_block_, plan_.panels);
    bool cut = false;
    if constexpr (masks && !own)
      for (index i = first; i < last && !extra; ++i)
        cut |= d.panels[i].rows > 0 && d.panels[i].keys.common(keys) != keys;
    const index height = cut ? tuned::backward_cut : keys.size();
    for (index k = keys.begin; k < keys.end; k += height)
      piece(s, d, range, first, last, {k, std::min(k + height, keys.end)}, keys.begin, t, extra,
            memory, sum);
  }
  void piece(const sequence& s, const head& d, index range, index first, index last, span keys,
             index tile_begin, const tile_rows& t, bool extra, T* memory, double* sum) const {
    // Lanes of the block that see any of the keys: [begin, end), whole vectors.
    index begin = -1, end = 0, at = 0;
    for (index i = first; i < last; ++i) {
      const auto& x = d.panels[i];
      const bool blind = extra ? x.rows == 0 : replay_.blind(x, keys);
      for (index v = 0; v < x.vectors; ++v, at += W) {
        if (blind || (!extra && !own && replay_.seen(x, v, keys).empty())) continue;
        if (begin < 0) begin = own ? at - v * W : at;
        end = at + W;
      }
      if (own && !blind) end = at;
    }
    if (begin < 0) return;
    const index count = keys.size(), offset = keys.begin - tile_begin;
    const index pitch = end - begin, row = first * widest + begin;
    bool hidden = false, finite = t.finite;
    at = 0;
    for (index i = first; i < last; ++i) {
      const auto& x = d.panels[i];
      const index low = std::max<index>(begin - at, 0) / W, high = std::min(end - at, x.pitch) / W;
      if (low < high) {
        hidden |= weigh(s, d, replay_.read.part(x, low, high),
                        d.d_out + x.row * v_.width() + low * W, keys, offset, t, extra, pitch,
                        memory + at + low * W - begin, memory + squares * square(), sum);
        finite &= !masks || d.finite[i] != 0;
      }
      at += x.pitch;
    }
    T* const p = memory;
    T* const ds = memory + square();
    T* const dq = partial(d, range);
    const bool selected = hidden && !finite;
    const auto onto_keys = [&](const columns<T, Arch>& c, const T* a, const T* b, T* to) {
      if (selected)
        add_rows_selected(c, a, pitch, count, pitch, b, plan_.rows, row, to, plan_.height, offset,
                          false);
      else
        add_rows(c, a, pitch, count, pitch, b, plan_.rows, row, to, plan_.height, offset);
    };
    onto_keys(v_, p, d.d_out_rows, t.dv);
    if constexpr (own) {
      const auto& x = d.panels[first];
      const auto add = [&](const auto&... more) {
        spec_.similarity.template backward<Arch>(x.vectors, t.k, q_.width(), count, x.q, pitch,
                                                 q_.channels, ds, dq + x.row * q_.width(), t.dk,
                                                 more...);
      };
      if constexpr (learns<similarity>)
        add(g_.similarity, sum + sums_.similarity);
      else
        add();
    } else {
      onto_keys(q_, ds, d.q_rows, t.dk);
      if (selected)
        add_rows_selected(q_, ds, pitch, count, pitch, t.k_strips, plan_.height, offset, dq,
                          plan_.rows, row, true);
      else
        add_rows_transposed(q_, ds, pitch, count, pitch, t.k_strips, plan_.height, offset, dq,
                            plan_.rows, row);
    }
  }

  // P and dS of one panel, P at `p`, dS a square on; true if the mask hid anything.
  template <class Panel>
  bool weigh(const sequence& s, const head& d, const Panel& x, const T* d_out, span keys,
             index offset, const tile_rows& t, bool extra, index pitch, T* p, T* spare,
             double* sum) const {
    const index count = keys.size();
    T* const ds = p + square();
    T* const raw = keeps_scores ? ds + square() : nullptr;
    T* const shown = elementwise_weights ? ds + (1 + keeps_scores) * square() : nullptr;
    const bool hidden = replay_.weights(s, d, x, keys, t.k + offset * q_.width(), pitch,
                                        {raw, shown, extra}, p, spare);
    simd::scores<T, Arch>(x.vectors, t.v + offset * v_.width(), v_.width(), count, d_out, x.pitch,
                          value_depth(), ds, pitch);
    const tile at = replay_.read.corner(x, s, keys, pitch);
    const bool edited = edits && !extra;
    if constexpr (edits)
      if (edited) scale_gradient(at, p, ds, spare, sum);
    if (x_.observed && !extra) x_.observed->add(at, p, ds);
    const auto& steps = steps_of(spec_.normalizer);
    const B zero(T(0)), lowest(masked<T> / 2);
    for (index v = 0; v < x.vectors; ++v) {
      const row_state<B> row = replay_.state(d, x.row + v * W);
      const B delta = simd::load<T, Arch>(d.delta + x.row + v * W);
      for (index i = v * W; i < count * pitch; i += pitch) {
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
    if (edited)
      for (index i = 0; i < count * pitch; i += pitch)
        for (index l = i; l < i + x.vectors * W; l += W)
          simd::store(p + l, B(simd::load<T, Arch>(p + l) * simd::load<T, Arch>(spare + l)));
    if constexpr (has_score<Spec>)
      if (!extra)
        score_backward<Arch>(spec_.score, g_.score, at, raw, ds, sum + sums_.score, spare);
    for (index j = 0; j < count; ++j)
      std::fill(ds + j * pitch + x.rows, ds + j * pitch + x.vectors * W, T(0));
    return hidden;
  }
  // dP from the derivative by the edited weights; the factors stay in `factors`.
  void scale_gradient(const tile& at, const T* p, T* dp, T* factors, double* sum) const {
    if constexpr (learns<decltype(Spec::weights)>)
      spec_.weights.template add_gradient<Arch>(g_.weights, at, p, dp, sum + sums_.weights);
    spec_.weights.template factors<Arch, T>(at, [dp, factors](index i, const B& f) {
      simd::store(factors + i, f);
      simd::store(dp + i, B(simd::load<T, Arch>(dp + i) * f));
    });
  }

  // dK' and dV' of one row of the tile, before the prologues.
  void key_gradient(const tile_rows& t, index j, T* k, T* v) const {
    if constexpr (own)
      std::copy_n(t.dk + j * q_.width(), q_.channels, k);
    else
      q_.unpack(t.dk, plan_.height, j, k);
    v_.unpack(t.dv, plan_.height, j, v);
  }
  void finish_keys(const sequence& s, index h, span keys, const tile_rows& t, T* staged,
                   double* sum) const {
    T* const grad = staged;
    T* const value_grad = staged + row_width();
    T* const row = staged + 2 * row_width();
    T* const rest = staged + 3 * row_width();
    for (index j = 0; j < keys.size(); ++j) {
      const row_position at{s.b, h, keys.begin + j, s.slot + keys.begin + j};
      key_gradient(t, j, grad, value_grad);
      if constexpr (rows::template has_prologue<false, decltype(Spec::key)>())
        if (s.rows > 0) p_.load_key(s.batch, h, at.row, row);
      rows::template prologue_backward<false>(spec_.key, row, grad, at, g_.key, sum + sums_.key,
                                              sum, rest);
      store(x_.dk, grad, depth(), s.batch, h, at.row);
      if constexpr (!std::is_same_v<decltype(Spec::value), none>)
        if (!is_zero(value_grad, value_depth())) {
          p_.load_value(s.batch, h, at.row, row);
          transform_row_backward<Arch>(spec_.value, row, value_grad, value_depth(), at, g_.value,
                                       sum + sums_.value, rest);
        }
      store(x_.dv, value_grad, value_depth(), s.batch, h, at.row);
    }
  }
  void finish_extra(const sequence& s, index h, span slots, const tile_rows& t, T* staged,
                    double* sum) const {
    T* const grad = staged;
    T* const value_grad = staged + row_width();
    T* const row = staged + 2 * row_width();
    for (index j = 0; j < slots.size(); ++j) {
      const index slot = slots.begin + j;
      key_gradient(t, j, grad, value_grad);
      spec_.extra.key(s.b, h, slot, row);
      rows::template prologue_backward<false>(none{}, row, grad, {s.b, h, slot, slot}, {}, nullptr,
                                              sum, row + row_width());
      if constexpr (learns<decltype(Spec::extra)>)
        spec_.extra.add_gradient(g_.extra, s.b, h, slot, grad, value_grad, sum + sums_.extra);
    }
  }
  index per_block_, head_bytes_ = 0;
};

}  // namespace heed::detail
