// SPDX-License-Identifier: BSL-1.0
// Driver `patches`: the tile loop with queries and keys by lists of tokens (attention/patch.hpp),
// for masks whose queries come in patches that see nearly the same keys.
//
//   head    keys and values of one kv head as rows (head_rows.hpp)
//   task    some patches of a head
//     for each patch, each query head of the group, each panel of up to three vectors
//       for each piece of its keys
//         S  = K[keys] Qᵀ                    [key][lane]         simd::listed_scores
//         S  = score(S)                                          modify_listed
//         S  = masked where a lane's spans end                   hide_outside
//         P  = absorb(S)                                         the normaliser
//         Oᵀ += V[keys]ᵀ P                   [channel][lane]     simd::listed_accumulate
//       finish  O · factor, transposed, a row at a time to where its query lies; lse
//
// Rows are never copied together: the kernels take lists. Cost a patch: 4 · lanes · keys · D flops,
// keys those of the union. A panel never depends on its neighbours: threads change no bit. A task
// holds Q, O and S of one panel.
#pragma once

#include <heed/attention/absorb.hpp>
#include <heed/attention/head_rows.hpp>
#include <heed/attention/in_flight.hpp>
#include <heed/attention/patch.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>
#include <heed/score/listed.hpp>
#include <heed/score/listed_places.hpp>
#include <heed/simd/listed_lanes.hpp>
#include <heed/simd/listed_tile.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class patches {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  using mask_type = decltype(Spec::mask);
  static constexpr index W = tuned::lanes, widest = tuned::panel;
  using bias_type =
      std::remove_cvref_t<decltype(place_bias_of(std::declval<const decltype(Spec::score)&>()))>;
  static constexpr bool has_places = bias_by_place<bias_type>;
  static constexpr bool own = own_products<decltype(Spec::similarity), T, Arch>;

 public:
  static constexpr bool possible = (has_panel_patches<mask_type> || lists_patches<mask_type>) &&
                                   std::is_same_v<decltype(Spec::weights), none> &&
                                   std::is_same_v<decltype(Spec::plan), none>;
  static bool suits(const Spec&, const problem& p) {
    return !p.source && !p.to.observe && p.shape.queries == p.shape.keys && p.shape.offset == 0;
  }

  patches(const Spec& spec, const problem& p)
      : spec_(spec),
        p_(p),
        plan_(plan_patches(spec.mask, W, tuned::vectors)),
        rows_(spec, p),
        read_{spec, p},
        scale_(query_scale<T, Arch>(spec, p.scale)),
        group_(p.shape.group()),
        width_(rows_.width()),
        depth_(p.shape.value_depth) {
    const index all = plan_.count() * p.shape.batch * p.shape.kv_heads;
    each_ = std::clamp<index>(all / tuned::patch_tasks, 1, tuned::patches);
    tasks_ = (plan_.count() + each_ - 1) / each_;
  }

  void run(const executor_ref& executor, workspace& scratch) const {
    const index heads = p_.shape.batch * p_.shape.kv_heads;
    if (heads == 0 || group_ == 0 || tasks_ == 0) return;
    const index size = rows_.bytes(), workers = executor.workers();
    const index wave = heads_in_flight<T, Arch>(size, heads, workers);
    scratch.shared().reserve(static_cast<std::size_t>(place_bytes() + wave * size));
    std::byte* const packed = scratch.shared().data() + place_bytes();
    [[maybe_unused]] int* const places = reinterpret_cast<int*>(scratch.shared().data());
    if constexpr (has_places)
      executor.for_each(rows_.pieces(), [&](index task, index) {
        const index first = task * rows::piece, last = first + rows::piece;
        for (index token = first; token < std::min(last, p_.shape.keys); ++token)
          places[token] = static_cast<int>(place_bias_of(spec_.score).place(token));
      });
    const index bytes = task_bytes(places);
    scratch.crew(workers, static_cast<std::size_t>(bytes));

    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first);
      const auto located = [&](index i) {
        const index head = first + i;
        return rows_.located(rows_.item(head), rows_.kv_head(head), packed + i * size);
      };
      if (size > 0)
        executor.for_each(count * rows_.pieces(), [&](index task, index) {
          const index i = task / rows_.pieces(), head = first + i;
          rows_.prepare(located(i), rows_.item(head), rows_.kv_head(head), task % rows_.pieces());
        });
      executor.for_each(count * tasks_, [&](index task, index worker) {
        const index i = task / tasks_, head = first + i, from = task % tasks_ * each_;
        attend(head / p_.shape.kv_heads, head % p_.shape.kv_heads,
               {from, std::min(from + each_, plan_.count())}, located(i), places,
               scratch.worker(worker));
      });
    }
  }

 private:
  using plan = decltype(plan_patches(std::declval<const mask_type&>(), index{}, index{}));
  static constexpr bool hides = plan::hides;

  struct panel {
    index h = 0, lane = 0, rows = 0, vectors = 0, pitch = 0;
    T* q = nullptr;
    T* o = nullptr;
    T* max = nullptr;
    T* sum = nullptr;
    T* s = nullptr;
    T* staged = nullptr;
    T* gathered = nullptr;
    bool summed = false;
  };

  // Scores stay in L1.
  static index piece(index vectors) { return tuned::key_tile * tuned::vectors / vectors; }
  index tallest() const {
    return std::max(
        std::min(piece(1), plan_.most_keys()) * W,
        std::max(std::min(piece(tuned::vectors), plan_.most_keys()), rows_.extra()) * widest);
  }
  index lanes() const { return (plan_.most_rows() + W - 1) / W * W; }
  index staged_width() const { return std::max({width_, p_.shape.depth, depth_}); }
  static index gathered_rows() { return own ? piece(1) : 0; }

  template <class Arena> void take(Arena& from, patch<T> (&two)[2], panel& p) const {
    for (patch<T>& x : two) {
      x.queries = from.template take<index>(plan_.most_rows());
      x.keys = from.template take<index>(plan_.most_keys());
      x.pitch = lanes();
      if constexpr (hides) {
        x.lo = from.template take<T>(patch<T>::most_axes * x.pitch);
        x.hi = from.template take<T>(patch<T>::most_axes * x.pitch);
      }
    }
    p.q = from.template take<T>(width_ * widest);
    p.o = from.template take<T>(depth_ * widest);
    p.max = from.template take<T>(widest);
    p.sum = from.template take<T>(widest);
    p.s = from.template take<T>(tallest());
    p.staged = from.template take<T>(W * staged_width());
    p.gathered = from.template take<T>(gathered_rows() * width_);
  }
  // What is kept for a bias by place, if there is one.
  template <class Arena> auto take_places([[maybe_unused]] const int* places, Arena& from) const {
    if constexpr (has_places)
      return listed_places<T, bias_type>(place_bias_of(spec_.score), places, lanes(),
                                         plan_.most_keys(), group_, from);
    else
      return none{};
  }
  index place_bytes() const { return has_places ? aligned_bytes(p_.shape.keys, sizeof(int)) : 0; }
  index task_bytes(const int* places) const {
    arena_size size;
    patch<T> two[2];
    panel p;
    take(size, two, p);
    take_places(places, size);
    return static_cast<index>(size.bytes());
  }

  void attend(index b, index kv, span of, const rows_of_head<T>& from, const int* places,
              arena& scratch) const {
    scratch.reserve(0);
    patch<T> two[2];
    panel p;
    take(scratch, two, p);
    auto biases = take_places(places, scratch);
    if constexpr (has_places) biases.start();
    plan_.fill(of.begin, two[0]);
    for (index i = of.begin; i < of.end; ++i) {
      const patch<T>& x = two[(i - of.begin) % 2];
      // Rows are on their way from memory while the patch before them is worked on: those of
      // queries, and of keys where it is not that patch which has brought most of them.
      if (i + 1 < of.end) {
        patch<T>& next = two[(i + 1 - of.begin) % 2];
        plan_.fill(i + 1, next);
        for (index row = 0; row < next.rows; ++row)
          simd::prefetch(p_.q.row(b, kv * group_, next.queries[row]),
                         p_.shape.depth * size_of(p_.q.type));
        if constexpr (!hides)
          for (index j = 0; j < next.count; ++j) {
            simd::prefetch(from.k + next.keys[j] * from.k_stride, width_ * index(sizeof(T)));
            simd::prefetch(from.v + next.keys[j] * from.v_stride, depth_ * index(sizeof(T)));
          }
      }
      const bool open = x.open();
      if constexpr (has_places) biases.see(x.queries, x.rows, x.keys, x.count);
      for (p.h = kv * group_; p.h < (kv + 1) * group_; ++p.h)
        each_panel<T, Arch>(x.rows, [&](index first, index count) {
          p.lane = first, p.rows = count;
          p.vectors = (p.rows + W - 1) / W;
          p.pitch = p.vectors * W;
          begin(p, x, b);
          visit_extra(p, from);
          const index most = piece(p.vectors);
          for (index key = 0; key < x.count; key += most)
            visit(p, x, b, {key, std::min(key + most, x.count)}, open, from, biases);
          finish(p, x, b);
        });
    }
  }

  void begin(panel& p, const patch<T>& x, index b) const {
    const T scale = static_cast<T>(scale_.exact);
    for (index lane = 0; lane < p.rows; lane += W) {
      const index some = std::min(W, p.rows - lane);
      const index* const tokens = x.queries + p.lane + lane;
      if (!read_.rewrites && simd::stored_as<T>(p_.q)) {
        simd::listed_to_lanes<T, Arch>(static_cast<const T*>(p_.q.row(b, p.h, 0)), p_.q.stride[2],
                                       tokens, some, width_, scale, p.q + lane, p.pitch);
      } else {
        for (index i = 0; i < some; ++i)
          read_.load({b, p.h, tokens[i], tokens[i]}, b, 1, p.staged + i * width_);
        simd::to_lanes<T, Arch>(p.staged, width_, some, width_, scale, p.q + lane, p.pitch);
      }
    }
    simd::clear<T, Arch>(p.vectors, p.pitch, depth_, p.o);
    const index token = x.queries[p.lane];
    const row_state<T> start =
        steps_of(spec_.normalizer).template start<T>(row_position{b, p.h, token, token});
    std::fill_n(p.max, p.pitch, start.max);
    std::fill_n(p.sum, p.pitch, start.sum);
    p.summed = false;
  }

  void visit_extra(panel& p, const rows_of_head<T>& from) const {
    const index slots = rows_.extra();
    if (slots == 0) return;
    if constexpr (own)
      spec_.similarity.template scores<Arch>(p.vectors, from.extra_k, width_, slots, p.q, p.pitch,
                                             width_, p.s);
    else
      simd::scores<T, Arch>(p.vectors, from.extra_k, width_, slots, p.q, p.pitch, width_, p.s);
    absorb(p, slots);
    simd::accumulate<T, Arch>(p.vectors, p.s, p.pitch, slots, from.extra_v, depth_, 4, depth_, p.o);
  }

  template <class Biases>
  void visit(panel& p, const patch<T>& x, index b, span keys, bool open,
             const rows_of_head<T>& from, [[maybe_unused]] Biases& biases) const {
    const index* const at = x.keys + keys.begin;
    if constexpr (own) {
      for (index j = 0; j < keys.size(); ++j)
        std::copy_n(from.k + at[j] * from.k_stride, width_, p.gathered + j * width_);
      spec_.similarity.template scores<Arch>(p.vectors, p.gathered, width_, keys.size(), p.q,
                                             p.pitch, width_, p.s);
    } else {
      simd::listed_scores<T, Arch>(p.vectors, from.k, from.k_stride, at, keys.size(), p.q, p.pitch,
                                   width_, p.s);
    }
    if constexpr (has_score<Spec>) {
      const listed_tile in{.b = b,
                           .h = p.h,
                           .queries = x.queries + p.lane,
                           .rows = p.rows,
                           .tokens = at,
                           .keys = keys.size(),
                           .pitch = p.pitch};
      modify_listed<Arch>(spec_.score, in, p.s, [&]<class F>([[maybe_unused]] const F& f) {
        // Two conditions: clang looks into the block where one of them depends on F.
        if constexpr (has_places) {
          if constexpr (std::is_same_v<F, bias_type>)
            if (&f == &place_bias_of(spec_.score)) {
              biases.template add<Arch>(p.h, p.h % group_, p.lane, p.vectors, keys, p.s, p.pitch);
              return true;
            }
        }
        return false;
      });
    }
    auto accumulate = simd::listed_accumulate<T, Arch>;
    if constexpr (hides)
      if (!open) {
        hide_outside<Arch>(x, p.lane, p.vectors, keys, p.s, p.pitch);
        if (!finite(from, at, keys.size())) accumulate = simd::listed_accumulate_selected<T, Arch>;
      }
    absorb(p, keys.size());
    accumulate(p.vectors, p.s, p.pitch, keys.size(), from.v, from.v_stride, at, depth_, p.o);
  }
  static bool finite(const rows_of_head<T>& from, const index* at, index count) {
    bool all = true;
    for (index j = 0; j < count; ++j) all &= from.finite[at[j] / rows::piece] != 0;
    return all;
  }

  row_state<B> state(const panel& p, index v) const {
    return {simd::load<T, Arch>(p.max + v * W), simd::load<T, Arch>(p.sum + v * W)};
  }

  void absorb(panel& p, index keys) const {
    T factors[widest];
    const bool moved = absorb_panel<Arch>(spec_, scale_.rest, p.vectors, p.pitch, keys, p.s, p.max,
                                          p.sum, factors);
    if (moved && p.summed) simd::rescale<T, Arch>(p.vectors, factors, p.pitch, depth_, p.o);
    p.summed = true;
  }

  void finish(panel& p, const patch<T>& x, index b) const {
    const result& out = p_.to.out;
    const bool plain = std::is_same_v<decltype(Spec::output), none> &&
                       out.type == element_of<T>::value && out.stride[3] == 1;
    const sequence s{.b = b, .batch = b};
    for (index v = 0; v < p.vectors; ++v) {
      const index* const tokens = x.queries + p.lane + v * W;
      const index some = std::min(W, p.rows - v * W);
      T factors[W];
      simd::store(factors, steps_of(spec_.normalizer).finish(state(p, v)));
      if (plain) {
        simd::listed_from_lanes<T, Arch>(p.o + v * W, p.pitch, tokens, some, depth_, factors,
                                         static_cast<T*>(out.row(b, p.h, 0)), out.stride[2]);
      } else {
        simd::from_lanes<T, Arch>(p.o + v * W, p.pitch, some, depth_, factors, p.staged, depth_);
        for (index i = 0; i < some; ++i)
          write_row<Arch>(spec_, p_, s, p.h, tokens[i], p.staged + i * depth_);
      }
      if (p_.to.lse.present())
        for (index i = 0; i < some; ++i)
          report_row(spec_, p_, s, p.h, tokens[i], row_state<T>{p.max[v * W + i], p.sum[v * W + i]},
                     scale_.rest);
    }
  }

  using rows = head_rows<T, Arch, Spec, hides>;

  const Spec& spec_;
  const problem& p_;
  plan plan_;
  rows rows_;
  panels<T, Arch, Spec> read_;
  split_scale scale_;
  index group_, width_, depth_, each_ = 1, tasks_ = 0;
};

}  // namespace heed::detail
