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

#include <heed/attention/kv_rows.hpp>
#include <heed/attention/panel.hpp>
#include <heed/attention/ranges.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/kv/tensors.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/normalizer/row.hpp>
#include <heed/score/row.hpp>
#include <heed/simd/integer_tile.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/row_tile.hpp>
#include <heed/simd/rows.hpp>
#include <heed/weights/concept.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class split {
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, tile_keys = tuned::split_keys;
  static constexpr bool masks = has_mask<Spec>;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;
  static constexpr bool splits_scale =
      absorbs_scale<decltype(Spec::normalizer)> && !has_score<Spec>;
  using normalizer = decltype(Spec::normalizer);
  using head = query_panel<T, Spec>;  // the rows of one query head; not as lanes

  // What a task works on. Row r is row r % rows of head r / rows.
  struct block {
    index rows = 0, count = 0;  // of a head, of all
    head* heads = nullptr;
    T *q = nullptr, *o = nullptr, *s = nullptr, *keys = nullptr, *values = nullptr;
    row_state<T>* state = nullptr;
    std::int16_t* codes = nullptr;  // of q, once some keys are int8
    float* units = nullptr;
    bool coded = false;
    T* shown = nullptr;  // scores for the observer
  };
  // Some keys of a tile that lie together.
  struct piece {
    stored_rows k, v;
    index first = 0, count = 0;
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
        scale_(splits_scale ? parted(p.scale) : split_scale{p.scale, 1}),
        group_(p.shape.group()),
        most_(group_ * items_.longest_queries()),
        watched_(p.to.observe ? p.to.observe->wants() : observer::needs::rows) {
    if constexpr (has_extra) extra_ = spec.extra.slots();
  }

  void run(const executor_ref& executor, workspace& scratch) const {
    const index heads = items_.count() * p_.shape.kv_heads;
    if (heads == 0 || most_ == 0) return;
    index all = 0, count = 0;
    for (index i = 0; i < items_.count(); ++i) all += items_[i].keys * p_.shape.kv_heads;
    const index length = range_of(all);
    for (index i = 0; i < items_.count(); ++i)
      count += p_.shape.kv_heads * key_ranges::most(items_[i].keys, length);
    key_ranges ranges(scratch.shared(), heads, count, length, saved_bytes());
    scratch.crew(executor.workers());
    for (index i = 0; i < executor.workers(); ++i)
      scratch.worker(i).reserve(static_cast<std::size_t>(task_bytes()));
    for (index i = 0; i < heads; ++i) {
      const index h = i % p_.shape.kv_heads;
      const sequence s = items_(i / p_.shape.kv_heads, h);
      block x = taken(s, scratch.worker(0));
      collect(x, s, h);
      ranges.add(i, visits(x, {0, s.keys}));
    }
    executor.for_each(ranges.count(), [&](index task, index worker) {
      const index i = ranges[task].head, h = i % p_.shape.kv_heads;
      const sequence s = items_(i / p_.shape.kv_heads, h);
      block x = taken(s, scratch.worker(worker));
      collect(x, s, h);
      begin(x, s, ranges.leads(task));
      if (ranges.leads(task)) visit_extra(x, s, h);
      const span range{ranges[task].keys.begin, std::min(ranges[task].keys.end, s.keys)};
      for (const span keys : visits(x, range)) visit(x, s, h, keys);
      if (!ranges.alone(task)) {
        const index size = x.count * p_.shape.value_depth;
        std::copy_n(x.state, x.count, states_of(ranges.state(task)));
        std::copy_n(x.o, size, sums_of(ranges.state(task)));
        if (!ranges.last(task)) return;
        merge(x, ranges, ranges.siblings(task));
      }
      finish(x, s);
    });
  }

 private:
  // Some tasks for every thread there may be, and ranges long enough that starting one is cheap.
  index range_of(index keys) const {
    const index least = tuned::split_range * ((most_ + 15) / 16);
    // An observer is told of a row by one worker, its keys in order.
    if (watched_ != observer::needs::rows) return items_.longest_keys() + 1;
    const index length = std::clamp(keys / tuned::split_tasks, least, 8 * least);
    return (length + tile_keys - 1) / tile_keys * tile_keys;
  }
  index saved_bytes() const {
    return aligned_bytes(most_, sizeof(row_state<T>)) +
           aligned_bytes(most_ * p_.shape.value_depth, sizeof(T));
  }
  row_state<T>* states_of(std::byte* saved) const { return reinterpret_cast<row_state<T>*>(saved); }
  T* sums_of(std::byte* saved) const {
    return reinterpret_cast<T*>(saved + aligned_bytes(most_, sizeof(row_state<T>)));
  }

  index tallest() const { return std::max(tile_keys, (extra_ + W - 1) / W * W); }
  index interval_scratch() const {
    return masks ? lane_intervals::scratch(items_.longest_queries()) : 0;
  }
  index task_bytes() const {
    const index depth = p_.shape.value_depth;
    return aligned_bytes(group_, sizeof(head)) +
           aligned_bytes(group_ * interval_scratch(), sizeof(index)) +
           aligned_bytes(most_ * read_.width, sizeof(T)) + aligned_bytes(most_ * depth, sizeof(T)) +
           aligned_bytes(most_ * tallest(), sizeof(T)) +
           aligned_bytes(tallest() * std::max(read_.width, p_.shape.depth), sizeof(T)) +
           aligned_bytes(tallest() * depth, sizeof(T)) +
           aligned_bytes(most_, sizeof(row_state<T>)) + aligned_bytes(tile_keys, sizeof(T)) +
           aligned_bytes(most_ * read_.width, 2) + aligned_bytes(most_, sizeof(float));
  }
  block taken(const sequence& s, arena& scratch) const {
    scratch.reserve(0);
    block x{.rows = s.rows, .count = group_ * s.rows};
    x.heads = scratch.take<head>(group_);
    for (index g = 0; g < group_; ++g) {
      head& one = *new (x.heads + g) head{};
      if constexpr (masks) one.keys.lo = scratch.take<index>(interval_scratch());
    }
    x.q = scratch.take<T>(most_ * read_.width);
    x.o = scratch.take<T>(most_ * p_.shape.value_depth);
    x.s = scratch.take<T>(most_ * tallest());
    x.keys = scratch.take<T>(tallest() * std::max(read_.width, p_.shape.depth));
    x.values = scratch.take<T>(tallest() * p_.shape.value_depth);
    x.state = scratch.take<row_state<T>>(most_);
    x.shown = scratch.take<T>(tile_keys);
    if constexpr (std::is_same_v<T, float>) {
      x.codes = scratch.take<std::int16_t>(most_ * read_.width);
      x.units = scratch.take<float>(most_);
    }
    return x;
  }

  void collect(block& x, const sequence& s, index h) const {
    for (index g = 0; g < group_; ++g) {
      head& one = x.heads[g];
      one.h = h * group_ + g, one.rows = one.pitch = s.rows;
      if constexpr (masks)
        if (s.rows > 0) read_.collect(one, s, one.keys.lo);
    }
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
    std::fill_n(x.o, x.count * p_.shape.value_depth, T(0));
    for (index g = 0; g < group_; ++g) {
      const index h = x.heads[g].h;
      T* const q = x.q + g * x.rows * read_.width;
      read_.load({s.b, h, s.offset, s.row}, s.batch, x.rows, q);
      simd::map_row<Arch>(q, x.rows * read_.width, [scale = static_cast<T>(scale_.exact)](auto y) {
        return y * decltype(y)(scale);
      });
      for (index r = 0; r < x.rows; ++r)
        x.state[g * x.rows + r] =
            leads ? steps_of(spec_.normalizer)
                        .template start<T>(row_position{s.b, h, r + s.offset, s.row + r})
                  : neutral_state<normalizer, T>();
    }
  }

  void visit_extra(block& x, const sequence& s, index h) const {
    if constexpr (has_extra) {
      for (index j = 0; j < extra_; ++j) {
        T* const row = x.keys + j * read_.width;
        spec_.extra.key(s.b, h, j, row);
        rewrite_key<Arch>(spec_, p_.shape.depth, row, {s.b, h, j, j});
        spec_.extra.value(s.b, h, j, x.values + j * p_.shape.value_depth, p_.shape.value_depth);
      }
      const piece one{staged(x.keys, read_.width), staged(x.values, p_.shape.value_depth), 0,
                      extra_};
      products(x, one);
      absorb(x, extra_);
      accumulate(x, one, false);
    }
  }

  // Where the keys of a tile lie.
  struct places {
    piece pieces[tile_keys];
    index count = 0;
  };
  void locate(const sequence& s, index h, span tile, places& at) const {
    at.count = 0;
    for_each_run(source_, s.batch, h, {s.slot + tile.begin, s.slot + tile.end},
                 [&](const kv_run& run, index first) {
                   at.pieces[at.count++] = {run.k, run.v, first - s.slot - tile.begin, run.count};
                 });
  }
  static span first_tile(span keys) {
    return {keys.begin, std::min(keys.begin / tile_keys * tile_keys + tile_keys, keys.end)};
  }

  // Keys that some row sees, tile by tile; the rows of the next tile are asked for meanwhile.
  void visit(block& x, const sequence& s, index h, span keys) const {
    places both[2];
    places *now = both, *next = both + 1;
    span tile = first_tile(keys);
    locate(s, h, tile, *now);
    for (; !tile.empty(); std::swap(now, next)) {
      const span following = first_tile({tile.end, keys.end});
      locate(s, h, following, *next);
      const auto hint = [&](index i, stored_rows piece::* rows) -> const unsigned char* {
        return i < next->count ? (next->pieces[i].*rows).data : nullptr;
      };
      for (index i = 0; i < now->count; ++i) {
        piece& part = now->pieces[i];
        stage(x, s, h, tile, part);
        products(x, part, hint(i, &piece::k));
      }
      const bool hidden = modify(x, s, tile);
      absorb(x, tile.size(), &s, tile);
      for (index i = 0; i < now->count; ++i)
        accumulate(x, now->pieces[i], hidden, hint(i, &piece::v));
      tile = following;
    }
  }

  static bool are_codes(const stored_rows& rows, index channels) {
    return std::is_same_v<T, float> && rows.type == kv_type::i8 && rows.group >= channels &&
           !rows.zeros;
  }
  static bool read_in_place(const stored_rows& rows, index channels) {
    return rows.plain(own_type) || are_codes(rows, channels) ||
           (std::is_same_v<T, float> && (rows.plain(kv_type::f16) || rows.plain(kv_type::bf16)));
  }
  static constexpr kv_type own_type = kv_type_of(element_of<T>::value);
  static stored_rows staged(const T* rows, index width) {
    return {.data = reinterpret_cast<const unsigned char*>(rows),
            .type = own_type,
            .stride = width * index(sizeof(T))};
  }
  // Rows that the kernels cannot read as they lie go through scratch.
  void stage(block& x, const sequence& s, index h, span tile, piece& part) const {
    const span keys{tile.begin + part.first, tile.begin + part.first + part.count};
    const index depth = p_.shape.value_depth;
    if (rewrites_keys<Spec> || !read_in_place(part.k, p_.shape.depth)) {
      T* const rows = x.keys + part.first * read_.width;
      load_keys<Arch>(spec_, p_, s, h, keys, read_.width, rows);
      part.k = staged(rows, read_.width);
    }
    if (rewrites_values<Spec> || !read_in_place(part.v, depth)) {
      T* const rows = x.values + part.first * depth;
      load_values<Arch>(spec_, p_, s, h, keys, depth, rows);
      part.v = staged(rows, depth);
    }
  }

  void products(block& x, const piece& part, const unsigned char* next = nullptr) const {
    const index width = read_.width;
    if constexpr (std::is_same_v<T, float>)
      if (part.k.type == kv_type::i8) {
        if (!x.coded) encode(x);
        return simd::integer_scores<Arch>(part.k, part.count, x.codes, width, x.units, x.count,
                                          width, x.s + part.first, tallest(), next);
      }
    simd::row_scores<T, Arch>(part.k, part.count, x.q, width, x.count, width, x.s + part.first,
                              tallest(), next);
  }
  // Queries as integers, for keys that are.
  HEED_NOINLINE void encode(block& x) const {
    const int levels = simd::integer_levels(read_.width);
    for (index r = 0; r < x.count; ++r)
      x.units[r] = simd::quantize_row<Arch>(x.q + r * read_.width, read_.width, levels,
                                            x.codes + r * read_.width);
    x.coded = true;
  }

  // Score and mask; true if the mask hid anything.
  bool modify(block& x, const sequence& s, span keys) const {
    bool hidden = false;
    if constexpr (masks || has_score<Spec>)
      for (index g = 0; g < group_; ++g) {
        const head& one = x.heads[g];
        const tile at = read_.corner(one, s, keys, tallest());
        for (index r = 0; r < x.rows; ++r) {
          T* const row = x.s + (g * x.rows + r) * tallest();
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
    const index whole = (keys + W - 1) / W * W, depth = p_.shape.value_depth;
    for (index r = 0; r < x.count; ++r) {
      T* const row = x.s + r * tallest();
      if (s && watched_ == observer::needs::scores) std::copy_n(row, keys, x.shown);
      std::fill(row + keys, row + whole, masked<T>);
      T factor(1);
      const bool moved =
          absorb_row<Arch>(steps_of(spec_.normalizer), row, whole, x.state[r], factor, scale_.rest);
      if (moved)
        simd::map_row<Arch>(x.o + r * depth, depth,
                            [factor](auto y) { return y * decltype(y)(factor); });
      if (s && watched_ != observer::needs::rows) show(x, *s, at, r, moved ? &factor : nullptr);
    }
  }
  // One row as a panel of one lane.
  HEED_NOINLINE void show(const block& x, const sequence& s, span keys, index r,
                          const T* factor) const {
    const tile at = read_.corner(x.heads[r / x.rows], s, keys, 1).rows_of(r % x.rows, 1);
    p_.to.observe->panel(
        observed_panel<T>{at, x.shown, scale_.rest, x.s + r * tallest(), factor, &x.state[r].max});
  }

  void accumulate(block& x, const piece& part, bool hidden,
                  const unsigned char* next = nullptr) const {
    const index depth = p_.shape.value_depth;
    const T* const s = x.s + part.first;
    T* const rows = x.values + part.first * depth;
    if (hidden && !finite(part, rows))
      return simd::row_accumulate_selected<T, Arch>(staged(rows, depth), part.count, s, tallest(),
                                                    x.count, depth, x.o, depth);
    if constexpr (std::is_same_v<T, float>)
      if (part.v.type == kv_type::i8)
        return simd::integer_accumulate<Arch>(part.v, part.count, s, tallest(), x.count, depth, x.o,
                                              depth, next);
    simd::row_accumulate<T, Arch>(part.v, part.count, s, tallest(), x.count, depth, x.o, depth,
                                  next);
  }
  // Whether no value is NaN or infinite; otherwise all are in `rows`.
  bool finite(const piece& part, T* rows) const {
    const index depth = p_.shape.value_depth;
    for (index j = 0; j < part.count; ++j) load_stored(part.v, j, depth, rows + j * depth);
    return simd::all_finite(rows, depth, part.count, depth);
  }

  // All ranges of the head, in their order, into x.
  void merge(block& x, const key_ranges& ranges, span parts) const {
    const index depth = p_.shape.value_depth;
    for (index i = parts.begin; i < parts.end; ++i) {
      const row_state<T>* const state = states_of(ranges.state(i));
      const T* const o = sums_of(ranges.state(i));
      if (i == parts.begin) {
        std::copy_n(state, x.count, x.state);
        std::copy_n(o, x.count * depth, x.o);
        continue;
      }
      for (index r = 0; r < x.count; ++r) {
        const auto [mine, its] = join<normalizer>(x.state[r], state[r]);
        if (mine != T(1))
          simd::map_row<Arch>(x.o + r * depth, depth,
                              [f = mine](auto y) { return y * decltype(y)(f); });
        simd::add_scaled<Arch>(its, o + r * depth, depth, x.o + r * depth);
      }
    }
  }

  void finish(block& x, const sequence& s) const {
    const index depth = p_.shape.value_depth;
    for (index r = 0; r < x.count; ++r) {
      const index h = x.heads[r / x.rows].h, row = r % x.rows;
      T* const o = x.o + r * depth;
      const T factor = steps_of(spec_.normalizer).finish(x.state[r]);
      simd::map_row<Arch>(o, depth, [factor](auto y) { return y * decltype(y)(factor); });
      write_row<Arch>(spec_, p_, s, h, row, o);
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
  index group_, most_, extra_ = 0;
  observer::needs watched_;
};

}  // namespace heed::detail
