// SPDX-License-Identifier: BSL-1.0
// Driver `patches` backward: queries and keys by lists of tokens, weights replayed from lse.
//
//   head    keys and values as rows, as forward
//   task    a share of the patches of one kv head
//     for each patch
//       for each query head of the group, each panel of up to three vectors
//         Q and dO packed as lanes and in strips; δ = Σ dO·O
//         for each piece of the keys
//           P  = weights(K[keys] Qᵀ)          [key][lane]
//           dS = dscore(P, V[keys] dOᵀ, δ)    [key][lane]
//           dV += P dO,  dK += dS Q           the patch's own, in strips
//           dQ += K[keys]ᵀ dS                 [channel][lane]
//         dQ back through `.query`, a row at a time to where its query lies
//       dK, dV added to those of the share
//   keys    shares added in their order, back through `.key` and `.value`
//
// Shares follow from the shape alone, so the bits do not depend on the threads. Takes softmax-like
// normalisers, and scores that are only shifted by their modifiers, where no policy wants sums.
// 10 · lanes · keys · D flops a patch; (D + Dv) · keys elements a share in flight.
#pragma once

#include <heed/attention/backward_shares.hpp>
#include <heed/attention/patches.hpp>
#include <heed/score/gradient.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class patches_backward : backward_shares<T, Arch, Spec> {
  using base = backward_shares<T, Arch, Spec>;
  using forward = patches<T, Arch, Spec>;
  using tuned = simd::shape<T, Arch>;
  using base::q_, base::v_, base::depth, base::value_depth, base::row_width, base::staging;
  using base::shares_, base::sum_width_;
  using base::spec_, base::p_, base::x_, base::g_, base::replay_, base::sums_, base::store;
  using base::W, base::widest, base::own;
  using typename base::B;
  using plan =
      decltype(plan_patches(std::declval<const decltype(Spec::mask)&>(), index{}, index{}));
  static constexpr bool hides = plan::hides;
  using head_type = head_rows<T, Arch, Spec, hides>;

 public:
  static constexpr bool possible =
      forward::possible && !own && std::is_same_v<decltype(Spec::extra), none> &&
      replays_from_lse<decltype(Spec::normalizer)> && only_shifts<decltype(Spec::score)>();
  static bool suits(const Spec& spec, const problem& p, const backward_operands& x,
                    const spec_gradients<Spec>& g) {
    const gradient_sums<Spec> sums(spec, g);
    return !p.source && p.shape.queries == p.shape.keys && p.shape.offset == 0 && !x.observed &&
           !sums.any() && !sums.by_row();
  }

  patches_backward(const Spec& spec, const problem& p, const backward_operands& x,
                   const spec_gradients<Spec>& g, row_states<T>& states)
      : base(spec, p, x, g, states),
        plan_(plan_patches(spec.mask, W, tuned::vectors)),
        rows_(spec, p),
        group_(p.shape.group()) {
    base::cut(plan_.count());
  }

  void run(const executor_ref& executor, workspace& scratch) {
    const index workers = executor.workers();
    const index size = this->head_bytes(rows_);
    const index wave = heads_in_reverse<T, Arch>(size, rows_.heads(), workers);
    scratch.shared().reserve(static_cast<std::size_t>(wave * size + sums_.bytes()));
    std::byte* const memory = scratch.shared().data();
    sums_.start(memory + wave * size);
    arena_size need;
    patch<T> none_yet;
    panel empty;
    take(need, none_yet, empty);
    const index task = std::max(static_cast<index>(need.bytes()),
                                aligned_bytes(staging() + sum_width_, sizeof(T)));
    scratch.crew(workers, static_cast<std::size_t>(task));

    const auto visit_all = [&](index count, const auto& at) {
      executor.for_each(count * shares_, [&](index i, index worker) {
        visit(at(i / shares_), i % shares_, scratch.worker(worker));
      });
    };
    this->template each_wave<hides>(rows_, memory, wave, executor, scratch, visit_all);
  }

 private:
  using head = shared_head<T>;
  struct panel : backward_panel<T> {
    index h = 0, lane = 0;
  };

  // P and dS stay in L1.
  static index piece(index vectors) { return tuned::key_tile * tuned::vectors / vectors / 2; }
  index square() const {
    return std::max(std::min(piece(1), plan_.most_keys()) * W,
                    std::min(piece(tuned::vectors), plan_.most_keys()) * widest);
  }

  template <class Arena> void take(Arena& source, patch<T>& x, panel& p) const {
    x.queries = source.template take<index>(plan_.most_rows());
    x.keys = source.template take<index>(plan_.most_keys());
    x.pitch = (plan_.most_rows() + W - 1) / W * W;
    if constexpr (hides) {
      x.lo = source.template take<T>(patch<T>::most_axes * x.pitch);
      x.hi = source.template take<T>(patch<T>::most_axes * x.pitch);
    }
    for (T** rows : {&p.q, &p.q_rows, &p.dq}) *rows = source.template take<T>(widest * q_.width());
    for (T** rows : {&p.d_out, &p.d_out_rows}) *rows = source.template take<T>(widest * v_.width());
    for (T** each : {&p.max, &p.sum, &p.delta}) *each = source.template take<T>(widest);
    for (T** each : {&p.p, &p.ds}) *each = source.template take<T>(square());
    p.dk = source.template take<T>(plan_.most_keys() * q_.width());
    p.dv = source.template take<T>(plan_.most_keys() * v_.width());
    p.staged = source.template take<T>(staging());
  }

  void visit(const head& d, index share, arena& scratch) {
    scratch.reserve(0);
    patch<T> x;
    panel p;
    take(scratch, x, p);
    T* const sums = base::sums_of(d, share);
    span& touched = d.touched[share];
    touched = {};
    const index last = plan_.count() * (share + 1) / shares_;
    for (index i = plan_.count() * share / shares_; i < last; ++i) {
      plan_.fill(i, x);
      const bool open = x.open();
      const bool finite = open || all_finite(d, x);
      std::fill_n(p.dk, x.count * q_.width(), T(0));
      std::fill_n(p.dv, x.count * v_.width(), T(0));
      for (p.h = d.kv * group_; p.h < (d.kv + 1) * group_; ++p.h)
        each_panel<T, Arch>(x.rows, [&](index lane, index count) {
          p.lane = lane, p.rows = count;
          p.vectors = (p.rows + W - 1) / W;
          p.pitch = p.vectors * W;
          begin(p, x, d.s.b);
          const index most = piece(p.vectors);
          for (index key = 0; key < x.count; key += most)
            step(p, x, d, {key, std::min(key + most, x.count)}, open, finite);
          finish_queries(p, x, d.s.b);
        });
      if (x.count == 0) continue;
      const auto [low, high] = std::minmax_element(x.keys, x.keys + x.count);
      this->touch({*low, *high + 1}, touched, sums);
      for (index j = 0; j < x.count; ++j) this->add_row(p, x.count, j, sums, x.keys[j]);
    }
  }
  bool all_finite(const head& d, const patch<T>& x) const {
    bool all = true;
    for (index j = 0; j < x.count; ++j) all &= d.finite[x.keys[j] / head_type::piece] != 0;
    return all;
  }

  void begin(panel& p, const patch<T>& x, index b) {
    const index width = row_width();
    T* const queries = p.staged;
    T* const grads = queries + W * width;
    T* const out = grads + W * width;
    p.finite = true;
    for (index lane = 0; lane < p.pitch; lane += W) {
      for (index j = 0; j < W; ++j) {
        const index r = lane + j;
        row_state<T> state = replayed<T>(-std::numeric_limits<double>::infinity());
        p.delta[r] = T(0);
        if (r < p.rows) {
          const index token = x.queries[p.lane + r];
          const row_position at{b, p.h, token, token};
          T* const row = queries + j * width;
          replay_.read.load(at, b, 1, row);
          simd::map_row<Arch>(row, q_.channels, [scale = static_cast<T>(p_.scale)](auto y) {
            return y * decltype(y)(scale);
          });
          T* const grad = grads + j * width;
          this->load_gradient(at, b, grad, out, sums_.of(0));
          p.delta[r] = this->product(grad, out) - this->lse_gradient(at, b);
          state = replay_.states(b, p.h, token);
        } else {
          std::fill_n(queries + j * width, width, T(0));
          std::fill_n(grads + j * width, width, T(0));
        }
        p.max[r] = state.max, p.sum[r] = state.sum;
      }
      if constexpr (hides)
        p.finite &= simd::all_finite(queries, width, W, q_.channels) &&
                    simd::all_finite(grads, width, W, v_.channels);
      simd::to_lanes<T, Arch>(queries, width, W, q_.channels, T(1), p.q + lane, p.pitch);
      simd::to_lanes<T, Arch>(grads, width, W, v_.channels, T(1), p.d_out + lane, p.pitch);
      q_.pack(queries, width, W, p.q_rows, p.pitch, lane);
      v_.pack(grads, width, W, p.d_out_rows, p.pitch, lane);
    }
    simd::clear<T, Arch>(p.vectors, p.pitch, q_.channels, p.dq);
  }

  void step(panel& p, const patch<T>& x, const head& d, span keys, bool open, bool finite) const {
    const index* const at = x.keys + keys.begin;
    const index count = keys.size();
    const rows_of_head<T>& rows = d.rows;
    simd::listed_scores<T, Arch>(p.vectors, rows.k, rows.k_stride, at, count, p.q, p.pitch,
                                 q_.channels, p.p);
    if constexpr (has_score<Spec>)
      modify_listed<Arch>(spec_.score,
                          listed_tile{.b = d.s.b,
                                      .h = p.h,
                                      .queries = x.queries + p.lane,
                                      .rows = p.rows,
                                      .tokens = at,
                                      .keys = count,
                                      .pitch = p.pitch},
                          p.p, [](const auto&) { return false; });
    if constexpr (hides)
      if (!open) hide_outside<Arch>(x, p.lane, p.vectors, keys, p.p, p.pitch);
    simd::listed_scores<T, Arch>(p.vectors, rows.v, rows.v_stride, at, count, p.d_out, p.pitch,
                                 value_depth(), p.ds);
    this->slopes(p, count, !open);
    const index most = x.count;
    const bool selected = !open && !(finite && p.finite);
    this->add_to_keys(p, count, most, keys.begin, selected, p.pitch);
    (selected ? simd::listed_accumulate_selected<T, Arch>
              : simd::listed_accumulate<T, Arch>)(p.vectors, p.ds, p.pitch, count, rows.k,
                                                  rows.k_stride, at, q_.channels, p.dq);
  }

  void finish_queries(panel& p, const patch<T>& x, index b) {
    if (!x_.dq.present()) return;
    const index width = row_width();
    T factors[W];
    std::fill_n(factors, W, static_cast<T>(p_.scale));
    T* const row = p.staged + W * width;
    for (index lane = 0; lane < p.rows; lane += W) {
      const index some = std::min(W, p.rows - lane);
      simd::from_lanes<T, Arch>(p.dq + lane, p.pitch, some, q_.channels, factors, p.staged, width);
      for (index i = 0; i < some; ++i) {
        const index token = x.queries[p.lane + lane + i];
        const row_position at{b, p.h, token, token};
        T* const grad = p.staged + i * width;
        if constexpr (base::template has_prologue<true, decltype(Spec::query)>())
          simd::load_row(p_.q.type, p_.q.row(b, p.h, token), p_.q.stride[3], depth(), row);
        double* const sum = sums_.of(0);
        this->template prologue_backward<true>(spec_.query, row, grad, at, g_.query,
                                               sum + sums_.query, sum, row + width);
        store(x_.dq, grad, depth(), b, p.h, token);
      }
    }
  }

  plan plan_;
  head_type rows_;
  index group_;
};

}  // namespace heed::detail
