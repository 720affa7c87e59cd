// SPDX-License-Identifier: BSL-1.0
// value/relational: what is attended to is how two tokens relate, and a symbol of the other one
// (Altabaa & Lafferty, Disentangling and Integrating Relational and Sensory Information in
// Transformer Architectures, 2024).
//
//   o_i^h = Σ_j p_ij^h (r_ij W_r^h + s_j W_s^h)      r_ij = c (q_i^l · k_j^l)_l,  p: any attention
//         = R_i^h W_r^h + S_i^h W_s^h            R_i^h = Σ_j p_ij^h r_ij,  S_i^h = Σ_j p_ij^h s_j
//
//   attend_relational(attention{.mask = causal{}}, q, k,
//                     {.q = qr, .k = kr, .weight = w_r, .symbols = s, .symbol_weight = w_s}, out);
//
// q [B,H,Lq,D], k [B,Hkv,Lk,D], qr [B,R,Lq,Dr], kr [B,R,Lk,Dr], W_r [H,R,Dv] as "HLD", s
// [B,1,Lk,Ds] for all heads or [B,Hkv,Lk,Ds], W_s [H,Ds,Dv], out [B,H,Lq,Dv]; both of s and W_s may
// be absent. `.relative_symbols` in place of s: a [1|H,2m+1,Ds], s_j becomes a_{clip(j−i,−m,m)+m},
// of positions. Relational heads beside others are two calls, into the heads of one output.
//
// Nothing of the size of r is kept. S is a call of `attend`, R a pass over its weights that makes
// the relations once for all heads: a pair costs 2 R Dr, and 4 D + 2 Ds + 2 R a head.
#pragma once

#include <heed/observe/observers.hpp>
#include <heed/value/relation_sums.hpp>
#include <heed/value/relative_symbols.hpp>

namespace heed {

struct relation_operands {
  operand q{}, k{}, weight{};
  operand symbols{}, relative_symbols{}, symbol_weight{};
  double scale = 1;  // c
};

namespace detail {

// The operands of a checked call, symbols as values.
struct relational_problem {
  operand q, k;
  relation_operands x;
  operand values;  // [B,Hkv,Lk,Ds], of no channels where there are no symbols

  relational_problem(const char* who, const operand& queries, const operand& keys,
                     const relation_operands& relations, const extents& out)
      : q(queries), k(keys), x(relations), values(x.symbols.present() ? x.symbols : keys) {
    const extents &e = q.extent, &f = k.extent, &r = x.q.extent, &w = x.weight.extent;
    const auto require = [&](bool rule, const char* text,
                             std::initializer_list<check::named> operands) {
      if (!rule) check::fail(who, text, operands);
    };
    require(r[0] == e[0] && r[2] == e[2] && x.k.extent == extents{f[0], r[1], f[2], r[3]} &&
                r[1] > 0 && r[3] > 0,
            "the relations must be qr [B,R,Lq,Dr] and kr [B,R,Lk,Dr]",
            {{"q", q}, {"k", k}, {"qr", x.q}, {"kr", x.k}});
    require(w == extents{1, e[1], r[1], out[3]} && out == extents{e[0], e[1], e[2], w[3]},
            "the weights of relations must be [H,R,Dv] and out [B,H,Lq,Dv]",
            {{"q", q}, {"qr", x.q}, {"weight", x.weight}});
    const extents &a = x.relative_symbols.extent, &v = x.symbol_weight.extent;
    require(!x.symbols.present() || !x.relative_symbols.present(),
            "symbols are of tokens or of relative positions, not both",
            {{"symbols", x.symbols}, {"relative_symbols", x.relative_symbols}});
    require((x.symbols.present() || x.relative_symbols.present()) == x.symbol_weight.present(),
            "symbols and their weights come together",
            {{"symbols", x.symbols}, {"symbol_weight", x.symbol_weight}});
    require(!x.relative_symbols.present() || (a[0] == 1 && (a[1] == 1 || a[1] == e[1]) &&
                                              a[2] % 2 == 1 && v == extents{1, e[1], a[3], out[3]}),
            "relative symbols must be [1|H,2m+1,Ds], their weights [H,Ds,Dv]",
            {{"relative_symbols", x.relative_symbols}, {"symbol_weight", x.symbol_weight}});
    extents& s = values.extent;
    if (!x.symbols.present()) {
      s[3] = 0;
    } else {
      const extents& y = x.symbols.extent;
      require(y[0] == f[0] && (y[1] == 1 || y[1] == f[1]) && y[2] == f[2] &&
                  v == extents{1, e[1], y[3], out[3]},
              "symbols must be [B,1|Hkv,Lk,Ds], their weights [H,Ds,Dv]",
              {{"k", k}, {"symbols", x.symbols}, {"symbol_weight", x.symbol_weight}});
      if (s[1] == 1) s[1] = f[1], values.stride[1] = 0;
    }
    for (const operand* y : {&x.q, &x.k, &x.weight})
      if (const extents& n = y->extent; !y->present() && n[0] * n[1] * n[2] * n[3] > 0)
        check::fail(who, "relations must not be null");
  }
  extents sums() const { return {q.extent[0], q.extent[1], q.extent[2], x.q.extent[1]}; }
  index symbol_depth() const {
    return x.relative_symbols.present() ? x.relative_symbols.extent[3] : values.extent[3];
  }
  extents symbol_sums() const { return {q.extent[0], q.extent[1], q.extent[2], symbol_depth()}; }
};

template <class Spec> constexpr void check_relational() {
  static_assert(std::is_same_v<decltype(Spec::extra), none> &&
                    std::is_same_v<decltype(Spec::weights), none> &&
                    std::is_same_v<decltype(Spec::output), none> &&
                    std::is_same_v<decltype(Spec::value), none>,
                "relations take no extra slots, no edits of weights, and no transforms of values");
  static_assert(!lists_blocks<decltype(Spec::mask)>, "relations go with masks, not with lists");
}

// R [B,H,Lq,R], and S [B,H,Lq,Ds] of symbols of tokens; `watcher` may be null.
template <class T, class Arch, class Spec>
void relate(const Spec& spec, const relational_problem& x, const view<T>& related,
            const view<T>& symbols, observer* watcher, const executor_ref& executor,
            workspace& scratch) {
  constexpr bool logarithmic = replays_from_lse<decltype(Spec::normalizer)>;
  outputs to{.out = symbols, .observe = watcher};
  problem_shape tensors = shape_of(x.q.extent, x.k.extent, x.values.extent);
  row_states<T> states(tensors);
  std::optional<observers> both;
  std::vector<T> memory;
  if constexpr (logarithmic)
    to.lse = dense_rows(memory, {x.q.extent[0], x.q.extent[1], x.q.extent[2], 1});
  else if (watcher)
    to.observe = &both.emplace(states, *watcher);
  else
    to.observe = &states;
  const problem p = checked(spec, x.q, x.k, x.values, to);
  if constexpr (logarithmic) {
    run<T, Arch>(spec, p, executor, scratch);
    states.read(to.lse);
  } else {
    stream<T, Arch, Spec>(spec, p).run(executor, scratch);
  }
  relation_sums<T, Arch, Spec>(spec, p, states, x.x.q, x.x.k, x.x.scale)
      .run(related, executor, scratch);
}

}  // namespace detail

// Computes in float, or in double if q and k are double. A row without keys gives zeros; what a
// mask hides never leaks. Same bits for any executor. Throws std::invalid_argument, before anything
// is written, if a shape or a policy does not fit.
template <class Arch = simd::best, class Spec, storable Q, storable K>
void attend_relational(const Spec& spec, const view<Q>& q, const view<K>& k,
                       const relation_operands& relations, const std::type_identity_t<result>& out,
                       const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K>;
  detail::check_relational<Spec>();
  const detail::relational_problem x("heed::attend_relational", view<const Q>(q), view<const K>(k),
                                     relations, out.extent);
  const extents& e = out.extent;
  if (!out.present() && e[0] * e[1] * e[2] * e[3] > 0)
    check::fail("heed::attend_relational", "out must not be null");
  std::vector<T> memory[3];
  const auto related = detail::dense_rows(memory[0], x.sums()),
             symbols = detail::dense_rows(memory[1], x.symbol_sums()),
             of_tokens = detail::dense_rows(memory[2], {e[0], e[1], e[2], x.values.extent[3]});
  workspace own;
  workspace& from = scratch.scratch ? *scratch.scratch : own;
  detail::relative_symbols<T> apart(relations.relative_symbols, e);
  detail::relate<T, Arch>(spec, x, related, apart.watcher() ? of_tokens : symbols, apart.watcher(),
                          executor, from);
  detail::products<T, Arch> by(executor, from, std::max(e[3], x.symbol_depth()));
  apart.sum(by, symbols);
  if (relations.symbol_weight.present())
    by.multiply({{related, relations.weight}, {symbols, relations.symbol_weight}}, out);
  else
    by.multiply({{related, relations.weight}}, out);
}

}  // namespace heed
