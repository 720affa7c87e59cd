// SPDX-License-Identifier: BSL-1.0
// select/biformer: every query of a region of an image attends to all tokens of the regions that
// are most like its own (Zhu et al., BiFormer, 2023).
//
//   const biformer spec{.size = {Y, X}, .regions = {S, S}, .count = 4};
//   const block_selection near = choose_regions(spec, q, k);
//   const row_selection tokens = region_tokens(spec, near);
//   attend_lists(gathered{.lists = tokens.lists()}, attention{}, q, k, v, out);
//   add_convolution(value_depthwise{…}, v, out);                                 // LePE
//
// q̄, k̄ are the means of a region over its tokens, all heads side by side; region r attends to the
// `count` regions with the largest q̄_r·k̄, ties to the lower number, the same for all heads. q, k
// [B,H,Y·X,D]; Y and X must be multiples of the regions. `near` counts regions, in rows of the
// image: tensors whose tokens lie region by region can be given to `selected{near.lists()}` as they
// are. The choice has no gradient. O(S⁴ · H · D), and one reading of q and k.
#pragma once

#include <array>
#include <heed/core/executor.hpp>
#include <heed/plan/block_lists.hpp>
#include <heed/select/data.hpp>
#include <heed/select/row_lists.hpp>
#include <heed/select/token_scores.hpp>
#include <heed/select/top_k.hpp>

namespace heed {

struct biformer {
  std::array<index, 2> size{};         // Y, X
  std::array<index, 2> regions{7, 7};  // along Y and X
  index count = 1;                     // regions that a region attends to

  index all() const { return regions[0] * regions[1]; }
  std::array<index, 2> side() const { return {size[0] / regions[0], size[1] / regions[1]}; }
  index tokens() const { return side()[0] * side()[1]; }
  // The region of a token.
  index of(index token) const {
    return token / size[1] / side()[0] * regions[1] + token % size[1] / side()[1];
  }
  void check(const char* operation) const {
    for (std::size_t i = 0; i < 2; ++i)
      if (size[i] < 1 || regions[i] < 1 || size[i] % regions[i] != 0)
        check::fail(operation, "an axis of " + std::to_string(size[i]) + " tokens has no " +
                                   std::to_string(regions[i]) + " equal regions");
    if (size[0] > std::numeric_limits<index>::max() / size[1])
      check::fail(operation, "an image of " + std::to_string(size[0]) + " x " +
                                 std::to_string(size[1]) + " tokens is too large");
    if (count < 1) check::fail(operation, "count must be positive: " + std::to_string(count));
  }
};

// For each item and region the regions it attends to. Throws std::invalid_argument if the image has
// no such regions, or q and k are not tokens of it.
template <class Arch = simd::best, storable Q, storable K>
block_selection choose_regions(const biformer& spec, const view<Q>& q, const view<K>& k,
                               const executor_ref& executor = {}) {
  using T = compute_type<Q, K>;
  constexpr const char* operation = "heed::choose_regions";
  spec.check(operation);
  const operand x[] = {view<const Q>(q), view<const K>(k)};
  if (q.extent != k.extent || q.extent[2] != spec.size[0] * spec.size[1])
    check::fail(operation, "q and k must be [B,H,Y*X,D] alike", {{"q", x[0]}, {"k", x[1]}});
  detail::check_data(operation, {{"q", x[0]}, {"k", x[1]}});
  const index n = spec.all(), batch = q.extent[0], depth = q.extent[3], wide = q.extent[1] * depth;
  const index count = std::min(spec.count, n);
  block_selection to{.offsets = {0}, .batch = batch, .rows = spec.tokens(), .keys = spec.tokens()};
  to.blocks.resize(static_cast<std::size_t>(batch * n * count));
  std::vector<index> found(static_cast<std::size_t>(batch * n));
  const index each = 2 * n * wide + n * n + n + depth;
  std::vector<T> memory(static_cast<std::size_t>(each * executor.workers()));
  executor.for_each(batch, [&](index b, index worker) {
    T* const mean = memory.data() + each * worker;  // of q, then of k
    T* const s = mean + 2 * n * wide;
    T* const row = s + n * n + n;
    std::fill_n(mean, 2 * n * wide, T(0));
    for (index side = 0; side < 2; ++side)
      for (index h = 0; h < q.extent[1]; ++h)
        for (index l = 0; l < q.extent[2]; ++l) {
          const operand& from = x[side];
          simd::load_row(from.type, from.row(b, h, l), from.stride[3], depth, row);
          simd::add_scaled<Arch>(T(1) / T(spec.tokens()), row, depth,
                                 mean + (side * n + spec.of(l)) * wide + h * depth);
        }
    detail::token_scores<Arch>(mean, n, mean + n * wide, n, wide, s);
    for (index r = 0; r < n; ++r)
      found[static_cast<std::size_t>(b * n + r)] =
          top_k(s + r * n, n, count, to.blocks.data() + (b * n + r) * count, s + n * n);
  });
  for (index r = 0; r < batch * n; ++r) {
    const index own = found[static_cast<std::size_t>(r)], at = to.offsets.back();
    if (at != r * count) std::copy_n(to.blocks.data() + r * count, own, to.blocks.data() + at);
    to.offsets.push_back(at + own);
  }
  to.blocks.resize(static_cast<std::size_t>(to.offsets.back()));
  return to;
}

// The same as lists of the tokens of the image: a list a region. Throws std::invalid_argument if
// `near` is not of such regions. O(Y · X · count).
inline row_selection region_tokens(const biformer& spec, const block_selection& near) {
  constexpr const char* operation = "heed::region_tokens";
  spec.check(operation);
  near.lists().check(operation, {.batch = near.batch,
                                 .heads = near.heads * near.group,
                                 .queries = spec.size[0] * spec.size[1],
                                 .keys = spec.size[0] * spec.size[1]});
  if (near.rows != spec.tokens() || near.keys != spec.tokens() || near.group != 1)
    check::fail(operation, "a block must be a region of " + std::to_string(spec.tokens()) +
                               " tokens: " + std::to_string(near.rows));
  row_selection to{.key_offsets = {0}, .batch = near.batch, .heads = near.heads, .shared = false};
  const index height = spec.side()[0], width = spec.side()[1];
  const auto add = [&](std::span<const int> regions, std::vector<int>& tokens) {
    // Regions ascend row by row of regions, tokens row by row of the image.
    for (std::size_t i = 0, end; i < regions.size(); i = end) {
      const index above = regions[i] / spec.regions[1];
      for (end = i; end < regions.size() && regions[end] / spec.regions[1] == above;) ++end;
      for (index y = 0; y < height; ++y)
        for (std::size_t j = i; j < end; ++j)
          for (index x = 0; x < width; ++x)
            tokens.push_back(static_cast<int>((above * height + y) * spec.size[1] +
                                              regions[j] % spec.regions[1] * width + x));
    }
  };
  const block_lists lists = near.lists();
  for (index i = 0; i < lists.count(); ++i) {
    const int own[] = {static_cast<int>(i % spec.all())};
    add(own, to.queries), add(lists.list(i), to.keys);
    to.query_offsets.push_back(index(to.queries.size()));
    to.key_offsets.push_back(index(to.keys.size()));
  }
  return to;
}

}  // namespace heed
