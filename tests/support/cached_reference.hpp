// SPDX-License-Identifier: BSL-1.0
// Any specification on any source of tokens, by the dense reference.
#pragma once

#include <heed/mask/combine.hpp>
#include <heed/mask/where.hpp>
#include <heed/reference/attend.hpp>

#include "support/caches.hpp"

namespace heed::test {

struct cached_result {
  tensor<double> out, lse;
};

// Keys and values are laid out by position, 0 … end - 1, NaN where the source has no token; the
// last query row sits at the newest token. `slot` is then the position too. Without lse where the
// normaliser has none. The specification must have no plan.
template <class Spec, class Q>
cached_result reference_on(const Spec& spec, const view<Q>& q, const kv_ref& source) {
  const extents& e = q.extent;
  const index group = e[1] / source.heads();
  cached_result all{tensor<double>({e[0], e[1], e[2], source.value_depth()}),
                    tensor<double>({e[0], e[1], e[2], 1})};
  for (index b = 0; b < e[0]; ++b) {
    const index keys = source.end(b);
    tensor<double> k({e[0], source.heads(), keys, source.depth()}),
        v({e[0], source.heads(), keys, source.value_depth()}), out(all.out.extent),
        lse(all.lse.extent);
    std::vector<std::vector<char>> held(static_cast<std::size_t>(source.heads()));
    for (index h = 0; h < source.heads(); ++h) {
      const dense_kv x = dense_of(source, b, h);
      auto& flags = held[static_cast<std::size_t>(h)];
      flags.assign(static_cast<std::size_t>(keys), 0);
      for (std::size_t t = 0; t < x.positions.size(); ++t) {
        const index at = x.positions[t], row = static_cast<index>(t);
        flags[static_cast<std::size_t>(at)] = 1;
        for (index c = 0; c < source.depth(); ++c) k(b, h, at, c) = x.k(row, c);
        for (index c = 0; c < source.value_depth(); ++c) v(b, h, at, c) = x.v(row, c);
      }
    }
    const auto present = where([&](const position& at) {
      return held[static_cast<std::size_t>(at.h / group)][static_cast<std::size_t>(at.k)] != 0;
    });
    auto dense =
        heed::detail::exchanged(spec, spec.mask && present, spec.weights, spec.value, spec.output);
    if (dense.offset == aligned_ends) dense.offset = keys - e[2];
    outputs to{.out = out.in()};
    if constexpr (has_lse<decltype(Spec::normalizer)>) to.lse = lse.in();
    reference::attend(dense, q, k.in(), v.in(), to);
    for (index h = 0; h < e[1]; ++h)
      for (index i = 0; i < e[2]; ++i) {
        all.lse(b, h, i) = lse(b, h, i);
        for (index c = 0; c < source.value_depth(); ++c) all.out(b, h, i, c) = out(b, h, i, c);
      }
  }
  return all;
}

}  // namespace heed::test
