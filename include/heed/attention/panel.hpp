// SPDX-License-Identifier: BSL-1.0
// A panel of queries of one head against keys: what every driver of the tile loop does first.
//
//   lanes     rows of q, converted, transformed and scaled, as [channel][lane]
//   products  S = K Qᵀ, or what the similarity has in its place
//   modify    S = score(S)
//   hide      S = masked where the mask says so
#pragma once

#include <heed/attention/hide.hpp>
#include <heed/attention/problem.hpp>
#include <heed/attention/rows.hpp>
#include <heed/score/concept.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/tile.hpp>
#include <heed/similarity/dot.hpp>

namespace heed::detail {

template <class Spec> inline constexpr bool has_mask = !std::is_same_v<decltype(Spec::mask), full>;
template <class Spec>
inline constexpr bool has_score = !std::is_same_v<decltype(Spec::score), none>;

template <class Similarity, class T, class Arch>
inline constexpr bool own_products = requires(const Similarity& f, index n, const T* x, T* s) {
  f.template scores<Arch>(n, x, n, n, x, n, n, s);
};

// `row` counts from the first query of the sequence; lanes from `rows` to `pitch` hold zeros.
template <class T, class Spec> struct query_panel {
  T* q = nullptr;
  index h = 0, row = 0, rows = 0, vectors = 0, pitch = 0;
  [[no_unique_address]] std::conditional_t<has_mask<Spec>, lane_intervals, none> keys{};
};

template <class T, class Arch, class Spec> struct panels {
  static constexpr index W = simd::shape<T, Arch>::lanes;
  static constexpr bool rewrites = !std::is_same_v<decltype(Spec::query), none> ||
                                   requires(const decltype(Spec::similarity)& s, T* row) {
                                     s.template query<Arch>(row, index{}, row_position{});
                                   };
  using panel = query_panel<T, Spec>;

  const Spec& spec;
  const problem& p;
  index width = packed_width(spec.similarity, p.shape.depth);

  // `count` rows from `at` on as the similarity wants them, unscaled, `width` apart; `at.row`
  // counts from the start of the tensor.
  void load(const row_position& at, index batch, index count, T* rows) const {
    const auto read = [&](index row, T* out) {
      simd::load_row(p.q.type, p.q.row(batch, at.h, row), p.q.stride[3], p.shape.depth, out);
    };
    load_rows<Arch>(
        read, p.shape.depth, spec.query, at, count, width, rows,
        [&](T* row, const row_position& place) {
          if constexpr (requires { spec.similarity.template query<Arch>(row, index{}, place); })
            spec.similarity.template query<Arch>(row, p.shape.depth, place);
        });
  }
  // All rows of a panel, scaled, as lanes. `staged` holds W rows of the wider of what goes in and
  // what comes out.
  void to_lanes(const panel& x, const sequence& s, T scale, T* staged) const {
    const index row = s.row + x.row;
    if (!rewrites && simd::stored_as<T>(p.q))
      return simd::to_lanes<T, Arch>(static_cast<const T*>(p.q.row(s.batch, x.h, row)),
                                     p.q.stride[2], x.rows, width, scale, x.q, x.pitch);
    for (index lane = 0; lane < x.rows; lane += W) {
      const index some = std::min(W, x.rows - lane);
      load({s.b, x.h, x.row + s.offset + lane, row + lane}, s.batch, some, staged);
      simd::to_lanes<T, Arch>(staged, width, some, width, scale, x.q + lane, x.pitch);
    }
  }

  void collect(panel& x, const sequence& s, index* memory) const {
    x.keys.pitch = x.pitch;
    x.keys.lo = memory;
    x.keys.hi = memory + lane_intervals::most * x.pitch;
    x.keys.collect(spec.mask, {.b = s.b, .h = x.h, .q = x.row + s.offset, .row = x.row + s.row},
                   x.rows, x.pitch, s);
  }

  // Vectors [first, last) of a panel.
  template <class Panel> static Panel part(const Panel& x, index first, index last) {
    Panel y = x;
    y.q += first * W, y.row += first * W;
    y.rows = std::min(x.rows - first * W, (last - first) * W);
    y.vectors = last - first;
    if constexpr (has_mask<Spec>) y.keys.lo += first * W, y.keys.hi += first * W;
    return y;
  }

  tile corner(const panel& x, const sequence& s, span keys, index pitch) const {
    return {.b = s.b,
            .h = x.h,
            .q = x.row + s.offset,
            .row = s.row + x.row,
            .rows = x.rows,
            .k = s.positions(keys).begin,
            .slot = s.slot + keys.begin,
            .keys = keys.size(),
            .pitch = pitch,
            .places = s.places ? s.places + keys.begin : nullptr};
  }

  // `k` is the row of the first key. A similarity with products of its own writes at the pitch of
  // the panel only.
  void products(const panel& x, const T* k, index stride, index keys, T* s, index pitch) const {
    if constexpr (own_products<decltype(Spec::similarity), T, Arch>)
      spec.similarity.template scores<Arch>(x.vectors, k, stride, keys, x.q, x.pitch, width, s);
    else
      simd::scores<T, Arch>(x.vectors, k, stride, keys, x.q, x.pitch, width, s, pitch);
  }

  cover covers(const panel& x, const sequence& s, span keys) const {
    const index q = x.row + s.offset;
    return known(residual(spec.mask), block{s.b, x.h, {q, q + x.rows}, s.positions(keys)});
  }

  // Masks what some lane must not see; true if anything was. `inside` is what `covers` said.
  bool hide(const panel& x, const tile& at, span keys, cover inside, T* s) const {
    if (x.keys.overflows) {
      mask_overflow<Arch>(spec.mask, at, s);
      return true;
    }
    const span common = x.keys.common(keys);
    const bool asked = !x.keys.exact && inside != cover::all;
    if (common == keys && !asked) return false;
    mask_lanes<Arch>(x.keys, x.vectors, keys.begin, {0, common.begin - keys.begin}, s, at.pitch);
    mask_lanes<Arch>(x.keys, x.vectors, keys.begin, {common.end - keys.begin, keys.size()}, s,
                     at.pitch);
    if constexpr (!exact_mask<decltype(Spec::mask)>())
      if (asked) mask_elements<Arch>(residual(spec.mask), at, s);
    return true;
  }
};

// Lanes of each of as few panels as hold `count`, all but the last of one size.
template <class T, class Arch> constexpr index even_panel(index count) {
  using tuned = simd::shape<T, Arch>;
  const index vectors = (count + tuned::lanes - 1) / tuned::lanes,
              cuts = std::max<index>((vectors + tuned::vectors - 1) / tuned::vectors, 1);
  return std::max<index>((vectors + cuts - 1) / cuts, 1) * tuned::lanes;
}
// f(first, lanes) for them.
template <class T, class Arch, class F> void each_panel(index count, F f) {
  const index lanes = even_panel<T, Arch>(count);
  for (index first = 0; first < count; first += lanes) f(first, std::min(lanes, count - first));
}

}  // namespace heed::detail
