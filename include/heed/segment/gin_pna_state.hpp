// SPDX-License-Identifier: BSL-1.0
// What segment/gin_pna computes, and the sums of a node that all its reducers follow from. Moments
// are kept as mean and spread, which merge, and lose nothing where the mean is far from 0.
#pragma once

#include <bit>
#include <heed/core/broadcast.hpp>
#include <heed/segment/edge_rows.hpp>
#include <heed/segment/node_visit.hpp>
#include <heed/segment/problem.hpp>

namespace heed {

enum class reducer { sum, mean, max, min, deviation, variance };

struct gin_pna {
  csr graph{};
  operand weights{};                    // Â [1,H|1,E,1], not negative, or nothing: 1
  std::span<const reducer> reducers{};  // what a row of results has, in this order
  operand self{};                       // ε [1,H|1,1,1], or nothing: 0

  struct gradient {
    result weights{}, self{};
  };
};

namespace detail {

inline constexpr double smallest_variance = 1e-5;  // added below the root

struct gin_pna_problem {
  const gin_pna& spec;
  operand x;
  bool moments, extremes;

  gin_pna_problem(const gin_pna& of, const operand& rows)
      : spec(of),
        x(rows),
        moments(has(reducer::deviation, reducer::variance)),
        extremes(has(reducer::max, reducer::min)) {}
  const csr& graph() const { return spec.graph; }
  index heads() const { return x.extent[1]; }
  index depth() const { return x.extent[3]; }
  index width() const { return index(spec.reducers.size()) * depth(); }
  bool has(reducer a, reducer b) const {
    return std::any_of(spec.reducers.begin(), spec.reducers.end(),
                       [&](reducer r) { return r == a || r == b; });
  }
  template <class T> T weight(index head, index edge) const {
    return spec.weights.present() ? broadcast::element<T>(spec.weights, 0, head, edge, 0) : T(1);
  }
  template <class T> T self(index head) const {
    return spec.self.present() ? broadcast::element<T>(spec.self, 0, head, 0, 0) : T(0);
  }

  void check(const char* operation) const {
    const index h = heads(), m = x.extent[2], e = graph().edges();
    check_rows(operation, {"x", x}, {1, h, m, depth()});
    check_table(operation, {"weights", spec.weights}, {1, h, e, 1});
    check_table(operation, {"self", spec.self}, {1, h, 1, 1});
    graph().check(operation, m);
    if (spec.self.present() && m != graph().nodes())
      check::fail(operation, "a node has itself only where sources are the nodes", {{"x", x}});
    const index own = spec.weights.present() ? spec.weights.extent[1] : 0;
    for (index i = 0; i < own; ++i)
      for (index n = 0; n < e; ++n)
        if (weight<double>(i, n) < 0)
          check::fail(operation, "weights must not be negative: edge " + std::to_string(n) +
                                     " of head " + std::to_string(i) + " has " +
                                     std::to_string(weight<double>(i, n)));
  }
};

// The number of an edge where others keep a T. -1: none.
template <class T>
using edge_number = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
template <class T> T kept_number(index e) {
  return std::bit_cast<T>(static_cast<edge_number<T>>(e));
}

// Of a head: mass, sum [D], with moments mean and spread [D], with extremes max, min [D], and where
// `winners` are wanted the first edge with either.
template <class T> struct gin_pna_sums {
  T *mass, *sum, *mean, *spread, *most, *least, *first_most, *first_least;

  static index size(const gin_pna_problem& p, bool winners) {
    return 1 + p.depth() * (1 + (p.moments ? 2 : 0) + (p.extremes ? winners ? 4 : 2 : 0));
  }
  gin_pna_sums(T* at, const gin_pna_problem& p) {
    const index d = p.depth();
    mass = at, sum = at + 1, mean = sum + d, spread = mean + d;
    most = p.moments ? spread + d : mean, least = most + d;
    first_most = least + d, first_least = first_most + d;
  }
};

template <class T, class Arch> struct gin_pna_work {
  const gin_pna_problem& p;
  bool winners;

  index size() const { return gin_pna_sums<T>::size(p, winners); }
  index state() const { return p.heads() * size(); }
  gin_pna_sums<T> of(T* s, index head) const { return {s + head * size(), p}; }

  void begin(T* s) const {
    std::fill_n(s, state(), T(0));
    for (index h = 0; h < p.heads() && p.extremes; ++h) {
      const auto to = of(s, h);
      std::fill_n(to.most, p.depth(), -std::numeric_limits<T>::infinity());
      std::fill_n(to.least, p.depth(), std::numeric_limits<T>::infinity());
      if (winners) std::fill_n(to.first_most, 2 * p.depth(), kept_number<T>(-1));
    }
  }
  void add(T* s, const rows_in<T>& rows, index first, index last) const {
    const index depth = p.depth();
    for (index e = first; e < last; ++e) {
      ask_row(rows, p.graph().source(std::min(e + edges_ahead, last - 1)));
      for (index h = 0; h < p.heads(); ++h) {
        const T w = p.weight<T>(h, e);
        if (w == T(0)) continue;
        const T* const x = rows(h, p.graph().source(e));
        const auto to = of(s, h);
        *to.mass += w;
        add_scaled<T, Arch>(w, x, depth, to.sum);
        if (p.moments) spread(to, x, w);
        if (p.extremes) extremes(to, x, e);
      }
    }
  }
  void merge(T* s, const T* later) const {
    for (index h = 0; h < p.heads(); ++h) {
      const auto to = of(s, h), from = of(const_cast<T*>(later), h);
      const T mass = *to.mass + *from.mass;
      for (index c = 0; c < p.depth(); ++c) {
        to.sum[c] += from.sum[c];
        if (p.moments && mass > T(0)) {
          const T apart = from.mean[c] - to.mean[c], share = *from.mass / mass;
          to.spread[c] += from.spread[c] + apart * apart * (*to.mass * share);
          to.mean[c] += apart * share;
        }
        if (!p.extremes) continue;
        if (winners && from.most[c] > to.most[c]) to.first_most[c] = from.first_most[c];
        if (winners && from.least[c] < to.least[c]) to.first_least[c] = from.first_least[c];
        to.most[c] = std::max(to.most[c], from.most[c]);
        to.least[c] = std::min(to.least[c], from.least[c]);
      }
      *to.mass = mass;
    }
  }

 private:
  void spread(const gin_pna_sums<T>& to, const T* x, T w) const {
    const T share = w / *to.mass;
    each_channel<T, Arch>(p.depth(), [&]<class A>(index c, A) {
      using B = simd::batch<T, A>;
      const B before = simd::load<T, A>(x + c) - simd::load<T, A>(to.mean + c);
      const B mean = simd::fma(B(share), before, simd::load<T, A>(to.mean + c));
      const B after = simd::load<T, A>(x + c) - mean;
      simd::store(to.mean + c, mean);
      simd::store(to.spread + c,
                  simd::fma(B(B(w) * before), after, simd::load<T, A>(to.spread + c)));
    });
  }
  void extremes(const gin_pna_sums<T>& to, const T* x, index e) const {
    for (index c = 0; c < p.depth() && winners; ++c) {
      if (x[c] > to.most[c]) to.first_most[c] = kept_number<T>(e);
      if (x[c] < to.least[c]) to.first_least[c] = kept_number<T>(e);
    }
    each_channel<T, Arch>(p.depth(), [&]<class A>(index c, A) {
      const simd::batch<T, A> row = simd::load<T, A>(x + c);
      simd::store(to.most + c, simd::max(simd::load<T, A>(to.most + c), row));
      simd::store(to.least + c, simd::min(simd::load<T, A>(to.least + c), row));
    });
  }
};

}  // namespace detail

}  // namespace heed
