// SPDX-License-Identifier: BSL-1.0
// weights/group_reweight: o_i = Σ_g m_g(π_i) O_ig over groups of keys: O_ig is the attention to the
// keys of group g alone, π_ig the mass that row i puts on them, and a rule gives the mass that it
// is to put there. Inside a group the weights keep their proportions.
//
//   key 0 1 2 3 4 5      attention{.weights = group_reweight{{labels}, split_softmax{.k = 0.5}}}
//   label 0 1 1 1 0 0    1: the span
//
// A rule has
//   static constexpr index groups;
//   void operator()(const double* mass, double* to, const row_position&) const;
//   void backward(const double* mass, const double* d_to, double* d_mass,
//                 const row_position&) const;
//     // d_mass[g] = Σ_f d_to[f] ∂to[f]/∂mass[g], the masses taken as independent
// and may have `check(problem_shape)`. Other rules: weights/redistribute.hpp.
//
// A driver of its own (weights/group_driver.hpp): one call a group, restricted to its keys, so that
// runs of keys cost one pass in all; keys that alternate between groups cost one a group. lse is
// that of the scores. For softmax, without extra slots, output transforms or a plan.
#pragma once

#include <cmath>
#include <heed/weights/group_driver.hpp>

namespace heed {

template <class Rule> struct group_reweight {
  key_groups groups;
  Rule rule{};

  using driver = Rule;
  template <class T, class Arch, class Spec>
  void attend(const Spec& spec, const operand& q, const operand& k, const operand& v,
              const outputs& to, const executor_ref& executor, const workspace_ref& scratch) const {
    detail::group_driver<T, Arch, Spec>(spec, q, k, v, executor, scratch).attend(to);
  }
  template <class T, class Arch, class Spec>
  void backward(const Spec& spec, const operand& q, const operand& k, const operand& v,
                const saved& forward, const upstream& d, const gradients<Spec>& to,
                const executor_ref& executor, const workspace_ref& scratch) const {
    detail::group_driver<T, Arch, Spec>(spec, q, k, v, executor, scratch).backward(forward, d, to);
  }

  // One row of finished weights in place.
  void edit(double* p, const position* at, index count) const {
    if (count == 0) return;
    double mass[Rule::groups] = {}, to[Rule::groups];
    for (index j = 0; j < count; ++j) mass[groups(at[j].b, at[j].h, at[j].k)] += p[j];
    rule(mass, to, {at->b, at->h, at->q, at->row});
    for (index j = 0; j < count; ++j) {
      const index g = groups(at[j].b, at[j].h, at[j].k);
      if (mass[g] > 0) p[j] *= to[g] / mass[g];
    }
  }

  void check(const problem_shape& shape) const {
    groups.check("heed::group_reweight", shape, Rule::groups);
    if constexpr (requires { rule.check(shape); }) rule.check(shape);
  }
};

// The span (label 1) gets π^k, the rest 1 - π^k: weights times π^{k-1} and (1 - π^k)/(1 - π).
// k = 1 changes nothing, k = 0 leaves the span alone. A row that cannot see one of the two is left
// as it is. (Split-softmax, Li et al. 2024.)
struct split_softmax {
  double k = 1;

  static constexpr index groups = 2;
  void operator()(const double* mass, double* to, const row_position&) const {
    to[0] = mass[0], to[1] = mass[1];
    if (mass[0] <= 0 || mass[1] <= 0) return;
    const double power = k * (mass[1] < 0.5 ? std::log(mass[1]) : std::log1p(-mass[0]));
    to[0] = -std::expm1(power), to[1] = std::exp(power);
  }
  void backward(const double* mass, const double* d_to, double* d_mass, const row_position&) const {
    d_mass[0] = d_to[0], d_mass[1] = d_to[1];
    if (mass[0] <= 0 || mass[1] <= 0) return;
    d_mass[0] = 0, d_mass[1] = (d_to[1] - d_to[0]) * k * std::pow(mass[1], k - 1);
  }
  void check(const problem_shape&) const {
    if (!(k >= 0 && k <= 1))
      check::fail("heed::split_softmax", "k must be in [0, 1], not " + std::to_string(k));
  }
};

// Where the span (label 1) has less mass than `least`, its scores are raised by log(least / π) and
// the row is normalised again. (Spotlight, Venkateswaran and Contractor 2025, row by row. With π
// averaged over a layer it is a score/key_bias of that average.)
struct spotlight {
  double least = 0;

  static constexpr index groups = 2;
  void operator()(const double* mass, double* to, const row_position&) const {
    to[0] = mass[0], to[1] = mass[1];
    if (mass[1] <= 0 || mass[1] >= least) return;
    to[0] = mass[0] / (least + mass[0]), to[1] = least / (least + mass[0]);
  }
  void backward(const double* mass, const double* d_to, double* d_mass, const row_position&) const {
    d_mass[0] = d_to[0], d_mass[1] = d_to[1];
    if (mass[1] <= 0 || mass[1] >= least) return;
    const double sum = least + mass[0];
    d_mass[0] = (d_to[0] - d_to[1]) * least / (sum * sum), d_mass[1] = 0;
  }
  void check(const problem_shape&) const {
    if (!(least >= 0 && least <= 1))
      check::fail("heed::spotlight", "least must be in [0, 1], not " + std::to_string(least));
  }
};

}  // namespace heed
