// SPDX-License-Identifier: BSL-1.0
// Gates at the ends of their ranges, channel decays among them: everything stays finite and equal
// to the token form.
#include <heed/recurrence/kda.hpp>
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/rwkv6.hpp>
#include <heed/recurrence/rwkv7.hpp>
#include <heed/recurrence/ssd.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// Every number of x is drawn from a few.
void draw(tensor<float>& x, std::initializer_list<float> from, unsigned stream) {
  std::mt19937 bits(seed() + stream);
  for (float& y : x.data) y = *(from.begin() + bits() % from.size());
}

template <class Make> void check_gates(const char* name, Make make) {
  const std::initializer_list<float> decays[] = {
      {0}, {-infinity}, {0, -infinity}, {0, 0, 0, -infinity, -1e-6f, -0.2f, -80, -1e4f}};
  const std::initializer_list<float> rates[] = {{0}, {1}, {0, 1}, {0, 1, 0.5f, 2}};
  for (int n = 0; n < 4; ++n)
    for (int m = 0; m < 4; ++m) {
      recurrent_inputs<float> x({.b = 1, .q = 2, .k = 1, .v = 1, .l = 70, .d = 11, .dv = 6});
      draw(x.log, decays[n], 1), draw(x.channels, decays[n], 2), draw(x.beta, rates[m], 3);
      auto spec = make(x);
      for (const bool zero : {true, false}) {
        const auto initial = zero ? heed::recurrent_state<float>{} : random_state(spec, x, 4);
        recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(), initial);
        for (const heed::index chunk : {0, 7, 64, -1}) {
          spec.chunk = std::max<heed::index>(chunk, 0);
          const std::string where = std::string(name) + ", decays " + std::to_string(n) +
                                    ", rates " + std::to_string(m) + ", chunk " +
                                    std::to_string(chunk);
          const auto got = run(spec, x, chunk < 0, initial);
          for (const float y : got.out.data) REQUIRE(std::isfinite(y));
          expected.check_out(got.out.in(), where);
          expected.check_state(got.state, where);
        }
      }
    }
}

}  // namespace

TEST_CASE("decays of 0 and 1, rates of 0 and 1") {
  check_gates("ssd", [](const auto& x) { return heed::recurrences::ssd(x.log.in()); });
  check_gates("kda", [](const auto& x) {
    return heed::recurrences::kda(x.channels.in(), x.beta.in(), x.shape.d);
  });
  check_gates("rwkv6",
              [](const auto& x) { return heed::recurrences::rwkv6(x.channels.in(), x.u.in()); });
  check_gates("rwkv7", [](const auto& x) {
    return heed::recurrences::rwkv7(x.channels.in(), x.a.in(), x.b.in());
  });
}

TEST_CASE("mlstm with input gates of any size") {
  const std::initializer_list<float> gains[] = {
      {1e4f}, {-1e4f}, {1e4f, -1e4f}, {-infinity}, {-infinity, 0}, {0, 1e4f, -1e4f, -90, 90, 3}};
  for (int n = 0; n < 6; ++n)
    for (const bool forgets : {false, true}) {
      recurrent_inputs<float> x({.b = 1, .q = 2, .k = 1, .v = 1, .l = 70, .d = 11, .dv = 6});
      draw(x.gain, gains[n], 1);
      if (forgets) draw(x.log, {0, -infinity, -0.5f, -1e4f}, 2);
      auto spec = heed::recurrences::mlstm(x.log.in(), x.gain.in(), x.shape.d);
      for (const bool zero : {true, false}) {
        const auto initial = zero ? heed::recurrent_state<float>{} : random_state(spec, x, 4);
        recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(), initial);
        for (const heed::index chunk : {0, 7, 64, -1}) {
          spec.chunk = std::max<heed::index>(chunk, 0);
          const std::string where = "gains " + std::to_string(n) + ", forgets " +
                                    std::to_string(forgets) + ", chunk " + std::to_string(chunk) +
                                    (zero ? "" : ", carried on");
          const auto got = run(spec, x, chunk < 0, initial);
          for (const float y : got.out.data) REQUIRE(std::isfinite(y));
          expected.check_out(got.out.in(), where);
          expected.check_state(got.state, where);
        }
      }
    }
}
