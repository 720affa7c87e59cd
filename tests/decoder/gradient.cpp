// SPDX-License-Identifier: BSL-1.0
// The gradient of the whole decoder by central differences, every parameter, in double.
#include "../examples/decoder/pass.hpp"
#include "../examples/decoder/state.hpp"
#include "support/catch.hpp"

namespace {

using decoder::index;

// The error of the difference is of order h⁴ · fifth derivative and ε · loss / h, with h = 1e-4 and
// a loss near 30: 1e-16 · f⁗′, which reaches 1e7 where a small row is normalised, and 1e-11.
void check_gradient(const decoder::shape& s) {
  constexpr index batch = 2, length = 7;
  decoder::model<double> m(s);
  decoder::initialize(m, 11);
  decoder::random_numbers draw(12);
  for (const decoder::layer_layout& l : m.layout.layers)
    for (const decoder::slice& at : {l.sinks, l.attention_norm, l.mlp_norm})
      for (index i = 0; i < at.size(); ++i)
        m.parameters[static_cast<std::size_t>(at.first + i)] += 0.3 * draw.normal();
  std::vector<std::int32_t> tokens(batch * length), targets(batch * length);
  for (auto* list : {&tokens, &targets})
    for (std::int32_t& t : *list)
      t = static_cast<std::int32_t>(draw.below(static_cast<std::uint64_t>(s.vocabulary)));

  decoder::pass<double> pass(s, batch, length);
  const auto loss = [&] {
    return decoder::cross_entropy<double>(pass.forward(m, tokens), targets);
  };
  decoder::buffer<double> gradient(m.parameters.size());
  const double before = loss();
  constexpr double scale = 0.5;
  CHECK(pass.backward(m, tokens, targets, scale, gradient) == before);

  const auto along = [&](std::size_t i, double h) {
    const double x = m.parameters[i];
    m.parameters[i] = x + h;
    const double above = loss();
    m.parameters[i] = x - h;
    const double below = loss();
    m.parameters[i] = x;
    return scale * (above - below) / (2 * h);
  };
  double worst = 0;
  for (std::size_t i = 0; i < m.parameters.size(); ++i) {
    constexpr double h = 1e-4;
    const double difference = (4 * along(i, h) - along(i, 2 * h)) / 3;
    worst = std::max(worst, std::abs(difference - gradient[i]) / (1 + std::abs(difference)));
  }
  CAPTURE(worst);
  CHECK(worst < 1e-8);
}

}  // namespace

TEST_CASE("the gradient of the decoder is that of its loss") {
  check_gradient({.width = 16,
                  .hidden = 10,
                  .layers = 2,
                  .heads = 4,
                  .kv_heads = 2,
                  .vocabulary = 9,
                  .context = 7});
}

TEST_CASE("also with a classifier of its own and a window shorter than the text") {
  check_gradient({.width = 12,
                  .hidden = 5,
                  .layers = 2,
                  .heads = 3,
                  .kv_heads = 1,
                  .vocabulary = 6,
                  .context = 4,
                  .tied = 0});
}
