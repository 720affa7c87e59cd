// SPDX-License-Identifier: BSL-1.0
// Every shape that does not fit is refused before anything is written, in words that help.
#include <algorithm>
#include <functional>
#include <heed/attention/attend.hpp>
#include <string>
#include <vector>

#include "support/catch.hpp"

using Catch::Matchers::ContainsSubstring;

namespace {

struct call {
  std::vector<float> memory = std::vector<float>(4096, 0.5f);
  std::vector<float> written = std::vector<float>(4096, 7.f);
  heed::view<float> q{memory.data(), {2, 4, 5, 8}}, k{memory.data(), {2, 2, 7, 8}},
      v{memory.data(), {2, 2, 7, 6}}, out{written.data(), {2, 4, 5, 6}},
      lse{written.data() + 2048, {2, 4, 5, 1}};

  void run() const { heed::attend(heed::attention<>{}, q, k, v, {.out = out, .lse = lse}); }
};

std::string shown(const char* name, const heed::view<float>& x) {
  return std::string(name) + " [B,H,L,D] = " + heed::check::print(x.extent) + ", strides " +
         heed::check::print(x.stride) + ", float";
}

void refused(const std::string& rule, const std::function<void(call&)>& spoil) {
  call c;
  spoil(c);
  INFO(rule);
  CHECK_THROWS_AS(c.run(), std::invalid_argument);
  CHECK_THROWS_WITH(
      c.run(), ContainsSubstring("heed::attend: " + rule) && ContainsSubstring(shown("q", c.q)) &&
                   ContainsSubstring(shown("k", c.k)) && ContainsSubstring(shown("v", c.v)) &&
                   ContainsSubstring(shown("out", c.out)) &&
                   ContainsSubstring(shown("lse", c.lse)));
  CHECK(std::all_of(c.written.begin(), c.written.end(), [](float x) { return x == 7.f; }));
}

}  // namespace

TEST_CASE("the call that the others spoil is valid") {
  call c;
  CHECK_NOTHROW(c.run());
  CHECK(c.written[0] == Approx(0.5));
}

TEST_CASE("extents that disagree") {
  refused("q, k, v and out must have the same batch", [](call& c) { c.q.extent[0] = 1; });
  refused("q, k, v and out must have the same batch", [](call& c) { c.k.extent[0] = 3; });
  refused("q, k, v and out must have the same batch", [](call& c) { c.v.extent[0] = 1; });
  refused("q, k, v and out must have the same batch", [](call& c) { c.out.extent[0] = 1; });
  refused("k and v must have the same heads", [](call& c) { c.v.extent[1] = 1; });
  refused("q and out must have the same heads", [](call& c) { c.out.extent[1] = 2; });
  refused("query heads must be a multiple of key heads",
          [](call& c) { c.k.extent[1] = c.v.extent[1] = 3; });
  refused("query heads must be a multiple of key heads",
          [](call& c) { c.k.extent[1] = c.v.extent[1] = 0; });
  refused("query heads must be a multiple of key heads",
          [](call& c) { c.k.extent[1] = c.v.extent[1] = 8; });
  refused("k and v must have the same length", [](call& c) { c.v.extent[2] = 6; });
  refused("q and out must have the same length", [](call& c) { c.out.extent[2] = 4; });
  refused("q and k must have the same channels", [](call& c) { c.k.extent[3] = 7; });
  refused("q and k must have at least one channel",
          [](call& c) { c.q.extent[3] = c.k.extent[3] = 0; });
  refused("v and out must have the same channels", [](call& c) { c.out.extent[3] = 8; });
  for (std::size_t axis = 0; axis < 4; ++axis)
    refused("lse must be [B,H,Lq]", [&](call& c) { c.lse.extent[axis] += 1; });
}

TEST_CASE("negative extents, even where both operands agree on them") {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    refused("extents must not be negative",
            [&](call& c) { c.q.extent[axis] = c.out.extent[axis] = -1; });
    refused("extents must not be negative",
            [&](call& c) { c.k.extent[axis] = c.v.extent[axis] = -3; });
  }
}

TEST_CASE("operands that are not there") {
  refused("q, k and v must not be null", [](call& c) { c.q.data = nullptr; });
  refused("q, k and v must not be null", [](call& c) { c.k.data = nullptr; });
  refused("q, k and v must not be null", [](call& c) { c.v.data = nullptr; });
  refused("out must not be null", [](call& c) { c.out.data = nullptr; });
}

TEST_CASE("null is fine where nothing would be read or written") {
  call c;
  c.k.data = c.v.data = nullptr;
  c.k.extent[2] = c.v.extent[2] = 0;
  CHECK_NOTHROW(c.run());
  CHECK(c.written[0] == 0);
  call none;
  none.q.data = none.k.data = none.v.data = none.out.data = nullptr;
  none.q.extent[2] = none.out.extent[2] = none.lse.extent[2] = 0;
  CHECK_NOTHROW(none.run());
}

TEST_CASE("strides are shown as they are, and without lse there is none to show") {
  call c;
  c.q.stride = {-160, 40, 0, 1};
  c.out.extent[3] = 9;
  try {
    heed::attend(heed::attention<>{}, c.q, c.k, c.v, c.out);
    FAIL("not refused");
  } catch (const std::invalid_argument& e) {
    CHECK_THAT(e.what(),
               ContainsSubstring("strides [-160, 40, 0, 1]") && !ContainsSubstring("lse"));
  }
}
