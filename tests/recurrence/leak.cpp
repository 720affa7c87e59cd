// SPDX-License-Identifier: BSL-1.0
// What token t holds, NaN and infinity included, never reaches an output before t.
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/linear.hpp>
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/rwkv6.hpp>
#include <heed/recurrence/rwkv7.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

template <class Make> void check_leaks(const char* name, Make make) {
  constexpr heed::index length = 70, head = 1;
  using inputs = recurrent_inputs<float>;
  const inputs clean({.b = 1, .q = 2, .k = 2, .v = 2, .l = length, .d = 11, .dv = 20});
  using member = tensor<float> inputs::*;
  const std::pair<const char*, member> all[] = {{"q", &inputs::q},
                                                {"k", &inputs::k},
                                                {"v", &inputs::v},
                                                {"log", &inputs::log},
                                                {"channels", &inputs::channels},
                                                {"gain", &inputs::gain},
                                                {"beta", &inputs::beta},
                                                {"a", &inputs::a},
                                                {"b", &inputs::b}};
  for (const heed::index chunk : {0, 20, -1}) {
    auto spec = make(clean);
    spec.chunk = std::max<heed::index>(chunk, 0);
    const auto expected = run(spec, clean, chunk < 0);
    for (const auto& [what, x] : all)
      for (const heed::index t : {0, 1, 3, 18, 37, 38, 69})
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                                std::numeric_limits<float>::infinity(), 3e38f}) {
          inputs dirty = clean;
          for (heed::index c = 0; c < (dirty.*x).extent[3]; ++c) (dirty.*x)(0, head, t, c) = bad;
          auto same = make(dirty);
          same.chunk = spec.chunk;
          const auto got = run(same, dirty, chunk < 0);
          INFO(name << ": " << what << " of token " << t << " is " << bad << ", chunk " << chunk);
          for (heed::index h = 0; h < 2; ++h) {
            const heed::index rows = h == head ? t : length;
            REQUIRE(got.out.head(0, h).topRows(rows) == expected.out.head(0, h).topRows(rows));
          }
        }
  }
}

// Nor does a channel of v reach another one, whichever way the tokens after it are worked on.
template <class Make> void check_channels(const char* name, Make make) {
  recurrent_inputs<float> x({.b = 1, .q = 1, .k = 1, .v = 1, .l = 70, .d = 11, .dv = 20});
  for (const heed::index t : {0, 5, 37, 69}) x.v(0, 0, t, t % 20) = NAN;
  const auto spec = make(x);
  recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(),
                                 heed::recurrent_state<float>{});
  for (const bool by_step : {false, true}) {
    const auto got = run(spec, x, by_step);
    for (heed::index t = 0; t < 70; ++t) REQUIRE(std::isfinite(got.out.in()(0, 0, t, 19)));
    expected.check_out(got.out.in(), name);
    expected.check_state(got.state, name);
  }
}

}  // namespace

TEST_CASE("channels of v do not meet") {
  check_channels("mlstm", [](const auto& x) {
    return heed::recurrences::mlstm(x.log.in(), x.gain.in(), x.shape.d);
  });
  check_channels("gla",
                 [](const auto& x) { return heed::recurrences::gla(x.channels.in(), x.shape.d); });
  check_channels("gated_delta", [](const auto& x) {
    return heed::recurrences::gated_delta(x.log.in(), x.beta.in(), x.shape.d);
  });
}

TEST_CASE("nothing leaks to earlier tokens: sums") {
  check_leaks("linear", [](const auto&) { return heed::recurrences::linear(); });
  check_leaks("mlstm", [](const auto& x) {
    return heed::recurrences::mlstm(x.log.in(), x.gain.in(), x.shape.d);
  });
}
TEST_CASE("nothing leaks to earlier tokens: channels") {
  check_leaks("gla",
              [](const auto& x) { return heed::recurrences::gla(x.channels.in(), x.shape.d); });
  check_leaks("rwkv6",
              [](const auto& x) { return heed::recurrences::rwkv6(x.channels.in(), x.u.in()); });
}
TEST_CASE("nothing leaks to earlier tokens: corrections") {
  check_leaks("gated_delta", [](const auto& x) {
    return heed::recurrences::gated_delta(x.log.in(), x.beta.in(), x.shape.d);
  });
  check_leaks("rwkv7", [](const auto& x) {
    return heed::recurrences::rwkv7(x.channels.in(), x.a.in(), x.b.in());
  });
}
