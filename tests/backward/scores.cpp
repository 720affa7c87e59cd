// SPDX-License-Identifier: BSL-1.0
// Gradients through score modifiers that learn nothing: those of the library, users' and chains.
#include <heed/mask/causal.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/any_score.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/clamp.hpp>
#include <heed/score/gradient.hpp>
#include <heed/score/softcap.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;
namespace simd = heed::simd;

TEST_CASE("gradients through the modifiers of the library") {
  const auto slopes = heed::alibi_slopes(4);
  check_gradients("softcap", attention{.mask = heed::causal{}, .score = heed::softcap{2}});
  check_gradients("alibi", attention{.score = heed::alibi{slopes}});
  check_gradients("clamp", attention{.score = heed::clamp{-0.5, 0.6}}, {}, {}, {}, curve::kinked);
}

TEST_CASE("gradients where a bias takes pairs away") {
  const std::size_t pairs = 37 * 53;
  const std::unique_ptr<bool[]> allowed(new bool[pairs]);
  learned b(heed::extents{1, 1, 37, 53});
  for (std::size_t i = 0; i < pairs; ++i) {
    allowed[i] = i % 3 != 0 && i / 53 != 11;
    if (!allowed[i]) b.value.data[i] = -std::numeric_limits<double>::infinity();
  }
  const heed::view<const bool> flags(allowed.get(), {1, 1, 37, 53});
  check_gradients("boolean", attention{.score = heed::boolean_bias{flags}});
  check_gradients("infinite", attention{.score = heed::bias{b.table()}});
}

TEST_CASE("gradients through generic lambdas, by dual numbers") {
  check_gradients("square", attention{.score = [](auto s, auto) { return s * s * 0.5; }});
  check_gradients("relative", attention{.score = [](auto s, auto at) {
                    return s / (1.0 + (at.k - at.q) * (at.k - at.q) * 0.01);
                  }});
  check_gradients("functions", attention{.mask = heed::causal{}, .score = [](auto s, auto) {
                                           return simd::tanh(s) * 2.0 + simd::exp(s * 0.5) -
                                                  simd::log(s * s + 1.0) + simd::sqrt(s * s + 0.5) -
                                                  simd::sigmoid(s);
                                         }});
  check_gradients("absolute", attention{.score = [](auto s, auto) { return -simd::abs(s); }}, {},
                  {}, {}, curve::kinked);
}

TEST_CASE("gradients through lambdas of one pair") {
  check_gradients("position", attention{.score = [](auto s, const heed::position& at) {
                    return s * double(1 + at.k % 3) - 0.1 * double(at.h + at.row % 2);
                  }});
}

TEST_CASE("gradients through modifiers that give their derivative") {
  check_gradients(
      "vectors",
      attention{.score = heed::with_grad{[](const auto& s, const auto&) { return s * s * s; },
                                         [](const auto& s, const auto&) { return s * s * 3.0; }}});
  const auto table = [](double s, const heed::position& at) { return std::atan(s) + double(at.h); };
  const auto slope = [](double s, const heed::position&) { return 1 / (1 + s * s); };
  check_gradients("numbers", attention{.score = heed::with_grad{table, slope}});
}

TEST_CASE("gradients through chains") {
  const auto slopes = heed::alibi_slopes(4);
  const auto bent = [](auto s, auto) { return s + s * s * 0.25; };
  const auto uneven = [](auto s, const heed::position& at) { return s * double(1 + at.slot % 2); };
  check_gradients("two", attention{.score = heed::softcap{3} | heed::alibi{slopes}});
  check_gradients("four",
                  attention{.mask = heed::causal{},
                            .score = heed::alibi{slopes} | heed::softcap{3} | uneven | bent});
}

TEST_CASE("gradients through a modifier chosen at run time") {
  const auto slopes = heed::alibi_slopes(4);
  for (const auto& score : {heed::any_score{}, heed::any_score::differentiable(heed::softcap{2}),
                            heed::any_score::differentiable(heed::alibi{slopes} | heed::softcap{3} |
                                                            [](auto s, auto) { return s * s; })}) {
    check_gradients("any", attention{.mask = heed::causal{}, .score = score});
    check_gradients("any in a chain", attention{.score = heed::softcap{4} | score});
  }
  CHECK_THROWS_AS(
      check_gradients("not differentiable", attention{.score = heed::any_score{heed::softcap{2}}}),
      std::invalid_argument);
}
