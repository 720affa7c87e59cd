// SPDX-License-Identifier: BSL-1.0
// One call, checked and with its types erased: what the front hands to a driver.
#pragma once

#include <algorithm>
#include <cmath>
#include <heed/attention/outputs.hpp>
#include <heed/core/policy.hpp>
#include <heed/kv/load.hpp>
#include <heed/kv/source.hpp>

namespace heed::detail {

// The operands are the caller's: copying them cost more than a small call's arithmetic. Where keys
// and values come from a source, k and v only have its extents.
struct problem {
  problem_shape shape;
  const operand &q, &k, &v;
  const outputs& to;
  double scale = 1;
  const kv_ref* source = nullptr;
  bool placed = false;  // the spec says where query row 0 sits

  // Row `row` of a head, as it is stored.
  template <class T> void load_key(index batch, index h, index row, T* out) const {
    if (source) return load_stored(source->run(batch, h, row).k, 0, shape.depth, out);
    simd::load_row(k.type, k.row(batch, h, row), k.stride[3], shape.depth, out);
  }
  template <class T> void load_value(index batch, index h, index row, T* out) const {
    if (source) return load_stored(source->run(batch, h, row).v, 0, shape.value_depth, out);
    simd::load_row(v.type, v.row(batch, h, row), v.stride[3], shape.value_depth, out);
  }
};

inline problem_shape shape_of(const extents& q, const extents& k, const extents& v) {
  return {.batch = q[0],
          .heads = q[1],
          .kv_heads = k[1],
          .queries = q[2],
          .keys = k[2],
          .depth = q[3],
          .value_depth = v[3],
          .offset = k[2] - q[2]};
}

template <class Spec> void check_policies(const Spec& spec, const problem_shape& shape) {
  check_policy(spec.mask, shape);
  check_policy(spec.similarity, shape);
  check_policy(spec.score, shape);
  check_policy(spec.normalizer, shape);
  check_policy(spec.weights, shape);
  check_rows(spec.query, shape, {shape.batch, shape.heads, shape.queries, shape.depth});
  check_rows(spec.key, shape, {shape.batch, shape.kv_heads, shape.keys, shape.depth});
  check_rows(spec.value, shape, {shape.batch, shape.kv_heads, shape.keys, shape.value_depth});
  check_rows(spec.output, shape, {shape.batch, shape.heads, shape.queries, shape.value_depth});
  check_policy(spec.extra, shape);
}

template <class Spec> double resolved_scale(const Spec& spec, index depth) {
  return std::isnan(spec.scale) ? spec.similarity.default_scale(depth) : spec.scale;
}

// One sequence of queries against one sequence of keys: a batch item, or a piece of a packed batch.
struct sequence {
  index b = 0;                    // as policies see it
  index batch = 0;                // in the tensors
  index row = 0, rows = 0;        // queries
  index slot = 0, keys = 0;       // keys
  index offset = 0;               // position of the first query
  index base = 0;                 // position of the first key
  const index* places = nullptr;  // of each key, where a source has lost some in between

  index key(index j) const { return places ? places[j] : base + j; }
  // One beyond the position of the last key.
  index end() const { return keys == 0 ? base : key(keys - 1) + 1; }
  // The keys whose positions lie in `at`.
  span within(span at) const {
    if (!places) return {std::max<index>(at.begin - base, 0), std::min(at.end - base, keys)};
    const auto first = std::lower_bound(places, places + keys, at.begin);
    return {first - places, std::lower_bound(first, places + keys, at.end) - places};
  }
  span positions(span of) const {
    return of.empty() ? span{} : span{key(of.begin), key(of.end - 1) + 1};
  }
};

// A scale as a power of two, by which a product is exact, and the rest in (1/√2, √2].
struct split_scale {
  double exact, rest;
};
inline split_scale parted(double scale) {
  if (scale == 0 || !std::isfinite(scale)) return {scale, 1};
  int exponent;
  const double m = std::abs(std::frexp(scale, &exponent));
  const bool up = m > 0.70710678118654752440;
  return {std::copysign(std::ldexp(1.0, up ? exponent : exponent - 1), scale), up ? m : 2 * m};
}

template <class Plan> struct sequences {
  const problem& p;
  const Plan& plan;

  index count() const {
    if constexpr (requires { plan.sequences(); })
      return plan.sequences();
    else
      return p.shape.batch;
  }
  index longest_queries() const {
    if constexpr (requires { plan.longest_queries(); })
      return plan.longest_queries();
    else
      return p.shape.queries;
  }
  index longest_keys() const {
    if constexpr (requires { plan.longest_keys(); })
      return plan.longest_keys();
    else
      return p.shape.keys;
  }
  // Item i as kv head h sees it.
  sequence operator()(index i, index h) const {
    sequence s = (*this)[i];
    if (p.source) s.places = p.source->places(i, h);
    return s;
  }
  sequence operator[](index i) const {
    if (p.source) {
      const index keys = p.source->length(i), end = p.source->end(i);
      const index offset = p.placed ? p.shape.offset : end - p.shape.queries;
      return {i, i, 0, p.shape.queries, 0, keys, offset, end - keys};
    }
    if constexpr (requires { plan.sequences(); }) {
      const span q = plan.query_rows(i), k = plan.key_rows(i);
      return {i, 0, q.begin, q.size(), k.begin, k.size(), k.size() - q.size() + p.shape.offset};
    } else {
      return {i, i, 0, p.shape.queries, 0, p.shape.keys, p.shape.offset};
    }
  }
};

}  // namespace heed::detail
