// SPDX-License-Identifier: BSL-1.0
// Static patterns against those that NumPy draws (tests/golden/masks).
#include <heed/mask/global_local.hpp>
#include <heed/mask/power_of_two.hpp>
#include <heed/mask/segment_graph.hpp>
#include <heed/mask/shifted_groups.hpp>
#include <heed/mask/strided.hpp>

#include "support/golden.hpp"
#include "support/masks.hpp"

namespace heed::test {

namespace {

// 24 pairs a number, the first key in the lowest bit.
drawing unpacked(const golden_tensor& rows, index keys) {
  drawing drawn;
  for (index r = 0; r < rows.shape[0]; ++r) {
    drawn.emplace_back();
    for (index k = 0; k < keys; ++k) {
      const auto word = rows.data[static_cast<std::size_t>(r * rows.shape[1] + k / 24)];
      drawn.back() += static_cast<unsigned>(word) >> (k % 24) & 1u ? 'x' : '.';
    }
  }
  return drawn;
}

}  // namespace

TEST_CASE("Static patterns against NumPy") {
  index cases = 0;
  for (const golden_case& c : golden_cases(golden_folder("masks"))) {
    CAPTURE(c.name);
    const auto shape = c["shape"].integers();
    const index queries = shape[0], keys = shape[1];
    const auto number = [&](const char* name) { return static_cast<index>(c[name].scalar()); };
    const auto list = [&](const char* name) {
      const auto wide = c[name].integers();
      return std::vector<int>(wide.begin(), wide.end());
    };
    const auto compare = [&](const auto& m) {
      CHECK(drawn(m, queries, keys) == unpacked(c["rows"], keys));
      check_properties(m, queries, keys);
      ++cases;
    };
    const std::string kind = c.name.substr(0, c.name.find('/'));
    if (kind == "power_of_two") {
      compare(power_of_two{number("block"), number("window"), number("sinks")});
    } else if (kind == "strided") {
      compare(strided{number("stride")});
    } else if (kind == "fixed_strided") {
      compare(fixed_strided{number("stride"), number("columns")});
    } else if (kind == "longformer") {
      const std::vector<int> tokens = list("tokens");
      compare(longformer(number("reach"), {tokens}, number("step")));
    } else if (kind == "shifted_groups") {
      const std::vector<int> shift{int(number("shift"))};
      compare(shifted_groups{number("size"), keys, shift, number("tokens")});
    } else if (kind == "segment_graph") {
      const auto cu = list("cu"), offsets = list("offsets"), sources = list("sources");
      compare(segment_graph{cu, offsets, sources, number("prefix")});
    } else {
      FAIL("no mask of that name");
    }
  }
  CHECK(cases == 19);
}

}  // namespace heed::test
