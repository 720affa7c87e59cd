// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/ranges.hpp>

#include "support/catch.hpp"

namespace heed::test {
namespace {

using detail::key_ranges;
using detail::span_list;

span_list list(std::initializer_list<span> spans) {
  span_list all;
  for (const span s : spans) all.add(s);
  return all;
}

}  // namespace

TEST_CASE("ranges are the pieces that some query sees, in order") {
  arena memory;
  key_ranges ranges(memory, 3, 20, 100, 64);
  ranges.add(0, list({{0, 250}}));
  ranges.add(1, list({}));
  ranges.add(2, list({{3, 5}, {90, 130}, {399, 402}}));
  const std::vector<span> expected{{0, 100}, {100, 200}, {200, 300}, {},
                                   {0, 100}, {100, 200}, {300, 400}, {400, 500}};
  REQUIRE(ranges.count() == index(expected.size()));
  for (index i = 0; i < ranges.count(); ++i) CHECK(ranges[i].keys == expected[std::size_t(i)]);
  CHECK(ranges.leads(0));
  CHECK(!ranges.leads(1));
  CHECK(ranges.leads(4));
  CHECK(ranges.alone(3));
  CHECK(!ranges.alone(4));
  CHECK(ranges.siblings(5) == span{4, 8});
}

TEST_CASE("no more ranges than were counted on, however spans lie") {
  for (const index piece : {1, 7, 64})
    for (const index keys : {0, 1, 63, 64, 65, 500}) {
      arena memory;
      key_ranges ranges(memory, 1, key_ranges::most(keys, piece), piece, 8);
      span_list seen;
      for (index k = 0; k < keys; k += 3) seen.add({k, k + 1});
      ranges.add(0, seen);
      CHECK(ranges.count() <= key_ranges::most(keys, piece));
    }
}

TEST_CASE("the last range to finish is told so, once, in whatever order they do") {
  arena memory;
  key_ranges ranges(memory, 2, 8, 10, 8);
  ranges.add(0, list({{0, 30}}));
  ranges.add(1, list({{0, 20}}));
  CHECK(!ranges.last(2));
  CHECK(!ranges.last(4));
  CHECK(!ranges.last(0));
  CHECK(ranges.last(1));
  CHECK(ranges.last(3));
}

TEST_CASE("every range has a state of its own") {
  arena memory;
  key_ranges ranges(memory, 1, 4, 10, 24);
  ranges.add(0, list({{0, 40}}));
  for (index i = 0; i < 4; ++i) std::fill_n(ranges.state(i), 24, std::byte(i));
  for (index i = 0; i < 4; ++i)
    CHECK(std::all_of(ranges.state(i), ranges.state(i) + 24,
                      [i](std::byte x) { return x == std::byte(i); }));
}

}  // namespace heed::test
