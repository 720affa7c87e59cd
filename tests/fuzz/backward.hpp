// SPDX-License-Identifier: BSL-1.0
// Random calls of heed::attend_backward against heed::reference::attend_backward. Settings as in
// fuzz/run.hpp.
#pragma once

#include <heed/attention/attend_backward.hpp>

#include "fuzz/backward_bound.hpp"
#include "fuzz/run.hpp"

namespace heed::fuzz {

struct three {
  memory q, k, v;
  explicit three(const operands& like)
      : q(element::f64, like.q.extent),
        k(element::f64, like.k.extent),
        v(element::f64, like.v.extent) {}
};
inline row row_of(const memory& x, index b, index h, index l) {
  row r;
  for (index d = 0; d < x.extent[3]; ++d) r.push_back(x.get(b, h, l, d));
  return r;
}
inline void set_row(memory& x, index b, index h, index l, const row& r) {
  for (index d = 0; d < x.extent[3]; ++d) x.set(b, h, l, d, r[static_cast<std::size_t>(d)]);
}

// Of one kv head of one sequence, into `allowed`; false where some row is not comparable.
template <class Spec>
bool bound_head(const Spec& spec, const heed::detail::problem& p, const operand& d_out,
                const heed::detail::sequence& s, index kv, double e, three& allowed) {
  using similarity = std::remove_cvref_t<decltype(spec.similarity)>;
  constexpr bool plain = oracle::plain_similarity<Spec>;
  constexpr bool own = heed::detail::own_products<similarity, double, simd::scalar>;
  constexpr bool turns_q = !plain || !std::is_same_v<decltype(Spec::query), none>,
                 turns_k = !plain || !std::is_same_v<decltype(Spec::key), none>,
                 turns_v = !std::is_same_v<decltype(Spec::value), none>;
  const auto width = static_cast<std::size_t>(packed_width(spec.similarity, p.shape.depth));
  const auto keys = static_cast<std::size_t>(s.keys),
             depth = static_cast<std::size_t>(p.shape.value_depth);
  std::vector<row> k(keys, row(width)), k_off = k, v(keys, row(depth)), v_off = v;
  const auto gain = [](const row& y, const row& x) {
    return largest_of(x) > 0 ? largest_of(y) / largest_of(x) : 0;
  };
  // What ∂s/∂q and ∂s/∂k are off by besides their own size.
  const auto rest = [&](const backward_row& x, const backward_pair& pair, bool turned,
                        const row& by) {
    if constexpr (own) {
      double most = 0;
      if constexpr (is_additive<similarity>)
        for (index c = 0; c < spec.similarity.weight.size(); ++c)
          most = std::max(most, std::abs(spec.similarity.weight[c]));
      else
        most = 2 * heed::detail::distance_scale(spec.similarity.c, p.shape.depth);
      return 8 * most * (1 + largest_of(x.q) + largest_of(pair.k));
    } else {
      return turned ? 4 * largest_of(by) : 0;
    }
  };
  const index group = p.shape.group();
  for (index h = kv * group; h < (kv + 1) * group; ++h)
    for (index i = 0; i < s.rows; ++i) {
      const backward_row x = oracle::trace(spec, p, d_out, s, h, i);
      const row_errors r = row_error(spec, x, oracle::loaded(d_out, s.batch, h, x.at.row), e);
      if (!r.comparable) return false;
      row q(width), q_off(width);
      for (std::size_t n = 0; n < x.pairs.size(); ++n) {
        const backward_pair& pair = x.pairs[n];
        const double ds = pair.ds * pair.slope, scale = std::abs(p.scale);
        oracle::add(q, p.scale * ds, pair.by_q);
        add_error(q_off, scale * ds, scale * r.ds[n], pair.by_q, e, rest(x, pair, turns_k, pair.k));
        if (pair.extra) continue;
        const auto j = static_cast<std::size_t>(pair.at.k);
        oracle::add(k[j], ds, pair.by_k);
        add_error(k_off[j], ds, r.ds[n], pair.by_k, e, rest(x, pair, turns_q, x.q));
        oracle::add(v[j], pair.p, x.d_out);
        add_error(v_off[j], pair.p, r.p[n], x.d_out, e, 0);
        for (std::size_t c = 0; c < depth; ++c)
          v_off[j][c] += (std::abs(pair.p) + r.p[n]) * r.d_out[c];
      }
      if constexpr (turns_q) {
        const row from = oracle::loaded(p.q, s.batch, h, x.at.row);
        const row y = oracle::rewritten_query(spec, from, p.shape.depth, x.at);
        q_off = error_through(oracle::query_jacobian(spec, from, x.at), q_off, q, e, gain(y, from));
      }
      set_row(allowed.q, s.batch, h, x.at.row, q_off);
    }
  for (index n = 0; n < s.keys; ++n) {
    const auto j = static_cast<std::size_t>(n);
    const row_position at{s.b, kv, n, s.slot + n};
    if constexpr (turns_k) {
      const row from = oracle::loaded(p.k, s.batch, kv, at.row);
      const row y = oracle::whole_key(spec, from, p.shape.depth, at);
      k_off[j] =
          error_through(oracle::key_jacobian(spec, from, at), k_off[j], k[j], e, gain(y, from));
    }
    if constexpr (turns_v) {
      const row from = oracle::loaded(p.v, s.batch, kv, at.row);
      const row y = oracle::transformed(spec.value, from, at);
      v_off[j] = error_through(oracle::row_jacobian(spec.value, from, at), v_off[j], v[j], e,
                               gain(y, from));
    }
    set_row(allowed.k, s.batch, kv, at.row, k_off[j]);
    set_row(allowed.v, s.batch, kv, at.row, v_off[j]);
  }
  return true;
}

template <class Spec>
void backward_run(const Spec& spec, const operands& x, const saved& forward, const memory& d_out,
                  memory& dq, memory& dk, memory& dv, executor_ref executor, workspace& scratch) {
  with_type(x.q.type, [&]<class Q>(std::type_identity<Q>) {
    using K = stored<partner(element_of<Q>::value)>;
    attend_backward(spec, x.q.as<Q>(), x.k.as<K>(), x.v.as<Q>(), forward, d_out.read(),
                    {.dq = dq.write(), .dk = dk.write(), .dv = dv.write()}, executor, scratch);
  });
}

// Types of q and v alike, nothing infinite: what is hidden has tests of its own.
inline operands draw_finite(call& c) {
  const problem_shape& s = c.shape;
  const element type = c.any_element();
  operands x{{type, {c.batch, s.heads, s.queries, s.depth}, use::read, c.random},
             {partner(type), {c.batch, s.kv_heads, s.keys, s.depth}, use::read, c.random},
             {type, {c.batch, s.kv_heads, s.keys, s.value_depth}, use::read, c.random}};
  std::normal_distribution<double> normal;
  for (memory* m : {&x.q, &x.k, &x.v})
    m->each([&](index b, index h, index l, index d) { m->set(b, h, l, d, normal(c.random)); });
  return x;
}

// A call of the shape of `c`, all else random.
template <class Spec> void check_backward(call& c, workspace& scratch, tally& tally) {
  constexpr bool with_lse = has_lse<decltype(Spec::normalizer)>;
  engine& random = c.random;
  c.backward = true;
  const Spec spec = draw_spec<Spec>(c);
  const operands x = draw_finite(c);
  const extents shape{c.batch, c.shape.heads, c.shape.queries, c.shape.value_depth};
  memory d_out(c.any_element(), shape, use::read, random);
  std::normal_distribution<double> normal;
  d_out.each([&](index b, index h, index l, index d) { d_out.set(b, h, l, d, normal(random)); });
  const auto gradient = [&](const memory& of) {
    return memory(c.any_element(), of.extent, use::written, random);
  };
  memory dq = gradient(x.q), dk = gradient(x.k), dv = gradient(x.v);
  const bool in_double = x.q.type == element::f64;
  // In double the reference's differences are what is off: as for float.
  const double epsilon = 0x1p-23;
  memory out(in_double ? element::f64 : element::f32, shape, use::written, random),
      lse(out.type, {shape[0], shape[1], shape[2], 1}, use::written, random);
  saved forward;
  INFO(c.describe() << "types q " << check::print(x.q.type) << " k " << check::print(x.k.type)
                    << " d_out " << check::print(d_out.type) << " large " << c.large << " scale "
                    << spec.scale << " offset " << spec.offset);
  if (c.chance(2)) {
    outputs to{.out = out.write()};
    if (with_lse) to.lse = lse.write();
    with_type(x.q.type, [&]<class Q>(std::type_identity<Q>) {
      using K = stored<partner(element_of<Q>::value)>;
      attend(spec, x.q.as<Q>(), x.k.as<K>(), x.v.as<Q>(), to, {}, scratch);
    });
    forward.out = out.read();
    if (with_lse) forward.lse = lse.read();
  }

  memory other_q = dq, other_k = dk, other_v = dv;
  poison(scratch);
  backward_run(spec, x, forward, d_out, dq, dk, dv, {}, scratch);
  for (const memory* m : {&dq, &dk, &dv}) REQUIRE(m->rest_untouched());
  const shuffled crew{c.from(1, 7), &random};
  poison(scratch);
  backward_run(spec, x, forward, d_out, other_q, other_k, other_v, crew, scratch);
  REQUIRE(dq.bytes == other_q.bytes);
  REQUIRE(dk.bytes == other_k.bytes);
  REQUIRE(dv.bytes == other_v.bytes);

  const operands exact{x.q.dense(), x.k.dense(), x.v.dense()};
  const memory exact_d_out = d_out.dense();
  three expected(x), allowed(x);
  reference::attend_backward(spec, exact.q.as<double>(), exact.k.as<double>(), exact.v.as<double>(),
                             exact_d_out.read(), expected.q.write(), expected.k.write(),
                             expected.v.write());
  const operand from[] = {exact.q.read(), exact.k.read(), exact.v.read()};
  memory like(element::f64, shape);
  const outputs anywhere{.out = like.write()};
  const auto p = heed::detail::checked(spec, from[0], from[1], from[2], anywhere);
  const heed::detail::sequences<decltype(Spec::plan)> items{p, spec.plan};
  // Weights below the smallest normal number may be flushed to zero.
  const double flushed = in_double ? 0 : 0x1p-100;
  ++tally.calls;
  for (index n = 0; n < items.count(); ++n)
    for (index kv = 0; kv < c.shape.kv_heads; ++kv) {
      const auto s = items[n];
      const bool comparable = bound_head(spec, p, exact_d_out.read(), s, kv, epsilon, allowed);
      (comparable ? tally.rows : tally.skipped) += s.rows * c.shape.group();
      if (!comparable) continue;
      const auto compare = [&](const char* name, const memory& got, const memory& want,
                               const memory& within, index h, index first, index count) {
        for (index l = first; l < first + count; ++l)
          for (index d = 0; d < got.extent[3]; ++d) {
            const double value = got.get(s.batch, h, l, d), wanted = want.get(s.batch, h, l, d),
                         off = within.get(s.batch, h, l, d) + flushed;
            if (!tally.good(value, wanted, off, got.type)) {
              INFO(name << " at " << s.b << " " << h << " " << l << " " << d << ": " << value
                        << " for " << wanted << " ± " << off << ", off by " << value - wanted);
              FAIL("attend_backward differs from the reference");
            }
          }
      };
      for (index h = kv * c.shape.group(); h < (kv + 1) * c.shape.group(); ++h)
        compare("dq", dq, expected.q, allowed.q, h, s.row, s.rows);
      compare("dk", dk, expected.k, allowed.k, kv, s.slot, s.keys);
      compare("dv", dv, expected.v, allowed.v, kv, s.slot, s.keys);
    }
}

template <class Spec> void one_backward(engine& random, workspace& scratch, tally& tally) {
  // The reference differentiates additive similarities number by number: D² tanh a pair.
  call c(random, is_additive<std::remove_cvref_t<decltype(Spec::similarity)>> ? 200 : 6000);
  if constexpr (!std::is_same_v<decltype(Spec::plan), none>) c.cut();
  check_backward<Spec>(c, scratch, tally);
}

struct backward {
  static constexpr const char* name = "backward, spec";
  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    one_backward<Spec>(random, scratch, seen);
  }
};
template <std::size_t First, std::size_t Count> void fuzz_backward() {
  fuzz<First, Count, backward>();
}

}  // namespace heed::fuzz
