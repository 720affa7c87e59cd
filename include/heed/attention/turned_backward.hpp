// SPDX-License-Identifier: BSL-1.0
// Driver `turned` backward: by blocks of keys, rows that name a block gathered into panels.
//
//   head    keys and values as rows
//   task    a share of the rows of the query heads of one kv head, range after range
//     Q, dO, δ and dQ of the lanes of a range as rows; its lists turned around
//     for each block of keys, each panel of lanes that name it
//       Q and dO gathered as lanes and in strips
//       P = weights(K Qᵀ), dS = dscore(P, V dOᵀ, δ)               [key][lane]
//       dV += P dO, dK += dS Q                                     strips of the block
//       dQ of each lane += its column of Kᵀ dS
//   keys    shares added in their order, back through `.key` and `.value`
//
// 10 · keys · D flops a lane and block. Takes what `patches` does backward; blocks of many rows
// too.
#pragma once

#include <heed/attention/backward_shares.hpp>
#include <heed/attention/block_members.hpp>
#include <heed/score/gradient.hpp>
#include <heed/simd/listed_lanes.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class turned_backward : backward_shares<T, Arch, Spec> {
  using base = backward_shares<T, Arch, Spec>;
  using tuned = simd::shape<T, Arch>;
  using lists = decltype(Spec::mask);
  using base::q_, base::v_, base::depth, base::value_depth, base::row_width, base::staging;
  using base::shares_, base::sum_width_;
  using base::spec_, base::p_, base::x_, base::g_, base::replay_, base::sums_, base::store;
  using base::W, base::widest;
  using typename base::B;

 public:
  static constexpr bool possible =
      std::is_same_v<decltype(Spec::weights), none> && std::is_same_v<decltype(Spec::plan), none> &&
      std::is_same_v<decltype(Spec::extra), none> && !base::own &&
      replays_from_lse<decltype(Spec::normalizer)> && only_shifts<decltype(Spec::score)>();
  static bool suits(const Spec& spec, const problem& p, const backward_operands& x,
                    const spec_gradients<Spec>& g) {
    const gradient_sums<Spec> sums(spec, g);
    return !p.source && !x.observed && !sums.any() && !sums.by_row();
  }

  turned_backward(const Spec& spec, const problem& p, const backward_operands& x,
                  const spec_gradients<Spec>& g, row_states<T>& states)
      : base(spec, p, x, g, states),
        rows_(spec, p),
        layout_(lanes_of(spec.mask, p.shape.group())),
        by_key_(spec.mask, layout_, p.shape.keys),
        row_blocks_((p.shape.queries + layout_.rows - 1) / layout_.rows) {
    const index block = sum_width_ * layout_.lanes_per_block() * index(sizeof(T));
    each_ = std::clamp<index>(2 * tuned::turned_bytes / std::max<index>(block, 1), 1,
                              std::max<index>(row_blocks_, 1));
    const index heads = p.shape.batch * p.shape.kv_heads;
    while (each_ > 1 && heads * ranges() < tuned::tasks) each_ /= 2;
    base::cut(ranges());
  }

  void run(const executor_ref& executor, workspace& scratch) {
    const index heads = rows_.heads(), workers = executor.workers();
    if (heads == 0) return;
    const index size = this->head_bytes(rows_);
    const index wave = heads_in_reverse<T, Arch>(size, heads, workers);
    const index all = heads * ranges();
    arena& shared = scratch.shared();
    shared.reserve(static_cast<std::size_t>(aligned_bytes(all, sizeof(index)) + wave * size +
                                            aligned_bytes(sums_.bytes(), 1)));
    index* const counts = shared.template take<index>(all);
    std::byte* const memory = shared.template take<std::byte>(wave * size);
    sums_.start(shared.template take<std::byte>(sums_.bytes()));
    executor.for_each(all, [&](index i, index) {
      const index of = i / ranges();
      counts[i] =
          by_key_.count(of / p_.shape.kv_heads, of % p_.shape.kv_heads, blocks_of(i % ranges()));
    });
    most_entries_ = all == 0 ? 0 : *std::max_element(counts, counts + all);
    arena_size need;
    task sized;
    take(need, sized);
    const index bytes = std::max(static_cast<index>(need.bytes()),
                                 aligned_bytes(staging() + sum_width_, sizeof(T)));
    scratch.crew(workers, static_cast<std::size_t>(bytes));

    const auto visit_all = [&](index count, const auto& at) {
      executor.for_each(count * shares_, [&](index i, index worker) {
        visit(at(i / shares_), i % shares_, scratch.worker(worker));
      });
    };
    this->template each_wave<masks>(rows_, memory, wave, executor, scratch, visit_all);
  }

 private:
  using inner = std::remove_cvref_t<decltype(std::declval<const lists&>().inside())>;
  using members = block_members<T, Arch, inner>;
  static constexpr bool masks = members::masks, scores = has_score<Spec>;
  using head_type = head_rows<T, Arch, Spec, masks>;

  using head = shared_head<T>;
  struct task : backward_panel<T> {
    T *q_lanes = nullptr, *d_out_lanes = nullptr, *dq_lanes = nullptr;  // rows of the range
    T *max_lanes = nullptr, *sum_lanes = nullptr, *delta_lanes = nullptr;
    unsigned char* finite_lanes = nullptr;
    index* first = nullptr;
    list_entry* entries = nullptr;
    members of_block{};
    index* places = nullptr;
  };

  index ranges() const { return (row_blocks_ + each_ - 1) / each_; }
  span blocks_of(index range) const {
    return {range * each_, std::min((range + 1) * each_, row_blocks_)};
  }
  // P and dS stay in L1.
  static constexpr index most_keys = tuned::key_tile / 2;

  template <class Arena> void take(Arena& source, task& t) const {
    const index lanes = each_ * layout_.lanes_per_block(), block = spec_.mask.block_keys();
    for (T** rows : {&t.q_lanes, &t.dq_lanes}) *rows = source.template take<T>(lanes * q_.width());
    t.d_out_lanes = source.template take<T>(lanes * v_.width());
    for (T** each : {&t.max_lanes, &t.sum_lanes, &t.delta_lanes})
      *each = source.template take<T>(lanes);
    t.finite_lanes = source.template take<unsigned char>(lanes);
    t.first = source.template take<index>(by_key_.key_blocks() + 1);
    t.entries = source.template take<list_entry>(most_entries_);
    t.of_block.take(source, lanes);
    t.places = source.template take<index>(most_keys);
    for (T** rows : {&t.q, &t.q_rows, &t.dq}) *rows = source.template take<T>(widest * q_.width());
    for (T** rows : {&t.d_out, &t.d_out_rows}) *rows = source.template take<T>(widest * v_.width());
    for (T** each : {&t.max, &t.sum, &t.delta}) *each = source.template take<T>(widest);
    for (T** each : {&t.p, &t.ds}) *each = source.template take<T>(most_keys * widest);
    t.dk = source.template take<T>(block * q_.width());
    t.dv = source.template take<T>(block * v_.width());
    t.staged = source.template take<T>(staging());
  }

  void visit(const head& d, index share, arena& scratch) {
    scratch.reserve(0);
    task t;
    take(scratch, t);
    d.touched[share] = {};
    for (index i = ranges() * share / shares_; i < ranges() * (share + 1) / shares_; ++i) {
      const span blocks = blocks_of(i);
      lane_range at{};
      at.s = d.s, at.layout = layout_, at.kv = d.kv;
      at.first_row = blocks.begin * layout_.rows;
      at.lanes = blocks.size() * layout_.lanes_per_block();
      by_key_.turn(d.s.b, d.kv, blocks, t.first, t.entries);
      stage(at, t);
      for (index block = 0; block < by_key_.key_blocks(); ++block)
        visit_block(d, share, at, block, t);
      finish_queries(at, t);
    }
  }

  void stage(const lane_range& at, task& t) {
    T* const wide = t.staged;
    T* const out = wide + row_width();
    for (index lane = 0; lane < at.lanes; ++lane) {
      T* const row = t.q_lanes + lane * q_.width();
      T* const grad = t.d_out_lanes + lane * v_.width();
      std::fill_n(t.dq_lanes + lane * q_.width(), q_.width(), T(0));
      if (!at.exists(lane)) continue;
      const index r = at.row(lane);
      const row_position here{at.s.b, at.head(lane), r + at.s.offset, r};
      replay_.read.load(here, at.s.batch, 1, wide);
      simd::map_row<Arch>(wide, q_.channels, [scale = static_cast<T>(p_.scale)](auto y) {
        return y * decltype(y)(scale);
      });
      std::fill_n(row, q_.width(), T(0));
      std::copy_n(wide, q_.channels, row);
      this->load_gradient(here, at.s.batch, wide, out, sums_.of(0));
      std::fill_n(grad, v_.width(), T(0));
      std::copy_n(wide, v_.channels, grad);
      const row_state<T> state = replay_.states(at.s.b, here.h, r);
      t.max_lanes[lane] = state.max, t.sum_lanes[lane] = state.sum;
      t.delta_lanes[lane] = this->product(grad, out) - this->lse_gradient(here, at.s.batch);
      t.finite_lanes[lane] = !masks || (simd::all_finite(row, 1, 1, q_.channels) &&
                                        simd::all_finite(grad, 1, 1, v_.channels));
    }
  }

  void visit_block(const head& d, index share, const lane_range& at, index block, task& t) {
    const std::span<const list_entry> listed(t.entries + t.first[block],
                                             t.entries + t.first[block + 1]);
    const index size = spec_.mask.block_keys();
    const span keys = at.s.within({block * size, (block + 1) * size});
    if (listed.empty() || keys.empty()) return;
    bool any = false;
    for (index g = 0; g < (scores ? layout_.group : 1); ++g)
      each_panel<T, Arch>(t.of_block.gather(spec_.mask.inside(), at, keys, listed, scores ? g : -1),
                          [&](index first, index lanes) {
                            if (!any) std::fill_n(t.dk, keys.size() * q_.width(), T(0));
                            if (!any) std::fill_n(t.dv, keys.size() * v_.width(), T(0));
                            any = true;
                            begin(first, lanes, t);
                            const span seen = t.of_block.hull(keys, first, lanes);
                            for (index key = seen.begin; key < seen.end; key += most_keys)
                              step(d, at, keys, {key, std::min(key + most_keys, seen.end)}, first,
                                   t);
                            merge(first, t);
                          });
    if (!any) return;
    T* const sums = base::sums_of(d, share);
    this->touch(keys, d.touched[share], sums);
    for (index j = 0; j < keys.size(); ++j) this->add_row(t, keys.size(), j, sums, keys.begin + j);
  }

  void begin(index first, index lanes, task& t) const {
    t.rows = lanes, t.vectors = (lanes + W - 1) / W, t.pitch = t.vectors * W;
    t.finite = true;
    const row_state<T> empty = replayed<T>(-std::numeric_limits<double>::infinity());
    for (index v = 0; v < t.vectors; ++v) {
      index q_at[W], d_at[W];
      const index some = std::min(W, lanes - v * W);
      for (index i = 0; i < W; ++i) {
        const index to = v * W + i;
        if (i >= some) {
          t.max[to] = empty.max, t.sum[to] = empty.sum, t.delta[to] = T(0);
          continue;
        }
        const index lane = t.of_block.lane[first + to];
        q_at[i] = lane * q_.width(), d_at[i] = lane * v_.width();
        t.max[to] = t.max_lanes[lane], t.sum[to] = t.sum_lanes[lane];
        t.delta[to] = t.delta_lanes[lane];
        t.finite &= t.finite_lanes[lane] != 0;
        q_.pack(t.q_lanes + q_at[i], 0, 1, t.q_rows, t.pitch, to);
        v_.pack(t.d_out_lanes + d_at[i], 0, 1, t.d_out_rows, t.pitch, to);
      }
      simd::listed_to_lanes<T, Arch>(t.q_lanes, 1, q_at, some, q_.channels, T(1), t.q + v * W,
                                     t.pitch);
      simd::listed_to_lanes<T, Arch>(t.d_out_lanes, 1, d_at, some, v_.channels, T(1),
                                     t.d_out + v * W, t.pitch);
    }
    simd::clear<T, Arch>(t.vectors, t.pitch, q_.channels, t.dq);
  }

  void step(const head& d, const lane_range& at, span block, span keys, index first,
            task& t) const {
    const index count = keys.size();
    const rows_of_head<T>& rows = d.rows;
    const T* const k = rows.k + keys.begin * rows.k_stride;
    simd::scores<T, Arch>(t.vectors, k, rows.k_stride, count, t.q, t.pitch, q_.channels, t.p);
    if constexpr (scores)
      t.of_block.modify(spec_.score, at, keys, first, t.rows, t.places, t.p, t.pitch);
    [[maybe_unused]] bool hidden = false;
    if constexpr (masks)
      hidden = t.of_block.hide(spec_.mask.inside(), at, keys, first, t.rows, t.p, t.pitch);
    simd::scores<T, Arch>(t.vectors, rows.v + keys.begin * rows.v_stride, rows.v_stride, count,
                          t.d_out, t.pitch, value_depth(), t.ds);
    this->slopes(t, count, hidden);
    // Lanes beyond the last have no rows in the strips.
    const bool selected = (hidden && !(all_finite(d, keys) && t.finite));
    this->add_to_keys(t, count, block.size(), keys.begin - block.begin, selected, t.rows);
    (selected ? simd::accumulate_selected<T, Arch>
              : simd::accumulate<T, Arch>)(t.vectors, t.ds, t.pitch, count, k, rows.k_stride, 4,
                                           q_.channels, t.dq);
  }
  bool all_finite([[maybe_unused]] const head& d, [[maybe_unused]] span keys) const {
    bool all = true;
    if constexpr (masks)
      for (index i = keys.begin / head_type::piece; i * head_type::piece < keys.end; ++i)
        all &= d.finite[i] != 0;
    return all;
  }

  // dQ of a panel to that of its lanes.
  void merge(index first, task& t) const {
    T ones[W];
    std::fill_n(ones, W, T(1));
    for (index v = 0; v < t.vectors; ++v) {
      const index some = std::min(W, t.rows - v * W);
      simd::from_lanes<T, Arch>(t.dq + v * W, t.pitch, some, q_.channels, ones, t.staged,
                                row_width());
      for (index i = 0; i < some; ++i) {
        T* const to = t.dq_lanes + t.of_block.lane[first + v * W + i] * q_.width();
        const T* const from_row = t.staged + i * row_width();
        for (index c = 0; c < q_.channels; ++c) to[c] += from_row[c];
      }
    }
  }

  void finish_queries(const lane_range& at, task& t) {
    if (!x_.dq.present()) return;
    T* const grad = t.staged;
    T* const row = grad + row_width();
    double* const sum = sums_.of(0);
    for (index lane = 0; lane < at.lanes; ++lane) {
      if (!at.exists(lane)) continue;
      const index r = at.row(lane);
      const row_position here{at.s.b, at.head(lane), r + at.s.offset, r};
      const T* const dq = t.dq_lanes + lane * q_.width();
      for (index c = 0; c < q_.channels; ++c) grad[c] = dq[c] * static_cast<T>(p_.scale);
      if constexpr (base::template has_prologue<true, decltype(Spec::query)>())
        simd::load_row(p_.q.type, p_.q.row(at.s.b, here.h, r), p_.q.stride[3], depth(), row);
      this->template prologue_backward<true>(spec_.query, row, grad, here, g_.query,
                                             sum + sums_.query, sum, row + row_width());
      store(x_.dq, grad, depth(), at.s.b, here.h, r);
    }
  }

  head_type rows_;
  lane_layout layout_;
  turned_lists<lists> by_key_;
  index row_blocks_, each_ = 1, most_entries_ = 0;
};

}  // namespace heed::detail
