// SPDX-License-Identifier: BSL-1.0
// Driver `rows`: attention whose weights are known only when all scores of a row are, or those of
// all heads: entmax, top-k, stick breaking, talking heads.
//
//   head    keys and values of the kv heads in flight (kv_heads.hpp)
//   task    a block of query rows of one head, or of all heads where they are mixed
//     Q packed; the keys that some row may see
//     for each key tile   S = K Qᵀ, score, mask           [head][key][lane], all keys at once
//     weights             S -> P by the normaliser, heads mixed before and after
//     for each key tile   Oᵀ += Vᵀ P
//   finish  transposed out
//
// A block has three vectors of rows, fewer where that leaves its scores within half of L2. Scratch:
// keys · lanes elements a head and worker. A row never depends on how rows are cut: blocks and
// threads change no bit. 4 · rows · keys · D flops besides what the normaliser takes.
#pragma once

#include <heed/attention/kv_heads.hpp>
#include <heed/attention/row_weights.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class whole_rows {
  using of_rows = row_weights<T, Arch, Spec>;
  using tuned = simd::shape<T, Arch>;
  using block = typename of_rows::block;
  static constexpr index W = of_rows::W, widest = of_rows::widest, key_tile = tuned::key_tile;
  static constexpr bool masks = of_rows::masks;

 public:
  whole_rows(const Spec& spec, const problem& p)
      : spec_(spec),
        p_(p),
        rows_(spec, p),
        kv_(spec, p, rows_.items),
        watched_(p.to.observe ? p.to.observe->wants() : observer::needs::rows) {
    for (index i = 0; p.source && i < rows_.items.count(); ++i)
      for (index h = 0; h < p.shape.kv_heads; ++h)
        if (rows_.items(i, h).places)
          check::fail("heed::attend", "whole rows need tokens without gaps between them");
  }

  void run(const executor_ref& executor, workspace& scratch) const {
    const index items = rows_.items.count(), kv_heads = p_.shape.kv_heads;
    if (items == 0 || p_.shape.heads == 0 || p_.shape.queries == 0) return;
    // Units in flight, each with the kv heads that it reads.
    const index each = rows_.heads() == 1 ? 1 : kv_heads, size = each * kv_.bytes(),
                all = items * kv_heads / each, workers = executor.workers();
    const index wave =
        workers == 1 ? 1 : std::clamp<index>(tuned::in_flight / std::max<index>(size, 1), 1, all);
    const index parts = rows_.heads() == 1 ? p_.shape.group() : 1, tasks = rows_.blocks() * parts;
    scratch.shared().reserve(static_cast<std::size_t>(wave * size));
    std::byte* const packed = scratch.shared().data();
    arena_size bytes;
    task sized;
    take(bytes, sized);
    scratch.crew(workers, bytes.bytes());
    for (index first = 0; first < all; first += wave) {
      const index count = std::min(wave, all - first);
      for (index i = 0; i < count * each && size > 0; ++i) kv_.start(packed + i * kv_.bytes());
      // Long causal rows first.
      executor.for_each(count * tasks, [&](index i, index worker) {
        const index kv = (first + i / tasks) * each;
        task t;
        scratch.worker(worker).reserve(0);
        take(scratch.worker(worker), t);
        attend(kv / kv_heads, kv % kv_heads, i % parts, rows_.blocks() - 1 - i % tasks / parts,
               packed + i / tasks * size, t);
      });
    }
  }

 private:
  struct task {
    block b;
    T *o = nullptr, *staged = nullptr, *values = nullptr;
    T* level = nullptr;               // of a row: its weights are 2^(s log2 e - level)
    unsigned char* hidden = nullptr;  // by tile: something is masked
  };
  template <class Memory> void take(Memory& from, task& t) const {
    rows_.take(from, t.b, watched_ == observer::needs::scores);
    t.level = from.template take<T>(p_.to.observe ? rows_.heads() * rows_.lanes() : 0);
    t.o = from.template take<T>(kv_.channels() * rows_.lanes());
    t.staged = from.template take<T>(std::max(rows_.staging(), W * kv_.channels()));
    t.values = from.template take<T>(kv_.staged_values());
    t.hidden = from.template take<unsigned char>(kv_.tiles());
  }

  // Queries of kv head `kv`, of all from there on where heads are mixed.
  void attend(index item, index kv, index part, index at, std::byte* packed, task& t) const {
    const sequence s = rows_.items(item, kv);
    block& b = t.b;
    rows_.open(b, s, kv * p_.shape.group() + part, at, t.staged);
    if (b.x.own == 0) return;
    const row_scores<T>& x = b.x;
    const auto each_tile = [&](const auto& visit) {
      for (index tile = b.keys.begin / key_tile; tile * key_tile < b.keys.end; ++tile)
        visit(tile, span{std::max(b.keys.begin, tile * key_tile),
                         std::min(b.keys.end, (tile + 1) * key_tile)});
    };
    const auto head_of = [&](index i) {
      const index h = x.heads == 1 ? kv : i / p_.shape.group();
      return std::pair(h, kv_.located(s, h, packed + (x.heads == 1 ? 0 : h) * kv_.bytes()));
    };
    for (index i = 0; i < x.heads; ++i) {
      const auto [h, from] = head_of(i);
      each_tile([&](index tile, span keys) {
        kv_.need(from, s, h, tile, (b.keys.end + key_tile - 1) / key_tile, t.values);
        bool hidden = rows_.score(b, i, keys, from.k + keys.begin * from.k_stride, from.k_stride);
        if (i > 0) hidden |= t.hidden[tile] != 0;
        t.hidden[tile] = hidden;
      });
    }
    T* const shown =
        watched_ == observer::needs::scores ? rows_.square_of(b, of_rows::squares) : nullptr;
    const T* const weights = rows_.weigh(b, shown);
    if (p_.to.observe) show(t, shown);
    for (index i = 0; i < x.heads; ++i) {
      const auto [h, from] = head_of(i);
      for (index v = 0; v < x.pitch; v += widest) {
        const index vectors = std::min(widest, x.pitch - v) / W;
        simd::clear<T, Arch>(vectors, x.pitch, kv_.channels(), t.o + v);
        each_tile([&](index tile, span keys) {
          auto accumulate = simd::accumulate<T, Arch>;
          if constexpr (masks)
            if (t.hidden[tile] && !from.finite[tile])
              accumulate = simd::accumulate_selected<T, Arch>;
          accumulate(vectors,
                     weights + i * x.head_pitch + (keys.begin - b.keys.begin) * x.pitch + v,
                     x.pitch, keys.size(),
                     from.v + tile * from.v_tile + (keys.begin - tile * key_tile) * from.v_stride,
                     from.v_stride, from.v_block, from.channels, t.o + v);
        });
      }
      finish(t, i);
    }
  }

  void finish(task& t, index i) const {
    const row_scores<T>& x = t.b.x;
    const index depth = p_.shape.value_depth;
    T ones[W];
    std::fill_n(ones, W, T(1));
    for (index v = 0; v < x.pitch; v += W) {
      simd::from_lanes<T, Arch>(t.o + v, x.pitch, std::min(W, x.rows - v), depth, ones, t.staged,
                                depth);
      for (index lane = std::max(v, x.first); lane < std::min(v + W, x.first + x.own); ++lane) {
        const index row = x.row - t.b.s.row + lane;
        write_row<Arch>(spec_, p_, t.b.s, x.h + i, row, t.staged + (lane - v) * depth);
        report(t, i, lane, row);
      }
    }
  }

  // Finished weights to the observer, so that nothing is left to do at the end of a row.
  void show(task& t, const T* shown) const {
    const row_scores<T>& x = t.b.x;
    if constexpr (!of_rows::alone)
      for (index i = 0; i < x.heads; ++i)
        for (index lane = 0; lane < x.rows; ++lane) {
          const T lse = spec_.normalizer.lse(rows_.state(t.b, i, lane));
          t.level[i * rows_.lanes() + lane] =
              lse == -std::numeric_limits<T>::infinity() ? -masked<T> : lse * T(simd::log2e);
        }
    if (watched_ == observer::needs::rows) return;
    const T* const weights = rows_.plain_weights(t.b);
    rows_.each_tile(t.b, {x.first, x.first + x.own}, [&](const tile& at, index lane, index place) {
      p_.to.observe->panel(observed_panel<T>{at, shown ? shown + place : nullptr, 1,
                                             weights + place, nullptr,
                                             of_rows::alone ? nullptr : t.level + lane});
    });
  }
  void report(const task& t, index i, index lane, index row) const {
    const row_position at{t.b.s.b, t.b.x.h + i, row + t.b.s.offset, t.b.s.row + row};
    row_end end{0, 1, 1};
    if constexpr (!of_rows::alone) {
      const T lse = spec_.normalizer.lse(rows_.state(t.b, i, lane));
      if (p_.to.lse.present())
        simd::store_row(p_.to.lse.type, &lse, 1, p_.to.lse.row(t.b.s.batch, at.h, at.row), 1);
      if (p_.to.observe) end.max = double(t.level[i * rows_.lanes() + lane]);
      if (lse == -std::numeric_limits<T>::infinity()) end.sum = end.factor = 0;
    }
    if (p_.to.observe) p_.to.observe->row(at, end);
  }

  const Spec& spec_;
  const problem& p_;
  of_rows rows_;
  kv_heads<T, Arch, Spec> kv_;
  observer::needs watched_;
};

}  // namespace heed::detail
