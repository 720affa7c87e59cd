// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/types.hpp>
#include <heed/reference/mask/types.hpp>

#include "support/masks.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("types, drawn") {
  const std::vector<int> type = {0, 1, 1, 0, 1}, spans = {-1, 4, 4, -1, 5, 5}, same = {0, 0, 0, 0},
                         valid = {0, 1, 1, 1};
  CHECK(drawn(types{.type = type, .same = 1}, 5, 5) ==
        drawing{"x....", "xxx.x", "xxx.x", "xxxx.", "xxxxx"});
  CHECK(drawn(types{.type = spans}, 6, 6) ==
        drawing{"x.....", "xxx...", "xxx...", "xxxx..", "xxxxxx", "xxxxxx"});
  CHECK(drawn(types{.type = same, .valid = valid, .same = 7}, 4, 4) ==
        drawing{"....", ".x..", ".xx.", ".xxx"});
  CHECK(drawn(types{.type = same}, 5, 4)[0] == "....");
}

TEST_CASE("types, against their reference and in the engine") {
  numbers random(12);
  for (const auto& [queries, keys] : awkward()) {
    if (queries > keys) continue;  // the reference has types for keys only
    for (const bool padded : {false, true}) {
      std::vector<int> type, valid;
      for (int run = 0; index(type.size()) < keys; ++run)
        for (index n = 1 + random.below(run % 2 ? 70 : 9); n > 0 && index(type.size()) < keys;
             --n) {
          type.push_back(run % 2 ? run : -1);
          valid.push_back(!padded || random.below(9) > 0);
        }
      const std::vector<bool> flags(valid.begin(), valid.end());
      std::vector<int> image;
      for (const int t : type) image.push_back(t >= 0 ? 2 : 0);
      const reference::indices all(type.begin(), type.end()), images(image.begin(), image.end());
      check_mask(types{.type = type, .valid = valid}, 1, queries, keys,
                 [&, q = queries](index) { return reference::mask::spans(q, all, flags); });
      check_mask(types{.type = image, .valid = valid, .same = 2}, 1, queries, keys,
                 [&, q = queries](index) { return reference::mask::types(q, images, flags, 2); });
    }
  }
}

TEST_CASE("types settles blocks without asking") {
  const std::vector<int> type(100, 3), text(100, -1);
  CHECK(types{.type = type}.covers({0, 0, {0, 50}, {50, 100}}) == cover::all);
  CHECK(types{.type = text}.covers({0, 0, {0, 50}, {50, 100}}) == cover::none);
  CHECK(types{.type = text}.covers({0, 0, {50, 60}, {0, 51}}) == cover::all);
  CHECK(types{.type = text}.covers({0, 0, {50, 60}, {0, 52}}) == cover::some);
}

TEST_CASE("types refuse arrays that do not fit") {
  const problem_shape shape{.batch = 2, .queries = 3, .keys = 4};
  const std::vector<int> three(3), four(4);
  CHECK_THROWS_WITH(types{three}.check(shape),
                    ContainsSubstring("heed::types: type") && ContainsSubstring("3 values"));
  CHECK_THROWS_WITH((types{four, three}).check(shape),
                    ContainsSubstring("heed::types: valid") && ContainsSubstring("3 values"));
}

}  // namespace heed::test
