// SPDX-License-Identifier: BSL-1.0
// Gradients through every normaliser and divisor, and of the sink's logits.
#include <heed/mask/causal.hpp>
#include <heed/normalizer/custom.hpp>
#include <heed/normalizer/elu1.hpp>
#include <heed/normalizer/laplace.hpp>
#include <heed/normalizer/linear.hpp>
#include <heed/normalizer/relu.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/signed_softmax.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/normalizer/unnormalized.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;
using heed::divisor;

namespace {

template <class N> void check_normalizer(const std::string& name, const N& n, curve kind) {
  check_gradients(name, attention{.mask = heed::causal{}, .normalizer = n}, {}, {}, {}, kind);
}
/// More queries than keys: rows without keys, whose divisor is 0.
template <class N> void check_divided(const std::string& name, const N& n, curve kind) {
  check_gradients(name, attention{.mask = heed::causal{}, .normalizer = n}, {}, {},
                  {.lq = 51, .lk = 40}, kind);
}

}  // namespace

TEST_CASE("gradients through the softmax family") {
  for (const backward_shape& x : {backward_shape{}, backward_shape{.lq = 51, .lk = 40}}) {
    learned z(4);
    check_gradients("sink",
                    attention{.mask = heed::causal{}, .normalizer = heed::sink_softmax{z.list()}},
                    {.normalizer = {z.to_list()}}, {&z}, x);
    check_gradients("off by one",
                    attention{.mask = heed::causal{}, .normalizer = heed::sink_softmax{}}, {}, {},
                    x);
    check_gradients("signed",
                    attention{.mask = heed::causal{}, .normalizer = heed::signed_softmax{}}, {}, {},
                    x, curve::kinked);
  }
}

TEST_CASE("gradients through weights of one score") {
  for (const divisor by : {divisor::one, divisor::count, divisor::sum, divisor::bounded_sum}) {
    const std::string with = " over " + std::to_string(int(by));
    check_divided("sigmoid" + with, heed::sigmoid{0.1, by}, curve::smooth);
    check_divided("exponential" + with, heed::unnormalized{1.5, by}, curve::kinked);
    check_divided("laplace" + with, heed::laplace{0.2, 0.9, by}, curve::smooth);
    check_divided("elu1" + with, heed::elu1{by}, curve::kinked);
    check_divided("relu" + with, heed::relu{1, 2, by}, curve::kinked);
    check_divided("relu²" + with, heed::relu{2, 0.5, by}, curve::kinked);
    if (by != divisor::sum) check_divided("linear" + with, heed::linear{by}, curve::kinked);
  }
  check_normalizer("Mega", heed::laplace{}, curve::smooth);
}

TEST_CASE("gradients through weights of the user's") {
  check_normalizer("vectors", heed::custom{[](auto x) { return x * x + 0.5; }}, curve::smooth);
  check_normalizer("numbers",
                   heed::custom{[](auto x) -> decltype(x) { return 1.0 / (1.0 + x * x); }},
                   curve::smooth);
  check_normalizer("a slope",
                   heed::custom{[](double x) { return 1 + std::atan(x) / 4; },
                                [](double x) { return 0.25 / (1 + x * x); }, divisor::count},
                   curve::smooth);
}
