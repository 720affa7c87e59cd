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
  return dot<T, Arch>(edge, weight, depth);
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
    row_asker ask_k, ask_v;
    T *own, *weight, *edge, *k, *v, *factor, *shift;

    task(const grit_edges& of, Arena& a)
        : all(of),
          ask_k(of.k, of.p.graph().sources),
          ask_v(of.v, of.p.graph().sources),
          own(a.template take<T>(of.q.width())),
          weight(a.template take<T>(of.q.width())),
          edge(a.template take<T>(segment_block * of.q.width())),
          k(a.template take<T>(of.k.staged())),
          v(a.template take<T>(of.v.staged())),
          factor(a.template take<T>(of.factor.staged())),
          shift(a.template take<T>(of.shift.staged())) {}

    void start(index first, index last) {
      ask_k.start(first, last), ask_v.start(first, last);
      all.weight.copy(0, weight);
    }
    void begin(index node) { all.q.copy(node, own); }
    void scores(index first, index count, T* s) {
      const auto source = [&](index j) { return index(all.p.graph().source(first + j)); };
      const auto number = [&](index j) { return first + j; };
      const index heads = all.p.heads(), depth = all.p.depth();
      const auto keys = all.k.gather(count, k, source);
      const auto factors = all.factor.gather(count, factor, number);
      const bool shifted = all.shift.present();
      const auto shifts = shifted ? all.shift.gather(count, shift, number) : factors;
      const T bound = static_cast<T>(all.p.spec.bound);
      for (index j = 0; j < count; ++j)
        for (index h = 0; h < heads; ++h) {
          T* const e = edge + (j * heads + h) * depth;
          ask_k.read();
          s[h * segment_block + j] =
              clamped(grit_edge<T, Arch>(own + h * depth, keys.row[j] + h * keys.pitch,
                                         factors.row[j] + h * factors.pitch,
                                         shifted ? shifts.row[j] + h * shifts.pitch : nullptr,
                                         weight + h * depth, depth, e),
                      bound);
          write_row(all.edge_out, h, first + j, e);
        }
    }
    void values(index first, index count, const T* p, T* o) {
      const auto source = [&](index j) { return index(all.p.graph().source(first + j)); };
      const index heads = all.p.heads(), depth = all.p.depth(), width = all.p.width();
      const index sums = all.p.sums();
      const auto rows = all.v.gather(count, v, source);
      for (index j = 0; j < count; ++j)
        for (index h = 0; h < heads; ++h) {
          const T by = p[h * segment_block + j];
          ask_v.read();
          add_scaled<T, Arch>(by, rows.row[j] + h * rows.pitch, width, o + h * sums);
          if (sums > width)
            add_scaled<T, Arch>(by, edge + (j * heads + h) * depth, depth, o + h * sums + width);
        }
    }
  };
};

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
  const auto lay_out = [&](auto& from) {
    both = from.template take<T>(product ? nodes * heads * sums : 0);
    value = from.template take<T>(product ? heads * depth * width : 0);
    if (product) inner.out = view<T>(both, {1, heads, nodes, sums}, {0, sums, heads * sums, 1});
    const segment_loop<T, Arch, grit_edges<T, Arch>> loop(p.graph(), edges, heads, sums, {}, inner);
    kept = from.template take<T>(loop.kept());
  };
  arena_size size;
  lay_out(size);
  memory.shared().reserve(size.bytes());
  lay_out(memory.shared());
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
