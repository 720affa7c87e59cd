// SPDX-License-Identifier: BSL-1.0
// Driver `turned`: the tile loop by blocks of keys, for masks whose rows have lists of their own
// (mask/blocks.hpp). Rows that name a block are gathered into panels, however far apart they lie.
//
//   head    keys and values of one kv head (kv_heads.hpp)
//   task    a range of rows of the heads that share it; O, maximum and sum of each in L2
//     turn                the lists of the range, by block of keys (turned_lists.hpp)
//     for each block of keys, each panel of lanes that name it
//       Q gathered        [channel][lane]
//       for each key tile of the block
//         S = K Qᵀ, score, mask, P = absorb(S), Oᵀ += Vᵀ P       as in the tile loop
//       O of each lane <- O · factor + its column of the panel
//   finish  O · factor to where the row lies, lse
//
// A lane takes its blocks in ascending order whoever shares its panels: ranges and threads change
// no bit. Cost: 4 · keys · D flops a lane and block, and 2 · (D + Dv) elements gathered and
// scattered.
#pragma once

#include <heed/attention/absorb.hpp>
#include <heed/attention/block_members.hpp>
#include <heed/attention/in_flight.hpp>
#include <heed/attention/kv_heads.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>
#include <heed/simd/listed_lanes.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec, class Lists> class turned {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, widest = tuned::panel, key_tile = tuned::key_tile;
  static constexpr bool masks = has_mask<Spec>, scores = has_score<Spec>;

 public:
  static constexpr bool possible =
      std::is_same_v<decltype(Spec::weights), none> && std::is_same_v<decltype(Spec::plan), none>;
  static bool suits(const problem& p) {
    return !(p.to.observe && p.to.observe->wants() != observer::needs::rows) &&
           !(scores && p.source);
  }

  turned(const Spec& spec, const problem& p, const Lists& lists)
      : spec_(spec),
        p_(p),
        lists_(lists),
        items_{p, spec.plan},
        kv_(spec, p, items_),
        read_{spec, p},
        scale_(query_scale<T, Arch>(spec, p.scale)),
        layout_(lanes_of(lists, p.shape.group())),
        by_key_(lists, layout_, items_.longest_keys()),
        depth_(p.shape.value_depth),
        row_blocks_((p.shape.queries + layout_.rows - 1) / layout_.rows) {
    const index block = depth_ * layout_.lanes_per_block() * index(sizeof(T)),
                heads = p.shape.batch * p.shape.kv_heads;
    each_ = std::clamp<index>(tuned::turned_bytes / std::max<index>(block, 1), 1,
                              std::max<index>(row_blocks_, 1));
    while (each_ > 1 && heads * ((row_blocks_ + each_ - 1) / each_) < tuned::tasks) each_ /= 2;
    ranges_ = (row_blocks_ + each_ - 1) / each_;
  }

  void run(const executor_ref& executor, workspace& scratch) const {
    const index heads = p_.shape.batch * p_.shape.kv_heads;
    if (heads == 0 || ranges_ == 0 || layout_.group == 0) return;
    const index size = kv_.bytes(), workers = executor.workers();
    const index wave = heads_in_flight<T, Arch>(size, heads, workers);
    scratch.shared().reserve(
        static_cast<std::size_t>(aligned_bytes(heads * ranges_, sizeof(index)) + wave * size));
    index* const counts = scratch.shared().template take<index>(heads * ranges_);
    std::byte* const packed = scratch.shared().template take<std::byte>(wave * size);
    executor.for_each(heads * ranges_, [&](index i, index) {
      counts[i] = by_key_.count(i / ranges_ / p_.shape.kv_heads, i / ranges_ % p_.shape.kv_heads,
                                blocks_of(i % ranges_));
    });
    const index most = *std::max_element(counts, counts + heads * ranges_);
    arena_size bytes;
    task sized;
    take(bytes, most, sized);
    scratch.crew(workers, bytes.bytes());
    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first);
      for (index i = 0; i < count && size > 0; ++i) kv_.start(packed + i * size);
      // Long causal ranges first.
      executor.for_each(count * ranges_, [&](index i, index worker) {
        task t;
        scratch.worker(worker).reserve(0);
        take(scratch.worker(worker), most, t);
        attend(first + i / ranges_, blocks_of(ranges_ - 1 - i % ranges_),
               packed + i / ranges_ * size, t);
      });
    }
  }

 private:
  struct task {
    T* o = nullptr;  // [lane][channel]
    T* max = nullptr;
    T* sum = nullptr;
    index* first = nullptr;
    list_entry* entries = nullptr;
    block_members<T, Arch, decltype(Spec::mask)> members{};
    // One panel.
    T* q = nullptr;
    T* sums = nullptr;
    T* s = nullptr;
    T* staged = nullptr;
    T* values = nullptr;
    index* places = nullptr;  // positions of keys
  };
  struct place : lane_range {
    kv_head<T> from;
  };

  span blocks_of(index range) const {
    return {range * each_, std::min((range + 1) * each_, row_blocks_)};
  }
  index most_lanes() const { return (each_ * layout_.lanes_per_block() + W - 1) / W * W; }

  template <class Arena> void take(Arena& from, index entries, task& t) const {
    t.o = from.template take<T>(most_lanes() * depth_);
    t.max = from.template take<T>(most_lanes());
    t.sum = from.template take<T>(most_lanes());
    t.first = from.template take<index>(by_key_.key_blocks() + 1);
    t.entries = from.template take<list_entry>(entries);
    t.members.take(from, most_lanes());
    t.q = from.template take<T>(read_.width * widest);
    t.sums = from.template take<T>(kv_.channels() * widest);
    t.s = from.template take<T>(std::max(key_tile, kv_.extra()) * widest);
    t.staged = from.template take<T>(W * std::max({read_.width, p_.shape.depth, depth_}));
    t.values = from.template take<T>(kv_.staged_values());
    if constexpr (scores) t.places = from.template take<index>(key_tile);
  }

  void attend(index kv_head_index, span blocks, std::byte* packed, task& t) const {
    place at{};
    at.layout = layout_;
    at.kv = kv_head_index % p_.shape.kv_heads;
    at.s = items_(kv_head_index / p_.shape.kv_heads, at.kv);
    at.first_row = blocks.begin * layout_.rows;
    at.lanes = blocks.size() * layout_.lanes_per_block();
    at.from = kv_.located(at.s, at.kv, packed);
    by_key_.turn(at.s.b, at.kv, blocks, t.first, t.entries);
    std::fill_n(t.o, at.lanes * depth_, T(0));
    for (index lane = 0; lane < at.lanes; ++lane) {
      const index i = std::min(at.row(lane), at.s.rows - 1);
      const row_state<T> start =
          steps_of(spec_.normalizer)
              .template start<T>(row_position{at.s.b, at.head(lane), i + at.s.offset, i});
      t.max[lane] = start.max, t.sum[lane] = start.sum;
    }
    if (kv_.extra() > 0) visit_extra(at, t);
    for (index block = 0; block < by_key_.key_blocks(); ++block) {
      const std::span<const list_entry> listed(t.entries + t.first[block],
                                               t.entries + t.first[block + 1]);
      if (listed.empty()) continue;
      const index size = lists_.block_keys();
      const span keys = at.s.within({block * size, (block + 1) * size});
      if (keys.empty()) continue;
      // Score functions are told one head a panel.
      for (index g = 0; g < (scores ? layout_.group : 1); ++g)
        each_panel<T, Arch>(t.members.gather(spec_.mask, at, keys, listed, scores ? g : -1),
                            [&](index from, index lanes) { visit(at, keys, from, lanes, t); });
    }
    finish(at, t);
  }

  using panel = query_panel<T, Spec>;

  // Q of the lanes; O' empty; their states.
  panel begin(const place& at, index first, index lanes, const task& t, T* max, T* sum) const {
    panel p{};
    p.q = t.q, p.rows = lanes, p.vectors = (lanes + W - 1) / W, p.pitch = p.vectors * W;
    const T scale = static_cast<T>(scale_.exact);
    const bool direct = !read_.rewrites && simd::stored_as<T>(p_.q);
    const T* const rows = direct ? static_cast<const T*>(p_.q.row(at.s.batch, 0, 0)) : t.staged;
    for (index v = 0; v < p.vectors; ++v) {
      const index some = std::min(W, lanes - v * W);
      index from[W];
      for (index i = 0; i < some; ++i) {
        const index lane = t.members.lane[first + v * W + i], h = at.head(lane), r = at.row(lane);
        if (direct)
          from[i] = h * p_.q.stride[1] + r * p_.q.stride[2];
        else
          read_.load({at.s.b, h, r + at.s.offset, r}, at.s.batch, 1,
                     t.staged + (from[i] = i * read_.width));
      }
      simd::listed_to_lanes<T, Arch>(rows, 1, from, some, read_.width, scale, p.q + v * W, p.pitch);
    }
    for (index i = 0; i < p.pitch; ++i) {
      const index lane = t.members.lane[first + std::min(i, lanes - 1)];
      max[i] = t.max[lane], sum[i] = t.sum[lane];
    }
    simd::clear<T, Arch>(p.vectors, p.pitch, kv_.channels(), t.sums);
    return p;
  }

  void visit(const place& at, span keys, index first, index lanes, const task& t) const {
    T max[widest], sum[widest], scale[widest];
    const panel p = begin(at, first, lanes, t, max, sum);
    std::fill_n(scale, p.pitch, T(1));
    const kv_head<T>& from = at.from;
    keys = t.members.hull(keys, first, lanes);
    for (index tile = keys.begin / key_tile; tile * key_tile < keys.end; ++tile) {
      const span some{std::max(keys.begin, tile * key_tile),
                      std::min(keys.end, (tile + 1) * key_tile)};
      kv_.need(from, at.s, at.kv, tile, tile + 1, t.values);
      read_.products(p, from.k + some.begin * from.k_stride, from.k_stride, some.size(), t.s,
                     p.pitch);
      if constexpr (scores)
        t.members.modify(spec_.score, at, some, first, lanes, t.places, t.s, p.pitch);
      auto accumulate = simd::accumulate<T, Arch>;
      if constexpr (masks)
        if (t.members.hide(spec_.mask, at, some, first, lanes, t.s, p.pitch) && !from.finite[tile])
          accumulate = simd::accumulate_selected<T, Arch>;
      absorb(p, some.size(), t, max, sum, scale);
      accumulate(p.vectors, t.s, p.pitch, some.size(),
                 from.v + tile * from.v_tile + (some.begin - tile * key_tile) * from.v_stride,
                 from.v_stride, from.v_block, from.channels, t.sums);
    }
    merge(p, first, t, max, sum, scale);
  }

  void visit_extra(const place& at, const task& t) const {
    kv_.need(at.from, at.s, at.kv, 0, 1, t.values);
    index count = 0;
    for (index lane = 0; lane < at.lanes; ++lane)
      if (at.exists(lane)) t.members.lane[count++] = lane;
    each_panel<T, Arch>(count, [&](index first, index lanes) {
      T max[widest], sum[widest], scale[widest];
      const panel p = begin(at, first, lanes, t, max, sum);
      std::fill_n(scale, p.pitch, T(1));
      read_.products(p, at.from.extra_k, read_.width, kv_.extra(), t.s, p.pitch);
      absorb(p, kv_.extra(), t, max, sum, scale);
      simd::accumulate<T, Arch>(p.vectors, t.s, p.pitch, kv_.extra(), at.from.extra_v,
                                kv_.channels(), 4, depth_, t.sums);
      merge(p, first, t, max, sum, scale);
    });
  }

  void absorb(const panel& p, index keys, const task& t, T* max, T* sum, T* scale) const {
    T factors[widest];
    if (!absorb_panel<Arch>(spec_, scale_.rest, p.vectors, p.pitch, keys, t.s, max, sum, factors))
      return;
    for (index i = 0; i < p.pitch; ++i) scale[i] *= factors[i];
    simd::rescale<T, Arch>(p.vectors, factors, p.pitch, kv_.channels(), t.sums);
  }

  // O of each lane and its state.
  void merge(const panel& p, index first, const task& t, const T* max, const T* sum,
             const T* scale) const {
    T ones[W];
    std::fill_n(ones, W, T(1));
    for (index v = 0; v < p.vectors; ++v) {
      const index some = std::min(W, p.rows - v * W);
      simd::from_lanes<T, Arch>(t.sums + v * W, p.pitch, some, depth_, ones, t.staged, depth_);
      for (index i = 0; i < some; ++i) {
        const index lane = t.members.lane[first + v * W + i];
        T* const o = t.o + lane * depth_;
        const T* const x = t.staged + i * depth_;
        const B by(scale[v * W + i]);
        index c = 0;
        for (; c + W <= depth_; c += W)
          simd::store(o + c,
                      B(simd::fma(simd::load<T, Arch>(o + c), by, simd::load<T, Arch>(x + c))));
        for (; c < depth_; ++c) o[c] = std::fma(o[c], scale[v * W + i], x[c]);
        t.max[lane] = max[v * W + i], t.sum[lane] = sum[v * W + i];
      }
    }
  }

  void finish(const place& at, const task& t) const {
    for (index first = 0; first < at.lanes; first += W) {
      T factors[W];
      simd::store(factors, steps_of(spec_.normalizer)
                               .finish(row_state<B>{simd::load<T, Arch>(t.max + first),
                                                    simd::load<T, Arch>(t.sum + first)}));
      for (index i = 0; i < std::min(W, at.lanes - first); ++i) {
        const index lane = first + i, r = at.row(lane);
        if (!at.exists(lane)) continue;
        T* const o = t.o + lane * depth_;
        for (index c = 0; c < depth_; ++c) o[c] *= factors[i];
        write_row<Arch>(spec_, p_, at.s, at.head(lane), r, o);
        if (p_.to.lse.present() || p_.to.observe)
          report_row(spec_, p_, at.s, at.head(lane), r, row_state<T>{t.max[lane], t.sum[lane]},
                     scale_.rest);
      }
    }
  }

  const Spec& spec_;
  const problem& p_;
  const Lists& lists_;
  sequences<decltype(Spec::plan)> items_;
  kv_heads<T, Arch, Spec> kv_;
  panels<T, Arch, Spec> read_;
  split_scale scale_;
  lane_layout layout_;
  turned_lists<Lists> by_key_;
  index depth_, row_blocks_, each_ = 1, ranges_ = 0;
};

}  // namespace heed::detail
