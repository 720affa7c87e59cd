// SPDX-License-Identifier: BSL-1.0
// value/relational over a cache, as in decoding: a token leaves its key and, as its value, the row
// [s, k¹ … k^R] of Ds + R Dr channels, without s where symbols are of relative positions.
//
//   cache.append(b, k, rows);
//   attend_relational(spec, q, cache, {.q = qr, .weight = w_r, .symbol_weight = w_s}, out);
//
// R_i^{h,l} = c <q_i^l, Σ_j p_ij^h k_j^l>: one call of `attend` and a product a row. Every token is
// read once for each kv head; a pair costs 2 D + 2 (Ds + R Dr) flops a head, which few queries hide
// behind the reading.
#pragma once

#include <heed/attention/attend_source.hpp>
#include <heed/value/relational.hpp>

namespace heed {

// `relations.k` and `relations.symbols` are in the source, and absent here; without a weight of
// symbols, or with relative ones, rows have none. Computes in float, or in double if q is double.
// Throws std::invalid_argument, before anything is written, if a shape or a policy does not fit.
template <class Arch = simd::best, class Spec, storable Q, kv_source Source>
void attend_relational(const Spec& spec, const view<Q>& q, const Source& source,
                       const relation_operands& relations, const std::type_identity_t<result>& out,
                       const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  using T = compute_type<Q>;
  constexpr const char* who = "heed::attend_relational";
  detail::check_relational<Spec>();
  const extents &e = q.extent, &r = relations.q.extent, &w = relations.weight.extent,
                &y = relations.symbol_weight.extent, &a = relations.relative_symbols.extent;
  const bool has_symbols = relations.symbol_weight.present(),
             relative = relations.relative_symbols.present();
  const index symbols = has_symbols && !relative ? y[2] : 0, wide = symbols + r[1] * r[3];
  if (r[0] != e[0] || r[2] != e[2] || r[1] < 1 || r[3] < 1 || !relations.q.present() ||
      relations.k.present() || relations.symbols.present())
    check::fail(who, "over a source, relations must be qr [B,R,Lq,Dr] alone",
                {{"q", view<const Q>(q)}, {"qr", relations.q}});
  if (w != extents{1, e[1], r[1], out.extent[3]} || !relations.weight.present() ||
      (has_symbols && y != extents{1, e[1], y[2], w[3]}) ||
      out.extent != extents{e[0], e[1], e[2], w[3]} || !out.present())
    check::fail(
        who, "the weights must be [H,R,Dv] and [H,Ds,Dv], out [B,H,Lq,Dv]",
        {{"weight", relations.weight}, {"symbol_weight", relations.symbol_weight}, {"out", out}});
  if (relative &&
      (!has_symbols || a[0] != 1 || (a[1] != 1 && a[1] != e[1]) || a[2] % 2 == 0 || a[3] != y[2]))
    check::fail(who, "relative symbols must be [1|H,2m+1,Ds], their weights [H,Ds,Dv]",
                {{"relative_symbols", relations.relative_symbols},
                 {"symbol_weight", relations.symbol_weight}});
  if (source.value_depth() != wide)
    check::fail(who, "values must be [s, k1 ... kR], " + std::to_string(wide) + " channels, not " +
                         std::to_string(source.value_depth()));

  std::vector<T> memory[3];
  const auto sums = detail::dense_rows(memory[0], {e[0], e[1], e[2], wide}),
             related = detail::dense_rows(memory[1], {e[0], e[1], e[2], r[1]});
  detail::relative_symbols<T> apart(relations.relative_symbols, e);
  attend<Arch>(spec, q, source, outputs{.out = sums, .observe = apart.watcher()}, executor,
               scratch);
  executor.for_each(e[0] * r[1], [&](index task, index) {
    const index b = task / r[1], l = task % r[1];
    std::vector<T> row(static_cast<std::size_t>(r[3]));
    for (index i = 0; i < e[2]; ++i) {
      simd::load_row(relations.q.type, relations.q.row(b, l, i), relations.q.stride[3], r[3],
                     row.data());
      for (index h = 0; h < e[1]; ++h)
        related(b, h, i, l) =
            static_cast<T>(relations.scale) *
            simd::dot_row<Arch>(row.data(), &sums(b, h, i, symbols + l * r[3]), r[3]);
    }
  });
  workspace own;
  detail::products<T, Arch> by(executor, scratch.scratch ? *scratch.scratch : own,
                               std::max(w[3], y[2]));
  const auto s = relative ? detail::dense_rows(memory[2], {e[0], e[1], e[2], a[3]})
                          : sums.slice_channels(0, symbols);
  apart.sum(by, s);
  if (has_symbols)
    by.multiply({{related, relations.weight}, {s, relations.symbol_weight}}, out);
  else
    by.multiply({{related, relations.weight}}, out);
}

}  // namespace heed
