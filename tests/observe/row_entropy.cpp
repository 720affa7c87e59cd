// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/row_entropy.hpp>
#include <heed/reference/observe/row_entropy.hpp>

#include "support/observed.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

template <class T> void agrees() {
  each_observed_call<T>([](const auto& spec, const auto& q, const auto& k, const auto& v,
                           const std::vector<observed_head>& heads) {
    auto h = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], 1});
    auto out = unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
    auto plain = out;
    row_entropy entropy(h.in());
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &entropy});
    attend(spec, q.in(), k.in(), v.in(), plain.in());
    CHECK(out.data == plain.data);
    for (const observed_head& t : heads)
      check_close(rows_of(h, t), MatrixXd(reference::observe::row_entropy(t.p)),
                  weight_tolerance<T>(t, q.extent[3]) * (1 + std::log(1 + double(t.s.cols()))),
                  t.where);
  });
}

}  // namespace

TEST_CASE("row_entropy is that of the reference") {
  agrees<float>();
  agrees<double>();
}

TEST_CASE("row_entropy keeps its digits where all scores are large") {
  // Scores 1000 + x: lse - Σ p s would cancel.
  const index n = 200;
  tensor<> q({1, 1, 1, 2}, 1.f), k({1, 1, n, 2}, 0.f), v({1, 1, n, 1}, 0.f), h({1, 1, 1, 1});
  for (index j = 0; j < n; ++j) k(0, 0, j, 0) = 1000, k(0, 0, j, 1) = float(j % 4);
  tensor<> out({1, 1, 1, 1});
  row_entropy entropy(h.in());
  attend(attention{.scale = 1.0}, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &entropy});
  double sum = 0, mean = 0;
  for (int i = 0; i < 4; ++i) sum += 50 * std::exp(double(i)), mean += 50 * i * std::exp(double(i));
  // Rounded to ulp of 1000 in the scores alone: those are integers.
  CHECK(double(h(0, 0, 0)) == Approx(std::log(sum) - mean / sum).margin(2e-4));
}

TEST_CASE("row_entropy of one key, of none and of equal keys") {
  tensor<> q({1, 1, 3, 4}, 1.f), k({1, 1, 2, 4}, 1.f), v({1, 1, 2, 1}, 1.f), h({1, 1, 3, 1}),
      out({1, 1, 3, 1});
  row_entropy entropy(h.in());
  attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(),
         {.out = out.in(), .observe = &entropy});
  CHECK(h(0, 0, 0) == 0);
  CHECK(h(0, 0, 1) == 0);
  CHECK(h(0, 0, 2) == Approx(std::log(2.0)));
}

TEST_CASE("row_entropy sees a score of -inf as a hidden key") {
  tensor<> q({1, 1, 3, 4}, 1.f), k({1, 1, 5, 4}, 1.f), v({1, 1, 5, 1}, 1.f), h({1, 1, 3, 1}),
      out({1, 1, 3, 1});
  const auto score = [](auto s, auto at) {
    return heed::simd::select(at.k <= 2, s, decltype(s)(-std::numeric_limits<float>::infinity()));
  };
  row_entropy entropy(h.in());
  attend(attention{.score = score}, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &entropy});
  for (index i = 0; i < 3; ++i) CHECK(h(0, 0, i) == Approx(std::log(3.0)));
}

TEST_CASE("row_entropy has the same bits for any number of threads") {
  const auto q = random<float>({2, 4, 100, 8}, 1), k = random<float>({2, 2, 300, 8}, 2),
             v = random<float>({2, 2, 300, 4}, 3);
  same_for_any_crew([&](executor_ref crew) {
    auto h = unwritten<float>({2, 4, 100, 1}), out = unwritten<float>({2, 4, 100, 4});
    row_entropy entropy(h.in());
    attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(),
           {.out = out.in(), .observe = &entropy}, crew);
    return h.data;
  });
}

TEST_CASE("row_entropy refuses what does not fit, before anything is written") {
  const auto q = random<float>({1, 2, 3, 4}, 1);
  tensor<> out({1, 2, 3, 4}, 7.f), h({1, 2, 4, 1}), good({1, 2, 3, 1});
  row_entropy entropy(h.in()), fits(good.in());
  CHECK_THROWS_WITH(
      attend(attention{}, q.in(), q.in(), q.in(), {.out = out.in(), .observe = &entropy}),
      ContainsSubstring("[1, 2, 3, 1]"));
  CHECK_THROWS_WITH(attend(attention{.normalizer = sigmoid{}}, q.in(), q.in(), q.in(),
                           {.out = out.in(), .observe = &fits}),
                    ContainsSubstring("softmax"));
  CHECK_THROWS_AS(row_entropy::gradient(fits, h.in()), std::invalid_argument);
  CHECK(std::all_of(out.data.begin(), out.data.end(), [](float x) { return x == 7.f; }));
}

}  // namespace heed::test
