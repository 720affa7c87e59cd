// SPDX-License-Identifier: BSL-1.0
// What segment/grit computes, and its part of the segment loop: ê, scores and sums.
#pragma once

#include <heed/segment/edge_rows.hpp>
#include <heed/segment/loop.hpp>

namespace heed {

struct grit {
  csr graph{};
  operand factor{};  // W_Ew e [1,H,E,D]
  operand shift{};   // W_Eb e [1,H,E,D], or nothing
  operand weight{};  // W_A [1,H,1,D]
  operand value{};   // W_Ev, for each head a row a channel of ê [1,H,D,Dv], or nothing
  double bound = 5;

  struct gradient {
    result factor{}, shift{}, weight{}, value{};
  };
};

struct grit_outputs {
  result out{};   // [1,H,N,Dv]
  result edge{};  // ê [1,H,E,D], or nothing
  result lse{};   // [1,H,N,1], or nothing; backward wants it
};

namespace detail {

struct grit_problem {
  const grit& spec;
  operand q, k, v;

  const csr& graph() const { return spec.graph; }
  index heads() const { return q.extent[1]; }
  index depth() const { return q.extent[3]; }
  index width() const { return v.extent[3]; }
  // Sums a node and head: of values, and of ê where it has a product of its own.
  index sums() const { return width() + (spec.value.present() ? depth() : 0); }
  void check(const char* operation) const {
    const index h = heads(), m = k.extent[2], e = graph().edges();
    check_rows(operation, {"q", q}, {1, h, graph().nodes(), depth()});
    check_rows(operation, {"k", k}, {1, h, m, depth()});
    check_rows(operation, {"v", v}, {1, h, m, width()});
    check_rows(operation, {"factor", spec.factor}, {1, h, e, depth()});
    check_optional(operation, {"shift", spec.shift}, {1, h, e, depth()});
    check_rows(operation, {"weight", spec.weight}, {1, h, 1, depth()});
    check_optional(operation, {"value", spec.value}, {1, h, depth(), width()});
    if (!(spec.bound > 0)) check::fail(operation, "bound must be positive");
    graph().check(operation, m);
  }
};

// ê of an edge and head, and its score before the clamp.
template <class T, class Arch>
HEED_INLINE T grit_edge(const T* q, const T* k, const T* factor, const T* shift, const T* weight,
                        index depth, T* edge) {
  each_channel<T, Arch>(depth, [&]<class A>(index c, A) {
    using B = simd::batch<T, A>;
    const B zero(T(0)),
        x = (simd::load<T, A>(q + c) + simd::load<T, A>(k + c)) * simd::load<T, A>(factor + c);
    const B root = simd::sqrt(B(simd::abs(x)));
    B e = simd::select(x < zero, B(zero - root), root);
    if (shift) e = e + simd::load<T, A>(shift + c);
    simd::store(edge + c, simd::max(zero, e));
  });
  return edge_dot<T, Arch>(edge, weight, depth);
}
template <class T> T clamped(T x, T bound) { return x < -bound ? -bound : x > bound ? bound : x; }

template <class T, class Arch> struct grit_edges {
  const grit_problem& p;
  row_source<T> q, k, v, factor, shift, weight;
  const result& edge_out;

  grit_edges(const grit_problem& of, const result& to)
      : p(of),
        q(of.q),
        k(of.k),
        v(of.v),
        factor(of.spec.factor),
        shift(of.spec.shift),
        weight(of.spec.weight),
        edge_out(to) {}

  template <class Arena> struct task {
    const grit_edges& all;
    T *own, *weight, *edge, *k, *v, *factor, *shift;
    index last = 0;
    segment_rows<T> keys, factors, shifts;

    task(const grit_edges& of, Arena& a)
        : all(of),
          own(a.template take<T>(of.q.width())),
          weight(a.template take<T>(of.q.width())),
          edge(a.template take<T>(segment_block * of.q.width())),
          k(a.template take<T>(of.k.staged())),
          v(a.template take<T>(of.v.staged())),
          factor(a.template take<T>(of.factor.staged())),
          shift(a.template take<T>(of.shift.staged())) {}

    void start(index, index end) {
      last = end;
      all.weight.copy(0, weight);
    }
    void begin(index node) { all.q.copy(node, own); }
    listed_rows from(index first) const {
      return {all.p.graph().sources.data() + first, last - first};
    }
    void scores(index first, index count, T* s) {
      const index heads = all.p.heads(), depth = all.p.depth();
      const bool shifted = all.shift.present();
      const edge_rows own_rows{first, last - first};
      all.k.gather(count, from(first), k, keys);
      all.factor.gather(count, own_rows, factor, factors);
      if (shifted) all.shift.gather(count, own_rows, shift, shifts);
      const T bound = static_cast<T>(all.p.spec.bound);
      for (index j = 0; j < count; ++j)
        for (index h = 0; h < heads; ++h) {
          T* const e = edge + (j * heads + h) * depth;
          simd::prefetch(keys.next[j] + h * keys.pitch, depth * index(sizeof(T)));
          s[h * segment_block + j] =
              clamped(grit_edge<T, Arch>(own + h * depth, keys.row[j] + h * keys.pitch,
                                         factors.row[j] + h * factors.pitch,
                                         shifted ? shifts.row[j] + h * shifts.pitch : nullptr,
                                         weight + h * depth, depth, e),
                      bound);
          write_row(all.edge_out, h, first + j, e);
        }
    }
    void values(index first, index count, const T* weights, T* o) {
      const index heads = all.p.heads(), depth = all.p.depth(), width = all.p.width();
      const index sums = all.p.sums();
      all.v.gather(count, from(first), v, keys);
      for (index j = 0; j < count; ++j)
        for (index h = 0; h < heads; ++h) {
          const T by = weights[h * segment_block + j];
          simd::prefetch(keys.next[j] + h * keys.pitch, width * index(sizeof(T)));
          add_scaled<T, Arch>(by, keys.row[j] + h * keys.pitch, width, o + h * sums);
          if (sums > width)
            add_scaled<T, Arch>(by, edge + (j * heads + h) * depth, depth, o + h * sums + width);
        }
    }
  };
};

}  // namespace detail

}  // namespace heed
