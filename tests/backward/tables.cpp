// SPDX-License-Identifier: BSL-1.0
// Gradients of the tables of score modifiers, broadcast over every choice of axes.
#include <heed/mask/causal.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/key_bias.hpp>
#include <heed/score/relative_bias.hpp>
#include <heed/score/softcap.hpp>
#include <heed/score/temperature.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;

namespace {

/// All of `whole`, with every choice of axes cut to one.
template <class F> void for_broadcasts(const heed::extents& whole, F f) {
  for (unsigned bits = 0; bits < 16; ++bits) {
    heed::extents e = whole;
    bool twice = false;
    for (std::size_t i = 0; i < 4; ++i)
      if (bits & (1u << i)) twice |= e[i] == 1, e[i] = 1;
    if (!twice) f(e);
  }
}

}  // namespace

TEST_CASE("gradients of a bias") {
  for_broadcasts({2, 4, 37, 53}, [](const heed::extents& e) {
    learned b(e);
    check_gradients("bias " + heed::check::print(e), attention{.score = heed::bias{b.table()}},
                    {.score = {b.to()}}, {&b});
  });
  learned b(heed::extents{1, 1, 37, 1});
  check_gradients("one key", attention{.score = heed::bias{b.table()}}, {.score = {b.to()}}, {&b},
                  {.lk = 1});
}

TEST_CASE("gradients of a bias of keys") {
  for_broadcasts({2, 4, 53, 1}, [](const heed::extents& e) {
    learned b(e);
    check_gradients("key_bias " + heed::check::print(e),
                    attention{.score = heed::key_bias{b.table()}}, {.score = {b.to()}}, {&b});
  });
  learned b(heed::extents{1, 2, 53, 1});
  check_gradients("key_bias a kv head",
                  attention{.mask = heed::causal{}, .score = heed::key_bias{b.table(), 2}},
                  {.score = {b.to()}}, {&b});
}

TEST_CASE("gradients of relative tables") {
  learned shared(heed::extents{1, 1, 41, 1}), own(heed::extents{1, 4, 32, 1}),
      diagonal(heed::extents{1, 4, 89, 1});
  check_gradients("clipped", attention{.score = heed::relative_bias::clipped(shared.table())},
                  {.score = {shared.to()}}, {&shared});
  for (const auto order : {heed::bucket_order::causal, heed::bucket_order::bidirectional})
    check_gradients("t5", attention{.score = heed::relative_bias::t5(own.table(), order, 40)},
                    {.score = {own.to()}}, {&own});
  const auto toeplitz = heed::relative_bias::toeplitz(diagonal.table(), 53);
  check_gradients("toeplitz", attention{.mask = heed::causal{}, .score = toeplitz},
                  {.score = {diagonal.to()}}, {&diagonal});
}

TEST_CASE("gradients of temperatures") {
  for_broadcasts({2, 4, 37, 1}, [](const heed::extents& e) {
    learned tau(e, 0.2, 1.5);
    check_gradients("temperature " + heed::check::print(e),
                    attention{.score = heed::temperature{tau.table()}}, {.score = {tau.to()}},
                    {&tau});
  });
  for (const heed::index keys : {0, 53}) {
    learned a(heed::extents{1, 4, 1, 1}, 0.2, 0.5);
    check_gradients(
        "scalable softmax",
        attention{.mask = heed::causal{}, .score = heed::scalable_softmax{a.table(), keys}},
        {.score = {a.to()}}, {&a});
  }
}

TEST_CASE("gradients of slopes") {
  for (const auto form : {heed::alibi_form::causal, heed::alibi_form::symmetric}) {
    // The slopes are float: their gradient is held against a bias that says the same.
    std::vector<float> slopes = heed::alibi_slopes(4), given(4);
    learned b(heed::extents{1, 4, 37, 53});
    for (heed::index h = 0; h < 4; ++h)
      for (heed::index i = 0; i < 37; ++i)
        for (heed::index j = 0; j < 53; ++j) {
          const double ahead = double(j - i - 16);
          b.value(0, h, i, j) = double(slopes[static_cast<std::size_t>(h)]) *
                                (form == heed::alibi_form::causal ? ahead : -std::abs(ahead));
        }
    const auto q = random<double>({1, 4, 37, 8}, 1), k = random<double>({1, 4, 53, 8}, 2),
               v = random<double>({1, 4, 53, 6}, 3), d_out = random<double>({1, 4, 37, 6}, 4);
    heed::attend_backward(attention{.score = heed::bias{b.table()}}, q.in(), k.in(), v.in(), {},
                          d_out.in(), {.spec = {.score = {b.to()}}});
    heed::attend_backward(attention{.score = heed::alibi{slopes, form}}, q.in(), k.in(), v.in(), {},
                          d_out.in(), {.spec = {.score = {given}}});
    for (heed::index h = 0; h < 4; ++h) {
      double expected = 0;
      for (heed::index i = 0; i < 37; ++i)
        for (heed::index j = 0; j < 53; ++j)
          expected += b.gradient(0, h, i, j) * b.value(0, h, i, j) /
                      double(slopes[static_cast<std::size_t>(h)]);
      CHECK(double(given[static_cast<std::size_t>(h)]) == Approx(expected).epsilon(2e-7));
    }
  }
}

TEST_CASE("gradients of several tables of one chain") {
  learned b(heed::extents{2, 1, 37, 53}), tau(heed::extents{1, 4, 37, 1}, 0.2, 1.5),
      keys(heed::extents{1, 1, 53, 1});
  check_gradients("chain",
                  attention{.mask = heed::causal{},
                            .score = heed::temperature{tau.table()} | heed::bias{b.table()} |
                                     heed::softcap{3} | heed::key_bias{keys.table()}},
                  {.score = {{{{tau.to()}, {b.to()}}, {}}, {keys.to()}}}, {&b, &tau, &keys});
}
