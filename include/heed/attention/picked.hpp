// SPDX-License-Identifier: BSL-1.0
// Driver `picked`: lists of a few rows and of single keys, as when every query chooses its tokens.
//
//   head   keys and values of one kv head as rows (head_rows.hpp)
//   task   some blocks of rows of the heads that share it
//     for each list, each 256 of its keys
//       K, V  copied together, once for all rows of the list
//       S  = Q Kᵀ, score, mask, P = absorb(S), O += P V        a row at a time, as in `split`
//
// Cost: 2 (D + Dv) elements copied a key and list, then 4 · D flops a key and row at the rate of
// stored rows. Rows share nothing else: threads change no bit.
#pragma once

#include <heed/attention/absorb.hpp>
#include <heed/attention/head_rows.hpp>
#include <heed/attention/in_flight.hpp>
#include <heed/attention/row_block.hpp>
#include <heed/attention/turned_lists.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec, class Lists> class picked {
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, tile_keys = tuned::split_keys;
  static constexpr bool masks = has_mask<Spec>;

 public:
  static constexpr bool possible = !own_products<decltype(Spec::similarity), T, Arch> &&
                                   std::is_same_v<decltype(Spec::weights), none> &&
                                   std::is_same_v<decltype(Spec::plan), none>;
  static bool suits(const problem& p, const Lists& lists) {
    const index rows = lanes_of(lists, p.shape.group()).lanes_per_list();
    return lists.block_keys() <= std::min(2 * rows, tuned::picked_keys) && !p.source &&
           !(p.to.observe && p.to.observe->wants() != observer::needs::rows);
  }

  picked(const Spec& spec, const problem& p, const Lists& lists)
      : spec_(spec),
        p_(p),
        lists_(lists),
        rows_(spec, p),
        read_{spec, p},
        scale_(query_scale<T, Arch>(spec, p.scale)),
        layout_(lanes_of(lists, p.shape.group())),
        row_blocks_((p.shape.queries + layout_.rows - 1) / layout_.rows) {
    const index height = std::max(tile_keys, (rows_.extra() + W - 1) / W * W);
    shape_ = {.rows = layout_.lanes_per_list(),
              .width = rows_.width(),
              .value_depth = p.shape.value_depth,
              .height = height,
              .room = std::max(rows_.width(), p.shape.depth)};
  }

  void run(const executor_ref& executor, workspace& scratch) const {
    const index heads = p_.shape.batch * p_.shape.kv_heads, workers = executor.workers();
    if (heads == 0 || row_blocks_ == 0 || layout_.group == 0) return;
    const index size = rows_.bytes(), pieces = rows_.pieces();
    const index wave = heads_in_flight<T, Arch>(size, heads, workers);
    scratch.shared().reserve(static_cast<std::size_t>(wave * size));
    std::byte* const packed = scratch.shared().data();
    const index bytes =
        row_block<T, Arch>::bytes(shape_) + aligned_bytes(tile_keys, sizeof(picked_key));
    scratch.crew(workers, static_cast<std::size_t>(bytes));
    const index each = std::clamp<index>(row_blocks_ / tuned::split_tasks, 1, 64),
                tasks = (row_blocks_ + each - 1) / each;
    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first);
      const auto at = [&](index i) {
        const index head = first + i;
        place x;
        x.s = rows_.item(head), x.kv = rows_.kv_head(head);
        x.from = rows_.located(x.s, x.kv, packed + i * size);
        return x;
      };
      if (size > 0)
        executor.for_each(count * pieces, [&](index i, index) {
          const place x = at(i / pieces);
          rows_.prepare(x.from, x.s, x.kv, i % pieces);
        });
      executor.for_each(count * tasks, [&](index i, index worker) {
        const place x = at(i / tasks);
        const index from = (tasks - 1 - i % tasks) * each;
        for (index block = from; block < std::min(from + each, row_blocks_); ++block)
          for (index list = 0; list < layout_.lists_per_block(); ++list)
            attend(x, block, list, scratch.worker(worker));
      });
    }
  }

 private:
  struct picked_key {
    index key;
    bool asked;
  };
  struct place {
    sequence s;
    index kv = 0;
    rows_of_head<T> from;
  };
  // Row i of a list: head i % shared of it, row i / shared of the block.
  row_position where(const place& x, index block, index list, index i) const {
    const index row = block * layout_.rows + i / layout_.shared;
    return {x.s.b, x.kv * layout_.group + list * layout_.shared + i % layout_.shared,
            row + x.s.offset, row};
  }

  void attend(const place& x, index block, index list, arena& scratch) const {
    scratch.reserve(0);
    const index rows = std::min(layout_.rows, x.s.rows - block * layout_.rows);
    row_block<T, Arch> r(shape_, scratch, rows * layout_.shared);
    picked_key* const keys = scratch.take<picked_key>(tile_keys);
    r.clear();
    for (index i = 0; i < r.count; ++i) {
      const row_position at = where(x, block, list, i);
      read_.load(at, x.s.batch, 1, r.q + i * shape_.width);
      r.state[i] = steps_of(spec_.normalizer).template start<T>(at);
    }
    r.scale_queries(static_cast<T>(scale_.exact));
    if (rows_.extra() > 0) {
      const tile_piece one{r.staged(x.from.extra_k, shape_.width),
                           r.staged(x.from.extra_v, shape_.value_depth), 0, rows_.extra()};
      r.products(one);
      absorb(r, rows_.extra());
      r.accumulate(one, false);
    }
    index count = 0;
    const auto flush = [&] {
      if (count > 0) visit(x, block, list, keys, count, r);
      count = 0;
    };
    lists_.key_blocks(x.s.b, where(x, block, list, 0).h, block, [&](index key, cover inside) {
      const index size = lists_.block_keys();
      for (index j = key * size; j < std::min((key + 1) * size, x.s.keys); ++j) {
        if (count == tile_keys) flush();
        keys[count++] = {j, inside != cover::all};
      }
    });
    flush();
    for (index i = 0; i < r.count; ++i) {
      const row_position at = where(x, block, list, i);
      r.scale_sums(i, steps_of(spec_.normalizer).finish(r.state[i]));
      write_row<Arch>(spec_, p_, x.s, at.h, at.row, r.sums(i));
      if (p_.to.lse.present() || p_.to.observe)
        report_row(spec_, p_, x.s, at.h, at.row, r.state[i], scale_.rest);
    }
  }

  void visit(const place& x, index block, index list, const picked_key* keys, index count,
             row_block<T, Arch>& r) const {
    constexpr index ahead = 16;
    const rows_of_head<T>& from = x.from;
    const index depth = shape_.value_depth;
    for (index j = 0; j < count; ++j) {
      if (j + ahead < count) {
        simd::prefetch(from.k + keys[j + ahead].key * from.k_stride,
                       shape_.width * index(sizeof(T)));
        simd::prefetch(from.v + keys[j + ahead].key * from.v_stride, depth * index(sizeof(T)));
      }
      std::copy_n(from.k + keys[j].key * from.k_stride, shape_.width, r.keys + j * shape_.width);
      std::copy_n(from.v + keys[j].key * from.v_stride, depth, r.values + j * depth);
    }
    const tile_piece piece{r.staged(r.keys, shape_.width), r.staged(r.values, depth), 0, count};
    r.products(piece);
    bool hidden = false;
    if constexpr (masks || has_score<Spec>)
      for (index i = 0; i < r.count; ++i) {
        T* const s = r.scores(i);
        const row_position at = where(x, block, list, i);
        for (index j = 0; j < count; ++j) {
          const index key = keys[j].key;
          const position pair{at.b, at.h, at.pos, key, at.row, key};
          if constexpr (has_score<Spec>) s[j] = modified(spec_.score, s[j], pair);
          if constexpr (masks)
            if (keys[j].asked && !spec_.mask(pair)) s[j] = masked<T>, hidden = true;
        }
      }
    absorb(r, count);
    r.accumulate(piece, hidden);
  }

  void absorb(row_block<T, Arch>& r, index keys) const {
    const index whole = (keys + W - 1) / W * W;
    for (index i = 0; i < r.count; ++i) {
      T* const s = r.scores(i);
      std::fill(s + keys, s + whole, masked<T>);
      T factor(1);
      if (absorb_row<Arch>(steps_of(spec_.normalizer), s, whole, r.state[i], factor, scale_.rest))
        r.scale_sums(i, factor);
    }
  }

  const Spec& spec_;
  const problem& p_;
  const Lists& lists_;
  head_rows<T, Arch, Spec, false> rows_;
  panels<T, Arch, Spec> read_;
  split_scale scale_;
  lane_layout layout_;
  block_shape shape_;
  index row_blocks_;
};

}  // namespace heed::detail
