// SPDX-License-Identifier: BSL-1.0
// mask/segment_graph: a text of segments, each of which sees itself causally, the segments that it
// names whole, and a prefix that all share.
//
//   cu_segments 0 1 3 5 7, prefix 1, sources: 3 names 1 and 2
//   x......
//   xx.....
//   xxx....
//   x..x...
//   x..xx..
//   xxxxxx.
//   xxxxxxx
//
//   (segment(q) = segment(k) and k <= q) or segment(k) in sources(segment(q)) or
//   (k < prefix and k <= q)
//
// Graph-KV (segments of a graph, keys rotated again so that sources share positions), parallel
// contexts (a query that names all contexts, each of which starts from a shared sink). `sources` is
// a CSR over segments: those of g are sources[offsets[g]] … sources[offsets[g + 1] - 1], ascending;
// without offsets nobody names any. A segment that names itself sees itself whole; cycles are as
// good as any graph here. Arrays are borrowed for the call, the same for every batch item. One span
// a run of sources. Throws if the segments do not fit the keys, offsets do not fit the segments, or
// a source is out of range, out of order or there twice, naming the first.
// Graph-KV, Wang et al. 2025.
#pragma once

#include <algorithm>
#include <heed/core/offsets.hpp>
#include <heed/mask/concept.hpp>
#include <heed/mask/joined.hpp>
#include <span>

namespace heed {

struct segment_graph {
  std::span<const int> cu_segments{};
  std::span<const int> offsets{};
  std::span<const int> sources{};
  index prefix = 0;

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    if (at.k < prefix && at.k <= at.q) return true;
    const index q = segment_of(at.q), k = segment_of(at.k);
    if (q < 0 || k < 0) return false;
    const auto from = of(q);
    return (q == k && at.k <= at.q) || std::binary_search(from.begin(), from.end(), k);
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    detail::joined out(keys, emit);
    out.add({0, std::min(prefix, at.q + 1)});
    if (const index q = segment_of(at.q); q >= 0) {
      const auto from = of(q);
      const auto next = std::lower_bound(from.begin(), from.end(), q);
      for (auto g = from.begin(); g != next; ++g) out.add(tokens_of(*g));
      out.add({tokens_of(q).begin, at.q + 1});
      for (auto g = next; g != from.end(); ++g) out.add(tokens_of(*g));
    }
    out.flush();
  }
  void check(const problem_shape& shape) const {
    constexpr auto name = "heed::segment_graph";
    check::offsets(name, "cu_segments", cu_segments, shape.keys);
    if (prefix < 0 || prefix > shape.keys)
      check::fail(name, "prefix must lie in [0, " + std::to_string(shape.keys) +
                            "]: " + std::to_string(prefix));
    if (offsets.empty() && sources.empty()) return;
    const index segments = index(cu_segments.size()) - 1;
    check::offsets(name, "offsets", offsets, index(sources.size()));
    if (index(offsets.size()) != segments + 1)
      check::fail(name, "offsets must hold one entry more than there are segments: " +
                            std::to_string(offsets.size()) + " for " + std::to_string(segments));
    for (index g = 0; g < segments; ++g) {
      index before = -1;
      for (const int s : of(g)) {
        const auto broken = [&](const std::string& rule) {
          check::fail(name, "source " + std::to_string(s) + " of segment " + std::to_string(g) +
                                ' ' + rule);
        };
        if (s < 0 || s >= segments)
          broken("is out of range: there are " + std::to_string(segments) + " segments");
        if (s == before) broken("is there twice");
        if (s < before) broken("must not come after " + std::to_string(before));
        before = s;
      }
    }
  }

 private:
  constexpr index segment_of(index i) const {
    const auto next = std::upper_bound(cu_segments.begin(), cu_segments.end(), i);
    return next == cu_segments.end() ? -1 : next - cu_segments.begin() - 1;
  }
  constexpr span tokens_of(index g) const {
    const auto i = static_cast<std::size_t>(g);
    return {cu_segments[i], cu_segments[i + 1]};
  }
  constexpr std::span<const int> of(index g) const {
    if (offsets.empty()) return {};
    const auto i = static_cast<std::size_t>(g);
    return sources.subspan(static_cast<std::size_t>(offsets[i]),
                           static_cast<std::size_t>(offsets[i + 1] - offsets[i]));
  }
};

}  // namespace heed
