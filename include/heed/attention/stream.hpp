// SPDX-License-Identifier: BSL-1.0
// Driver `stream`: the tile loop with an online normaliser.
//
//   head    keys and values of one kv head, packed once where a layout, type or transform asks for it
//   task    a block of queries of the heads that share a kv head, as panels of three vectors
//   for each key tile that a query of the task may see
//     for each panel                       all three steps before the next panel: S stays in L1
//       S  = K Qᵀ                          [key][lane]
//       S  = mask(score(S))                only where a score modifier or a partly masked tile asks
//       P  = absorb(S)                     running maximum and sum, rescale only where it moved
//       Oᵀ += Vᵀ P                         [channel][lane]
//   finish  O · factor, transposed out, lse
//
// Cost per task: 4 · rows · keys · D flops for one pass over K and V from L2; Q, O and S of the
// task are the only scratch: (rows · (D + Dv) + key_tile · panel) elements a worker.
#pragma once

#include <heed/attention/intervals.hpp>
#include <heed/attention/problem.hpp>
#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/score/concept.hpp>
#include <heed/similarity/dot.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/tile.hpp>

namespace heed::detail {

// Keys and values of one kv head, as the micro-kernels read them.
template <class T>
struct kv_head {
  const T* k = nullptr;
  const T* v = nullptr;
  index k_stride = 0;
  index v_stride = 0, v_block = 4, v_tile = 0, channels = 0;
  const T* extra_k = nullptr;
  const T* extra_v = nullptr;
  const unsigned char* finite = nullptr;
};

template <class T>
struct query_panel {
  T* q = nullptr;
  T* o = nullptr;
  T* max = nullptr;
  T* sum = nullptr;
  index h = 0, row = 0, rows = 0, vectors = 0;
  lane_intervals keys;
};

template <class T, class Arch, class Spec>
class stream {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, pitch = tuned::panel, key_tile = tuned::key_tile;
  static constexpr bool masks = !std::is_same_v<decltype(Spec::mask), full>;
  static constexpr bool scores = !std::is_same_v<decltype(Spec::score), none>;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;

 public:
  stream(const Spec& spec, const problem& p)
      : spec_(spec), p_(p), items_{p, spec.plan}, shape_(p.shape),
        width_(packed_width(spec.similarity, shape_.depth)),
        channels_((shape_.value_depth + 3) / 4 * 4),
        queries_(items_.longest_queries()),
        keys_(items_.longest_keys()),
        tiles_((keys_ + key_tile - 1) / key_tile),
        heads_per_task_(std::clamp<index>(shape_.group(), 1, 2 * tuned::panels)),
        panels_per_head_(std::max<index>(1, std::min(tuned::panels / heads_per_task_,
                                                     (queries_ + pitch - 1) / pitch))),
        blocks_((queries_ + rows_per_block() - 1) / rows_per_block()),
        chunks_((shape_.group() + heads_per_task_ - 1) / heads_per_task_) {
    const bool many = shape_.group() * queries_ >= tuned::packed_queries;
    const auto scattered = [&](const operand& x, index depth) {
      return x.stride[2] != depth && x.stride[2] * index(sizeof(T)) >= tuned::packed_stride;
    };
    pack_keys_ = !simd::stored_as<T>(p.k) || transforms_keys() || (many && scattered(p.k, shape_.depth));
    pack_values_ = !simd::stored_as<T>(p.v) || !std::is_same_v<decltype(Spec::value), none> || many;
    if constexpr (has_extra) extra_ = spec.extra.slots();
  }

  void run(executor_ref executor, workspace& scratch) const {
    const index heads = items_.count() * shape_.kv_heads;
    if (heads == 0 || queries_ == 0) return;
    constexpr index budget = index{16} << 20;
    const index size = head_bytes();
    const index wave = executor.workers() == 1 ? 1 : std::clamp<index>(budget / std::max<index>(size, 1), 1, heads);
    scratch.crew(executor.workers());
    scratch.shared().reserve(static_cast<std::size_t>(wave * size));
    std::byte* const packed = scratch.shared().data();
    for (index i = 0; i < executor.workers(); ++i)
      scratch.worker(i).reserve(static_cast<std::size_t>(task_bytes()));

    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first);
      if (size > 0)
        executor.for_each(count * prepare_tasks(), [&](index task, index worker) {
          prepare(first + task / prepare_tasks(), task % prepare_tasks(),
                  packed + task / prepare_tasks() * size, scratch.worker(worker));
        });
      // Heads one after another, so that workers share K and V; long causal blocks first.
      const index tasks = blocks_ * chunks_;
      executor.for_each(count * tasks, [&](index task, index worker) {
        const index head = task / tasks, block = blocks_ - 1 - task % tasks / chunks_;
        attend(first + head, task % chunks_, block, packed + head * size, scratch.worker(worker));
      });
    }
  }

 private:
  index rows_per_block() const { return panels_per_head_ * pitch; }
  static constexpr bool transforms_keys() {
    return !std::is_same_v<decltype(Spec::key), none> ||
           requires(const decltype(Spec::similarity)& s, T* row) {
             s.template key<Arch>(row, index{}, row_position{});
           };
  }
  static constexpr bool transforms_queries() {
    return !std::is_same_v<decltype(Spec::query), none> ||
           requires(const decltype(Spec::similarity)& s, T* row) {
             s.template query<Arch>(row, index{}, row_position{});
           };
  }

  // ---- Keys and values of one kv head -------------------------------------------------------

  index prepare_tasks() const { return std::max<index>(tiles_, 1); }
  static index bytes(index count, index size) {
    return static_cast<index>(arena::rounded(static_cast<std::size_t>(count * size)));
  }
  index key_bytes() const { return pack_keys_ ? bytes(keys_ * width_, sizeof(T)) : 0; }
  index value_bytes() const { return pack_values_ ? bytes(tiles_ * key_tile * channels_, sizeof(T)) : 0; }
  index extra_bytes() const { return bytes(extra_ * (width_ + channels_), sizeof(T)); }
  index head_bytes() const {
    return key_bytes() + value_bytes() + extra_bytes() + (masks ? bytes(tiles_, 1) : 0);
  }

  // Where the packed head lies; the operand itself where it is read in place.
  kv_head<T> located(index head, std::byte* packed) const {
    const sequence s = items_[head / shape_.kv_heads];
    const index h = head % shape_.kv_heads;
    kv_head<T> kv;
    kv.k = pack_keys_ ? reinterpret_cast<const T*>(packed) : static_cast<const T*>(p_.k.row(s.batch, h, s.slot));
    kv.k_stride = pack_keys_ ? width_ : p_.k.stride[2];
    packed += key_bytes();
    if (pack_values_) {
      kv.v = reinterpret_cast<const T*>(packed);
      kv.v_stride = 4, kv.v_block = 4 * key_tile, kv.v_tile = key_tile * channels_, kv.channels = channels_;
    } else {
      kv.v = static_cast<const T*>(p_.v.row(s.batch, h, s.slot));
      kv.v_stride = p_.v.stride[2], kv.v_tile = key_tile * kv.v_stride, kv.channels = shape_.value_depth;
    }
    packed += value_bytes();
    kv.extra_k = reinterpret_cast<const T*>(packed);
    kv.extra_v = kv.extra_k + extra_ * width_;
    kv.finite = reinterpret_cast<const unsigned char*>(packed + extra_bytes());
    return kv;
  }

  void prepare(index head, index tile, std::byte* packed, arena& scratch) const {
    const sequence s = items_[head / shape_.kv_heads];
    const index h = head % shape_.kv_heads;
    const index first = tile * key_tile, count = std::min(key_tile, s.keys - first);
    const kv_head<T> kv = located(head, packed);
    if (tile == 0) prepare_extra(s, h, kv);
    if (count <= 0) return;
    if (pack_keys_)
      for (index j = first; j < first + count; ++j) {
        T* row = const_cast<T*>(kv.k) + j * width_;
        simd::load_row(p_.k.type, p_.k.row(s.batch, h, s.slot + j), p_.k.stride[3], shape_.depth, row);
        const row_position at{s.b, h, j, s.slot + j};
        simd::transform_row<Arch>(spec_.key, row, shape_.depth, at);
        similarity_key(row, at);
      }
    const T* rows = static_cast<const T*>(p_.v.row(s.batch, h, s.slot + first));
    index stride = p_.v.stride[2];
    if (!simd::stored_as<T>(p_.v) || !std::is_same_v<decltype(Spec::value), none>) {
      scratch.reserve(0);
      T* staged = scratch.take<T>(count * shape_.value_depth);
      for (index j = 0; j < count; ++j) {
        T* row = staged + j * shape_.value_depth;
        simd::load_row(p_.v.type, p_.v.row(s.batch, h, s.slot + first + j), p_.v.stride[3], shape_.value_depth, row);
        simd::transform_row<Arch>(spec_.value, row, shape_.value_depth, row_position{s.b, h, first + j, s.slot + first + j});
      }
      rows = staged, stride = shape_.value_depth;
    }
    if (pack_values_)
      simd::pack_values(rows, stride, count, shape_.value_depth, kv.v_block, const_cast<T*>(kv.v) + tile * kv.v_tile);
    if (masks) const_cast<unsigned char*>(kv.finite)[tile] = simd::all_finite(rows, stride, count, shape_.value_depth);
  }

  void similarity_key(T* row, const row_position& at) const {
    if constexpr (requires { spec_.similarity.template key<Arch>(row, shape_.depth, at); })
      spec_.similarity.template key<Arch>(row, shape_.depth, at);
  }

  void prepare_extra(const sequence& s, index h, const kv_head<T>& kv) const {
    if constexpr (has_extra)
      for (index j = 0; j < extra_; ++j) {
        T* row = const_cast<T*>(kv.extra_k) + j * width_;
        spec_.extra.key(s.batch, h, j, row);
        similarity_key(row, {s.b, h, j, j});
        spec_.extra.value(s.batch, h, j, const_cast<T*>(kv.extra_v) + j * channels_, shape_.value_depth);
      }
  }

  // ---- One block of queries -----------------------------------------------------------------

  index panels() const { return heads_per_task_ * panels_per_head_; }
  index score_scratch() const { return scratch_of(spec_.score, pitch, std::max(key_tile, extra_)); }
  index task_bytes() const {
    const index per_panel = bytes(width_ * pitch, sizeof(T)) + bytes(channels_ * pitch, sizeof(T)) +
                            bytes(2 * pitch, sizeof(T)) + bytes(lane_intervals::scratch(pitch), sizeof(index));
    const index task = bytes(panels(), sizeof(query_panel<T>)) + panels() * per_panel +
                       bytes(std::max(key_tile, extra_) * pitch, sizeof(T)) + bytes(score_scratch(), sizeof(T)) +
                       bytes(W * std::max({width_, shape_.depth, channels_}), sizeof(T));
    return std::max(task, bytes(key_tile * shape_.value_depth, sizeof(T)));
  }

  void attend(index head, index chunk, index block, std::byte* packed, arena& scratch) const {
    const sequence s = items_[head / shape_.kv_heads];
    const index kv = head % shape_.kv_heads, group = shape_.group();
    const index first = block * rows_per_block(), last = std::min(first + rows_per_block(), s.rows);
    if (first >= last) return;
    scratch.reserve(0);
    query_panel<T>* panel = scratch.take<query_panel<T>>(panels());
    T* const weights = scratch.take<T>(std::max(key_tile, extra_) * pitch);
    T* const tables = scratch.take<T>(score_scratch());
    T* const staged = scratch.take<T>(W * std::max({width_, shape_.depth, channels_}));
    index count = 0;
    span_list visits;
    for (index g = chunk * heads_per_task_; g < std::min((chunk + 1) * heads_per_task_, group); ++g)
      for (index row = first; row < last; row += pitch) {
        query_panel<T>& p = *new (panel + count++) query_panel<T>{};
        p.h = kv * group + g, p.row = row, p.rows = std::min(pitch, last - row);
        p.vectors = (p.rows + W - 1) / W;
        p.q = scratch.take<T>(width_ * pitch);
        p.o = scratch.take<T>(channels_ * pitch);
        p.max = scratch.take<T>(2 * pitch);
        p.sum = p.max + pitch;
        begin(p, s, staged);
        if constexpr (masks) {
          p.keys.pitch = pitch;
          p.keys.lo = scratch.take<index>(lane_intervals::scratch(pitch));
          p.keys.hi = p.keys.lo + lane_intervals::most * pitch;
          p.keys.collect(spec_.mask, {.b = s.b, .h = p.h, .q = row + s.offset, .row = s.row + row}, p.rows,
                         p.vectors * W, s.keys);
          for (index r = 0; r < p.keys.count; ++r) visits.add(p.keys.hull[r]);
        }
      }
    if constexpr (!masks) visits.add({0, s.keys});

    const kv_head<T> from = located(head, packed);
    if constexpr (has_extra)
      for (index i = 0; i < count; ++i) visit_extra(panel[i], from, weights);
    index done = -1;
    for (const span visit : visits)
      for (index t = std::max(visit.begin / key_tile, done + 1); t * key_tile < visit.end; done = t++)
        for (index i = 0; i < count; ++i) step(panel[i], s, from, t, weights, tables);
    for (index i = 0; i < count; ++i) finish(panel[i], s, staged);
  }

  // Q packed and scaled, accumulators empty.
  void begin(query_panel<T>& p, const sequence& s, T* staged) const {
    const index lanes = p.vectors * W;
    const T scale = static_cast<T>(p_.scale);
    if (p.rows < lanes)
      for (index c = 0; c < width_; ++c) std::fill_n(p.q + c * pitch + lanes - W, W, T(0));
    if (!transforms_queries() && simd::stored_as<T>(p_.q)) {
      simd::transpose<T, Arch>(static_cast<const T*>(p_.q.row(s.batch, p.h, s.row + p.row)), p_.q.stride[2],
                               p.rows, width_, scale, p.q, pitch);
    } else {
      for (index lane = 0; lane < p.rows; lane += W) {
        const index some = std::min(W, p.rows - lane);
        for (index i = 0; i < some; ++i) {
          T* row = staged + i * width_;
          const index r = p.row + lane + i;
          simd::load_row(p_.q.type, p_.q.row(s.batch, p.h, s.row + r), p_.q.stride[3], shape_.depth, row);
          const row_position at{s.b, p.h, r + s.offset, s.row + r};
          simd::transform_row<Arch>(spec_.query, row, shape_.depth, at);
          if constexpr (requires { spec_.similarity.template query<Arch>(row, shape_.depth, at); })
            spec_.similarity.template query<Arch>(row, shape_.depth, at);
        }
        simd::transpose<T, Arch>(staged, width_, some, width_, scale, p.q + lane, pitch);
      }
    }
    std::fill_n(p.o, channels_ * pitch, T(0));
    const row_state<T> start = spec_.normalizer.template start<T>(row_position{s.b, p.h, p.row + s.offset, s.row + p.row});
    std::fill_n(p.max, lanes, start.max);
    std::fill_n(p.sum, lanes, start.sum);
  }

  void score_rows(const query_panel<T>& p, const T* keys, index stride, index count, T* s) const {
    if constexpr (requires { spec_.similarity.template scores<Arch>(p.vectors, keys, stride, count, p.q, pitch, width_, s); })
      spec_.similarity.template scores<Arch>(p.vectors, keys, stride, count, p.q, pitch, width_, s);
    else
      simd::scores<T, Arch>(p.vectors, keys, stride, count, p.q, pitch, width_, s);
  }

  void visit_extra(query_panel<T>& p, const kv_head<T>& from, T* s) const {
    score_rows(p, from.extra_k, width_, extra_, s);
    absorb(p, extra_, s);
    simd::accumulate<T, Arch>(p.vectors, s, pitch, extra_, from.extra_v, channels_, 4, shape_.value_depth, p.o);
  }

  void step(query_panel<T>& p, const sequence& seq, const kv_head<T>& from, index t, T* s, T* tables) const {
    const index first = t * key_tile, last = std::min(first + key_tile, seq.keys);
    const span keys = masks ? p.keys.clip(first, last) : span{first, last};
    if (keys.empty()) return;
    [[maybe_unused]] cover inside = cover::some;
    if constexpr (masks) {
      const index q = p.row + seq.offset;
      inside = known(residual(spec_.mask), block{seq.b, p.h, {q, q + p.rows}, keys});
      if (inside == cover::none) return;
    }
    score_rows(p, from.k + keys.begin * from.k_stride, from.k_stride, keys.size(), s);
    const tile at{.b = seq.b, .h = p.h, .q = p.row + seq.offset, .row = seq.row + p.row, .rows = p.rows,
                  .k = keys.begin, .slot = seq.slot + keys.begin, .keys = keys.size(), .pitch = pitch};
    if constexpr (scores) modify_panel<Arch>(spec_.score, at, s, tables);
    bool partial = false;
    if constexpr (masks) partial = hide(p, at, keys, inside, s);
    absorb(p, keys.size(), s);
    const T* v = from.v + t * from.v_tile + (keys.begin - first) * from.v_stride;
    const auto accumulate = masks && partial && !from.finite[t] ? simd::accumulate_selected<T, Arch>
                                                                : simd::accumulate<T, Arch>;
    accumulate(p.vectors, s, pitch, keys.size(), v, from.v_stride, from.v_block, from.channels, p.o);
  }

  // Masks what some lane must not see; true if anything was.
  bool hide(const query_panel<T>& p, const tile& at, span keys, cover inside, T* s) const {
    if (p.keys.overflows) {
      mask_overflow<Arch>(spec_.mask, at, s);
      return true;
    }
    const span common = p.keys.common(keys);
    const bool asked = !p.keys.exact && inside != cover::all;
    if (common == keys && !asked) return false;
    mask_lanes<Arch>(p.keys, p.vectors, keys.begin, {0, common.begin - keys.begin}, s);
    mask_lanes<Arch>(p.keys, p.vectors, keys.begin, {common.end - keys.begin, keys.size()}, s);
    if constexpr (!exact_mask<decltype(Spec::mask)>())
      if (asked) mask_elements<Arch>(residual(spec_.mask), at, s);
    return true;
  }

  void absorb(query_panel<T>& p, index keys, T* s) const {
    T factors[pitch];
    bool moved = false;
    for (index v = 0; v < p.vectors; ++v) {
      row_state<B> state{simd::load<T, Arch>(p.max + v * W), simd::load<T, Arch>(p.sum + v * W)};
      B factor(T(1));
      moved |= spec_.normalizer.template absorb<Arch>(s + v * W, pitch, keys, state, factor);
      simd::store(p.max + v * W, state.max);
      simd::store(p.sum + v * W, state.sum);
      simd::store(factors + v * W, factor);
    }
    if (moved) simd::rescale<T, Arch>(p.vectors, factors, pitch, channels_, p.o);
  }

  void finish(query_panel<T>& p, const sequence& s, T* staged) const {
    T factors[pitch];
    for (index v = 0; v < p.vectors; ++v)
      simd::store(factors + v * W, spec_.normalizer.finish(row_state<B>{simd::load<T, Arch>(p.max + v * W),
                                                                        simd::load<T, Arch>(p.sum + v * W)}));
    simd::rescale<T, Arch>(p.vectors, factors, pitch, shape_.value_depth, p.o);
    const result& out = p_.to.out;
    const index depth = shape_.value_depth;
    if (std::is_same_v<decltype(Spec::output), none> && out.type == element_of<T>::value && out.stride[3] == 1) {
      simd::transpose<T, Arch>(p.o, pitch, depth, p.rows, T(1), static_cast<T*>(out.row(s.batch, p.h, s.row + p.row)),
                               out.stride[2]);
    } else {
      for (index lane = 0; lane < p.rows; lane += W) {
        const index some = std::min(W, p.rows - lane);
        simd::transpose<T, Arch>(p.o + lane, pitch, depth, some, T(1), staged, depth);
        for (index i = 0; i < some; ++i) {
          const index r = p.row + lane + i;
          T* row = staged + i * depth;
          simd::transform_row<Arch>(spec_.output, row, depth, row_position{s.b, p.h, r + s.offset, s.row + r});
          simd::store_row(out.type, row, depth, out.row(s.batch, p.h, s.row + r), out.stride[3]);
        }
      }
    }
    if (p_.to.lse.present() || p_.to.observe) report(p, s);
  }

  HEED_NOINLINE void report(const query_panel<T>& p, const sequence& s) const {
    for (index lane = 0; lane < p.rows; ++lane) {
      const index r = s.row + p.row + lane;
      if constexpr (has_lse<decltype(Spec::normalizer)>) {
        if (p_.to.lse.present()) {
          const T lse = spec_.normalizer.lse(row_state<T>{p.max[lane], p.sum[lane]});
          simd::store_row(p_.to.lse.type, &lse, 1, p_.to.lse.row(s.batch, p.h, r), 1);
        }
      }
      if (p_.to.observe)
        p_.to.observe->row({s.b, p.h, p.row + lane + s.offset, r}, double(p.max[lane]), double(p.sum[lane]));
    }
  }

  const Spec& spec_;
  const problem& p_;
  sequences<decltype(Spec::plan)> items_;
  const problem_shape& shape_;
  index width_, channels_, queries_, keys_, tiles_, heads_per_task_, panels_per_head_, blocks_, chunks_;
  index extra_ = 0;
  bool pack_keys_ = false, pack_values_ = false;
};

}  // namespace heed::detail
