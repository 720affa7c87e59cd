// SPDX-License-Identifier: BSL-1.0
// A call that is known to be sound: shapes, null pointers and policies, before anything is written.
// What is wrong throws std::invalid_argument that names the operation, the rule and the operands.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/attention/spec.hpp>
#include <heed/core/check.hpp>

namespace heed::detail {

inline void check_shapes(const problem& p) {
  const auto broken = [&](const char* rule) {
    const result& out = p.to.out;
    operand o = out, lse = p.to.lse;
    if (lse.present())
      check::fail("heed::attend", rule,
                  {{"q", p.q}, {"k", p.k}, {"v", p.v}, {"out", o}, {"lse", lse}});
    check::fail("heed::attend", rule, {{"q", p.q}, {"k", p.k}, {"v", p.v}, {"out", o}});
  };
  const extents &q = p.q.extent, &k = p.k.extent, &v = p.v.extent, &o = p.to.out.extent;
  for (std::size_t i = 0; i < 4; ++i)
    if (q[i] < 0 || k[i] < 0 || v[i] < 0 || o[i] < 0) broken("extents must not be negative");
  if (q[0] != k[0] || q[0] != v[0] || q[0] != o[0])
    broken("q, k, v and out must have the same batch");
  if (k[1] != v[1]) broken("k and v must have the same heads");
  if (q[1] != o[1]) broken("q and out must have the same heads");
  if (q[1] > 0 && (k[1] == 0 || q[1] % k[1] != 0))
    broken("query heads must be a multiple of key heads");
  if (k[2] != v[2]) broken("k and v must have the same length");
  if (q[2] != o[2]) broken("q and out must have the same length");
  if (q[3] != k[3]) broken("q and k must have the same channels");
  if (q[3] == 0) broken("q and k must have at least one channel");
  if (v[3] != o[3]) broken("v and out must have the same channels");
  if (p.to.lse.present()) {
    const extents& l = p.to.lse.extent;
    if (l[0] != q[0] || l[1] != q[1] || l[2] != q[2] || l[3] != 1) broken("lse must be [B,H,Lq]");
  }
  const bool work = q[0] * q[1] * q[2] > 0;
  if (work && v[3] > 0 && !p.to.out.present()) broken("out must not be null");
  if (work && (!p.q.present() ||
               (!p.source && k[2] > 0 && (!p.k.present() || (v[3] > 0 && !p.v.present())))))
    broken("q, k and v must not be null");
}

// The problem refers to the operands it is given.
template <class Spec>
problem checked(const Spec& spec, const operand& q, const operand& k, const operand& v,
                const outputs& to, const kv_ref* source = nullptr) {
  problem p{.shape = shape_of(q.extent, k.extent, v.extent),
            .q = q,
            .k = k,
            .v = v,
            .to = to,
            .source = source};
  check_shapes(p);
  if constexpr (!std::is_same_v<decltype(Spec::plan), none>) {
    if (spec.offset != aligned_ends)
      check::fail("heed::attend", "a plan sets the positions; offset must be left alone");
    check_policy(spec.plan, p.shape);
    p.shape.offset = 0, p.shape.packed = true;
    if constexpr (requires { spec.plan.sequences(); }) p.shape.batch = spec.plan.sequences();
  }
  if (spec.offset != aligned_ends) p.shape.offset = spec.offset, p.placed = true;
  check_policies(spec, p.shape);
  if constexpr (!has_lse<decltype(Spec::normalizer)>)
    if (to.lse.present())
      check::fail("heed::attend", "this normaliser has no log-sum-exp", {{"lse", operand(to.lse)}});
  p.scale = resolved_scale(spec, p.shape.depth);
  if (to.observe) {
    const bool doubles =
        q.type == element::f64 && (source || (k.type == element::f64 && v.type == element::f64));
    to.observe->start({.shape = p.shape,
                       .batch = q.extent[0],
                       .compute = doubles ? element::f64 : element::f32,
                       .exponential = replays_from_lse<decltype(Spec::normalizer)>});
  }
  return p;
}

}  // namespace heed::detail
