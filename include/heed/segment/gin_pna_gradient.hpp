// SPDX-License-Identifier: BSL-1.0
// What gradients of segment/gin_pna do at a destination, at an edge and at a source.
#pragma once

#include <cmath>
#include <heed/segment/gin_pna_state.hpp>

namespace heed {

struct gin_pna_gradients {
  result dx{};  // of the shape of x, if wanted
  gin_pna::gradient spec{};
};

namespace detail {

// What edges of a node need of it, a head: by sum, by mean / deg, mean [D]; with moments by
// variance / deg, variance [D]; with extremes by max, by min, and their edges [D].
template <class T> struct gin_pna_node {
  T *by_sum, *by_mean, *mean, *by_variance, *variance, *by_most, *by_least, *most, *least;

  static index size(const gin_pna_problem& p) {
    return p.depth() * (3 + (p.moments ? 2 : 0) + (p.extremes ? 4 : 0));
  }
  gin_pna_node(T* all, const gin_pna_problem& p, index node, index head) {
    const index d = p.depth();
    by_sum = all + (node * p.heads() + head) * size(p), by_mean = by_sum + d, mean = by_mean + d;
    by_variance = mean + d, variance = by_variance + d;
    by_most = p.moments ? variance + d : by_variance, by_least = by_most + d;
    most = by_least + d, least = most + d;
  }
};

template <class T, class Arch> struct gin_pna_nodes {
  gin_pna_work<T, Arch> sums;
  const operand& d_out;
  T *nodes, *self;  // [N] of gin_pna_node, [tasks,H]

  struct rooms {
    rows_in<T> x, d;
    template <class Memory>
    rooms(Memory& from, const gin_pna_nodes& f) : x(from, f.sums.p.x), d(from, f.d_out) {}
  };
  index state() const { return sums.state(); }
  void begin(T* s) const { sums.begin(s); }
  void edges(rooms& r, T* s, index, index first, index last) const {
    sums.add(s, r.x, first, last);
  }
  void merge(T* s, const T* later) const { sums.merge(s, later); }
  void finish(rooms& r, T* s, index node, index task) const {
    const gin_pna_problem& p = sums.p;
    const index depth = p.depth();
    for (index h = 0; h < p.heads(); ++h) {
      const auto from = sums.of(s, h);
      const gin_pna_node<T> to(nodes, p, node, h);
      std::fill_n(to.by_sum, gin_pna_node<T>::size(p), T(0));
      const T share = *from.mass > T(0) ? 1 / *from.mass : T(0);
      for (index c = 0; c < depth; ++c) {
        to.mean[c] = from.sum[c] * share;
        if (p.moments) to.mean[c] = from.mean[c], to.variance[c] = from.spread[c] * share;
        if (p.extremes) to.most[c] = from.first_most[c], to.least[c] = from.first_least[c];
      }
      const T* d = r.d(h, node);
      for (const reducer kind : p.spec.reducers) {
        for (index c = 0; c < depth; ++c) take(kind, to, c, d[c], share);
        if (kind == reducer::sum && p.spec.self.present())
          self[task * p.heads() + h] += edge_dot<T, Arch>(d, r.x(h, node), depth);
        d += depth;
      }
    }
  }

 private:
  static void take(reducer kind, const gin_pna_node<T>& to, index c, T d, T share) {
    if (kind == reducer::sum) to.by_sum[c] += d;
    if (kind == reducer::mean) to.by_mean[c] += d * share;
    if (kind == reducer::max) to.by_most[c] += d;
    if (kind == reducer::min) to.by_least[c] += d;
    if (kind == reducer::deviation)
      to.by_variance[c] += d * share / (2 * std::sqrt(to.variance[c] + T(smallest_variance)));
    if (kind == reducer::variance) to.by_variance[c] += d * share;
  }
};

template <class T, class Arch> struct gin_pna_weights {
  const gin_pna_problem& p;
  T* nodes;
  const result& to;  // [1,H|1,E,1]

  struct rooms {
    rows_in<T> x;
    template <class Memory> rooms(Memory& from, const gin_pna_weights& f) : x(from, f.p.x) {}
  };
  index state() const { return 0; }
  void begin(T*) const {}
  void edges(rooms& r, T*, index node, index first, index last) const {
    const index rows = to.extent[1];
    for (index e = first; e < last; ++e)
      for (index i = 0; i < rows; ++i) {
        T sum = 0;
        // A weight of 0 has no slope that is of use: the edge is none.
        for (index h = i; h < (rows == 1 ? p.heads() : i + 1); ++h)
          if (p.weight<T>(h, e) != T(0)) sum += slope(r.x(h, p.graph().source(e)), node, h);
        write_row(to, i, e, &sum);
      }
  }
  void merge(T*, const T*) const {}
  void finish(rooms&, T*, index, index) const {}

 private:
  T slope(const T* x, index node, index h) const {
    const gin_pna_node<T> of(nodes, p, node, h);
    T sum = 0;
    simd::batch<T, Arch> whole(T(0));
    each_channel<T, Arch>(p.depth(), [&]<class A>(index c, A) {
      using B = simd::batch<T, A>;
      const B row = simd::load<T, A>(x + c), apart = row - simd::load<T, A>(of.mean + c);
      B d = simd::fma(simd::load<T, A>(of.by_sum + c), row,
                      B(simd::load<T, A>(of.by_mean + c) * apart));
      if (p.moments)
        d = simd::fma(simd::load<T, A>(of.by_variance + c),
                      B(apart * apart - simd::load<T, A>(of.variance + c)), d);
      if constexpr (std::is_same_v<A, Arch>)
        whole = whole + d;
      else
        sum += d;
    });
    return sum + simd::sum_lanes<T, Arch>(whole);
  }
};

template <class T, class Arch> struct gin_pna_by_source {
  const gin_pna_problem& p;
  const transposed& turned;
  T* nodes;
  const result& dx;

  struct rooms {
    rows_in<T> x;
    template <class Memory> rooms(Memory& from, const gin_pna_by_source& f) : x(from, f.p.x) {}
  };
  index state() const { return p.heads() * p.depth(); }
  void begin(T* s) const { std::fill_n(s, state(), T(0)); }
  void edges(rooms& r, T* s, index node, index first, index last) const {
    const index depth = p.depth();
    for (index h = 0; h < p.heads() && first < last; ++h) {
      const T* const x = r.x(h, node);
      T* const to = s + h * depth;
      for (index t = first; t < last; ++t) {
        const index e = turned.edge(t);
        const gin_pna_node<T> of(nodes, p, turned.by_source().source(t), h);
        const T w = p.weight<T>(h, e);
        if (w == T(0)) continue;
        each_channel<T, Arch>(depth, [&]<class A>(index c, A) {
          using B = simd::batch<T, A>;
          B d = simd::load<T, A>(of.by_sum + c) + simd::load<T, A>(of.by_mean + c);
          if (p.moments) {
            const B apart = simd::load<T, A>(x + c) - simd::load<T, A>(of.mean + c);
            d = simd::fma(B(apart + apart), simd::load<T, A>(of.by_variance + c), d);
          }
          simd::store(to + c, simd::fma(B(w), d, simd::load<T, A>(to + c)));
        });
        if (p.extremes) add_extremes(of, e, depth, to);
      }
    }
  }
  void merge(T* s, const T* later) const { add_scaled<T, Arch>(T(1), later, state(), s); }
  void finish(rooms&, T* s, index node, index) const {
    for (index h = 0; h < p.heads(); ++h) {
      T* const to = s + h * p.depth();
      if (p.spec.self.present())
        add_scaled<T, Arch>(p.self<T>(h), gin_pna_node<T>(nodes, p, node, h).by_sum, p.depth(), to);
      write_row(dx, h, node, to);
    }
  }

 private:
  static void add_extremes(const gin_pna_node<T>& of, index e, index depth, T* to) {
    const auto number = static_cast<edge_number<T>>(e);
    for (index c = 0; c < depth; ++c) {
      to[c] += std::bit_cast<edge_number<T>>(of.most[c]) == number ? of.by_most[c] : T(0);
      to[c] += std::bit_cast<edge_number<T>>(of.least[c]) == number ? of.by_least[c] : T(0);
    }
  }
};

}  // namespace detail

}  // namespace heed
