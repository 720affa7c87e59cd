// SPDX-License-Identifier: BSL-1.0
// Heads shared by q, k and v in every way, and operands in any layout.
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/linear.hpp>
#include <heed/recurrence/rwkv6.hpp>

#include "support/operands.hpp"
#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

template <class Make> void check_heads(const char* name, Make make) {
  struct heads {
    heed::index q, k, v;
  };
  for (const auto [q, k, v] : {heads{6, 2, 2},
                               {2, 6, 6},
                               {4, 2, 4},
                               {4, 4, 2},
                               {1, 2, 6},
                               {6, 2, 1},
                               {2, 1, 4},
                               {1, 1, 3},
                               {8, 1, 2},
                               {1, 5, 5},
                               {2, 4, 1},
                               {6, 3, 1}})
    for (const heed::index l : {3, 40}) {
      const recurrent_inputs<float> x({.b = 2, .q = q, .k = k, .v = v, .l = l, .d = 6, .dv = 5});
      const auto spec = make(x);
      const auto initial = random_state(spec, x, 3);
      REQUIRE(initial.format().heads == std::max(k, v));
      recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(), initial);
      for (const bool by_step : {false, true}) {
        const std::string where = std::string(name) + ", heads " + std::to_string(q) + ", " +
                                  std::to_string(k) + ", " + std::to_string(v);
        const auto got = run(spec, x, by_step, initial);
        expected.check_out(got.out.in(), where);
        expected.check_state(got.state, where);
      }
    }
}

// q, k, v and out in layouts of the random generator; what no heed::index reaches stays as it was.
template <class Make> void check_layouts(const char* name, Make make) {
  engine random(seed());
  for (int round = 0; round < 60; ++round) {
    const auto chance = [&] { return random() % 2 == 0; };
    const heed::index b = 1 + heed::index(random() % 2), l = 1 + heed::index(random() % 40),
                      d = 1 + heed::index(random() % 20), dv = 1 + heed::index(random() % 40),
                      kv = 1 + heed::index(random() % 2),
                      q_heads = kv * (1 + heed::index(random() % 2));
    const auto how = [&] { return layout{chance(), chance(), chance(), random() % 4 == 0}; };
    auto q = input<float>({b, q_heads, l, d}, how(), random),
         k = input<float>({b, kv, l, d}, how(), random),
         v = input<float>({b, kv, l, dv}, how(), random);
    auto log = input<float>({chance() ? b : 1, chance() ? kv : 1, l, 1}, how(), random),
         more = input<float>({b, kv, chance() ? l : 1, 1}, how(), random),
         u = input<float>({1, chance() ? kv : 1, 1, chance() ? d : 1}, how(), random);
    log.each([](float& y) { y = -std::abs(y); });
    more.each([](float& y) { y = std::abs(y); });
    k.each([&](float& y) { y /= std::sqrt(float(d)); });
    const auto spec = make(log.read(), more.read(), u.read(), d);
    for (const bool by_step : {false, true}) {
      auto out = output<float>({b, q_heads, l, dv}, how(), random);
      heed::recurrent_state<float> state;
      recurrent_expectation expected(spec, q.read(), k.read(), v.read(), state);
      by_step ? heed::step(spec, q.read(), k.read(), v.read(), out.mutable_view(), state)
              : heed::scan(spec, q.read(), k.read(), v.read(), out.mutable_view(), state);
      INFO("round " << round);
      expected.check_out(out.read(), name);
      expected.check_state(state, name);
      CHECK(rest_untouched(out));
    }
  }
}

}  // namespace

TEST_CASE("shared heads") {
  check_heads("gated_delta", [](const auto& x) {
    return heed::recurrences::gated_delta(x.log.in(), x.beta.in(), x.shape.d);
  });
  check_heads("linear", [](const auto&) { return heed::recurrences::linear(); });
  check_heads("linear, all tokens", [](const auto&) {
    auto spec = heed::recurrences::linear();
    spec.causal = false;
    return spec;
  });
  check_heads("rwkv6",
              [](const auto& x) { return heed::recurrences::rwkv6(x.channels.in(), x.u.in()); });
}

TEST_CASE("operands and gates in any layout") {
  check_layouts("gated_delta", [](auto log, auto beta, auto, heed::index d) {
    return heed::recurrences::gated_delta(log, beta, d);
  });
  check_layouts("rwkv6", [](auto log, auto, auto u, heed::index) {
    return heed::recurrences::rwkv6(log, u);
  });
}

TEST_CASE("q, k and v as slices of one tensor [B, L, 3, H, D], out as [B, L, H, D]") {
  const heed::index b = 2, l = 35, h = 3, d = 7;
  const auto fused = random<float>({b, l, 3 * h, d}, 4, 0.5);
  auto log = random<float>({b, l, h, 1}, 5, 0.2), beta = uniform<float>({b, l, h, 1}, 6);
  for (float& y : log.data) y = -std::abs(y);
  for (float& y : beta.data) y = std::abs(y);
  const auto part = [&](heed::index n) {
    return heed::view<const float>{
        fused.data.data() + n * h * d, {b, h, l, d}, {l * 3 * h * d, d, 3 * h * d, 1}};
  };
  const auto gate = [&](const tensor<float>& x) {
    return heed::view<const float>{x.data.data(), {b, h, l, 1}, {l * h, 1, h, 1}};
  };
  const auto spec = heed::recurrences::gated_delta(gate(log), gate(beta), d);
  recurrent_expectation expected(spec, part(0), part(1), part(2), heed::recurrent_state<float>{});
  for (const bool by_step : {false, true}) {
    auto out = unwritten<float>({b, l, h, d});
    const heed::view<float> to{out.data.data(), {b, h, l, d}, {l * h * d, d, h * d, 1}};
    heed::recurrent_state<float> state;
    by_step ? heed::step(spec, part(0), part(1), part(2), to, state)
            : heed::scan(spec, part(0), part(1), part(2), to, state);
    expected.check_out(to, "fused");
    expected.check_state(state, "fused");
  }
}
