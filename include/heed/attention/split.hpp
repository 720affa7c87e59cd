// SPDX-License-Identifier: BSL-1.0
// Driver `split`: a few queries of each sequence against many keys, as in decoding.
//
//   task   a range of the keys of one kv head, for all query rows that share it
//     for each tile of keys                 read where they lie, once for all rows
//       S  = Q Kᵀ                            [row][key]
//       S  = mask(score(S))                  lanes along keys
//       P  = absorb(S)                       a row at a time
//       O += P V
//   merge  the ranges of a head, in their order, by whoever finishes the last
//
// Ranges are cut by the lengths and the mask alone, so idle threads help and no bit depends on
// them. Cost: one read of the keys and values that some query sees; scratch is
// ranges · rows · (Dv + 2) elements.
#pragma once

#include <heed/attention/absorb.hpp>
#include <heed/attention/kv_rows.hpp>
#include <heed/attention/ranges.hpp>
#include <heed/attention/row_block.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>
#include <heed/kv/tensors.hpp>
#include <heed/score/row.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class split {
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, tile_keys = tuned::split_keys;
  static constexpr bool masks = has_mask<Spec>;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;
  using normalizer = decltype(Spec::normalizer);
  using head = query_panel<T, Spec>;  // the rows of one query head; not as lanes

  // Row r is row r % rows of head r / rows.
  struct block : row_block<T, Arch> {
    index rows = 0;
    head* heads = nullptr;
    T* shown = nullptr;            // scores for the observer
    tile_piece* pieces = nullptr;  // of two tiles
  };
  // Where the keys of a tile lie.
  struct places {
    tile_piece* pieces = nullptr;
    index count = 0;
  };

 public:
  static constexpr bool possible = !own_products<decltype(Spec::similarity), T, Arch> &&
                                   std::is_same_v<decltype(Spec::weights), none>;
  // Where queries are many beside the keys, `stream` has no more to pack than to multiply.
  static bool suits(const Spec& spec, const problem& p) {
    const sequences<decltype(Spec::plan)> items{p, spec.plan};
    const index queries = items.longest_queries();
    return queries <= tuned::split_queries &&
           items.longest_keys() >= std::max<index>(4 * queries, tuned::lanes);
  }

  split(const Spec& spec, const problem& p)
      : spec_(spec),
        p_(p),
        items_{p, spec.plan},
        read_{spec, p},
        tensors_{p.k, p.v},
        source_(p.source ? *p.source : kv_ref(tensors_)),
        scale_(query_scale<T, Arch>(spec, p.scale)),
        group_(p.shape.group()),
        watched_(p.to.observe ? p.to.observe->wants() : observer::needs::rows) {
    if constexpr (has_extra) extra_ = spec.extra.slots();
    shape_ = {.rows = group_ * items_.longest_queries(),
              .width = read_.width,
              .value_depth = p.shape.value_depth,
              .height = std::max(tile_keys, (extra_ + W - 1) / W * W),
              .room = std::max(read_.width, p.shape.depth)};
    // Four rows read each key once; more come back to it while it is in L1.
    const kv_type type = p.source ? stored_type() : kv_type_of(p.k.type);
    const index fit = tuned::split_bytes / bytes_of(type, p.shape.depth) / 16 * 16;
    tile_ = shape_.rows <= 4 ? tile_keys : std::clamp(fit, index{16}, tile_keys);
  }

  void run(const executor_ref& executor, workspace& scratch) const {
    const index heads = items_.count() * p_.shape.kv_heads;
    if (heads == 0 || shape_.rows == 0) return;
    index all = 0, count = 0;
    for (index i = 0; i < items_.count(); ++i) all += items_[i].keys * p_.shape.kv_heads;
    const index length = range_of(all);
    for (index i = 0; i < items_.count(); ++i)
      count += p_.shape.kv_heads * key_ranges::most(items_[i].keys, length);
    key_ranges ranges(scratch.shared(), heads, count, length,
                      row_block<T, Arch>::saved_bytes(shape_));
    scratch.crew(executor.workers(), static_cast<std::size_t>(task_bytes()));
    for (index i = 0; i < heads; ++i) {
      const index h = i % p_.shape.kv_heads;
      const sequence s = items_(i / p_.shape.kv_heads, h);
      ranges.add(i, visits(taken(s, h, scratch.worker(0)), {0, s.keys}));
    }
    executor.for_each(ranges.count(), [&](index task, index worker) {
      const index i = ranges[task].head, h = i % p_.shape.kv_heads;
      const sequence s = items_(i / p_.shape.kv_heads, h);
      block x = taken(s, h, scratch.worker(worker));
      begin(x, s, ranges.leads(task));
      if (ranges.leads(task)) visit_extra(x, s, h);
      const span range{ranges[task].keys.begin, std::min(ranges[task].keys.end, s.keys)};
      for (const span keys : visits(x, range)) visit(x, s, h, keys);
      if (!ranges.alone(task)) {
        x.save(ranges.state(task));
        if (!ranges.last(task)) return;
        const span parts = ranges.siblings(task);
        x.restore(ranges.state(parts.begin));
        for (index part = parts.begin + 1; part < parts.end; ++part)
          x.template add<normalizer>(ranges.state(part));
      }
      finish(x, s);
    });
  }

 private:
  // How the first key there is is stored.
  kv_type stored_type() const {
    for (index i = 0; i < items_.count(); ++i)
      if (items_[i].keys > 0 && p_.shape.kv_heads > 0) return source_.run(i, 0, 0).k.type;
    return kv_type::f32;
  }
  // Some tasks for every thread there may be, and ranges long enough that starting one is cheap.
  index range_of(index keys) const {
    // An observer is told of a row by one worker, its keys in order.
    if (watched_ != observer::needs::rows) return items_.longest_keys() + 1;
    // Rows make the work of a key, and what a range leaves to be merged.
    const index rows = std::max<index>(shape_.rows, 16);
    const index least = std::max<index>(16 * tuned::split_range / rows, 128);
    const index tasks = rows > 32 ? tuned::split_tasks / 4 : tuned::split_tasks;
    const index length = std::clamp(keys / tasks, least, 8 * tuned::split_range);
    return (length + 63) / 64 * 64;
  }

  index interval_scratch() const {
    return masks ? lane_intervals::scratch(items_.longest_queries()) : 0;
  }
  index task_bytes() const {
    return aligned_bytes(group_, sizeof(head)) +
           aligned_bytes(group_ * interval_scratch(), sizeof(index)) +
           aligned_bytes(tile_keys, sizeof(T)) + aligned_bytes(2 * tile_keys, sizeof(tile_piece)) +
           row_block<T, Arch>::bytes(shape_);
  }
  // Memory of a task, and which keys its rows may see.
  block taken(const sequence& s, index h, arena& scratch) const {
    scratch.reserve(0);
    head* const heads = scratch.take<head>(group_);
    index* const intervals = scratch.take<index>(group_ * interval_scratch());
    T* const shown = scratch.take<T>(tile_keys);
    tile_piece* const pieces = scratch.take<tile_piece>(2 * tile_keys);
    for (index g = 0; g < group_; ++g) {
      head& one = *new (heads + g) head{};
      one.h = h * group_ + g, one.rows = one.pitch = s.rows;
      if constexpr (masks)
        if (s.rows > 0) read_.collect(one, s, intervals + g * interval_scratch());
    }
    return {row_block<T, Arch>(shape_, scratch, group_ * s.rows), s.rows, heads, shown, pieces};
  }

  // The keys of `in` that some row may see.
  span_list visits(const block& x, span in) const {
    span_list seen;
    if constexpr (masks) {
      for (index g = 0; g < group_ && x.rows > 0; ++g)
        for (index r = 0; r < x.heads[g].keys.count; ++r) {
          const span hull = x.heads[g].keys.hull[r];
          seen.add({std::max(hull.begin, in.begin), std::min(hull.end, in.end)});
        }
    } else if (x.rows > 0) {
      seen.add(in);
    }
    return seen;
  }

  void begin(block& x, const sequence& s, bool leads) const {
    x.clear();
    for (index g = 0; g < group_; ++g) {
      const index h = x.heads[g].h;
      read_.load({s.b, h, s.offset, s.row}, s.batch, x.rows, x.q + g * x.rows * read_.width);
      for (index r = 0; r < x.rows; ++r)
        x.state[g * x.rows + r] =
            leads ? steps_of(spec_.normalizer)
                        .template start<T>(row_position{s.b, h, r + s.offset, s.row + r})
                  : neutral_state<normalizer, T>();
    }
    x.scale_queries(static_cast<T>(scale_.exact));
  }

  void visit_extra(block& x, const sequence& s, index h) const {
    if constexpr (has_extra) {
      load_extra<Arch>(spec_, p_.shape, s.b, h, read_.width, x.keys, shape_.value_depth, x.values);
      const tile_piece one{x.staged(x.keys, read_.width), x.staged(x.values, shape_.value_depth), 0,
                           extra_};
      x.products(one);
      absorb(x, extra_);
      x.accumulate(one, false);
    }
  }

  void locate(const sequence& s, index h, span tile, places& at) const {
    at.count = 0;
    for_each_run(source_, s.batch, h, {s.slot + tile.begin, s.slot + tile.end},
                 [&](const kv_run& run, index first) {
                   new (at.pieces + at.count++)
                       tile_piece{run.k, run.v, first - s.slot - tile.begin, run.count};
                 });
  }
  span first_tile(span keys) const {
    return {keys.begin, std::min(keys.begin / tile_ * tile_ + tile_, keys.end)};
  }

  // Keys that some row sees, tile by tile; the rows of the next tile are asked for meanwhile.
  void visit(block& x, const sequence& s, index h, span keys) const {
    places both[] = {{x.pieces}, {x.pieces + tile_keys}};
    places *now = both, *next = both + 1;
    span tile = first_tile(keys);
    locate(s, h, tile, *now);
    for (; !tile.empty(); std::swap(now, next)) {
      const span following = first_tile({tile.end, keys.end});
      locate(s, h, following, *next);
      // Some rows on while they go on, else in the piece that lies as far on.
      const auto hint = [&](index i, stored_rows tile_piece::* rows) -> std::intptr_t {
        const tile_piece& part = now->pieces[i];
        const index bytes = part.count * (part.*rows).stride;
        if (bytes > tuned::split_ahead) return tuned::split_ahead;
        const index later = i + std::max<index>(1, tuned::split_ahead / std::max<index>(bytes, 1));
        const tile_piece* const after = later < now->count ? now->pieces + later
                                        : later - now->count < next->count
                                            ? next->pieces + (later - now->count)
                                            : nullptr;
        return after ? reinterpret_cast<std::intptr_t>((after->*rows).data) -
                           reinterpret_cast<std::intptr_t>((part.*rows).data)
                     : 0;
      };
      if (scattered(*now, tile)) gather(x, tile, *now);
      for (index i = 0; i < now->count; ++i) {
        stage(x, s, h, tile, now->pieces[i]);
        x.products(now->pieces[i], hint(i, &tile_piece::k));
      }
      const bool hidden = modify(x, s, tile);
      absorb(x, tile.size(), &s, tile);
      for (index i = 0; i < now->count; ++i)
        x.accumulate(now->pieces[i], hidden, hint(i, &tile_piece::v));
      tile = following;
    }
  }

  // Runs are shorter than four rows, as of listed tokens, and the kernels would start anew on each:
  // 2048 of 65536 tokens of 128 channels take half the time once they lie together.
  bool scattered(const places& at, span tile) const {
    return !rewrites_keys<Spec> && !rewrites_values<Spec> && at.count > 1 &&
           4 * at.count > tile.size() && !is_quantized(at.pieces->k.type) &&
           !is_quantized(at.pieces->v.type);
  }
  // All rows of a tile to scratch: one piece is left.
  void gather(block& x, span tile, places& at) const {
    constexpr index further = 8;
    const index depth = p_.shape.depth, value_depth = shape_.value_depth;
    const auto expect = [](const stored_rows& rows, index channels) {
      const index bytes = bytes_of(rows.type, channels);
      for (index n = 0; n < bytes; n += 64) simd::detail::ask(rows.data, n);
    };
    for (index i = 0; i < at.count; ++i) {
      const tile_piece& part = at.pieces[i];
      if (i + further < at.count) {
        expect(at.pieces[i + further].k, depth), expect(at.pieces[i + further].v, value_depth);
      }
      for (index n = 0; n < part.count; ++n) {
        load_stored(part.k, n, depth, x.keys + (part.first + n) * read_.width);
        load_stored(part.v, n, value_depth, x.values + (part.first + n) * value_depth);
      }
    }
    *at.pieces = {x.staged(x.keys, read_.width), x.staged(x.values, value_depth), 0, tile.size()};
    at.count = 1;
  }

  // Rows that the kernels cannot read as they lie go through scratch.
  void stage(block& x, const sequence& s, index h, span tile, tile_piece& part) const {
    const span keys{tile.begin + part.first, tile.begin + part.first + part.count};
    const index depth = shape_.value_depth;
    if (rewrites_keys<Spec> || !x.read_in_place(part.k, p_.shape.depth)) {
      T* const rows = x.keys + part.first * read_.width;
      load_keys<Arch>(spec_, p_, s, h, keys, read_.width, rows);
      part.k = x.staged(rows, read_.width);
    }
    if (rewrites_values<Spec> || !x.read_in_place(part.v, depth)) {
      T* const rows = x.values + part.first * depth;
      load_values<Arch>(spec_, p_, s, h, keys, depth, rows);
      part.v = x.staged(rows, depth);
    }
  }

  // Score and mask; true if the mask hid anything.
  bool modify(block& x, const sequence& s, span keys) const {
    bool hidden = false;
    if constexpr (masks || has_score<Spec>)
      for (index g = 0; g < group_; ++g) {
        const head& one = x.heads[g];
        const tile at = read_.corner(one, s, keys, 1);
        for (index r = 0; r < x.rows; ++r) {
          T* const row = x.scores(g * x.rows + r);
          if constexpr (has_score<Spec>) modify_row<Arch>(spec_.score, at, r, row);
          if constexpr (masks) hidden |= hide(one, s, at, keys, r, row);
        }
      }
    return hidden;
  }
  bool hide(const head& one, const sequence& s, const tile& at, span keys, index r, T* row) const {
    const lane_intervals& in = one.keys;
    bool hidden = false;
    index next = keys.begin;
    const auto mask_until = [&](index end) {
      end = std::min(end, keys.end);
      for (; next < end; ++next) row[next - keys.begin] = masked<T>, hidden = true;
    };
    if (!in.overflows) {
      for (index i = 0; i < in.count; ++i) {
        const span seen{in.lo[i * in.pitch + r], in.hi[i * in.pitch + r]};
        if (seen.empty()) continue;
        mask_until(seen.begin);
        next = std::max(next, std::min(seen.end, keys.end));
      }
      mask_until(keys.end);
    }
    if (!in.exact || in.overflows)
      if (in.overflows || read_.covers(one, s, keys) != cover::all)
        for (index j = 0; j < keys.size(); ++j)
          if (!spec_.mask(position{at.b, at.h, at.q + r, at.key(j), at.row + r, at.slot + j}))
            row[j] = masked<T>, hidden = true;
    return hidden;
  }

  void absorb(block& x, index keys, const sequence* s = nullptr, span at = {}) const {
    const index whole = (keys + W - 1) / W * W;
    for (index r = 0; r < x.count; ++r) {
      T* const row = x.scores(r);
      if (s && watched_ == observer::needs::scores) std::copy_n(row, keys, x.shown);
      std::fill(row + keys, row + whole, masked<T>);
      T factor(1);
      const bool moved =
          absorb_row<Arch>(steps_of(spec_.normalizer), row, whole, x.state[r], factor, scale_.rest);
      if (moved) x.scale_sums(r, factor);
      if (s && watched_ != observer::needs::rows) show(x, *s, at, r, moved ? &factor : nullptr);
    }
  }
  // One row as a panel of one lane.
  HEED_NOINLINE void show(const block& x, const sequence& s, span keys, index r,
                          const T* factor) const {
    const tile at = read_.corner(x.heads[r / x.rows], s, keys, 1).rows_of(r % x.rows, 1);
    p_.to.observe->panel(
        observed_panel<T>{at, x.shown, scale_.rest, x.scores(r), factor, &x.state[r].max});
  }

  void finish(block& x, const sequence& s) const {
    for (index r = 0; r < x.count; ++r) {
      const index h = x.heads[r / x.rows].h, row = r % x.rows;
      x.scale_sums(r, steps_of(spec_.normalizer).finish(x.state[r]));
      write_row<Arch>(spec_, p_, s, h, row, x.sums(r));
      if (p_.to.lse.present() || p_.to.observe)
        report_row(spec_, p_, s, h, row, x.state[r], scale_.rest);
    }
  }

  const Spec& spec_;
  const problem& p_;
  sequences<decltype(Spec::plan)> items_;
  panels<T, Arch, Spec> read_;
  kv_tensors tensors_;
  kv_ref source_;
  split_scale scale_;
  block_shape shape_;
  index group_, extra_ = 0, tile_ = 0;
  observer::needs watched_;
};

}  // namespace heed::detail
