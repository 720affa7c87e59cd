// SPDX-License-Identifier: BSL-1.0
// Random inputs of a call, and ways to make it.
#pragma once

#include "fuzz/bound.hpp"
#include "fuzz/executors.hpp"

namespace heed::fuzz {

struct operands {
  memory q, k, v;
};

// Rows of NaN and infinities.
inline void spoil(memory& x, engine& random) {
  if (x.extent[0] * x.extent[1] * x.extent[2] == 0) return;
  for (index n = between(random, 1, 3); n > 0; --n) {
    const index b = between(random, 0, x.extent[0] - 1), h = between(random, 0, x.extent[1] - 1),
                l = between(random, 0, x.extent[2] - 1);
    const double bad[] = {std::nan(""), std::numeric_limits<double>::infinity(),
                          -std::numeric_limits<double>::infinity()};
    for (index d = 0; d < x.extent[3]; ++d)
      if (one_in(random, 2)) x.set(b, h, l, d, bad[between(random, 0, 2)]);
  }
}

// The type of k follows from that of q, which spares the compiler 48 of 64 instances.
constexpr element partner(element q) {
  return q == element::f16 ? element::bf16 : q == element::bf16 ? element::f16 : q;
}
inline operands draw_operands(call& c) {
  const problem_shape& s = c.shape;
  const index kind = c.from(0, 5);
  const auto type = [&] {
    return kind == 0 ? element::f64 : kind == 1 ? element::f32 : c.any_element();
  };
  const element of_q = type();
  operands x{{of_q, {c.batch, s.heads, s.queries, s.depth}, use::read, c.random},
             {partner(of_q), {c.batch, s.kv_heads, s.keys, s.depth}, use::read, c.random},
             {type(), {c.batch, s.kv_heads, s.keys, s.value_depth}, use::read, c.random}};
  std::normal_distribution<double> normal;
  const double wide = c.chance(4) ? c.real(0.01, 3) : 1;
  for (memory* m : {&x.q, &x.k, &x.v})
    m->each([&](index b, index h, index l, index d) {
      m->set(b, h, l, d, normal(c.random) * (m == &x.v ? 1 : wide));
    });
  if (c.chance(6)) spoil(x.q, c.random);
  if (c.chance(3)) spoil(c.chance(2) ? x.k : x.v, c.random);
  return x;
}

template <class Spec> Spec draw_spec(call& c) {
  constexpr bool scales = !is_additive<decltype(Spec::similarity)> &&
                          !std::is_same_v<decltype(Spec::similarity), direct_distance>;
  Spec spec{.mask = draw(tag<decltype(Spec::mask)>{}, c),
            .similarity = draw(tag<decltype(Spec::similarity)>{}, c),
            .score = draw(tag<decltype(Spec::score)>{}, c),
            .normalizer = draw(tag<decltype(Spec::normalizer)>{}, c),
            .query = draw(tag<decltype(Spec::query)>{}, c, query_rows(c)),
            .key = draw(tag<decltype(Spec::key)>{}, c, key_rows(c)),
            .value = draw(tag<decltype(Spec::value)>{}, c, value_rows(c)),
            .output = draw(tag<decltype(Spec::output)>{}, c, output_rows(c)),
            .extra = draw(tag<decltype(Spec::extra)>{}, c),
            .plan = draw(tag<decltype(Spec::plan)>{}, c)};
  if (scales && c.large) spec.scale = 1e4 / std::sqrt(double(c.shape.depth));
  if (scales && !c.large && c.chance(4)) spec.scale = c.real(-1, 1);
  if (std::is_same_v<decltype(Spec::plan), none> && !c.placed && c.chance(8))
    spec.offset = c.from(-20, 20) + (c.chance(2) ? c.shape.offset : 0);
  return spec;
}

template <class Spec>
void engine_run(const Spec& spec, const operands& x, const outputs& to, executor_ref executor,
                workspace& scratch) {
  with_type(x.q.type, [&]<class Q>(std::type_identity<Q>) {
    using K = stored<partner(element_of<Q>::value)>;
    with_type(x.v.type, [&]<class V>(std::type_identity<V>) {
      attend(spec, x.q.as<Q>(), x.k.as<K>(), x.v.as<V>(), to, executor, scratch);
    });
  });
}

}  // namespace heed::fuzz
