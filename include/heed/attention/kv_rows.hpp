// SPDX-License-Identifier: BSL-1.0
// Rows of keys and values of a call, wherever they lie, as the products want them: converted,
// transformed, and keys rewritten by the similarity.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/attention/rows.hpp>

namespace heed::detail {

template <class Spec>
inline constexpr bool rewrites_keys = !std::is_same_v<decltype(Spec::key), none> ||
                                      requires(const decltype(Spec::similarity)& s, float* row) {
                                        s.template key<simd::scalar>(row, index{}, row_position{});
                                      };
template <class Spec>
inline constexpr bool rewrites_values = !std::is_same_v<decltype(Spec::value), none>;

template <class Arch, class Spec, class T>
void rewrite_key(const Spec& spec, index depth, T* row, const row_position& at) {
  if constexpr (requires { spec.similarity.template key<Arch>(row, depth, at); })
    spec.similarity.template key<Arch>(row, depth, at);
}

// Keys of a sequence to rows `width` apart.
template <class Arch, class Spec, class T>
void load_keys(const Spec& spec, const problem& p, const sequence& s, index h, span keys,
               index width, T* out) {
  const auto read = [&](index row, T* to) { p.load_key(s.batch, h, row, to); };
  const index most = s.places ? 1 : keys.size();
  for (index j = keys.begin; j < keys.end; j += most, out += most * width)
    load_rows<Arch>(
        read, p.shape.depth, spec.key, {s.b, h, s.key(j), s.slot + j}, most, width, out,
        [&](T* row, const row_position& at) { rewrite_key<Arch>(spec, p.shape.depth, row, at); });
}

// Values of a sequence to rows `width` apart.
template <class Arch, class Spec, class T>
void load_values(const Spec& spec, const problem& p, const sequence& s, index h, span keys,
                 index width, T* out) {
  for (index j = keys.begin; j < keys.end; ++j, out += width) {
    p.load_value(s.batch, h, s.slot + j, out);
    simd::transform_row<Arch>(spec.value, out, p.shape.value_depth,
                              row_position{s.b, h, s.key(j), s.slot + j});
  }
}

}  // namespace heed::detail
