// SPDX-License-Identifier: BSL-1.0
// heed::attend_backward: gradients of `attend` by q, k, v and by what the policies learn.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/attention/backward.hpp>
#include <heed/attention/dense_rows.hpp>
#include <heed/attention/patches_backward.hpp>
#include <heed/attention/sliding_backward.hpp>
#include <heed/attention/turned_backward.hpp>
#include <heed/attention/whole_rows_backward.hpp>

namespace heed {

// What the forward call wrote. Either may be left out: it is computed again then, at the cost of a
// forward call; so it is where `.output` transforms hide the sums themselves.
struct saved {
  operand out{};
  operand lse{};
};

// dL/d_out, and dL/d_lse [B,H,Lq] where L depends on that as well.
struct upstream {
  operand out{};
  operand lse{};

  template <class X>
    requires std::is_convertible_v<const X&, operand>
  upstream(const X& d_out) : out(d_out) {}  // NOLINT: mostly there is nothing else
  upstream(const operand& d_out, const operand& d_lse) : out(d_out), lse(d_lse) {}
};

// Where the gradients go; what is absent is not computed.
template <class Spec> struct gradients {
  result dq{}, dk{}, dv{};
  spec_gradients<Spec> spec{};
  const observed_gradient* observed = nullptr;  // of a loss that sees the weights themselves
};

namespace detail {

template <class Spec> auto without_output(const Spec& s) {
  return exchanged(s, s.mask, s.weights, s.value, none{});
}

inline void check_backward(const problem& p, const backward_operands& x, const operand& lse) {
  const auto same = [&](const char* name, const operand& given, const operand& like,
                        const char* rule) {
    if (given.extent != like.extent)
      check::fail("heed::attend_backward", rule,
                  {{name, given}, {"q", p.q}, {"k", p.k}, {"v", p.v}, {"d_out", x.d_out}});
  };
  same("d_out", x.d_out, x.out, "d_out must have the shape of out");
  const extents& o = x.out.extent;
  if (o[0] * o[1] * o[2] * o[3] > 0 && !x.d_out.present())
    check::fail("heed::attend_backward", "d_out must not be null");
  if (x.dq.present()) same("dq", x.dq, p.q, "dq must have the shape of q");
  if (x.dk.present()) same("dk", x.dk, p.k, "dk must have the shape of k");
  if (x.dv.present()) same("dv", x.dv, p.v, "dv must have the shape of v");
  operand rows = x.out;
  rows.extent[3] = 1;
  if (lse.present()) same("lse", lse, rows, "lse must be [B,H,Lq]");
  if (x.d_lse.present()) same("d_lse", x.d_lse, rows, "d_lse must be [B,H,Lq]");
}

// Any call, its types erased.
template <class T, class Arch, class Spec>
  requires(!has_driver<decltype(Spec::weights)>)
HEED_NOINLINE void attend_backward_any(const Spec& spec, const operand& q, const operand& k,
                                       const operand& v, const saved& forward, const upstream& d,
                                       const gradients<Spec>& to, const executor_ref& executor,
                                       const workspace_ref& scratch) {
  const auto plain = without_output(spec);
  constexpr bool transformed = !std::is_same_v<decltype(Spec::output), none>;
  constexpr bool logarithmic = has_lse<decltype(Spec::normalizer)>;

  std::vector<T> out_memory;
  outputs again;
  const extents shape{q.extent[0], q.extent[1], q.extent[2], v.extent[3]};
  const bool reuse = !transformed && forward.out.present();
  if (reuse) {
    again.out.data = const_cast<void*>(forward.out.data);  // checked, never written
    again.out.type = forward.out.type;
    again.out.extent = forward.out.extent, again.out.stride = forward.out.stride;
    again.out.batch = forward.out.batch;
  } else {
    again.out.data = &again, again.out.extent = shape;  // not null; allocated once it is checked
  }
  const problem p = checked(spec, q, k, v, again);
  backward_operands x{again.out, d.out, d.lse, to.dq, to.dk, to.dv, to.observed};
  check_backward(p, x, forward.lse);
  if (!logarithmic && d.lse.present())
    check::fail("heed::attend_backward", "this normaliser has no log-sum-exp", {{"d_lse", d.lse}});
  check_gradients(spec, to.spec);

  if (!reuse) {
    again.out = detail::dense_rows(out_memory, shape);
    x.out = again.out;
  }
  problem_shape tensors = p.shape;
  tensors.batch = q.extent[0];
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  if constexpr (needs_rows<Spec>) {
    if (transformed) run<T, Arch>(plain, checked(plain, q, k, v, again), executor, memory);
    row_states<T> unused(problem_shape{});
    return whole_rows_backward<T, Arch, Spec>(spec, p, x, to.spec, unused).run(executor, memory);
  } else {
    if constexpr (sliding_backward<T, Arch, Spec>::possible)
      if (sliding_backward<T, Arch, Spec>::suits(spec, p, x, to.spec)) {
        std::vector<T> lse_memory, ignored;
        operand lse = forward.lse;
        if (!reuse || !lse.present()) {
          outputs forward_again{reuse ? result(dense_rows(ignored, shape)) : again.out,
                                dense_rows(lse_memory, {shape[0], shape[1], shape[2], 1})};
          run<T, Arch>(plain, checked(plain, q, k, v, forward_again), executor, scratch);
          lse = forward_again.lse;
        }
        return sliding_backward<T, Arch, Spec>(spec, p, x, lse).run(executor, memory);
      }
    row_states<T> states(tensors);
    if (!reuse || !logarithmic || !forward.lse.present()) {
      again.observe = &states;
      std::vector<T> ignored;
      if (reuse) again.out = dense_rows(ignored, shape);
      const problem replayed = checked(plain, q, k, v, again);
      if constexpr (lists_blocks<decltype(Spec::mask)>)
        run_listed<T, Arch>(plain, replayed, executor, memory);
      else
        stream<T, Arch, decltype(plain)>(plain, replayed).run(executor, memory);
      if constexpr (logarithmic) states.to_lse(spec.normalizer);
    } else {
      states.read(forward.lse);
    }
    if constexpr (patches_backward<T, Arch, Spec>::possible)
      if (patches_backward<T, Arch, Spec>::suits(spec, p, x, to.spec))
        return patches_backward<T, Arch, Spec>(spec, p, x, to.spec, states).run(executor, memory);
    if constexpr (lists_blocks<decltype(Spec::mask)>)
      if constexpr (turned_backward<T, Arch, Spec>::possible)
        if (turned_backward<T, Arch, Spec>::suits(spec, p, x, to.spec))
          return turned_backward<T, Arch, Spec>(spec, p, x, to.spec, states).run(executor, memory);
    backward<T, Arch, Spec>(spec, p, x, to.spec, states).run(executor, memory);
  }
}
template <class T, class Arch, class Spec>
  requires has_driver<decltype(Spec::weights)>
void attend_backward_any(const Spec& spec, const operand& q, const operand& k, const operand& v,
                         const saved& forward, const upstream& d, const gradients<Spec>& to,
                         const executor_ref& executor, const workspace_ref& scratch) {
  if (to.observed)
    check::fail("heed::attend_backward", "an edited call has no gradient of what was observed");
  spec.weights.template backward<T, Arch>(spec, q, k, v, forward, d, to, executor, scratch);
}

}  // namespace detail

// With L any function of `attend(spec, q, k, v)`, and d_out = dL/d_out, writes dL/dq, dL/dk, dL/dv
// and dL by the learned numbers of the policies:
//   P = weights(S), dV = Pᵀ dO, dP = dO Vᵀ, dS_ij = p_ij (dp_ij - δ_i), δ_i = Σ dO·O,
//   dQ = c · dS K, dK = c · dSᵀ Q                            (softmax; others by their `dscore`)
// where dL/d_lse is given, δ_i = Σ dO·O - dlse_i
// and through score modifiers, prologues and output transforms in reverse.
//   attend_backward(spec, q, k, v, {.out = out, .lse = lse}, d_out, {.dq = dq, .dk = dk, .dv = dv})
// Shapes as for `attend`; gradients have the shape of what they belong to. Same bits for any
// executor. What a mask hides never leaks, NaN included. Throws std::invalid_argument, before
// anything is written, if a shape or a policy does not fit. O(Lq · Lk · (D + Dv)) for what the mask
// leaves: 10 · Lq · Lk · D flops where D = Dv; memory linear in the lengths.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V>
void attend_backward(const Spec& spec, view<Q> q, view<K> k, view<V> v, const saved& forward,
                     const upstream& d, const std::type_identity_t<gradients<Spec>>& to,
                     executor_ref executor = {}, workspace_ref scratch = {}) {
  detail::attend_backward_any<compute_type<Q, K, V>, Arch>(spec, view<const Q>(q), view<const K>(k),
                                                           view<const V>(v), forward, d, to,
                                                           executor, scratch);
}

}  // namespace heed
