// SPDX-License-Identifier: BSL-1.0
// select/quest: query-aware selection of pages of a cache (Tang et al., Quest, 2024).
//
//   page_bounds bounds(16);
//   bounds.update(cache);                                  // after every append
//   const block_selection chosen = select_quest({.page = 16, .top = 256}, q, bounds, cache);
//   attend(attention{.mask = causal{}}, q, selected_source(cache, chosen.lists()), out);
//
// No key of a page gives q a larger product than u = Σ_c max(q_c min_c, q_c max_c) over the page's
// channelwise least and largest keys. Each kv head takes the `top` pages with the largest u, summed
// over the query rows and heads that read it (or their maximum); the newest page is always one of
// them. Ties go to the lower page; a score that is NaN counts as the least.
#pragma once

#include <heed/plan/block_lists.hpp>
#include <heed/select/data.hpp>
#include <heed/select/page_bounds.hpp>
#include <heed/select/top_k.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/row_tile.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

enum class quest_score { sum, maximum };

struct quest {
  index page = 16;
  index top = 256;  // the newest page counts
  quest_score group = quest_score::sum;

  void check(const char* operation) const {
    if (page < 1) check::fail(operation, "page must be positive: " + std::to_string(page));
    if (top < 1) check::fail(operation, "top must be positive: " + std::to_string(top));
  }
};

namespace detail {

inline void check_quest(const quest& spec, const operand& q, const page_bounds& bounds,
                        const kv_ref& source) {
  constexpr const char* operation = "heed::select_quest";
  spec.check(operation);
  const auto fail = [&](const std::string& rule) { check::fail(operation, rule, {{"q", q}}); };
  if (bounds.page() != spec.page) fail("bounds must be of pages of " + std::to_string(spec.page));
  if (bounds.batch() != source.batch() || bounds.heads() != source.heads() ||
      bounds.depth() != source.depth())
    fail("bounds must be of the source");
  for (index b = 0; b < source.batch(); ++b)
    if (bounds.length(b) != source.length(b))
      fail("bounds must be updated: sequence " + std::to_string(b) + " has " +
           std::to_string(source.length(b)) + " tokens, the bounds " +
           std::to_string(bounds.length(b)));
  if (q.extent[0] != source.batch() || q.extent[3] != source.depth())
    fail("q must have the batch and channels of the source");
  if (source.heads() == 0 ? q.extent[1] != 0 : q.extent[1] % source.heads() != 0)
    fail("query heads must be a multiple of kv heads " + std::to_string(source.heads()));
  check_data(operation, {{"q", q}});
}

template <class Arch>
HEED_NOINLINE block_selection select_quest(const quest& spec, const operand& q,
                                           const page_bounds& bounds, const kv_ref& source,
                                           const executor_ref& executor) {
  check_quest(spec, q, bounds, source);
  const index heads = source.heads(), depth = source.depth(), queries = q.extent[2];
  const index group = heads > 0 ? q.extent[1] / heads : 1;
  block_selection to{.batch = source.batch(),
                     .heads = heads,
                     .group = group,
                     .rows = std::max<index>(1, queries),
                     .keys = spec.page};
  index most = 0;
  for (index b = 0; b < to.batch; ++b)
    for (index h = 0; h < heads; ++h) {
      to.offsets.push_back(to.offsets.back() + std::min(spec.top, bounds.pages(b)));
      most = std::max(most, bounds.pages(b));
    }
  to.blocks.resize(static_cast<std::size_t>(to.offsets.back()));
  // A page's least keys are met by the negative parts of q, its largest by the positive ones. The
  // parts may be summed over rows, q may not.
  const bool sum = spec.group == quest_score::sum;
  const index rows = sum ? 1 : group * queries;
  const index each = depth + rows * 2 * depth + (rows + 1) * most;
  std::vector<float> memory(static_cast<std::size_t>(executor.workers() * each));
  executor.for_each(to.batch * heads, [&](index i, index worker) {
    const index b = i / heads, h = i % heads, pages = bounds.pages(b);
    if (pages == 0) return;
    float* const row = memory.data() + worker * each;
    float *const parts = row + depth, *const scores = parts + rows * 2 * depth,
                 *const scratch = scores + rows * most;
    std::fill_n(parts, rows * 2 * depth, 0.f);
    std::fill_n(scores, pages, 0.f);
    for (index r = 0; r < group * queries; ++r) {
      const void* const at = q.row(b, h * group + r / queries, r % queries);
      simd::load_row(q.type, at, q.stride[3], depth, row);
      float* const part = parts + (sum ? 0 : r * 2 * depth);
      for (index c = 0; c < depth; ++c) {
        part[c] += row[c] > 0 ? 0.f : row[c];
        part[depth + c] += row[c] > 0 ? row[c] : 0.f;
      }
    }
    const stored_rows summaries{.data = reinterpret_cast<const unsigned char*>(bounds.rows(b, h)),
                                .type = kv_type::f32,
                                .stride = 2 * depth * index(sizeof(float))};
    // Pages are read once, in order: what comes next is asked for in advance.
    constexpr index ahead = 4096;
    simd::row_scores<float, Arch>(summaries, pages, parts, 2 * depth, rows, 2 * depth, scores,
                                  pages, ahead);
    for (index r = 1; r < rows; ++r)
      for (index p = 0; p < pages; ++p) scores[p] = std::max(scores[p], scores[r * pages + p]);
    constexpr float lowest = std::numeric_limits<float>::lowest();
    for (index p = 0; p < pages; ++p) scores[p] = scores[p] > lowest ? scores[p] : lowest;
    int* const chosen = to.blocks.data() + to.offsets[static_cast<std::size_t>(i)];
    const index count = std::min(spec.top, pages);
    top_k(scores, pages - 1, count - 1, chosen, scratch);
    chosen[count - 1] = static_cast<int>(pages - 1);
  });
  return to;
}

}  // namespace detail

// A list for every sequence and kv head, heads x rows of q in one block: what selected_source
// reads. q [B,H,Lq,D]. O(pages · D) for each list. Throws std::invalid_argument if q, bounds and
// source do not fit each other, or the bounds were not updated.
template <class Arch = simd::best, storable Q, kv_source Source>
block_selection select_quest(const quest& spec, const view<Q>& q, const page_bounds& bounds,
                             const Source& source, const executor_ref& executor = {}) {
  return detail::select_quest<Arch>(spec, view<const Q>(q), bounds, source, executor);
}

}  // namespace heed
