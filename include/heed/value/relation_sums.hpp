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

#include <heed/attention/replay.hpp>
#include <heed/value/relation_rows.hpp>
#include <heed/value/relation_tile.hpp>

namespace heed::detail {

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
        rows_(q, k, scale),
        relations_(rows_.count()),
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
    m.related = memory.template take<T>(rows_.of_keys(height_));
    m.q = memory.template take<T>(most_panels * rows_.of_queries());
    m.p = memory.template take<T>(heads * score_size());
    m.r = memory.template take<T>(relations_ * score_size());
    m.sums = memory.template take<T>(most_panels * heads * relations_ * widest);
    m.row = memory.template take<T>(std::max(W * replay_.q.width(), rows_.of_row()) + relations_);
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
                panel_sums = heads * relations_ * widest, panel_q = rows_.of_queries();
    const sequence s = item(0);
    bool finite_q[most_panels] = {};
    std::fill_n(m.sums, count * panel_sums, T(0));
    for (index i = 0; i < count; ++i) {
      const panel& x = at(0).panels[first + i];
      finite_q[i] = rows_.queries(s, x.row, x.rows, x.pitch, m.row, m.q + i * panel_q);
    }
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
        rows_.products(m.q + i * panel_q, m.related, height_, keys.size(), any.pitch, m.r,
                       score_size());
        for (index h = 0; h < heads; ++h)
          replay_.weights(item(h), at(h), at(h).panels[first + i], keys,
                          m.keys + h / shape.group() * height_ * replay_.q.width(), any.pitch, {},
                          m.p + h * score_size(), m.tables);
        relation_tile<T>{m.p,          m.r,         m.sums + i * panel_sums,
                         score_size(), widest,      heads,
                         relations_,   keys.size(), any.pitch}
            .template add<Arch>(any.vectors, finite && finite_q[i]);
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

  // Whether the keys of relations are finite.
  template <class Item> bool load_keys(const Item& item, span keys, const task_memory& m) const {
    const problem_shape& shape = replay_.p.shape;
    for (index kv = 0; kv < shape.kv_heads; ++kv)
      replay_.load_keys(item(kv * shape.group()), kv, keys,
                        m.keys + kv * height_ * replay_.q.width());
    return rows_.keys(item(0), keys, height_, m.related);
  }

  const Spec& spec_;
  from replay_;
  relation_rows<T, Arch> rows_;
  index relations_, height_, each_, head_bytes_ = 0;  // `each_` panels a task
};

}  // namespace heed::detail
