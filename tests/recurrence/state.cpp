// SPDX-License-Identifier: BSL-1.0
// States as values: copies, sequences taken out and put in, resets, equality.
#include <heed/recurrence/mlstm.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
using state_type = heed::recurrent_state<float>;

namespace {

struct call {
  recurrent_inputs<float> x{{.b = 3, .q = 2, .k = 2, .v = 2, .l = 20, .d = 5, .dv = 4}};
  auto spec() const { return heed::recurrences::mlstm(x.log.in(), x.gain.in(), x.shape.d); }
  state_type after() const { return run(spec(), x).state; }
};

}  // namespace

TEST_CASE("an empty state becomes the zero state of its recurrence") {
  const call c;
  state_type state;
  CHECK(state.empty());
  CHECK(state.batch() == 0);
  const auto none = [](const auto& t) { return t.in().slice_rows(0, 0); };
  auto out = unwritten<float>(c.x.out());
  heed::step(tokens_of(c.spec(), 20, 0, 0), none(c.x.q), none(c.x.k), none(c.x.v),
             out.in().slice_rows(0, 0), state);
  CHECK_FALSE(state.empty());
  CHECK(state == state_type(state.format(), 3));
  CHECK(state.format().heads == 2);
  CHECK(state.format().rows == 5);
  CHECK(state.format().columns == 4);
  CHECK(state.format().side == 6);  // n and m
  CHECK(state.format().head_size() == 26);
  CHECK(state.format().size() == 52);
  for (heed::index b = 0; b < 3; ++b)
    for (heed::index h = 0; h < 2; ++h) {
      for (heed::index i = 0; i < 25; ++i) CHECK(state.head(b, h)[i] == 0);
      CHECK(state.side(b, h) == state.head(b, h) + 20);
      CHECK(state.side(b, h)[5] == -std::numeric_limits<float>::infinity());
    }
}

TEST_CASE("copies stay as they are, and go on alike") {
  const call c;
  const state_type first = c.after();
  const state_type kept = first;
  const auto a = run(c.spec(), c.x, false, first), b = run(c.spec(), c.x, false, kept);
  CHECK(first == kept);
  CHECK(a.state == b.state);
  CHECK(a.out.data == b.out.data);
  CHECK_FALSE(a.state == first);
  for (heed::index i = 0; i < 3; ++i) {
    CHECK(first.tokens(i) == 20);
    CHECK(a.state.tokens(i) == 40);
  }
}

TEST_CASE("matrices is a view of every S") {
  const call c;
  state_type state = c.after();
  const auto all = state.matrices();
  CHECK(all.extent == heed::extents{3, 2, 5, 4});
  for (heed::index b = 0; b < 3; ++b)
    for (heed::index h = 0; h < 2; ++h)
      for (heed::index i = 0; i < 20; ++i) CHECK(&all(b, h, i / 4, i % 4) == state.head(b, h) + i);
  all(1, 1, 2, 3) = 42;
  CHECK(std::as_const(state).matrices()(1, 1, 2, 3) == 42);
}

TEST_CASE("a sequence taken out goes on as it does in its batch") {
  const call c;
  const state_type before = c.after();
  const auto whole = run(c.spec(), c.x, false, before);
  for (heed::index b = 0; b < 3; ++b) {
    state_type one = before.sequence(b);
    CHECK(one.batch() == 1);
    const auto of = [b](const auto& t) {
      auto v = t.in();
      v.data += b * v.stride[0], v.extent[0] = 1;
      return v;
    };
    auto out = unwritten<float>({1, 2, 20, 4});
    heed::scan(heed::recurrences::mlstm(of(c.x.log), of(c.x.gain), 5), of(c.x.q), of(c.x.k),
               of(c.x.v), out.in(), one);
    CHECK(one == whole.state.sequence(b));
    CHECK(out.head(0, 1) == whole.out.head(b, 1));
  }
}

TEST_CASE("reset and assign change one sequence") {
  const call c;
  const state_type before = c.after();
  state_type state = before;
  state.reset(1);
  CHECK(state.sequence(0) == before.sequence(0));
  CHECK(state.sequence(2) == before.sequence(2));
  CHECK(state.sequence(1) == state_type(before.format(), 1));
  CHECK(state.tokens(1) == 0);
  state.assign(1, before, 2);
  CHECK(state.sequence(1) == before.sequence(2));
  state.assign(1, before, 1);
  CHECK(state == before);
  state.assign(0, state, 2);
  CHECK(state.sequence(0) == before.sequence(2));
}

TEST_CASE("states that differ are not equal") {
  const call c;
  const state_type one = c.after();
  state_type other = one;
  other.tokens(2) += 1;
  CHECK_FALSE(one == other);
  other = one;
  other.side(2, 1)[5] += 1;
  CHECK_FALSE(one == other);
  heed::state_format format = one.format();
  format.kind += "!";
  CHECK_FALSE(state_type(format, 1) == state_type(one.format(), 1));
  CHECK_FALSE(state_type(one.format(), 2) == state_type(one.format(), 1));
}

TEST_CASE("a state refuses sequences that it does not have, and others' states") {
  const call c;
  state_type state = c.after();
  const state_type before = state;
  CHECK_THROWS_WITH(state.reset(3), ContainsSubstring("heed::recurrent_state: no sequence 3"));
  CHECK_THROWS_AS(state.reset(-1), std::invalid_argument);
  CHECK_THROWS_AS(state.sequence(3), std::invalid_argument);
  CHECK_THROWS_AS(state.sequence(-1), std::invalid_argument);
  CHECK_THROWS_AS(state.assign(3, before, 0), std::invalid_argument);
  CHECK_THROWS_AS(state.assign(0, before, 3), std::invalid_argument);
  heed::state_format format = state.format();
  format.columns = 7;
  CHECK_THROWS_WITH(state.assign(0, state_type(format, 1), 0),
                    ContainsSubstring("a state of another recurrence"));
  CHECK(state == before);
}
