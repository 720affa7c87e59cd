// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrence/prefix_softmax. With H_j = Σ_{t>=j} e^{m_j - m_t} dO_t / u_t and
// h_j = Σ_{t>=j} e^{m_j - m_t} δ_t / u_t, δ_t = dO_t · o_t, both run backwards by factors f <= 1:
//
//   H_j = dO_j / u_j + f_{j+1} H_{j+1}      h_j = δ_j / u_j + f_{j+1} h_{j+1}
//   dv_j = p_j H_j                          ds_j = p_j (H_j · v_j - h_j)
//
// and end with what the final state is asked for, H = dw, h = -du. The maximum of the final state
// is one of the logits (the last that raised it), or that of the initial state.
#pragma once

#include <heed/recurrence/prefix_softmax.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

struct prefix_softmax_gradients {
  result ds{}, dv{};  // [B,H,L], [B,H,L,Dv]; absent: not wanted
};

namespace detail {

// One head of one sequence. `w`, `u`, `m`: the initial state; `g`: the gradient of the final state
// [dw, du, dm], and then of the initial one.
template <class T, class Arch> class prefix_backward {
  using weights = prefix_weights<T, Arch>;

 public:
  prefix_backward(arena& a, index length, index depth) : length_(length), depth_(depth) {
    a.reserve(4 * std::size_t(aligned_bytes(length, sizeof(T))) +
              3 * std::size_t(aligned_bytes(depth, sizeof(T))));
    for (T** x : {&f_, &p_, &r_, &delta_}) *x = a.take<T>(length);
    for (T** x : {&w_, &v_, &d_}) *x = a.take<T>(depth);
  }

  void run(const operand& s, const operand& v, const operand& d_out, index b, index h, index first,
           const T* initial, const prefix_softmax_gradients& to, T* g) {
    T u = initial[depth_], m = initial[depth_ + 1], logit[weights::block];
    std::copy_n(initial, depth_, w_);
    index top = -1;
    weights now;
    for (index l = 0, some; l < length_; l += some) {
      some = std::min(weights::block, length_ - l);
      simd::load_row(s.type, s.row(b, h, first + l), s.stride[2], some, logit);
      now.absorb(logit, some, u, m);
      if (now.raised) top = l + now.top;
      std::copy_n(now.f, some, f_ + l);
      std::copy_n(now.p, some, p_ + l);
      std::copy_n(now.r, some, r_ + l);
      for (index t = l; t < l + some; ++t) {
        if (p_[t] != T(0)) {
          const T* const row = row_of(v, b, h, first + t, v_);
          simd::blend<Arch>(f_[t], p_[t], row, depth_, w_);
        }
        delta_[t] = r_[t] * simd::dot_row<Arch>(row_of(d_out, b, h, first + t, d_), w_, depth_);
      }
    }
    T ending = -g[depth_];
    const T of_max = g[depth_ + 1] - simd::dot_row<Arch>(w_, g, depth_) - u * g[depth_];
    for (index t = length_ - 1; t >= 0; --t) {
      // What comes after token t reaches back past its maximum by f of the token after it.
      const T onto = t + 1 < length_ ? f_[t + 1] : T(1);
      simd::blend<Arch>(onto, r_[t], row_of(d_out, b, h, first + t, d_), depth_, g);
      ending = onto * ending + r_[t] * delta_[t];
      T ds = 0;
      if (p_[t] != T(0)) {
        ds = p_[t] * (simd::dot_row<Arch>(g, row_of(v, b, h, first + t, v_), depth_) - ending);
      }
      if (t == top) ds += of_max;
      if (to.ds.present()) store(to.ds, b, h, first + t, &ds);
      if (to.dv.present()) {
        std::fill_n(d_, depth_, T(0));
        simd::add_scaled<Arch>(p_[t], g, depth_, d_);
        store(to.dv, b, h, first + t, d_);
      }
    }
    const T f = length_ > 0 ? f_[0] : T(1);
    for (index c = 0; c < depth_; ++c) g[c] *= f;
    g[depth_] = -f * ending;
    g[depth_ + 1] = simd::dot_row<Arch>(initial, g, depth_) + initial[depth_] * g[depth_] +
                    (top < 0 ? of_max : T(0));
  }

 private:
  index length_, depth_;
  T *f_, *p_, *r_, *delta_, *w_, *v_, *d_;
};

template <class T, class Arch>
HEED_NOINLINE void prefix_softmax_backward(const prefix_softmax& spec, const operand& s,
                                           const operand& v, const recurrent_state<T>& initial,
                                           const operand& d_out, const prefix_softmax_gradients& to,
                                           recurrent_state<T>& d_state,
                                           const executor_ref& executor,
                                           const workspace_ref& scratch) {
  constexpr const char* operation = "heed::scan_backward(prefix_softmax)";
  const sequence_list list{v.extent[0], v.extent[2], spec.cu_seqlens};
  check_prefix_softmax(operation, s, v, d_out, "d_out", list);
  const auto wanted = [&](const char* name, const result& x, const extents& like) {
    if (x.present() && x.extent != like)
      check::fail(operation, std::string(name) + " must have the extents of its operand",
                  {{"s", s}, {"v", v}, {name, x}});
  };
  wanted("ds", to.ds, s.extent), wanted("dv", to.dv, v.extent);
  const state_format format = prefix_format(v);
  check_state(operation, initial, format, list.count());
  claim_state_gradient(operation, d_state, format, list.count());
  const recurrent_state<T> zero =
      initial.empty() ? recurrent_state<T>(format, 1) : recurrent_state<T>();
  const index H = v.extent[1];
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  executor.for_each(list.count() * H, [&](index task, index worker) {
    const index h = task % H, i = task / H;
    const auto at = list[i];
    prefix_backward<T, Arch>(memory.worker(worker), at.length, v.extent[3])
        .run(s, v, d_out, at.b, h, at.first, initial.empty() ? zero.head(0, h) : initial.head(i, h),
             to, d_state.head(i, h));
  });
}

}  // namespace detail

// Gradients of L where d_out [B,H,L,Dv] is dL/d out of scan(spec, s, v, out, state) from `initial`
// (empty: no token). `d_state` comes in as the gradient of the final state (empty: zero) and leaves
// as that of the initial one, so sequences in pieces are differentiated from the last to the first.
// Same bits for any executor. The forward pass runs once more inside; nothing of it is kept but
// four numbers a token. Throws std::invalid_argument, before anything is written, if a shape or a
// state does not fit.
template <class Arch = simd::best, storable S, storable V, storable G>
void scan_backward(const prefix_softmax& spec, const view<S>& s, const view<V>& v,
                   const recurrent_state<compute_type<S, V>>& initial, const view<G>& d_out,
                   const prefix_softmax_gradients& to, recurrent_state<compute_type<S, V>>& d_state,
                   const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::prefix_softmax_backward<compute_type<S, V>, Arch>(
      spec, view<const S>(s), view<const V>(v), initial, view<const G>(d_out), to, d_state,
      executor, scratch);
}
template <class Arch = simd::best, storable S, storable V, storable G>
void scan_backward(const prefix_softmax& spec, const view<S>& s, const view<V>& v,
                   const view<G>& d_out, const prefix_softmax_gradients& to,
                   const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<S, V>> d_state;
  scan_backward<Arch>(spec, s, v, {}, d_out, to, d_state, executor, scratch);
}

}  // namespace heed
