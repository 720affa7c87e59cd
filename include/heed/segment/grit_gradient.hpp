// SPDX-License-Identifier: BSL-1.0
// What gradients of segment/grit do at an edge, at a destination and at a source.
#pragma once

#include <heed/segment/grit_edges.hpp>
#include <heed/segment/node_visit.hpp>

namespace heed {

struct grit_gradients {
  result dq{}, dk{}, dv{};  // of the shapes of q, k, v; those wanted
  grit::gradient spec{};
};

namespace detail {

struct grit_saved {
  grit_problem problem;
  operand out, lse, d_out, d_edge;
};

template <class T> struct grit_kept {
  T *weights, *slopes;  // [E,H]: α and dL/d(weight · ê)
  T* turned;            // [N,H,D]: value · d_out
  T* value;             // [H,D,Dv]
  T* learned;           // [tasks]: of weight [H,D], of value [H,D,Dv]
};

template <class T, class Arch> struct grit_slopes {
  const grit_saved& saved;
  const grit_gradients& to;
  const grit_kept<T>& kept;

  const grit_problem& p() const { return saved.problem; }
  index heads() const { return p().heads(); }
  index depth() const { return p().depth(); }
  index width() const { return p().width(); }
  bool product() const { return p().spec.value.present(); }
  const T* turned(index node, index h) const {
    return product() ? kept.turned + (node * heads() + h) * depth() : nullptr;
  }

  struct rooms {
    rows_in<T> q, k, v, factor, shift, weight, out, lse, d_out, d_edge;
    T *edge, *by_factor, *by_shift, *by_node, *turned, *delta, *top;
    template <class Memory>
    rooms(Memory& from, const grit_slopes& s)
        : q(from, s.p().q),
          k(from, s.p().k),
          v(from, s.p().v),
          factor(from, s.p().spec.factor),
          shift(from, s.p().spec.shift),
          weight(from, s.p().spec.weight),
          out(from, s.saved.out),
          lse(from, s.saved.lse),
          d_out(from, s.saved.d_out),
          d_edge(from, s.saved.d_edge),
          edge(from.template take<T>(s.depth())),
          by_factor(from.template take<T>(s.depth())),
          by_shift(from.template take<T>(s.depth())),
          by_node(from.template take<T>(s.depth())),
          turned(from.template take<T>(s.heads() * s.depth())),
          delta(from.template take<T>(s.heads())),
          top(from.template take<T>(s.heads())) {}
  };

  struct edge_inputs {
    const T *q, *k, *factor, *shift, *weight, *d_edge;
  };
  edge_inputs rows(rooms& r, index h, index e, index node, index source) const {
    return {r.q(h, node),   r.k(h, source),
            r.factor(h, e), r.shift.present() ? r.shift(h, e) : nullptr,
            r.weight(h, 0), r.d_edge.present() ? r.d_edge(h, e) : nullptr};
  }
  T edge(const edge_inputs& x, T* to_edge) const {
    return grit_edge<T, Arch>(x.q, x.k, x.factor, x.shift, x.weight, depth(), to_edge);
  }
  // By factor, by shift and by q + k, from ê: dê = slope · weight + α value · d_out + d_edge.
  void channels(rooms& r, const edge_inputs& x, T weight, T slope, const T* u) const {
    each_channel<T, Arch>(depth(), [&]<class A>(index c, A) {
      using B = simd::batch<T, A>;
      const B zero(T(0)), sum = simd::load<T, A>(x.q + c) + simd::load<T, A>(x.k + c);
      const B by = simd::load<T, A>(x.factor + c), size = simd::abs(B(sum * by));
      B d = B(slope) * simd::load<T, A>(x.weight + c);
      if (u) d = simd::fma(B(weight), simd::load<T, A>(u + c), d);
      if (x.d_edge) d = d + simd::load<T, A>(x.d_edge + c);
      d = simd::select(zero < simd::load<T, A>(r.edge + c), d, zero);
      const B root = simd::sqrt(size);
      const B inner = simd::select(zero < size, B(d / (root + root)), zero);
      simd::store(r.by_shift + c, d);
      simd::store(r.by_factor + c, B(inner * sum));
      simd::store(r.by_node + c, B(inner * by));
    });
  }
};

// A state: dq, Σ slope ê, Σ α ê, each [H,D].
template <class T, class Arch> struct grit_by_destination : grit_slopes<T, Arch> {
  using base = grit_slopes<T, Arch>;
  using typename base::rooms;
  index piece() const { return this->heads() * this->depth(); }
  index state() const { return 3 * piece(); }
  void begin(T* s) const { std::fill_n(s, state(), T(0)); }

  void edges(rooms& r, T* s, index node, index first, index last) const {
    const index H = this->heads(), D = this->depth(), width = this->width();
    const csr& graph = this->p().graph();
    const T bound = static_cast<T>(this->p().spec.bound);
    for (index h = 0; h < H && first < last; ++h) {
      const T* const d = r.d_out(h, node);
      r.delta[h] = edge_dot<T, Arch>(d, r.out(h, node), width), r.top[h] = *r.lse(h, node);
      if (!this->product()) continue;
      for (index c = 0; c < D; ++c)
        r.turned[h * D + c] = edge_dot<T, Arch>(this->kept.value + (h * D + c) * width, d, width);
      if (first == graph.begin(node))
        std::copy_n(r.turned + h * D, D, this->kept.turned + (node * H + h) * D);
    }
    for (index e = first; e < last; ++e) {
      const index j = graph.source(e), next = graph.source(std::min(e + edges_ahead, last - 1));
      ask_row(r.k, next), ask_row(r.v, next);
      for (index h = 0; h < H; ++h) {
        const T* const u = this->product() ? r.turned + h * D : nullptr;
        const auto x = this->rows(r, h, e, node, j);
        const T score = this->edge(x, r.edge);
        const T weight = simd::exp(T(clamped(score, bound) - r.top[h]));
        T dp = edge_dot<T, Arch>(r.d_out(h, node), r.v(h, j), width);
        if (u) dp += edge_dot<T, Arch>(u, r.edge, D);
        const T slope = clamped(score, bound) == score ? weight * (dp - r.delta[h]) : T(0);
        this->kept.weights[e * H + h] = weight, this->kept.slopes[e * H + h] = slope;
        this->channels(r, x, weight, slope, u);
        write_row(this->to.spec.factor, h, e, r.by_factor);
        write_row(this->to.spec.shift, h, e, r.by_shift);
        add_scaled<T, Arch>(T(1), r.by_node, D, s + h * D);
        add_scaled<T, Arch>(slope, r.edge, D, s + piece() + h * D);
        if (u) add_scaled<T, Arch>(weight, r.edge, D, s + 2 * piece() + h * D);
      }
    }
  }
  void merge(T* s, const T* later) const { add_scaled<T, Arch>(T(1), later, state(), s); }
  void finish(rooms& r, const T* s, index node, index task) const {
    const index H = this->heads(), D = this->depth(), width = this->width();
    const bool product = this->product();
    T* const sums = this->kept.learned + task * (H * D * (1 + (product ? width : 0)));
    add_scaled<T, Arch>(T(1), s + piece(), piece(), sums);
    for (index h = 0; h < H; ++h) {
      write_row(this->to.dq, h, node, s + h * D);
      if (!product) continue;
      const T* const d = r.d_out(h, node);
      for (index c = 0; c < D; ++c)
        add_scaled<T, Arch>(s[2 * piece() + h * D + c], d, width,
                            sums + piece() + (h * D + c) * width);
    }
  }
};

// A state: dk [H,D], dv [H,Dv].
template <class T, class Arch> struct grit_by_source : grit_slopes<T, Arch> {
  using base = grit_slopes<T, Arch>;
  using typename base::rooms;
  const transposed& graph;

  index state() const { return this->heads() * (this->depth() + this->width()); }
  void begin(T* s) const { std::fill_n(s, state(), T(0)); }
  void edges(rooms& r, T* s, index node, index first, index last) const {
    const index H = this->heads(), D = this->depth(), width = this->width();
    const csr by_source = graph.by_source();
    for (index t = first; t < last; ++t) {
      const index e = graph.edge(t), i = by_source.source(t);
      const index next = std::min(t + edges_ahead, last - 1);
      ask_row(r.d_out, by_source.source(next)), ask_row(r.factor, graph.edge(next));
      if (r.shift.present()) ask_row(r.shift, graph.edge(next));
      for (index h = 0; h < H; ++h) {
        const T weight = this->kept.weights[e * H + h], slope = this->kept.slopes[e * H + h];
        if (this->to.dk.present()) {
          const auto x = this->rows(r, h, e, i, node);
          this->edge(x, r.edge);
          this->channels(r, x, weight, slope, this->turned(i, h));
          add_scaled<T, Arch>(T(1), r.by_node, D, s + h * D);
        }
        if (this->to.dv.present())
          add_scaled<T, Arch>(weight, r.d_out(h, i), width, s + H * D + h * width);
      }
    }
  }
  void merge(T* s, const T* later) const { add_scaled<T, Arch>(T(1), later, state(), s); }
  void finish(rooms&, const T* s, index node, index) const {
    const index H = this->heads(), D = this->depth();
    for (index h = 0; h < H; ++h) {
      write_row(this->to.dk, h, node, s + h * D);
      write_row(this->to.dv, h, node, s + H * D + h * this->width());
    }
  }
};

}  // namespace detail

}  // namespace heed
