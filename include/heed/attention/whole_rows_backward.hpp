// SPDX-License-Identifier: BSL-1.0
// Driver `rows` backward: a block of query rows at a time, its weights made again from all scores.
//
//   head    keys and values as rows (head_rows.hpp), shares of dK and dV (backward_shares.hpp)
//   task    a share of the blocks of one head, of all heads where they are mixed
//     for each block
//       S, P                   as forward
//       dP = V dOᵀ             [head][key][lane]
//       dS                     through mixers and normaliser, then the score functions
//       dV += Pᵀ dO, dK += dSᵀ Q   for some keys at a time, in strips
//       dQ = dS K              its rows are this block's alone
//   keys    shares added in their order, back through `.key` and `.value`
//
// 10 · rows · keys · D flops; keys · lanes elements for each of up to six squares a head.
#pragma once

#include <heed/attention/backward_shares.hpp>
#include <heed/attention/head_rows.hpp>
#include <heed/attention/row_weights.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec>
class whole_rows_backward : backward_shares<T, Arch, Spec> {
  using base = backward_shares<T, Arch, Spec>;
  using base::q_, base::v_, base::depth, base::value_depth, base::row_width, base::staging;
  using base::spec_, base::p_, base::x_, base::g_, base::replay_, base::sums_, base::store;
  using base::sum_width_, base::shares_;
  using base::W, base::widest;
  using of_rows = row_weights<T, Arch, Spec>;
  using block = typename of_rows::block;
  static constexpr bool masks = has_mask<Spec>, scores = of_rows::scores, mixes = of_rows::mixes,
                        modifies = of_rows::modifies;
  static constexpr bool keeps_raw = needs_scores<typename of_rows::elements>();
  static_assert(!base::own, "gradients of whole rows need a similarity that is a product");
  // Squares besides those of `weigh`: dP, and scores as the modifiers or the normaliser saw them.
  static constexpr index slope = of_rows::squares, spare = slope + 1, raw = spare + mixes,
                         shown = raw + keeps_raw, unmodified = shown + of_rows::shows,
                         squares = unmodified + modifies;
  static constexpr index strip_keys = simd::shape<T, Arch>::key_tile / 2;

 public:
  whole_rows_backward(const Spec& spec, const problem& p, const backward_operands& x,
                      const spec_gradients<Spec>& g, row_states<T>& states)
      : base(spec, p, x, g, states), rows_(spec, p, true), head_rows_(spec, p) {
    base::cut(rows_.blocks());
    if (in_place(spec.score, g.score) || (mixes && in_place(spec.output, g.output)))
      check::fail("heed::attend_backward",
                  "whole rows give no gradient to a table with a number a key or row");
  }

  void run(const executor_ref& executor, workspace& scratch) {
    const index kv_heads = p_.shape.kv_heads, heads = head_rows_.heads();
    if (heads == 0) return;
    // kv heads that a task reads; query heads that share them, one block at a time.
    const index each = mixes ? kv_heads : 1, parts = mixes ? 1 : p_.shape.group();
    const index workers = executor.workers(), size = this->head_bytes(head_rows_);
    const index wave = each * heads_in_reverse<T, Arch>(each * size, heads / each, workers);
    scratch.shared().reserve(static_cast<std::size_t>(wave * size + sums_.bytes()));
    std::byte* const memory = scratch.shared().data();
    sums_.start(memory + wave * size);
    arena_size need;
    task sized;
    take(need, sized);
    const index bytes = std::max(static_cast<index>(need.bytes()),
                                 aligned_bytes(staging() + sum_width_, sizeof(T)));
    scratch.crew(workers, static_cast<std::size_t>(bytes));
    const auto visit_all = [&](index count, const auto& at) {
      const auto visit_task = [&](index i, index unit, index worker) {
        arena& own_memory = scratch.worker(worker);
        own_memory.reserve(0);
        task t;
        take(own_memory, t);
        visit([&](index n) { return at(i / shares_ * each + n); }, i % shares_, parts, unit, t);
      };
      // Tasks with common sums of learned numbers go one after another.
      const index tasks = count / each * shares_;
      const index turns = sums_.any() ? simd::most_units : tasks;
      executor.for_each(turns, [&](index turn, index worker) {
        for (index i = turn; i < tasks; i += turns) visit_task(i, sums_.any() ? turn : 0, worker);
      });
    };
    this->template each_wave<masks>(head_rows_, memory, wave, executor, scratch, visit_all);
    sums_.deliver();
  }

 private:
  using head_type = head_rows<T, Arch, Spec, masks>;
  using head = shared_head<T>;
  struct task {
    block b;
    T* d_lse = nullptr;
    double* ignored = nullptr;  // sums of rows that belong to other blocks
    backward_panel<T> p{};      // of one head at a time
  };

  template <class Memory> void take(Memory& memory, task& t) const {
    const index lanes = rows_.lanes(), heads = rows_.heads();
    rows_.take(memory, t.b, squares - of_rows::squares);
    t.d_lse = memory.template take<T>(heads * lanes);
    t.ignored =
        memory.template take<double>(sums_.bytes() / (simd::most_units * index(sizeof(double))));
    t.p.q_rows = memory.template take<T>(lanes * q_.width());
    t.p.dq = memory.template take<T>(lanes * q_.width());
    t.p.d_out = memory.template take<T>(heads * lanes * v_.width());
    t.p.d_out_rows = memory.template take<T>(heads * lanes * v_.width());
    t.p.dk = memory.template take<T>(strip_keys * q_.width());
    t.p.dv = memory.template take<T>(strip_keys * v_.width());
    t.p.staged = memory.template take<T>(std::max(staging(), rows_.staging()) + W * row_width());
  }

  template <class At> void visit(At at, index share, index parts, index unit, task& t) {
    for (index n = 0; n < (mixes ? p_.shape.kv_heads : 1); ++n) at(n).touched[share] = {};
    for (index i = rows_.blocks() * share / shares_; i < rows_.blocks() * (share + 1) / shares_;
         ++i)
      for (index part = 0; part < parts; ++part) visit_block(at, share, part, i, unit, t);
  }

  template <class At>
  void visit_block(At at, index share, index part, index i, index unit, task& t) {
    block& b = t.b;
    const head first = at(0);
    rows_.open(b, first.s, first.kv * p_.shape.group() + part, i, t.p.staged);
    const row_scores<T>& x = b.x;
    if (x.own == 0) return;
    const auto head_of = [&](index n) { return mixes ? at(n / p_.shape.group()) : first; };
    const auto each_tile = [&](const auto& f) {
      for (index key = b.keys.begin; key < b.keys.end; key += strip_keys)
        f(span{key, std::min(key + strip_keys, b.keys.end)});
    };
    bool hidden = false, finite = true;
    T* const slopes = rows_.square_of(b, slope);
    for (index n = 0; n < x.heads; ++n) {
      const head d = head_of(n);
      finite &= load_rows(t, n, unit);
      each_tile([&](span keys) {
        const T* const k = d.rows.k + keys.begin * d.rows.k_stride;
        hidden |= rows_.score(b, n, keys, k, d.rows.k_stride,
                              keeps_raw ? rows_.square_of(b, raw) : nullptr);
        for (index v = 0; v < x.pitch; v += widest)
          simd::scores<T, Arch>(
              std::min(widest, x.pitch - v) / W, d.rows.v + keys.begin * d.rows.v_stride,
              d.rows.v_stride, keys.size(), d_out(t, n) + v, x.pitch, value_depth(),
              slopes + n * x.head_pitch + (keys.begin - b.keys.begin) * x.pitch + v, x.pitch);
        finite &= all_finite(d, keys);
      });
    }
    T* const seen = of_rows::shows ? rows_.square_of(b, shown) : nullptr;
    T* const before = modifies ? rows_.square_of(b, unmodified) : nullptr;
    const T* const weights = rows_.weigh(b, seen, before);
    T* const ds = rows_.weigh_backward(b, seen, slopes, mixes ? rows_.square_of(b, spare) : nullptr,
                                       x_.observed, g_, sums_, unit, t.d_lse);
    const bool selected = hidden && !finite;
    for (index n = 0; n < x.heads; ++n) {
      const head d = head_of(n);
      std::fill_n(t.p.dq, x.pitch * q_.channels, T(0));
      if constexpr (modifies)
        rows_.modify_backward(b, n, before, ds, t.p.dq, g_, sums_.of(unit) + sums_.score);
      if constexpr (scores) slopes_of_scores(b, n, ds, unit);
      load_queries(t, n);
      T* const sums = base::sums_of(d, share);
      each_tile([&](span keys) {
        this->touch(keys, d.touched[share], sums);
        const index place = n * x.head_pitch + (keys.begin - b.keys.begin) * x.pitch;
        t.p.pitch = x.pitch, t.p.p = const_cast<T*>(weights) + place, t.p.ds = ds + place;
        std::fill_n(t.p.dk, keys.size() * q_.width(), T(0));
        std::fill_n(t.p.dv, keys.size() * v_.width(), T(0));
        backward_panel<T> of_head = t.p;
        of_head.d_out_rows = d_out_rows(t, n);
        this->add_to_keys(of_head, keys.size(), keys.size(), 0, selected, x.pitch);
        for (index j = 0; j < keys.size(); ++j)
          this->add_row(t.p, keys.size(), j, sums, keys.begin + j);
        for (index v = 0; v < x.pitch; v += widest)
          (selected ? simd::accumulate_selected<T, Arch>
                    : simd::accumulate<T, Arch>)(std::min(widest, x.pitch - v) / W, t.p.ds + v,
                                                 x.pitch, keys.size(),
                                                 d.rows.k + keys.begin * d.rows.k_stride,
                                                 d.rows.k_stride, 4, q_.channels, t.p.dq + v);
      });
      finish_queries(t, n, unit);
    }
  }

  T* d_out(const task& t, index n) const { return t.p.d_out + n * rows_.lanes() * v_.width(); }
  T* d_out_rows(const task& t, index n) const {
    return t.p.d_out_rows + n * rows_.lanes() * v_.width();
  }
  bool all_finite([[maybe_unused]] const head& d, [[maybe_unused]] span keys) const {
    bool all = true;
    if constexpr (masks)
      for (index i = keys.begin / head_type::piece; i * head_type::piece < keys.end; ++i)
        all &= d.finite[i] != 0;
    return all;
  }
  row_position position(const block& b, index n, index lane) const {
    return {b.x.b, b.x.h + n, b.x.q + lane, b.x.row + lane};
  }

  // dO of head n, as lanes and in strips; false if a number in it is not finite.
  bool load_rows(task& t, index n, index unit) {
    const row_scores<T>& x = t.b.x;
    T* const grads = t.p.staged;
    T* const out = grads + W * row_width();
    bool finite = true;
    for (index v = 0; v < x.pitch; v += W) {
      for (index i = 0; i < W; ++i) {
        T* const grad = grads + i * v_.width();
        const index lane = v + i;
        std::fill_n(grad, v_.width(), T(0));
        t.d_lse[n * rows_.lanes() + lane] = T(0);
        if (lane >= x.rows) continue;
        const row_position at = position(t.b, n, lane);
        if constexpr (std::is_same_v<decltype(Spec::output), none>)
          simd::load_row(x_.d_out.type, x_.d_out.row(t.b.s.batch, at.h, at.row), x_.d_out.stride[3],
                         value_depth(), grad);
        else
          this->load_gradient(at, t.b.s.batch, grad, out,
                              own(x, lane) ? sums_.of(unit) : t.ignored);
        t.d_lse[n * rows_.lanes() + lane] = this->lse_gradient(at, t.b.s.batch);
      }
      if constexpr (masks) finite &= simd::all_finite(grads, v_.width(), W, v_.channels);
      simd::to_lanes<T, Arch>(grads, v_.width(), W, v_.channels, T(1), d_out(t, n) + v, x.pitch);
      v_.pack(grads, v_.width(), W, d_out_rows(t, n), x.pitch, v);
    }
    return finite;
  }
  static bool own(const row_scores<T>& x, index lane) {
    return lane >= x.first && lane < x.first + x.own;
  }

  // Scaled queries of head n in strips.
  void load_queries(task& t, index n) {
    const row_scores<T>& x = t.b.x;
    for (index lane = 0; lane < x.pitch; ++lane) {
      T* const row = t.p.staged;
      std::fill_n(row, row_width(), T(0));
      if (lane < x.rows) {
        replay_.read.load(position(t.b, n, lane), t.b.s.batch, 1, row);
        simd::map_row<Arch>(row, q_.channels, [scale = static_cast<T>(p_.scale)](auto y) {
          return y * decltype(y)(scale);
        });
      }
      q_.pack(row, 0, 1, t.p.q_rows, x.pitch, lane);
    }
  }

  // dS back through the score functions of head n.
  void slopes_of_scores(const block& b, index n, T* ds, index unit) {
    const row_scores<T>& x = b.x;
    for (index i = n * b.each; i < (n + 1) * b.each; ++i)
      for (index key = b.keys.begin; key < b.keys.end; key += strip_keys) {
        const span keys{key, std::min(key + strip_keys, b.keys.end)};
        const index place =
            n * x.head_pitch + (key - b.keys.begin) * x.pitch + (i % b.each) * widest;
        const tile at = rows_.read.corner(b.panels[i], b.s, keys, x.pitch);
        using score_type = decltype(Spec::score);
        score_backward<Arch>(element_part<score_type>(spec_.score),
                             element_part<score_type>(g_.score), at,
                             keeps_raw ? rows_.square_of(b, raw) + place : nullptr, ds + place,
                             sums_.of(unit) + sums_.score, b.tables);
        for (index j = 0; j < keys.size(); ++j)
          std::fill(ds + place + j * x.pitch + at.rows,
                    ds + place + j * x.pitch + b.panels[i].pitch, T(0));
      }
  }

  void finish_queries(task& t, index n, index unit) {
    if (!x_.dq.present() && !sums_.any()) return;
    const row_scores<T>& x = t.b.x;
    T* const grad = t.p.staged;
    T* const row = grad + row_width();
    double* const sum = sums_.of(unit);
    for (index lane = x.first; lane < x.first + x.own; ++lane) {
      const row_position at = position(t.b, n, lane);
      for (index c = 0; c < q_.channels; ++c)
        grad[c] = t.p.dq[c * x.pitch + lane] * static_cast<T>(p_.scale);
      if constexpr (base::template has_prologue<true, decltype(Spec::query)>())
        simd::load_row(p_.q.type, p_.q.row(t.b.s.batch, at.h, at.row), p_.q.stride[3], depth(),
                       row);
      this->template prologue_backward<true>(spec_.query, row, grad, at, g_.query,
                                             sum + sums_.query, sum, row + row_width());
      store(x_.dq, grad, depth(), t.b.s.batch, at.h, at.row);
    }
  }

  of_rows rows_;
  head_type head_rows_;
};

}  // namespace heed::detail
