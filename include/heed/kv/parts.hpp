// SPDX-License-Identifier: BSL-1.0
// A call made in parts: its policies, asked in the coordinates of the whole, and its scratch.
#pragma once

#include <heed/attention/spec.hpp>
#include <heed/core/executor.hpp>
#include <heed/core/workspace.hpp>
#include <heed/kv/source.hpp>
#include <heed/numerics/merge.hpp>
#include <heed/simd/pack.hpp>

namespace heed::detail {

// How a part lies in the whole. Where `rows` is given, the queries of all sequences stand under
// each other, `rows` each, the first of sequence b at position first[b]. Keys are `slots` further
// on.
struct placing {
  const index* first = nullptr;
  index rows = 0;
  index slots = 0;

  position operator()(position at) const {
    if (rows > 0) {
      at.b = at.row / rows, at.row %= rows;
      at.q = first[at.b] + at.row;
    }
    at.slot += slots;
    return at;
  }
  row_position query(row_position at) const {
    if (rows > 0) {
      at.b = at.row / rows, at.row %= rows;
      at.pos = first[at.b] + at.row;
    }
    return at;
  }
  row_position key(row_position at) const {
    at.row += slots;
    return at;
  }
};

// The parts do not fit what the whole was checked for: nothing here has `check`.
template <mask M> struct placed_mask {
  const M& of;
  placing by;

  static constexpr bool exact = exact_mask<M>();
  bool is_exact() const { return heed::is_exact(of); }
  bool operator()(const position& at) const { return of(by(at)); }
  template <class F> void intervals(const position& at, index keys, F emit) const {
    heed::intervals(of, by(at), keys, emit);
  }
};

template <class R, row_position (placing::*Of)(row_position) const> struct placed_rows {
  const R& of;
  placing by;

  template <class Arch, class T> void row(T* x, index channels, const row_position& at) const {
    simd::transform_row<Arch>(of, x, channels, (by.*Of)(at));
  }
};
// `none` stays none: engines leave out what it would cost.
template <auto Of, class R> auto placed(const R& of, const placing& by) {
  if constexpr (std::is_same_v<R, none>)
    return none{};
  else
    return placed_rows<R, Of>{of, by};
}

// Tokens that come `by` positions later.
struct later_source {
  const kv_ref& of;
  index by;

  index batch() const { return of.batch(); }
  index heads() const { return of.heads(); }
  index depth() const { return of.depth(); }
  index value_depth() const { return of.value_depth(); }
  index length(index b) const { return of.length(b); }
  index end(index b) const { return of.end(b) + by; }
  kv_run run(index b, index h, index t) const { return of.run(b, h, t); }
};

template <class Mask, class Normalizer, class Extra, class Spec>
auto part_of(const Spec& s, const Mask& mask, const Normalizer& normalizer, const Extra& extra,
             const placing& by) {
  const auto query = placed<&placing::query>(s.query, by);
  const auto key = placed<&placing::key>(s.key, by);
  const auto value = placed<&placing::key>(s.value, by);
  return attention<Mask, decltype(s.similarity), decltype(s.score), Normalizer, none,
                   std::remove_const_t<decltype(query)>, std::remove_const_t<decltype(key)>,
                   std::remove_const_t<decltype(value)>, none, Extra, none>{
      .mask = mask,
      .similarity = s.similarity,
      .score = s.score,
      .normalizer = normalizer,
      .scale = s.scale,
      .offset = s.offset,
      .query = query,
      .key = key,
      .value = value,
      .extra = extra};
}

// Queries of all sequences under each other, and what each of two parts gives them, [H][B · L][…].
template <class T> class parts_of_rows {
 public:
  parts_of_rows(arena& from, const extents& q, const extents& stride, index channels)
      : q_(q), channels_(channels), tall_(q[0] * q[2]) {
    const index size[] = {tall_ * channels, tall_ * channels, tall_, tall_,
                          folds(stride) ? 0 : tall_ * q[3]};
    std::size_t bytes = 0;
    for (const index n : size) bytes += arena::rounded(bytes_of(q[1] * n));
    from.reserve(bytes);
    for (std::size_t i = 0; i < 5; ++i) data_[i] = from.take<T>(q[1] * size[i]);
  }

  outputs tall(int i) const {
    return {.out = view<T>(data_[i], {1, q_[1], tall_, channels_}),
            .lse = view<T>(data_[2 + i], {1, q_[1], tall_, 1})};
  }
  outputs each(int i) const { return {.out = out(i), .lse = lse(i)}; }
  heed::part part(int i) const { return {view<const T>(out(i)), view<const T>(lse(i))}; }

  bool folds(const extents& stride) const {
    return q_[0] == 1 || q_[2] == 1 || stride[0] == q_[2] * stride[2];
  }
  template <class Q> view<Q> folded(const view<Q>& q) const {
    const extents& s = q.stride;
    return {q.data, {1, q_[1], tall_, q_[3]}, {0, s[1], q_[2] == 1 ? s[0] : s[2], s[3]}};
  }
  view<T> copied(const operand& q, const executor_ref& executor) const {
    const view<T> x(data_[4], {1, q_[1], tall_, q_[3]});
    executor.for_each(q_[0] * q_[1], [&](index task, index) {
      const index b = task / q_[1], h = task % q_[1];
      for (index l = 0; l < q_[2]; ++l)
        simd::load_row(q.type, q.row(b, h, l), q.stride[3], q_[3], &x(0, h, b * q_[2] + l));
    });
    return x;
  }

 private:
  static std::size_t bytes_of(index n) { return static_cast<std::size_t>(n) * sizeof(T); }
  view<T> out(int i) const {
    return {data_[i],
            {q_[0], q_[1], q_[2], channels_},
            {q_[2] * channels_, tall_ * channels_, channels_, 1}};
  }
  view<T> lse(int i) const {
    return {data_[2 + i], {q_[0], q_[1], q_[2], 1}, {q_[2], tall_, 1, 1}};
  }

  extents q_;
  index channels_, tall_;
  T* data_[5];
};

}  // namespace heed::detail
