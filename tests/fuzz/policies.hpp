// SPDX-License-Identifier: BSL-1.0
// draw(tag<P>{}, call): a policy of type P with random parameters that fit the call.
#pragma once

#include <heed/heads/output_gate.hpp>
#include <heed/kv/extra.hpp>
#include <heed/kv/output_bias.hpp>
#include <heed/normalizer/custom.hpp>
#include <heed/normalizer/elu1.hpp>
#include <heed/normalizer/laplace.hpp>
#include <heed/normalizer/linear.hpp>
#include <heed/normalizer/relu.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/signed_softmax.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/normalizer/unnormalized.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/position/rope.hpp>
#include <heed/position/rope_axes.hpp>
#include <heed/similarity/additive.hpp>
#include <heed/similarity/cosine.hpp>
#include <heed/similarity/distance.hpp>
#include <heed/similarity/feature_product.hpp>
#include <heed/similarity/qk_norm.hpp>

#include "fuzz/call.hpp"

namespace heed::fuzz {

template <class P> struct tag {};

inline none draw(tag<none>, call&) { return {}; }

// ---- Similarities ----

inline dot draw(tag<dot>, call&) { return {}; }
inline cosine draw(tag<cosine>, call& c) {
  if (c.chance(3)) return {};
  return {c.numbers<float>(c.shape.heads, 0.1, 30), 1e-6};
}
inline distance draw(tag<distance>, call& c) { return {c.chance(2) ? 0 : c.real(0.5, 20)}; }
inline direct_distance draw(tag<direct_distance>, call& c) {
  return {c.chance(2) ? 0 : c.real(0.5, 20)};
}
// [x², x], twice as wide.
struct widening_feature {
  index width(index depth) const { return 2 * depth; }
  template <class T> void operator()(T* row, index depth) const {
    for (index i = 0; i < depth; ++i) row[depth + i] = row[i], row[i] *= row[i];
  }
  template <class T> void backward(const T* x, T* dx, index depth) const {
    for (index i = 0; i < depth; ++i) dx[i] = 2 * x[i] * dx[i] + dx[depth + i];
  }
};
template <class F> feature_product<F> draw(tag<feature_product<F>>, call&) { return {}; }
// Takes single numbers only.
struct bent_activation {
  float operator()(float x) const { return x / (1 + std::abs(x)); }
  double operator()(double x) const { return x / (1 + std::abs(x)); }
  template <simd::number T> dual<T> operator()(const dual<T>& x) const {
    return x / (1 + simd::abs(x));
  }
};
template <class A> additive<A> draw(tag<additive<A>>, call& c) {
  additive<A> s{.weight = c.numbers<double>(c.shape.depth, -1, 1)};
  if (c.chance(2)) s.bias = c.numbers<float>(c.shape.depth, -1, 1);
  if (c.chance(2)) s.offset = c.real(-2, 2);
  return s;
}

// ---- Normalisers ----

inline divisor any_divisor(call& c, index last = 3) {
  return static_cast<divisor>(c.from(0, last));
}
inline softmax draw(tag<softmax>, call&) { return {}; }
inline signed_softmax draw(tag<signed_softmax>, call&) { return {}; }
inline sink_softmax draw(tag<sink_softmax>, call& c) {
  if (c.chance(4)) return {};
  std::vector<double> z = c.numbers<double>(c.shape.heads, -3, 5);
  if (c.chance(3)) z[0] = -std::numeric_limits<double>::infinity();
  return {c.keep(std::move(z))};
}
inline sigmoid draw(tag<sigmoid>, call& c) {
  return {-std::log(double(c.shape.keys + 1)), any_divisor(c)};
}
inline relu draw(tag<relu>, call& c) { return {int(c.from(1, 2)), c.real(0.5, 9), any_divisor(c)}; }
inline elu1 draw(tag<elu1>, call& c) { return {any_divisor(c)}; }
inline linear draw(tag<linear>, call& c) { return {any_divisor(c)}; }
inline unnormalized draw(tag<unnormalized>, call& c) {
  c.large = false;
  return {c.real(0.5, 9), any_divisor(c)};
}
inline laplace draw(tag<laplace>, call& c) {
  return c.chance(2) ? laplace{} : laplace{c.real(-1, 1), c.real(0.2, 2), any_divisor(c)};
}
struct square_weight {
  template <class V> V operator()(const V& s) const { return s * s; }
};
struct bell_weight {
  float operator()(float s) const { return 1 / (1 + s * s); }
  double operator()(double s) const { return 1 / (1 + s * s); }
  template <simd::number T> dual<T> operator()(const dual<T>& s) const { return 1 / (1 + s * s); }
};
template <class F> custom<F> draw(tag<custom<F>>, call&) { return {}; }

// ---- Row transforms ----

inline row_shape query_rows(const call& c) {
  return {c.shape.batch, c.shape.heads, c.shape.queries, c.shape.depth};
}
inline row_shape key_rows(const call& c) {
  return {c.shape.batch, c.shape.kv_heads, c.shape.keys, c.shape.depth};
}
inline row_shape value_rows(const call& c) {
  return {c.shape.batch, c.shape.kv_heads, c.shape.keys, c.shape.value_depth};
}
inline row_shape output_rows(const call& c) {
  return {c.shape.batch, c.shape.heads, c.shape.queries, c.shape.value_depth};
}

inline none draw(tag<none>, call&, const row_shape&) { return {}; }
inline qk_norm draw(tag<qk_norm>, call& c, const row_shape& rows) {
  if (c.chance(3)) return {};
  return {c.numbers<float>(rows.channels * (c.chance(2) ? rows.heads : 1), 0.5, 1.5), 1e-5};
}
inline rotation any_rotation(call& c, index channels) {
  if (channels < 2) return {};
  const double base = c.chance(2) ? 10000 : 500, f = c.real(1, 8);
  switch (channels == 2 ? 0 : c.from(0, 6)) {
    case 1:
      return rotations::linear(channels, base, f);
    case 2:
      return rotations::ntk(channels, base, f);
    case 3:
      return rotations::dynamic_ntk(channels, base, f, c.real(10, 9000), 2048);
    case 4:
      return rotations::yarn(channels, base, f, 4096);
    case 5:
      return rotations::llama3(channels, base, f, 1, 4, 256);
    case 6:
      return rotations::longrope(channels, base, c.numbers<double>(channels / 2, 1, 4), f, 4096);
    default:
      return rotations::plain(channels, base);
  }
}
inline rope_pairs any_pairs(call& c) {
  return c.chance(2) ? rope_pairs::neox : rope_pairs::interleaved;
}
inline view<const index> any_ids(call& c, const row_shape& rows, index axes) {
  const extents e{c.chance(2) ? 1 : rows.batch, axes, rows.rows, 1};
  std::vector<index> ids;
  for (index i = 0; i < std::max<index>(1, e[0] * axes * rows.rows); ++i)
    ids.push_back(c.from(0, 5000));
  return {c.keep(std::move(ids)).data(), e};
}
inline rope draw(tag<rope>, call& c, const row_shape& rows) {
  rope r{any_rotation(c, 2 * c.from(rows.channels / 4, rows.channels / 2)), any_pairs(c)};
  if (c.chance(3)) r.ids = any_ids(c, rows, 1);
  return r;
}
inline rope_axes draw(tag<rope_axes>, call& c, const row_shape& rows) {
  const rotation by = any_rotation(c, 2 * (rows.channels / 2));
  const index first = c.from(0, by.pairs()), second = c.from(0, by.pairs() - first);
  return {by, {first, second, by.pairs() - first - second}, any_ids(c, rows, 3), any_pairs(c)};
}
inline rope_angles draw(tag<rope_angles>, call& c, const row_shape& rows) {
  const extents e{c.chance(2) ? 1 : rows.batch, c.chance(2) ? 1 : rows.heads, rows.rows,
                  c.from(0, rows.channels / 2)};
  return {c.exactly(e, -7, 7), any_pairs(c), c.real(0.5, 1.5)};
}
// A transform of the user's.
struct doubled_rows {
  template <class T> void operator()(T* x, index depth, const row_position& at) const {
    for (index i = 0; i < depth; ++i) x[i] *= T(0.5) * T(1 + at.pos % 4 + at.h);
  }
  template <class Arch, class T>
  void row_backward(const T*, T* dx, index depth, const row_position& at) const {
    (*this)(dx, depth, at);
  }
};
inline doubled_rows draw(tag<doubled_rows>, call&, const row_shape&) { return {}; }
inline output_gate draw(tag<output_gate>, call& c, const row_shape& rows) {
  return {c.table({rows.batch, rows.heads, rows.rows, rows.channels}, -4, 4),
          static_cast<gate>(c.from(0, 2))};
}
inline output_bias draw(tag<output_bias>, call& c, const row_shape& rows) {
  return {c.table({rows.batch, rows.heads, 1, rows.channels}, -1, 1)};
}
template <class A, class B> chain<A, B> draw(tag<chain<A, B>>, call& c, const row_shape& rows) {
  return {draw(tag<A>{}, c, rows), draw(tag<B>{}, c, rows)};
}

// ---- Slots and plans ----

inline extra_slots draw(tag<extra_slots>, call& c) {
  const problem_shape& s = c.shape;
  const index slots = c.from(0, 5), b = c.chance(2) ? 1 : c.batch, h = c.chance(2) ? 1 : s.kv_heads;
  extra_slots x{c.exactly({b, h, slots, s.depth}, -1, 1)};
  if (!c.chance(3)) x.v = c.exactly({b, h, slots, s.value_depth}, -1, 1);
  return x;
}
inline varlen draw(tag<varlen>, call& c) { return {c.cu_q, c.cu_k}; }

}  // namespace heed::fuzz
