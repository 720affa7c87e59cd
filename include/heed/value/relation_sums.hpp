// SPDX-License-Identifier: BSL-1.0
// Driver of value/relational: R_i^h = Σ_j p_ij^h r_ij, the weights of a call that is done and
// relations that all heads share, r_ij^l = c q_i^l·k_j^l.
//
//   task                    some panels of queries of one sequence, all heads
//     for each key tile     rows of K of all heads and of all relations
//       for each panel
//         r = c K_l Q_lᵀ    [l][key][lane], once for all heads          simd::scores
//         p                 [h][key][lane], from lse                    replay
//         R += Σ_j p ⊙ r    [h][l][lane]                                4 heads × 4 relations
//
// A pair costs 2 R Dr flops, and 2 D + 2 R a head: the scores are made again. As channels of values
// the rows k_j^l would give the same sums, <q_i^l, Σ_j p k_j^l>, for 2 R Dr a head.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/attention/replay.hpp>

namespace heed::detail {

// acc[h][l] += Σ_j p[h][j] r[l][j] for one vector of lanes; blocks `p_next`, `r_next` and `next`
// (of both axes) apart, keys `pitch`. A weight of 0 hides its relation where `Selected`.
template <class T, class Arch, int H, int L, bool Selected>
HEED_INLINE void add_relations(const T* p, index p_next, const T* r, index r_next, index pitch,
                               index keys, T* acc, index h_next, index l_next) {
  using B = simd::batch<T, Arch>;
  B sum[H][L];
  HEED_UNROLL for (int h = 0; h < H; ++h) HEED_UNROLL for (int l = 0; l < L; ++l) sum[h][l] =
      simd::load<T, Arch>(acc + h * h_next + l * l_next);
  for (index j = 0; j < keys; ++j, p += pitch, r += pitch) {
    B weight[H];
    HEED_UNROLL for (int h = 0; h < H; ++h) weight[h] = simd::load<T, Arch>(p + h * p_next);
    HEED_UNROLL for (int l = 0; l < L; ++l) {
      const B one = simd::load<T, Arch>(r + l * r_next);
      HEED_UNROLL for (int h = 0; h < H; ++h) {
        const B more = simd::fma(weight[h], one, sum[h][l]);
        if constexpr (Selected)
          sum[h][l] = simd::select(weight[h] == B(T(0)), sum[h][l], more);
        else
          sum[h][l] = more;
      }
    }
  }
  HEED_UNROLL for (int h = 0; h < H; ++h) HEED_UNROLL for (int l = 0; l < L; ++l)
      simd::store(acc + h * h_next + l * l_next, sum[h][l]);
}

template <class T, class Arch, class Spec> class relation_sums {
  using from = replay<T, Arch, Spec>;
  using panel = typename from::panel;
  static constexpr index W = from::W, widest = from::widest, most_panels = 4;

 public:
  // q, k [B,R,L,Dr]; `states`: what the rows of the call ended with.
  relation_sums(const Spec& spec, const problem& p, row_states<T>& states, const operand& q,
                const operand& k, double scale)
      : spec_(spec),
        replay_(spec, p, states, 1),
        q_(q),
        k_(k),
        scale_(static_cast<T>(scale)),
        relations_(q.extent[1]),
        depth_(q.extent[3]),
        height_(replay_.plan.height),
        each_(std::clamp<index>(replay_.plan.panels / 8, 1, most_panels)) {
    pieces counter(nullptr);
    located(counter);
    head_bytes_ = counter.used();
  }

  // to [B,H,Lq,R]
  void run(const view<T>& to, const executor_ref& executor, workspace& scratch) const {
    const problem_shape& shape = replay_.p.shape;
    const index heads = shape.heads, group = shape.group(), panels = replay_.plan.panels;
    scratch.crew(executor.workers());
    scratch.shared().reserve(static_cast<std::size_t>(heads * head_bytes_));
    for (index i = 0; i < executor.workers(); ++i)
      scratch.worker(i).reserve(static_cast<std::size_t>(task_bytes()));
    std::byte* const base = scratch.shared().data();
    const auto at = [&](index h) {
      pieces memory(base + h * head_bytes_);
      return located(memory);
    };
    const index tasks = (panels + each_ - 1) / each_;
    for (index b = 0; b < replay_.items.count(); ++b) {
      const auto item = [&](index h) { return replay_.items(b, h / group); };
      executor.for_each(heads * tasks, [&](index task, index worker) {
        prepare(item(task / tasks), task / tasks, at(task / tasks), task % tasks,
                scratch.worker(worker));
      });
      executor.for_each(tasks, [&](index task, index worker) {
        visit(item, at, tasks - 1 - task, to, scratch.worker(worker));
      });
    }
  }

 private:
  auto located(pieces& memory) const { return replay_.located(memory); }
  index score_size() const { return height_ * widest; }

  struct task_memory {
    T *keys, *related, *q, *p, *r, *sums, *row, *tables;
  };
  template <class Arena> task_memory taken(Arena& memory) const {
    const index heads = replay_.p.shape.heads, kv = replay_.p.shape.kv_heads;
    task_memory m{};
    m.keys = memory.template take<T>(kv * height_ * replay_.q.width());
    m.related = memory.template take<T>(relations_ * height_ * depth_);
    m.q = memory.template take<T>(most_panels * relations_ * depth_ * widest);
    m.p = memory.template take<T>(heads * score_size());
    m.r = memory.template take<T>(relations_ * score_size());
    m.sums = memory.template take<T>(most_panels * heads * relations_ * widest);
    m.row = memory.template take<T>(W * std::max(replay_.q.width(), depth_) + relations_);
    m.tables = memory.template take<T>(scratch_of(spec_.score, widest, height_));
    return m;
  }
  index task_bytes() const {
    arena_size size;
    taken(size);
    return index(size.bytes());
  }

  void prepare(const sequence& s, index h, const typename from::head& d, index task,
               arena& scratch) const {
    scratch.reserve(0);
    T* const rows = taken(scratch).row;
    const index last = std::min((task + 1) * each_, replay_.plan.panels);
    for (index i = task * each_; i < last; ++i) {
      const auto& x = replay_.open(d, s, h, i);
      for (index lane = 0; lane < x.pitch; lane += W) replay_.load(d, x, s, lane, rows);
    }
  }

  template <class Item, class At>
  void visit(const Item& item, const At& at, index task, const view<T>& to, arena& scratch) const {
    scratch.reserve(0);
    const task_memory m = taken(scratch);
    const problem_shape& shape = replay_.p.shape;
    const index heads = shape.heads, first = task * each_,
                count = std::min(each_, replay_.plan.panels - first),
                panel_sums = heads * relations_ * widest, panel_q = relations_ * depth_ * widest;
    const sequence s = item(0);
    bool finite_q[most_panels] = {};
    std::fill_n(m.sums, count * panel_sums, T(0));
    for (index i = 0; i < count; ++i)
      finite_q[i] = load_queries(s, at(0).panels[first + i], m.row, m.q + i * panel_q);
    for (index j = 0; j < s.keys; j += height_) {
      const span keys{j, std::min(j + height_, s.keys)};
      bool loaded = false, finite = true;
      for (index i = 0; i < count; ++i) {
        bool blind = true;
        for (index h = 0; h < heads && blind; ++h)
          blind = replay_.blind(at(h).panels[first + i], keys);
        if (blind) continue;
        if (!loaded) finite = load_keys(item, keys, m);
        loaded = true;
        const panel& any = at(0).panels[first + i];
        for (index l = 0; l < relations_; ++l)
          simd::scores<T, Arch>(any.vectors, m.related + l * height_ * depth_, depth_, keys.size(),
                                m.q + i * panel_q + l * depth_ * widest, any.pitch, depth_,
                                m.r + l * score_size(), any.pitch);
        for (index h = 0; h < heads; ++h)
          replay_.weights(item(h), at(h), at(h).panels[first + i], keys,
                          m.keys + h / shape.group() * height_ * replay_.q.width(), any.pitch, {},
                          m.p + h * score_size(), m.tables);
        add(m, any, keys.size(), finite && finite_q[i], m.sums + i * panel_sums);
      }
    }
    for (index i = 0; i < count; ++i)
      for (index h = 0; h < heads; ++h) {
        const panel& x = at(h).panels[first + i];
        for (index r = 0; r < x.rows; ++r) {
          for (index l = 0; l < relations_; ++l)
            m.row[l] = m.sums[i * panel_sums + (h * relations_ + l) * widest + r];
          std::copy_n(m.row, relations_, &to(s.batch, h, s.row + x.row + r));
        }
      }
  }

  // c q_l of a panel as [l][channel][lane]; whether all are finite.
  bool load_queries(const sequence& s, const panel& x, T* rows, T* to) const {
    bool finite = true;
    std::fill_n(to, relations_ * depth_ * widest, T(0));
    for (index l = 0; l < relations_; ++l)
      for (index lane = 0; lane < x.rows; lane += W) {
        const index some = std::min(W, x.rows - lane);
        for (index i = 0; i < some; ++i)
          simd::load_row(q_.type, q_.row(s.batch, l, s.row + x.row + lane + i), q_.stride[3],
                         depth_, rows + i * depth_);
        finite = simd::all_finite(rows, depth_, some, depth_) && finite;
        simd::to_lanes<T, Arch>(rows, depth_, some, depth_, scale_, to + l * depth_ * widest + lane,
                                x.pitch);
      }
    return finite;
  }
  template <class Item> bool load_keys(const Item& item, span keys, const task_memory& m) const {
    const problem_shape& shape = replay_.p.shape;
    for (index kv = 0; kv < shape.kv_heads; ++kv)
      replay_.load_keys(item(kv * shape.group()), kv, keys,
                        m.keys + kv * height_ * replay_.q.width());
    bool finite = true;
    const sequence s = item(0);
    for (index l = 0; l < relations_; ++l) {
      T* const to = m.related + l * height_ * depth_;
      for (index j = 0; j < keys.size(); ++j)
        simd::load_row(k_.type, k_.row(s.batch, l, s.slot + keys.begin + j), k_.stride[3], depth_,
                       to + j * depth_);
      finite = simd::all_finite(to, depth_, keys.size(), depth_) && finite;
    }
    return finite;
  }

  void add(const task_memory& m, const panel& x, index keys, bool finite, T* sums) const {
    const auto all = [&]<bool Selected>(std::bool_constant<Selected>) {
      const auto block = [&]<int H, int L>(index h, index l, std::integral_constant<int, H>,
                                           std::integral_constant<int, L>) {
        for (index v = 0; v < x.vectors * W; v += W)
          add_relations<T, Arch, H, L, Selected>(
              m.p + h * score_size() + v, score_size(), m.r + l * score_size() + v, score_size(),
              x.pitch, keys, sums + (h * relations_ + l) * widest + v, relations_ * widest, widest);
      };
      by_fours(replay_.p.shape.heads, [&](index h, auto some) {
        by_fours(relations_, [&](index l, auto more) { block(h, l, some, more); });
      });
    };
    finite ? all(std::false_type{}) : all(std::true_type{});
  }
  template <class F> static void by_fours(index n, const F& f) {
    index i = 0;
    for (; i + 4 <= n; i += 4) f(i, std::integral_constant<int, 4>{});
    for (; i < n; ++i) f(i, std::integral_constant<int, 1>{});
  }

  const Spec& spec_;
  from replay_;
  const operand &q_, &k_;
  T scale_;
  index relations_, depth_, height_, each_, head_bytes_ = 0;  // `each_` panels a task
};

}  // namespace heed::detail
