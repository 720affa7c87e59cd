// SPDX-License-Identifier: BSL-1.0
// Problems of sparse attention: what lists of blocks leave visible, counted and checked.
#pragma once

#include "calls.hpp"

#include <heed/plan/block_lists.hpp>

#include <cmath>

namespace bench {

// Pairs of a query and a key on its list, of all query heads; those of the future do not count
// where the form is causal.
inline double listed_pairs(const shape& form, const heed::block_lists& lists) {
  double pairs = 0;
  for (index h = 0; h < form.heads; ++h)
    for (index first = 0; first < form.queries; first += lists.rows) {
      const index last = std::min(form.queries, first + lists.rows);
      for (const int block : lists(0, h, first / lists.rows)) {
        const index begin = block * lists.keys, end = std::min(form.keys, begin + lists.keys);
        if (form.mask == masking::full || end <= first + 1) {
          pairs += static_cast<double>((end - begin) * (last - first));
          continue;
        }
        for (index row = first; row < last; ++row)
          pairs += static_cast<double>(std::clamp<index>(row + 1 - begin, 0, end - begin));
      }
    }
  return pairs;
}

// `each` of the blocks of keys, drawn anew for each head and block of rows.
inline heed::block_selection drawn_lists(const shape& form, index block, double density) {
  heed::block_selection x{.heads = form.heads, .rows = block, .keys = block};
  const index rows = (form.queries + block - 1) / block, keys = (form.keys + block - 1) / block;
  const index each =
      std::max<index>(1, static_cast<index>(std::lround(density * static_cast<double>(keys))));
  normal_source random(7);
  std::vector<std::pair<float, int>> order(static_cast<std::size_t>(keys));
  for (index i = 0; i < form.heads * rows; ++i) {
    for (index j = 0; j < keys; ++j) order[static_cast<std::size_t>(j)] = {random(), int(j)};
    std::sort(order.begin(), order.end());
    const std::size_t begin = x.blocks.size();
    for (index j = 0; j < each; ++j) x.blocks.push_back(order[static_cast<std::size_t>(j)].second);
    std::sort(x.blocks.begin() + static_cast<std::ptrdiff_t>(begin), x.blocks.end());
    x.offsets.push_back(static_cast<index>(x.blocks.size()));
  }
  return x;
}

// Compares sampled rows with the definition.
inline void check_listed(const std::string& who, const shape& form, const inputs& in,
                         const buffer<float>& out, const heed::block_lists& lists) {
  check(who, form, in.q.data(), in.k.data(), in.v.data(), out.data(),
        [&](double s, index head, index q, index k) {
          const auto list = lists(0, head, q / lists.rows);
          const bool seen = std::binary_search(list.begin(), list.end(), int(k / lists.keys));
          return seen ? s : -std::numeric_limits<double>::infinity();
        });
}

// Dense attention of a few of the heads: what sparse attention is held against.
struct dense_peer {
  shape form;
  const inputs& in;
  buffer<float> out;
  heed::workspace scratch;

  dense_peer(const shape& of, const inputs& from) : form(of), in(from) {
    const index group = of.heads / of.kv_heads;
    form.heads = std::min<index>(of.heads, of.threads);
    form.kv_heads = std::max<index>(1, form.heads / group);
    form.heads = std::min(form.heads, form.kv_heads * group);
    out = room(form);
  }
  // How many times as much work all heads are.
  double parts(const shape& of) const {
    return static_cast<double>(of.heads) / static_cast<double>(form.heads);
  }
  void operator()(const heed::executor_ref& on) {
    const auto rows = [&](const auto& x, index heads, index length) {
      return heads_outside(x.data(), 1, heads, length, form.dim);
    };
    with_mask(form, [&](const auto& mask) {
      heed::attend(heed::attention{.mask = mask}, rows(in.q, form.heads, form.queries),
                   rows(in.k, form.kv_heads, form.keys), rows(in.v, form.kv_heads, form.keys),
                   heads_outside(out.data(), 1, form.heads, form.queries, form.dim), on, scratch);
    });
  }
};

}  // namespace bench
