// SPDX-License-Identifier: BSL-1.0
// The backward pass by query rows, before and after its loop over key tiles: what a row brings (Q,
// dO, δ) and what it gets (dQ, and the gradients of row transforms).
#pragma once

#include <heed/attention/gradient_sums.hpp>
#include <heed/attention/replay.hpp>
#include <heed/simd/lanes.hpp>

namespace heed::detail {

struct backward_operands {
  operand out, d_out, d_lse;
  result dq, dk, dv;
  const observed_gradient* observed = nullptr;
};

template <class T, class Arch, class Spec> struct backward_rows {
  using from = replay<T, Arch, Spec>;
  using B = typename from::B;
  using similarity = decltype(Spec::similarity);
  static constexpr index W = from::W, widest = from::widest;
  static constexpr bool masks = has_mask<Spec>;
  static constexpr bool own = own_products<similarity, T, Arch>;

  // One query head in flight.
  struct head : from::head {
    T* q_rows;              // strips
    T *d_out, *d_out_rows;  // [panel][channel][lane], strips
    T* delta;
    T* dq;                  // a block a range: strips, or as q for a similarity of its own
    unsigned char* finite;  // by panel
  };
  const Spec& spec_;
  const problem& p_;
  const backward_operands& x_;
  const spec_gradients<Spec>& g_;
  replay<T, Arch, Spec> replay_;
  const replay_plan<T, Arch>& plan_;
  gradient_sums<Spec> sums_;
  const columns<T, Arch>& q_;
  columns<T, Arch> v_;

  backward_rows(const Spec& spec, const problem& p, const backward_operands& x,
                const spec_gradients<Spec>& g, row_states<T>& states)
      : spec_(spec),
        p_(p),
        x_(x),
        g_(g),
        replay_(spec, p, states, 8),
        plan_(replay_.plan),
        sums_(spec, g),
        q_(replay_.q),
        v_{p.shape.value_depth} {}
  backward_rows(const backward_rows&) = delete;  // refers to itself
  backward_rows& operator=(const backward_rows&) = delete;

  index depth() const { return p_.shape.depth; }
  index value_depth() const { return p_.shape.value_depth; }
  index row_width() const { return std::max({q_.width(), v_.width(), depth()}); }
  // Rows of staging, and those that chains of row transforms ask for.
  index staging() const {
    return row_width() *
           (2 * W + 3 + links<decltype(Spec::query)>() + links<decltype(Spec::key)>() +
            links<decltype(Spec::value)>() + links<decltype(Spec::output)>());
  }
  head located(pieces& memory) const {
    head d{replay_.located(memory), {}, {}, {}, {}, {}, {}};
    d.q_rows = memory.take<T>(plan_.rows * q_.width());
    d.d_out = memory.take<T>(plan_.rows * v_.width());
    d.d_out_rows = memory.take<T>(plan_.rows * v_.width());
    d.delta = memory.take<T>(plan_.rows);
    d.dq = memory.take<T>(plan_.ranges * plan_.rows * q_.width());
    d.finite = memory.take<unsigned char>(plan_.panels);
    return d;
  }
  T* partial(const head& d, index range) const { return d.dq + range * plan_.rows * q_.width(); }

  // A chunk of panels of one query head, as `head` holds them.
  void prepare(const sequence& s, index h, const head& d, index chunk, arena& scratch) {
    scratch.reserve(0);
    T* const queries = scratch.take<T>(staging());
    T* const grads = queries + W * row_width();
    T* const out = grads + W * row_width();
    const index last = std::min((chunk + 1) * plan_.panels_per_chunk, plan_.panels);
    for (index i = chunk * plan_.panels_per_chunk; i < last; ++i) {
      const auto& x = replay_.open(d, s, h, i);
      d.finite[i] = true;
      for (index lane = 0; lane < x.pitch; lane += W) {
        replay_.load(d, x, s, lane, queries);
        for (index j = 0; j < W; ++j) {
          T* const grad = grads + j * v_.width();
          const index r = x.row + lane + j;
          std::fill_n(grad, v_.width(), T(0));
          d.delta[r] = T(0);
          if (lane + j >= x.rows) continue;
          const row_position at{s.b, h, r + s.offset, s.row + r};
          load_gradient(at, s.batch, grad, out, sums_.of(chunk));
          d.delta[r] = product(grad, out) - lse_gradient(at, s.batch);
          if (x_.observed) d.delta[r] += static_cast<T>(x_.observed->delta(at));
          if constexpr (learns<decltype(Spec::normalizer)>)
            sums_.add_row(at, double(d.max[r]) * simd::ln2, double(d.delta[r]), chunk);
        }
        if constexpr (masks)
          d.finite[i] &= simd::all_finite(queries, q_.width(), W, q_.channels) &&
                         simd::all_finite(grads, v_.width(), W, v_.channels);
        simd::to_lanes<T, Arch>(grads, v_.width(), W, v_.channels, T(1),
                                d.d_out + x.row * v_.width() + lane, x.pitch);
        q_.pack(queries, q_.width(), W, d.q_rows, plan_.rows, x.row + lane);
        v_.pack(grads, v_.width(), W, d.d_out_rows, plan_.rows, x.row + lane);
      }
    }
  }
  // dO and O of one row before the output transforms.
  void load_gradient(const row_position& at, index batch, T* grad, T* out, double* sum) {
    const index n = value_depth();
    simd::load_row(x_.d_out.type, x_.d_out.row(batch, at.h, at.row), x_.d_out.stride[3], n, grad);
    simd::load_row(x_.out.type, x_.out.row(batch, at.h, at.row), x_.out.stride[3], n, out);
    transform_row_backward<Arch>(spec_.output, out, grad, n, at, g_.output, sum + sums_.output,
                                 out + row_width());
  }
  // d lse_i / ds_ij = p_ij.
  T lse_gradient(const row_position& at, index batch) const {
    T value(0);
    if (x_.d_lse.present())
      simd::load_row(x_.d_lse.type, x_.d_lse.row(batch, at.h, at.row), 1, 1, &value);
    return value;
  }
  // Σ dO·O; a row that saw nothing has O = 0, and its dO may be NaN.
  T product(const T* x, const T* y) const {
    const B zero(T(0));
    B sum = zero;
    index c = 0;
    for (; c + W <= value_depth(); c += W) {
      const B o = simd::load<T, Arch>(y + c);
      sum = simd::fma(B(simd::select(o == zero, zero, simd::load<T, Arch>(x + c))), o, sum);
    }
    T total = simd::sum_lanes<T, Arch>(sum);
    for (; c < value_depth(); ++c)
      if (y[c] != T(0)) total += x[c] * y[c];
    return total;
  }

  static void store(const result& x, const T* row, index count, index b, index h, index l) {
    if (x.present()) simd::store_row(x.type, row, count, x.row(b, h, l), x.stride[3]);
  }
  void finish_queries(const sequence& s, index h, const head& d, index chunk, arena& scratch) {
    scratch.reserve(0);
    T* const grad = scratch.take<T>(staging());
    T* const row = grad + row_width();
    T* const rest = row + row_width();
    const index size = plan_.panels_per_chunk * widest;
    for (index r = chunk * size; r < std::min((chunk + 1) * size, s.rows); ++r) {
      const row_position at{s.b, h, r + s.offset, s.row + r};
      std::fill_n(grad, row_width(), T(0));
      for (index range = 0; range < plan_.ranges; ++range) {
        const T* const from_range = partial(d, range);
        if constexpr (own) {
          const auto& x = d.panels[r / widest];
          for (index c = 0; c < q_.channels; ++c)
            grad[c] += from_range[x.row * q_.width() + c * x.pitch + (r - x.row)];
        } else {
          q_.unpack(from_range, plan_.rows, r, grad, true);
        }
      }
      simd::map_row<Arch>(grad, q_.channels, [scale = static_cast<T>(p_.scale)](auto y) {
        return y * decltype(y)(scale);
      });
      if constexpr (has_prologue<true, decltype(Spec::query)>())
        simd::load_row(p_.q.type, p_.q.row(s.batch, h, at.row), p_.q.stride[3], depth(), row);
      double* const sum = sums_.of(chunk);
      prologue_backward<true>(spec_.query, row, grad, at, g_.query, sum + sums_.query, sum, rest);
      store(x_.dq, grad, depth(), s.batch, h, at.row);
    }
  }
  // A row that nothing sees: its transforms get no gradient, whatever it holds.
  static bool is_zero(const T* x, index count) {
    return std::all_of(x, x + count, [](T v) { return v == T(0); });
  }
  // Row transform first, similarity second; so backward the other way round.
  template <bool Query, class F>
  void prologue_backward(const F& f, const T* x, T* dx, const row_position& at,
                         const gradient_of<F>& g, double* own_sum, double* sum, T* rest) const {
    if constexpr (!has_prologue<Query, F>()) return;
    if (is_zero(dx, q_.channels)) return std::fill_n(dx, depth(), T(0)), void();
    if constexpr (rewrites<Query>()) {
      T* const seen = rest;
      std::copy_n(x, depth(), seen);
      simd::transform_row<Arch>(f, seen, depth(), at);
      if constexpr (learns<similarity>)
        similarity_backward<Query>(seen, dx, at, g_.similarity, sum + sums_.similarity);
      else
        similarity_backward<Query>(seen, dx, at);
    }
    transform_row_backward<Arch>(f, x, dx, depth(), at, g, own_sum, rest);
  }
  template <bool Query, class... More>
  void similarity_backward(const T* x, T* dx, const row_position& at, const More&... more) const {
    if constexpr (Query)
      spec_.similarity.template query_backward<Arch>(x, dx, depth(), at, more...);
    else
      spec_.similarity.template key_backward<Arch>(x, dx, depth(), at, more...);
  }
  // Whether anything stands between a row of q or k and the products.
  template <bool Query, class F> static constexpr bool has_prologue() {
    return !std::is_same_v<F, none> || rewrites<Query>();
  }
  template <bool Query> static constexpr bool rewrites() {
    if constexpr (Query)
      return requires(const similarity& y, T* r) {
        y.template query<Arch>(r, index{}, row_position{});
      };
    else
      return requires(const similarity& y, T* r) {
        y.template key<Arch>(r, index{}, row_position{});
      };
  }
};

}  // namespace heed::detail
