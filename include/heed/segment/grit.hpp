// SPDX-License-Identifier: BSL-1.0
// segment/grit: attention whose scores read a state of the edge that it brings up to date (Ma et
// al., GRIT, 2023).
//
//   attend_edges(grit{.graph = g, .factor = as<"LHD">(ew), .shift = as<"LHD">(eb),
//                     .weight = as<"HD">(a), .value = as<"HDD">(w_ev)},
//                q, k, v, {.out = out, .edge = e_hat, .lse = lse})
//
//   ê_e = relu(ρ((q_i + k_j) ⊙ factor_e) + shift_e),  ρ(x) = sgn(x) √|x|,  for an edge e: j → i
//   α = softmax over the edges of i of clamp(weight · ê_e, ±bound)
//   o_i = Σ_e α_e (v_j + ê_e value)
//
// q [1,H,N,D], k [1,H,M,D], v [1,H,M,Dv]. The product with `value` is taken once a node. rrwp.hpp
// has what GRIT's edges start from, degree_scaler.hpp what follows.
#pragma once

#include <heed/segment/grit_edges.hpp>

namespace heed {

namespace detail {

template <class T, class Arch>
HEED_NOINLINE void grit_any(const grit_problem& p, const grit_outputs& to,
                            const executor_ref& executor, const workspace_ref& scratch) {
  const char* const operation = "heed::attend_edges(grit)";
  const index nodes = p.graph().nodes(), heads = p.heads(), depth = p.depth();
  p.check(operation);
  check_rows(operation, {"out", to.out}, {1, heads, nodes, p.width()});
  check_optional(operation, {"edge", to.edge}, {1, heads, p.graph().edges(), depth});
  check_optional(operation, {"lse", to.lse}, {1, heads, nodes, 1});
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  const index sums = p.sums(), width = p.width();
  const bool product = sums > width;
  const grit_edges<T, Arch> edges(p, to.edge);
  T *kept = nullptr, *both = nullptr, *value = nullptr;
  edge_outputs inner{to.out, to.lse};
  const auto pieces = [&](auto& from) {
    both = from.template take<T>(product ? nodes * heads * sums : 0);
    value = from.template take<T>(product ? heads * depth * width : 0);
    if (product) inner.out = view<T>(both, {1, heads, nodes, sums}, {0, sums, heads * sums, 1});
    const segment_loop<T, Arch, grit_edges<T, Arch>> loop(p.graph(), edges, heads, sums, {}, inner);
    kept = from.template take<T>(loop.kept());
  };
  lay_out(memory.shared(), pieces);
  segment_loop<T, Arch, grit_edges<T, Arch>>(p.graph(), edges, heads, sums, {}, inner)
      .run(executor, memory, kept);
  if (!product) return;
  for (index h = 0; h < heads; ++h)
    for (index c = 0; c < depth; ++c)
      simd::load_row(p.spec.value.type, p.spec.value.row(0, h, c), p.spec.value.stride[3], width,
                     value + (h * depth + c) * width);
  constexpr index rows = 64;
  executor.for_each((nodes + rows - 1) / rows, [&](index task, index) {
    for (index i = task * rows; i < std::min(nodes, (task + 1) * rows); ++i)
      for (index h = 0; h < heads; ++h) {
        T *const o = both + (i * heads + h) * sums, *const e = o + width;
        for (index c = 0; c < depth; ++c)
          add_scaled<T, Arch>(e[c], value + (h * depth + c) * width, width, o);
        write_row(to.out, h, i, o);
      }
  });
}

}  // namespace detail

// Computes in float, or in double if q, k and v are double. Nodes without edges give zeros and an
// lse of -∞. Outputs must not overlap inputs. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if the graph or a shape is not as above.
template <class Arch = simd::best, storable Q, storable K, storable V>
void attend_edges(const grit& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
                  const std::type_identity_t<grit_outputs>& to, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  const detail::grit_problem p{spec, view<const Q>(q), view<const K>(k), view<const V>(v)};
  detail::grit_any<compute_type<Q, K, V>, Arch>(p, to, executor, scratch);
}

}  // namespace heed
