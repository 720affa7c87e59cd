// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/segment_graph.hpp>
#include <heed/reference/mask/segment_graph.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;
using ints = std::vector<int>;

TEST_CASE("Segment graphs, drawn") {
  const ints cu{0, 1, 3, 5, 7}, offsets{0, 0, 0, 0, 2}, sources{1, 2};
  CHECK(drawn(segment_graph{cu, offsets, sources, 1}, 7, 7) ==
        drawing{"x......", "xx.....", "xxx....", "x..x...", "x..xx..", "xxxxxx.", "xxxxxxx"});
  CHECK(drawn(segment_graph{cu}, 7, 7) ==
        drawing{"x......", ".x.....", ".xx....", "...x...", "...xx..", ".....x.", ".....xx"});
  // A source that comes later, and a segment that sees itself whole.
  const ints itself{0, 1, 2, 2, 2}, later{3, 1};
  CHECK(drawn(segment_graph{cu, itself, later}, 7, 7) ==
        drawing{"x....xx", ".xx....", ".xx....", "...x...", "...xx..", ".....x.", ".....xx"});
}

TEST_CASE("Segment graphs, against their reference and in the engine") {
  numbers random(9);
  for (const auto& [queries, keys] : awkward())
    for (const index longest : {2, 20, 200})
      for (const index one_in : {2, 6})
        for (const index prefix : {index{0}, keys / 5}) {
          ints cu{0}, offsets{0}, sources;
          while (cu.back() < keys)
            cu.push_back(int(std::min(keys, cu.back() + random.below(longest))));
          if (keys > 9) cu.insert(cu.begin() + 1, cu[1]);  // an empty segment
          const index count = index(cu.size()) - 1;
          reference::indices segment;
          std::vector<reference::indices> named(static_cast<std::size_t>(count));
          for (index g = 0; g < count; ++g) {
            segment.insert(segment.end(),
                           static_cast<std::size_t>(cu[std::size_t(g + 1)] - cu[std::size_t(g)]),
                           g);
            for (index s = 0; s < count; ++s)
              if (random.below(one_in) == 0) {
                sources.push_back(int(s));
                named[std::size_t(g)].push_back(s);
              }
            offsets.push_back(int(sources.size()));
          }
          check_mask(segment_graph{cu, offsets, sources, prefix}, 1, queries, keys,
                     [&, q = queries](index) {
                       return reference::mask::segment_graph(q, segment, named, prefix);
                     });
        }
}

TEST_CASE("Malformed segment graphs are refused") {
  const problem_shape shape{.batch = 1, .heads = 1, .queries = 4, .keys = 4};
  const ints cu{0, 2, 4}, ends{0, 2, 3}, down{0, 3, 2, 4}, offsets{0, 1, 3}, few{0, 3},
      past{0, 1, 4}, good{1, 0, 1}, high{1, 0, 2}, low{-1, 0, 1}, twice{1, 0, 0}, order{1, 1, 0};
  CHECK_NOTHROW(segment_graph(cu, offsets, good, 4).check(shape));
  CHECK_THROWS_WITH(segment_graph{ends}.check(shape),
                    ContainsSubstring("heed::segment_graph") && ContainsSubstring("ends at 3"));
  CHECK_THROWS_WITH(segment_graph{down}.check(shape), ContainsSubstring("cu_segments[2] = 2"));
  CHECK_THROWS_WITH((segment_graph{cu, few, good}.check(shape)), ContainsSubstring("2 for 2"));
  CHECK_THROWS_WITH((segment_graph{cu, past, good}.check(shape)), ContainsSubstring("offsets"));
  CHECK_THROWS_WITH((segment_graph{cu, {}, good}.check(shape)), ContainsSubstring("offsets"));
  CHECK_THROWS_WITH((segment_graph{cu, offsets, high}.check(shape)),
                    ContainsSubstring("source 2 of segment 1 is out of range"));
  CHECK_THROWS_WITH((segment_graph{cu, offsets, low}.check(shape)),
                    ContainsSubstring("source -1 of segment 0 is out of range"));
  CHECK_THROWS_WITH((segment_graph{cu, offsets, twice}.check(shape)),
                    ContainsSubstring("source 0 of segment 1 is there twice"));
  CHECK_THROWS_WITH((segment_graph{cu, offsets, order}.check(shape)),
                    ContainsSubstring("source 0 of segment 1 must not come after 1"));
  CHECK_THROWS_WITH((segment_graph{cu, {}, {}, 5}.check(shape)), ContainsSubstring("prefix"));
}

}  // namespace heed::test
