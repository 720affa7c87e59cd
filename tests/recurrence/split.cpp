// SPDX-License-Identifier: BSL-1.0
// A sequence cut anywhere, its pieces by scan or step, the state carried on.
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/rwkv6.hpp>
#include <heed/recurrence/rwkv7.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

// scan, all of step, scan then step, step then scan, and pieces of every length.
template <class Make> void check_splits(const char* name, Make make) {
  const heed::index length = 45;
  const recurrent_inputs<float> x({.b = 2, .q = 4, .k = 2, .v = 2, .l = length, .d = 9, .dv = 21});
  auto spec = make(x);
  const auto initial = random_state(spec, x, 5);
  recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(), initial);
  const auto check = [&](const recurrent_outcome<float>& got, const std::string& how) {
    expected.check_out(got.out.in(), name + how);
    expected.check_state(got.state, name + how);
  };
  std::vector<heed::index> every;
  for (heed::index t = 1; t < length; ++t) every.push_back(t);
  const auto tokens = run_pieces(spec, x, every, 1, 1, initial);
  const auto steps = run(spec, x, true, initial);
  // step takes tokens one by one, so that its pieces have the same bits.
  CHECK(tokens.out.data == steps.out.data);
  CHECK(tokens.state == steps.state);
  check(steps, ": step");
  check(run_pieces(spec, x, every, 0, 0, initial), ": scans of one token");
  for (const heed::index chunk : {0, 5, 16}) {
    spec.chunk = chunk;
    for (heed::index cut = 0; cut <= length; ++cut)
      for (const int how : {0, 1, 2, 3}) {
        if (how > 0 && cut % 7 != 3) continue;
        check(run_pieces(spec, x, {cut}, how & 1, how >> 1, initial),
              ": cut at " + std::to_string(cut) + ", " + std::to_string(how));
      }
    check(run_pieces(spec, x, {4, 4, 7, 8, 30, 45, 45}, 0, 0, initial), ": pieces");
  }
}

}  // namespace

TEST_CASE("a sequence cut anywhere: gated delta") {
  check_splits("gated_delta", [](const auto& x) {
    return heed::recurrences::gated_delta(x.log.in(), x.beta.in(), x.shape.d);
  });
}
TEST_CASE("a sequence cut anywhere: mlstm") {
  check_splits("mlstm", [](const auto& x) {
    return heed::recurrences::mlstm(x.log.in(), x.gain.in(), x.shape.d);
  });
}
TEST_CASE("a sequence cut anywhere: rwkv6") {
  check_splits("rwkv6",
               [](const auto& x) { return heed::recurrences::rwkv6(x.channels.in(), x.u.in()); });
}
TEST_CASE("a sequence cut anywhere: rwkv7") {
  check_splits("rwkv7", [](const auto& x) {
    return heed::recurrences::rwkv7(x.channels.in(), x.a.in(), x.b.in());
  });
}
