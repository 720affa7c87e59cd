// SPDX-License-Identifier: BSL-1.0
// Sequences packed by cu_seqlens: the same bits as calls of their own.
#include <heed/recurrence/kda.hpp>
#include <heed/recurrence/linear.hpp>
#include <heed/recurrence/mlstm.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

template <class Make> void check_packed(const char* name, Make make) {
  const std::vector<int> offsets{0, 0, 3, 40, 40, 41, 73, 73};
  const recurrent_inputs<float> x({.b = 1, .q = 4, .k = 2, .v = 4, .l = 73, .d = 5, .dv = 7});
  auto whole = make(x);
  auto packed = whole;
  packed.cu_seqlens = offsets;
  for (const bool by_step : {false, true})
    for (const bool carried : {false, true}) {
      INFO(name << (by_step ? " by step" : "") << (carried ? ", carried on" : ""));
      const auto initial = carried ? [&] {
        heed::recurrent_state<float> all;
        const auto one = random_state(whole, x, 30);
        all = {one.format(), heed::index(offsets.size()) - 1};
        for (heed::index i = 0; i < all.batch(); ++i)
          all.assign(i, random_state(whole, x, 30 + unsigned(i)), 0), all.tokens(i) = i;
        return all;
      }()
                                   : heed::recurrent_state<float>{};
      const auto got = run(packed, x, by_step, initial);
      REQUIRE(got.state.batch() == heed::index(offsets.size()) - 1);
      auto expected = unwritten<float>(x.out());
      for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
        const heed::index first = offsets[i], n = offsets[i + 1] - first;
        heed::recurrent_state<float> state;
        if (carried) state = initial.sequence(heed::index(i));
        const auto spec = tokens_of(whole, x.shape.l, first, n);
        const auto of = [&](const auto& t) { return t.in().slice_rows(first, n); };
        const auto out = expected.in().slice_rows(first, n);
        if (by_step)
          heed::step(spec, of(x.q), of(x.k), of(x.v), out, state);
        else
          heed::scan(spec, of(x.q), of(x.k), of(x.v), out, state);
        CHECK(got.state.sequence(heed::index(i)) == state);
        CHECK(state.tokens(0) == (carried ? heed::index(i) : 0) + n);
      }
      CHECK(got.out.data == expected.data);
      // Without a state the same, and every sequence starts at zero.
      if (carried || by_step) continue;
      auto out = unwritten<float>(x.out());
      heed::scan(packed, x.q.in(), x.k.in(), x.v.in(), out.in());
      CHECK(out.data == expected.data);
    }
}

}  // namespace

TEST_CASE("packed sequences: kda") {
  check_packed("kda", [](const auto& x) {
    return heed::recurrences::kda(x.channels.in(), x.beta.in(), x.shape.d);
  });
}
TEST_CASE("packed sequences: mlstm") {
  check_packed("mlstm", [](const auto& x) {
    return heed::recurrences::mlstm(x.log.in(), x.gain.in(), x.shape.d);
  });
}
TEST_CASE("packed sequences: linear, causal or not") {
  check_packed("linear", [](const auto&) { return heed::recurrences::linear(); });
  check_packed("linear, all tokens", [](const auto&) {
    auto spec = heed::recurrences::linear();
    spec.causal = false;
    return spec;
  });
}
TEST_CASE("no tokens in any sequence, and no sequence") {
  const recurrent_inputs<float> x({.l = 0, .d = 3, .dv = 2});
  auto spec = heed::recurrences::linear();
  for (const std::vector<int>& offsets : {std::vector<int>{0}, std::vector<int>{0, 0, 0}}) {
    spec.cu_seqlens = offsets;
    const auto got = run(spec, x);
    CHECK(got.state.batch() == heed::index(offsets.size()) - 1);
    for (heed::index i = 0; i < got.state.batch(); ++i) {
      CHECK(got.state.tokens(i) == 0);
      CHECK(got.state.head(i, 0)[0] == 0);
    }
  }
}
