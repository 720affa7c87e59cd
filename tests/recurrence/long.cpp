// SPDX-License-Identifier: BSL-1.0
// A million tokens: where a recurrence forgets, so do its roundings.
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/mlstm.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

template <class T> tensor<T> as(const tensor<float>& x) {
  tensor<T> y(x.extent, T(0));
  std::copy(x.data.begin(), x.data.end(), y.data.begin());
  return y;
}

// Largest error of outputs in pieces of 4096 tokens, by scan and by step in float against step in
// double, of the first four pieces and of the last four, which hold the same.
template <class Make> void check_long(const char* name, Make make) {
  constexpr heed::index piece = 4096, pieces = 256;
  heed::recurrent_state<float> by_scan, by_step;
  heed::recurrent_state<double> exact;
  double first[2] = {}, last[2] = {};
  for (heed::index n = 0; n < pieces; ++n) {
    recurrent_inputs<float> x({.l = piece, .d = 8, .dv = 8}, 100 + 20 * unsigned(n % 4));
    // It forgets over hundreds of tokens; gains near 1 keep the bound of mlstm's divisor there too.
    for (tensor<float>* gate : {&x.log, &x.channels, &x.gain})
      for (float& y : gate->data) y *= 0.02f;
    recurrent_inputs<double> wide({.l = 0, .d = 8, .dv = 8});
    wide.q = as<double>(x.q), wide.k = as<double>(x.k), wide.v = as<double>(x.v);
    wide.log = as<double>(x.log), wide.channels = as<double>(x.channels);
    wide.gain = as<double>(x.gain), wide.beta = as<double>(x.beta), wide.shape = x.shape;
    const auto want = run(make(wide), wide, true, exact);
    exact = want.state;
    for (const int how : {0, 1}) {
      auto& state = how ? by_step : by_scan;
      const auto got = run(make(x), x, how == 1, state);
      state = got.state;
      double worst = 0;
      for (std::size_t i = 0; i < got.out.data.size(); ++i)
        worst = std::max(worst, std::abs(double(got.out.data[i]) - want.out.data[i]));
      if (n < 4) first[how] = std::max(first[how], worst);
      if (n >= pieces - 4) last[how] = std::max(last[how], worst);
      REQUIRE(std::isfinite(worst));
    }
  }
  INFO(name << ": by scan " << first[0] << ", then " << last[0] << "; by step " << first[1]
            << ", then " << last[1]);
  if (std::getenv("HEED_WORST"))
    std::printf("%s: by scan %.3g, then %.3g; by step %.3g, then %.3g\n", name, first[0], last[0],
                first[1], last[1]);
  for (const int how : {0, 1}) {
    CHECK(first[how] > 0);
    CHECK(last[how] <= 2 * first[how]);
    // Roundings of about as many tokens as are remembered.
    CHECK(first[how] <= tolerance<float>(4, 1000, 4));
  }
  CHECK(by_scan.tokens(0) == piece * pieces);
}

}  // namespace

TEST_CASE("a million tokens, gla") {
  check_long("gla", [](const auto& x) { return heed::recurrences::gla(x.channels.in(), 8); });
}
TEST_CASE("a million tokens, gated delta") {
  check_long("gated_delta", [](const auto& x) {
    return heed::recurrences::gated_delta(x.log.in(), x.beta.in(), 8);
  });
}
TEST_CASE("a million tokens, mlstm") {
  check_long("mlstm",
             [](const auto& x) { return heed::recurrences::mlstm(x.log.in(), x.gain.in(), 8); });
}
