// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/kda.hpp>
#include <heed/recurrence/scan_backward.hpp>

#include "support/catch.hpp"
#include "support/tensor.hpp"

using namespace heed;
using namespace heed::test;

namespace {

using f = tensor<float>;

struct call {
  f q = random<float>({1, 2, 5, 3}, 1), k = random<float>({1, 2, 5, 3}, 2),
    v = random<float>({1, 2, 5, 4}, 3), d_out = random<float>({1, 2, 5, 4}, 4),
    log = f({1, 2, 5, 3}, -1), beta = f({1, 2, 5, 1}, 1), dq = unwritten<float>({1, 2, 5, 3});
  recurrent_state<float> state{}, d_final{}, d_state{};
  scan_gradients<float> more{};

  void operator()() {
    more.dq = dq.in(), more.d_initial_state = &d_state;
    scan_backward(recurrences::kda(log.in(), beta.in(), 3), q.in(), k.in(), v.in(), &state,
                  d_out.in(), &d_final, more);
  }
};

template <class Change> void refused(const Change& change) {
  call c;
  change(c);
  CHECK_THROWS_AS(c(), std::invalid_argument);
  for (const float x : c.dq.data) CHECK(std::isnan(x));
}

}  // namespace

TEST_CASE("backward calls with wrong shapes are refused before anything is written") {
  call fine;
  fine();
  for (const float x : fine.dq.data) CHECK(std::isfinite(x));
  CHECK(fine.d_state.format().rows == 3);

  f small = unwritten<float>({1, 2, 4, 3}), number = unwritten<float>({1, 2, 1, 1});
  refused([](call& c) { c.d_out = random<float>({1, 2, 5, 3}, 4); });
  refused([](call& c) { c.d_out = random<float>({1, 1, 5, 4}, 4); });
  refused([](call& c) { c.k = random<float>({1, 2, 5, 4}, 4); });
  refused([](call& c) { c.beta = f({1, 2, 4, 1}, 1); });
  refused([&](call& c) { c.more.dk = small.in(); });
  refused([&](call& c) { c.more.dv = small.in(); });
  refused([&](call& c) { c.more.d_log = number.in(); });
  refused([&](call& c) { c.more.d_beta = number.in(); });
  refused([&](call& c) { c.more.d_gain = number.in(); });
  refused([&](call& c) { c.more.d_a = number.in(); });
  refused([&](call& c) { c.more.d_b = number.in(); });
  refused([&](call& c) { c.more.d_u = number.in(); });
  const recurrent_state<float> other({.kind = "another", .heads = 2, .rows = 3, .columns = 4}, 1);
  refused([&](call& c) { c.state = other; });
  refused([&](call& c) { c.d_final = other; });
  refused([&](call& c) { c.d_state = other; });
}

TEST_CASE("gradients of decays where there are none are refused") {
  const f q = random<float>({1, 2, 5, 3}, 1), d_out = random<float>({1, 2, 5, 3}, 2);
  f dq = unwritten<float>({1, 2, 5, 3});
  CHECK_THROWS_AS(scan_backward(recurrence{}, q.in(), q.in(), q.in(), nullptr, d_out.in(), nullptr,
                                {.dq = dq.in(), .d_log = dq.in()}),
                  std::invalid_argument);
  CHECK(std::isnan(dq.data[0]));
}
