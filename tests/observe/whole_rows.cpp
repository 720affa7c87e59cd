// SPDX-License-Identifier: BSL-1.0
// Observers of calls whose weights are known only by whole rows: against those weights, read off
// with one-hot values, and their gradients.
#include <heed/heads/multi_token.hpp>
#include <heed/heads/talking.hpp>
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/observe/row_entropy.hpp>
#include <heed/observe/row_top.hpp>
#include <heed/score/contextual.hpp>

#include "support/observer_gradients.hpp"

namespace heed::test {

namespace {

constexpr index lq = 61, lk = 83;

tensor<float> one_hot() {
  tensor<float> v({2, 2, lk, lk}, 0.f);
  for (index i = 0; i < 4; ++i)
    for (index j = 0; j < lk; ++j) v.data[std::size_t((i * lk + j) * lk + j)] = 1;
  return v;
}

// f(what the observer is shown with `spec`, the weights of `plain`).
template <class Spec, class Plain, class F>
void each_row(const Spec& spec, const Plain& plain, observer& watcher, F f) {
  const auto q = random<float>({2, 4, lq, 8}, 1), k = random<float>({2, 2, lk, 8}, 2);
  const auto v = one_hot();
  auto out = unwritten<float>({2, 4, lq, lk}), weights = out;
  attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &watcher});
  attend(plain, q.in(), k.in(), v.in(), weights.in());
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 4; ++h)
      for (index i = 0; i < lq; ++i) f(b, h, i, &weights(b, h, i, 0));
}

// Keys in no order; the first and the last are on the edges of tiles.
const std::vector<index> some{82, 0, 40, 81, 17};

template <class Spec, class Plain> void shows_columns(const Spec& spec, const Plain& plain) {
  auto map = unwritten<float>({2, 4, lq, index(some.size())});
  columns watched(some, map.in());
  each_row(spec, plain, watched, [&](index b, index h, index i, const float* p) {
    for (std::size_t n = 0; n < some.size(); ++n)
      CHECK(map(b, h, i, index(n)) == Approx(p[some[n]]).margin(1e-6));
  });
}

}  // namespace

TEST_CASE("observers see the weights of normalisers of whole rows") {
  for (const double alpha : {1.5, 2.0}) {
    const attention spec{.mask = causal{}, .normalizer = entmax{alpha}};
    shows_columns(spec, spec);
  }
  const attention sticks{.mask = causal{} && window{.left = 30},
                         .normalizer = stick_breaking{true}};
  shows_columns(sticks, sticks);
}

TEST_CASE("observers see weights before heads are mixed") {
  const auto before = random<float>({1, 1, 4, 4}, 5), after = random<float>({1, 1, 4, 4}, 6);
  shows_columns(attention{.mask = causal{}, .weights = talking{before.in(), after.in()}},
                attention{.mask = causal{}, .weights = talking{.before_softmax = before.in()}});
  const auto theta = random<float>({1, 4, 3, 5}, 7), later = random<float>({1, 4, 2, 3}, 8);
  shows_columns(attention{.mask = causal{}, .weights = multi_token{theta.in(), later.in()}},
                attention{.mask = causal{}, .weights = multi_token{theta.in()}});
}

TEST_CASE("observers see the scores of whole rows") {
  const auto table = random<float>({1, 4, 7, 8}, 5);
  const attention spec{.mask = causal{}, .score = contextual{table.in()}};
  auto h = unwritten<float>({2, 4, lq, 1});
  row_entropy entropy(h.in());
  each_row(spec, spec, entropy, [&](index b, index head, index i, const float* p) {
    double expected = 0;
    for (index j = 0; j < lk; ++j)
      if (p[j] > 0) expected -= double(p[j]) * std::log(double(p[j]));
    CHECK(h(b, head, i) == Approx(expected).margin(1e-5));
  });
  std::vector<int> keys(std::size_t(2 * 4 * lq), -7);
  auto best = unwritten<float>({2, 4, lq, 1});
  row_top top(view<int>(keys.data(), {2, 4, lq, 1}), best.in());
  each_row(spec, spec, top, [&](index b, index head, index i, const float* p) {
    CHECK(best(b, head, i) == Approx(*std::max_element(p, p + lk)).margin(1e-6));
    CHECK(p[keys[std::size_t((b * 4 + head) * lq + i)]] == Approx(best(b, head, i)).margin(1e-6));
  });
}

TEST_CASE("gradients of what observers return of whole rows") {
  const auto mixed = random<double>({1, 1, 4, 4}, 5), kernel = random<double>({1, 4, 3, 5}, 7),
             later = random<double>({1, 4, 2, 3}, 8);
  const auto check = [](const auto& spec) {
    check_columns_gradient(spec, [](index) { return std::vector<index>{13, 0, 7}; });
  };
  check(attention{.mask = causal{}, .normalizer = stick_breaking{true}});
  check(attention{.mask = causal{}, .weights = talking{mixed.in(), mixed.in()}});
  check(attention{.mask = causal{}, .weights = multi_token{kernel.in(), later.in()}});
}

}  // namespace heed::test
