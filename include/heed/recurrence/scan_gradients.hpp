// SPDX-License-Identifier: BSL-1.0
// Where the gradients of a scan go, as callers name them and as tasks reach them.
#pragma once

#include <heed/recurrence/gradient_rows.hpp>

namespace heed {

// Gradients have the shape of what they belong to, broadcast axes (of extent 1) included; what is
// absent is not delivered. T is the compute type.
template <class T> struct scan_gradients {
  result dq{}, dk{}, dv{};
  result d_log{};   // by the logarithms of decays
  result d_gain{};  // by the logarithms of what an exponential gate lets in
  result d_beta{};
  result d_a{}, d_b{};
  result d_u{};
  recurrent_state<T>* d_initial_state = nullptr;
};

namespace detail {

template <class T> struct gradient_targets {
  gradient_rows<T> q, k, v, log, gain, beta, a, b, u;

  template <class F> void for_each(const F& f) {
    for (gradient_rows<T>* x : {&q, &k, &v, &log, &gain, &beta, &a, &b, &u}) f(*x);
  }
};

// Checks each gradient against what it belongs to.
template <class T, class Spec>
gradient_targets<T> checked_gradients(const char* operation, const Spec& spec,
                                      const recurrence_problem& p, const scan_gradients<T>& to) {
  const auto fits = [&](const char* name, const result& g, const operand& x) {
    if (g.present() && g.extent != x.extent)
      check::fail(operation, std::string(name) + " must have the shape of what it belongs to",
                  {{name, operand(g)}, {"that", x}});
  };
  gradient_targets<T> all;
  const auto make = [&](const char* name, const result& g, const operand& x, index heads,
                        index channels, bool summed = false) {
    fits(name, g, x);
    return g.present() ? gradient_rows<T>(g, p, heads, channels, summed) : gradient_rows<T>{};
  };
  const auto absent = [&](const char* name, const result& g) {
    if (g.present())
      check::fail(operation, std::string(name) + ": this recurrence has nothing of the kind");
  };
  all.q = make("dq", to.dq, p.q, p.out.extent[1], p.depth());
  all.k = make("dk", to.dk, p.k, p.heads, p.depth());
  all.v = make("dv", to.dv, p.v, p.heads, p.value_depth());
  if constexpr (decays<Spec> != decay_kind::none)
    all.log = make("d_log", to.d_log, spec.decay.log, p.heads,
                   decays<Spec> == decay_kind::channel ? p.width : 1);
  else
    absent("d_log", to.d_log);
  if constexpr (gated<Spec>)
    all.gain = make("d_gain", to.d_gain, spec.decay.gain, p.heads, 1);
  else
    absent("d_gain", to.d_gain);
  if constexpr (corrects<Spec>)
    all.beta = make("d_beta", to.d_beta, spec.update.beta, p.heads, 1);
  else
    absent("d_beta", to.d_beta);
  if constexpr (mixes<Spec>) {
    all.a = make("d_a", to.d_a, spec.update.a, p.heads, p.width);
    all.b = make("d_b", to.d_b, spec.update.b, p.heads, p.width);
  } else {
    absent("d_a", to.d_a), absent("d_b", to.d_b);
  }
  if constexpr (reads_before<Spec>)
    all.u = make("d_u", to.d_u, spec.readout.u, p.heads, p.width, true);
  else
    absent("d_u", to.d_u);
  return all;
}

}  // namespace detail

}  // namespace heed
