// SPDX-License-Identifier: BSL-1.0
// Driver `stream`: the tile loop with an online normaliser.
//
//   head    keys and values of one kv head (kv_heads.hpp)
//   task    a block of queries of the heads that share a kv head, as panels of three vectors
//   for each key tile that a query of the task may see
//     for each panel                       all steps before the next panel: S stays in L1
//       S  = K Qᵀ                          [key][lane]
//       S  = mask(score(S))                only where a score modifier or a partly masked tile asks
//       P  = absorb(S)                     running maximum and sum, rescale only where it moved
//       Oᵀ += Vᵀ P                         [channel][lane]
//   finish  O · factor, transposed out, lse
//
// Where a mask lists blocks (mask/blocks.hpp), panels end where its blocks of rows do and take the
// listed keys alone; the mask that is asked is the one inside the blocks.
//
// Cost per task: 4 · rows · keys · D flops for one pass over K and V from L2; Q, O and S of the
// task are the only scratch: (rows · (D + Dv) + key_tile · panel) elements a worker. A panel never
// depends on its neighbours: blocks and threads change no bit.
#pragma once

#include <heed/attention/absorb.hpp>
#include <heed/attention/in_flight.hpp>
#include <heed/attention/kv_heads.hpp>
#include <heed/attention/listed_runs.hpp>
#include <heed/attention/span_list.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/score/concept.hpp>
#include <heed/score/fetch.hpp>
#include <heed/simd/tile.hpp>
#include <heed/weights/concept.hpp>

namespace heed::detail {

template <class T, class Spec> struct stream_panel : query_panel<T, Spec> {
  T* o = nullptr;
  T* max = nullptr;
  T* sum = nullptr;
  T* shown = nullptr;   // scores for the observer
  bool summed = false;  // whether o may be more than zeros
};

template <class T, class Arch, class Spec, class Blocks = none> class stream {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, widest = tuned::panel, key_tile = tuned::key_tile;
  static constexpr bool masks = has_mask<Spec>, listed = !std::is_same_v<Blocks, none>;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;
  using panel = stream_panel<T, Spec>;

 public:
  stream(const Spec& spec, const problem& p, const Blocks* lists = nullptr)
      : spec_(spec),
        p_(p),
        lists_(lists),
        items_{p, spec.plan},
        kv_(spec, p, items_),
        read_{spec, p},
        scale_(query_scale<T, Arch>(spec, p.scale)),
        group_(p.shape.group()),
        width_(read_.width),
        channels_(kv_.channels()),
        heads_per_task_(std::clamp<index>(std::min(group_, sharing()), 1, 2 * tuned::panels)),
        chunks_((group_ + heads_per_task_ - 1) / heads_per_task_),
        watched_(p.to.observe ? p.to.observe->wants() : observer::needs::rows) {
    // Blocks of four panels, fewer where that leaves too few tasks to share out.
    const index queries = items_.longest_queries();
    panels_per_head_ = std::max<index>(1, tuned::panels / heads_per_task_);
    if constexpr (listed) {
      const index rows = lists_->block_rows();
      panel_rows_ = even_panel<T, Arch>(rows);
      panels_per_head_ = std::min(panels_per_head_, (rows + panel_rows_ - 1) / panel_rows_);
    }
    const auto blocks = [&] {
      if constexpr (listed)
        return pieces() * ((queries + lists_->block_rows() - 1) / lists_->block_rows());
      else
        return (queries + rows_per_block() - 1) / rows_per_block();
    };
    while (panels_per_head_ > 1 &&
           items_.count() * p.shape.kv_heads * chunks_ * blocks() < tuned::tasks)
      panels_per_head_ /= 2;
    blocks_ = blocks();
  }

  void run(executor_ref executor, workspace& scratch) const {
    const index heads = items_.count() * p_.shape.kv_heads;
    if (heads == 0 || blocks_ == 0) return;
    const index size = kv_.bytes(), workers = executor.workers(), tiles = kv_.tiles();
    const index tasks = blocks_ * chunks_;
    const index wave = heads_in_flight<T, Arch>(size, heads, workers);
    scratch.shared().reserve(static_cast<std::size_t>(wave * size));
    std::byte* const packed = scratch.shared().data();
    scratch.crew(workers, static_cast<std::size_t>(task_bytes()));

    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first);
      for (index i = 0; i < count && size > 0; ++i) kv_.start(packed + i * size);
      // Workers without a task would leave all packing to the others.
      if (size > 0 && count * tasks < workers)
        executor.for_each(count * tiles, [&](index task, index worker) {
          const index head = first + task / tiles, h = head % p_.shape.kv_heads;
          const sequence s = items_(head / p_.shape.kv_heads, h);
          scratch.worker(worker).reserve(0);
          kv_.need(kv_.located(s, h, packed + task / tiles * size), s, h, task % tiles,
                   task % tiles + 1, scratch.worker(worker).template take<T>(kv_.staged_values()));
        });
      // Heads one after another, so that workers share K and V; long causal blocks first.
      executor.for_each(count * tasks, [&](index task, index worker) {
        const index i = task / tasks, block = blocks_ - 1 - task % tasks / chunks_;
        attend(first + i, task % chunks_, block, packed + i * size, scratch.worker(worker));
      });
    }
  }

 private:
  index rows_per_block() const { return panels_per_head_ * panel_rows_; }
  // Tasks of a listed block of rows.
  index pieces() const { return (lists_->block_rows() + rows_per_block() - 1) / rows_per_block(); }
  span rows_of(index block, const sequence& s) const {
    if constexpr (listed) {
      const index rows = lists_->block_rows(), first = block / pieces() * rows,
                  from = first + block % pieces() * rows_per_block();
      return {from, std::min({from + rows_per_block(), first + rows, s.rows})};
    } else {
      return {block * rows_per_block(), std::min((block + 1) * rows_per_block(), s.rows)};
    }
  }
  // Heads that may share a task: those of a kv head, where blocks are listed those with the same
  // lists.
  index sharing() const {
    if constexpr (listed) {
      const index heads = lists_->block_heads();
      return heads >= group_ || (heads <= 2 * tuned::panels && group_ % heads == 0) ? heads : 1;
    } else {
      return group_;
    }
  }
  index tallest() const { return std::max(key_tile, kv_.extra()); }
  index staged_width() const { return std::max({width_, p_.shape.depth, channels_}); }
  index shown_size() const { return watched_ == observer::needs::scores ? tallest() * widest : 0; }
  index task_bytes() const {
    const index per_panel =
        aligned_bytes(width_ * widest, sizeof(T)) + aligned_bytes(channels_ * widest, sizeof(T)) +
        aligned_bytes(2 * widest, sizeof(T)) +
        (masks ? aligned_bytes(lane_intervals::scratch(widest), sizeof(index)) : 0);
    const index panels = heads_per_task_ * panels_per_head_;
    return aligned_bytes(panels, sizeof(panel)) + panels * per_panel +
           aligned_bytes(tallest() * widest, sizeof(T)) + aligned_bytes(shown_size(), sizeof(T)) +
           aligned_bytes(scratch_of(spec_.score, widest, tallest()), sizeof(T)) +
           aligned_bytes(W * staged_width(), sizeof(T)) +
           aligned_bytes(kv_.staged_values(), sizeof(T));
  }

  void attend(index head, index chunk, index block, std::byte* packed, arena& scratch) const {
    const index kv = head % p_.shape.kv_heads;
    const sequence s = items_(head / p_.shape.kv_heads, kv);
    const span rows = rows_of(block, s);
    if (rows.empty()) return;
    scratch.reserve(0);
    panel* const panels = scratch.take<panel>(heads_per_task_ * panels_per_head_);
    T* const weights = scratch.take<T>(tallest() * widest);
    T* const tables = scratch.take<T>(scratch_of(spec_.score, widest, tallest()));
    T* const staged = scratch.take<T>(W * staged_width());
    T* const values = scratch.take<T>(kv_.staged_values());
    T* const shown = shown_size() ? scratch.take<T>(shown_size()) : nullptr;
    index count = 0;
    for (index g = chunk * heads_per_task_; g < std::min((chunk + 1) * heads_per_task_, group_);
         ++g)
      for (index row = rows.begin; row < rows.end; row += panel_rows_) {
        panel& p = *new (panels + count++) panel{};
        p.h = kv * group_ + g, p.row = row, p.rows = std::min(panel_rows_, rows.end - row);
        p.shown = shown;
        begin(p, s, staged, scratch);
      }

    const kv_head<T> from = kv_.located(s, kv, packed);
    if constexpr (has_extra) {
      kv_.need(from, s, kv, 0, 1, values);
      for (index i = 0; i < count; ++i) visit_extra(panels[i], from, weights);
    }
    const auto over = [&](span keys, index tile, cover inside = cover::some) {
      const index end = (keys.end + key_tile - 1) / key_tile;
      for (index t = tile; t < end; ++t) kv_.need(from, s, kv, t, end, values);
      for (; tile < end; ++tile) {
        const span some{std::max(listed ? keys.begin : 0, tile * key_tile),
                        std::min(listed ? keys.end : s.keys, (tile + 1) * key_tile)};
        for (index i = 0; i < count; ++i)
          step(panels[i], s, from, tile, some, inside, weights, tables);
      }
      return tile;
    };
    if constexpr (listed) {
      listed_runs(*lists_, s, panels[0].h, rows.begin / lists_->block_rows(),
                  [&](span keys, cover inside) { over(keys, keys.begin / key_tile, inside); });
    } else if constexpr (masks) {
      span_list visits;
      for (index i = 0; i < count; ++i)
        for (index r = 0; r < panels[i].keys.count; ++r) visits.add(panels[i].keys.hull[r]);
      index next = 0;
      for (const span keys : visits) next = over(keys, std::max(keys.begin / key_tile, next));
    } else {
      over({0, s.keys}, 0);
    }
    for (index i = 0; i < count; ++i) finish(panels[i], s, staged);
  }

  // Q packed and scaled, accumulators empty, key intervals known.
  void begin(panel& p, const sequence& s, T* staged, arena& scratch) const {
    p.vectors = (p.rows + W - 1) / W;
    p.pitch = p.vectors * W;
    p.q = scratch.take<T>(width_ * p.pitch);
    p.o = scratch.take<T>(channels_ * p.pitch);
    p.max = scratch.take<T>(2 * p.pitch);
    p.sum = p.max + p.pitch;
    read_.to_lanes(p, s, static_cast<T>(scale_.exact), staged);
    simd::clear<T, Arch>(p.vectors, p.pitch, channels_, p.o);
    const row_state<T> start =
        steps_of(spec_.normalizer)
            .template start<T>(row_position{s.b, p.h, p.row + s.offset, s.row + p.row});
    std::fill_n(p.max, p.pitch, start.max);
    std::fill_n(p.sum, p.pitch, start.sum);
    if constexpr (masks) read_.collect(p, s, scratch.take<index>(lane_intervals::scratch(p.pitch)));
  }

  void visit_extra(panel& p, const kv_head<T>& from, T* s) const {
    const index slots = kv_.extra();
    read_.products(p, from.extra_k, width_, slots, s, p.pitch);
    absorb(p, slots, s);
    simd::accumulate<T, Arch>(p.vectors, s, p.pitch, slots, from.extra_v, channels_, 4,
                              p_.shape.value_depth, p.o);
  }

  // One key tile of one panel. Where the keys of its vectors differ, as along a diagonal, in pieces
  // that leave out the vectors with nothing to see.
  void step(panel& p, const sequence& seq, const kv_head<T>& from, index t, span in, cover inside,
            T* s, T* tables) const {
    if constexpr (!masks) {
      visit(p, seq, from, t, in, inside, s, tables);
    } else {
      if (inside == cover::all) return visit(p, seq, from, t, in, inside, s, tables);
      const span keys = p.keys.clip(in.begin, in.end);
      if (keys.empty()) return;
      const span common = p.keys.common(keys);
      if (p.vectors == 1 || p.keys.count > 1 || common == keys)
        return visit(p, seq, from, t, keys, inside, s, tables);
      p.summed = true;
      index cuts[2 * tuned::vectors + 2] = {keys.begin, keys.end};
      index count = 2;
      span seen[tuned::vectors];
      for (index v = 0; v < p.vectors; ++v) {
        seen[v] = p.keys.seen(v * W, std::min((v + 1) * W, p.rows));
        for (const index cut : {seen[v].begin, seen[v].end})
          insert(cuts, count++, std::clamp(cut, keys.begin, keys.end));
      }
      for (index i = 0; i + 1 < count; ++i) {
        const span piece{cuts[i], cuts[i + 1]};
        if (piece.empty()) continue;
        const auto hidden = [&](index v) {
          return seen[v].end <= piece.begin || seen[v].begin >= piece.end;
        };
        index low = 0, high = p.vectors;
        while (low < high && hidden(low)) ++low;
        while (low < high && hidden(high - 1)) --high;
        if (low < high) {
          panel part = vectors_of(p, low, high);
          visit(part, seq, from, t, piece, inside, s, tables);
        }
      }
    }
  }
  // Into sorted numbers; g++ warns of std::sort on so few.
  static void insert(index* sorted, index count, index x) {
    for (; count > 0 && sorted[count - 1] > x; --count) sorted[count] = sorted[count - 1];
    sorted[count] = x;
  }
  panel vectors_of(const panel& p, index low, index high) const {
    panel part = read_.part(p, low, high);
    part.o += low * W, part.max += low * W, part.sum += low * W;
    return part;
  }

  void visit(panel& p, const sequence& seq, const kv_head<T>& from, index t, span keys,
             [[maybe_unused]] cover inside, T* s, T* tables) const {
    const tile at = read_.corner(p, seq, keys, p.pitch);
    [[maybe_unused]] const bool open = listed && inside == cover::all;
    if constexpr (masks) {
      if (!open) inside = read_.covers(p, seq, keys);
      if (inside == cover::none) return;
    }
    while_fetching(spec_.score, at, tuned::between, [&](index j, index count) {
      read_.products(p, from.k + (keys.begin + j) * from.k_stride, from.k_stride, count,
                     s + j * p.pitch, p.pitch);
    });
    if constexpr (has_score<Spec>) modify_panel<Arch>(spec_.score, at, s, tables);
    auto accumulate = simd::accumulate<T, Arch>;
    if constexpr (masks)
      if (!open && read_.hide(p, at, keys, inside, s) && !from.finite[t])
        accumulate = simd::accumulate_selected<T, Arch>;
    absorb(p, keys.size(), s, &at);
    scale_weights<Arch>(spec_.weights, at, s);
    accumulate(p.vectors, s, p.pitch, keys.size(),
               from.v + t * from.v_tile + (keys.begin - t * key_tile) * from.v_stride,
               from.v_stride, from.v_block, from.channels, p.o);
  }

  row_state<B> state(const panel& p, index v) const {
    return {simd::load<T, Arch>(p.max + v * W), simd::load<T, Arch>(p.sum + v * W)};
  }

  void absorb(panel& p, index keys, T* s, const tile* at = nullptr) const {
    if (at && p.shown) std::copy_n(s, keys * p.pitch, p.shown);
    T factors[widest];
    const bool moved =
        absorb_panel<Arch>(spec_, scale_.rest, p.vectors, p.pitch, keys, s, p.max, p.sum, factors);
    if (at && watched_ != observer::needs::rows)
      p_.to.observe->panel(
          observed_panel<T>{*at, p.shown, scale_.rest, s, moved ? factors : nullptr, p.max});
    if (moved && p.summed) simd::rescale<T, Arch>(p.vectors, factors, p.pitch, channels_, p.o);
    p.summed = true;
  }

  void finish(panel& p, const sequence& s, T* staged) const {
    T factors[widest];
    for (index v = 0; v < p.vectors; ++v)
      simd::store(factors + v * W, steps_of(spec_.normalizer).finish(state(p, v)));
    const index depth = p_.shape.value_depth;
    const result& out = p_.to.out;
    if (std::is_same_v<decltype(Spec::output), none> && out.type == element_of<T>::value &&
        out.stride[3] == 1) {
      simd::from_lanes<T, Arch>(p.o, p.pitch, p.rows, depth, factors,
                                static_cast<T*>(out.row(s.batch, p.h, s.row + p.row)),
                                out.stride[2]);
    } else {
      for (index lane = 0; lane < p.rows; lane += W) {
        const index some = std::min(W, p.rows - lane);
        simd::from_lanes<T, Arch>(p.o + lane, p.pitch, some, depth, factors + lane, staged, depth);
        for (index i = 0; i < some; ++i)
          write_row<Arch>(spec_, p_, s, p.h, p.row + lane + i, staged + i * depth);
      }
    }
    if (p_.to.lse.present() || p_.to.observe)
      for (index lane = 0; lane < p.rows; ++lane)
        report_row(spec_, p_, s, p.h, p.row + lane, row_state<T>{p.max[lane], p.sum[lane]},
                   scale_.rest);
  }

  const Spec& spec_;
  const problem& p_;
  [[maybe_unused]] const Blocks* lists_;
  sequences<decltype(Spec::plan)> items_;
  kv_heads<T, Arch, Spec> kv_;
  panels<T, Arch, Spec> read_;
  split_scale scale_;
  index group_, width_, channels_, heads_per_task_, chunks_, panels_per_head_ = 1,
                                                             panel_rows_ = widest, blocks_ = 0;
  observer::needs watched_;
};

}  // namespace heed::detail
