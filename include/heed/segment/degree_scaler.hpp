// SPDX-License-Identifier: BSL-1.0
// What GRIT (Ma et al., 2023) gives back to a node of how many edges it has, which a softmax loses:
//
//   y = x ⊙ θ₁ + log(1 + deg) x ⊙ θ₂        scale_by_degree(degree_scaler{g, one, two}, x, y)
//
// x, y [1,H,N,D]; θ₁, θ₂ [1,H,1,D].
#pragma once

#include <cmath>
#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/segment/edge_rows.hpp>
#include <heed/segment/problem.hpp>

namespace heed {

struct degree_scaler {
  csr graph{};
  operand one{}, two{};

  struct gradient {
    result one{}, two{};
  };
};

namespace detail {

inline void check_scaler(const char* operation, const degree_scaler& spec, const operand& x) {
  const extents& e = x.extent;
  check_rows(operation, {"x", x}, {1, e[1], spec.graph.nodes(), e[3]});
  check_rows(operation, {"one", spec.one}, {1, e[1], 1, e[3]});
  check_rows(operation, {"two", spec.two}, {1, e[1], 1, e[3]});
  spec.graph.check_offsets(operation);
}

// to[c] = from[c] · (one[c] + by · two[c])
template <class T, class Arch>
void scale_channels(const T* from, const T* one, const T* two, T by, index count, T* to) {
  each_channel<T, Arch>(count, [&]<class A>(index c, A) {
    using B = simd::batch<T, A>;
    const B factor = simd::fma(B(by), simd::load<T, A>(two + c), simd::load<T, A>(one + c));
    simd::store(to + c, B(simd::load<T, A>(from + c) * factor));
  });
}
template <class T> T log_degree(const csr& graph, index node) {
  return static_cast<T>(std::log1p(double(graph.degree(node))));
}

}  // namespace detail

// Computes in float, or in double if x is double; y may be x. Only the offsets of the graph are
// read. Throws std::invalid_argument, before anything is written, if a shape does not fit.
template <class Arch = simd::best, storable X>
void scale_by_degree(const degree_scaler& spec, const view<X>& x,
                     const std::type_identity_t<result>& y, const executor_ref& executor = {},
                     const workspace_ref& scratch = {}) {
  using T = compute_type<X>;
  const operand in = view<const X>(x);
  const index heads = in.extent[1], nodes = in.extent[2], depth = in.extent[3];
  detail::check_scaler("heed::scale_by_degree", spec, in);
  detail::check_rows("heed::scale_by_degree", {"y", y}, in.extent);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  constexpr index rows = 128;
  executor.for_each((nodes + rows - 1) / rows, [&](index task, index worker) {
    arena& from = memory.worker(worker);
    from.reserve(4 * arena::rounded(static_cast<std::size_t>(heads * depth) * sizeof(T)));
    const detail::rows_in<T> at(from, in), one(from, spec.one), two(from, spec.two);
    T* const row = from.take<T>(depth);
    for (index h = 0; h < heads; ++h) {
      const T *const a = one(h, 0), *const b = two(h, 0);
      for (index i = task * rows; i < std::min(nodes, (task + 1) * rows); ++i) {
        const T by = detail::log_degree<T>(spec.graph, i);
        detail::scale_channels<T, Arch>(at(h, i), a, b, by, depth, row);
        detail::write_row(y, h, i, row);
      }
    }
  });
}

// dx [1,H,N,D] and what is learned, each if present. A head's sums are the work of one worker.
template <class Arch = simd::best, storable X, storable Y>
void scale_by_degree_backward(const degree_scaler& spec, const view<X>& x, const view<Y>& dy,
                              const std::type_identity_t<result>& dx,
                              const degree_scaler::gradient& to, const executor_ref& executor = {},
                              const workspace_ref& scratch = {}) {
  using T = compute_type<X, Y>;
  const char* const operation = "heed::scale_by_degree_backward";
  const operand in = view<const X>(x), d = view<const Y>(dy);
  const index heads = in.extent[1], nodes = in.extent[2], depth = in.extent[3];
  detail::check_scaler(operation, spec, in);
  detail::check_rows(operation, {"dy", d}, in.extent);
  detail::check_optional(operation, {"dx", dx}, in.extent);
  detail::check_optional(operation, {"gradient of one", to.one}, spec.one.extent);
  detail::check_optional(operation, {"gradient of two", to.two}, spec.two.extent);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  executor.for_each(heads, [&](index h, index worker) {
    arena& from = memory.worker(worker);
    from.reserve(7 * arena::rounded(static_cast<std::size_t>(heads * depth) * sizeof(T)));
    const detail::rows_in<T> at(from, in), by(from, d), one(from, spec.one), two(from, spec.two);
    T *const row = from.take<T>(depth), *const sum = from.take<T>(depth),
             *const scaled = from.take<T>(depth);
    std::fill_n(sum, depth, T(0)), std::fill_n(scaled, depth, T(0));
    const T *const a = one(h, 0), *const b = two(h, 0);
    for (index i = 0; i < nodes; ++i) {
      const T log = detail::log_degree<T>(spec.graph, i);
      const T *const value = at(h, i), *const slope = by(h, i);
      detail::each_channel<T, Arch>(depth, [&]<class A>(index c, A) {
        using B = simd::batch<T, A>;
        const B term = simd::load<T, A>(value + c) * simd::load<T, A>(slope + c);
        simd::store(sum + c, B(simd::load<T, A>(sum + c) + term));
        simd::store(scaled + c, simd::fma(B(log), term, simd::load<T, A>(scaled + c)));
      });
      detail::scale_channels<T, Arch>(slope, a, b, log, depth, row);
      detail::write_row(dx, h, i, row);
    }
    detail::write_row(to.one, h, 0, sum);
    detail::write_row(to.two, h, 0, scaled);
  });
}

}  // namespace heed
