// SPDX-License-Identifier: BSL-1.0
// Same bits for any number of workers and any order of tasks.
#define EIGEN_USE_THREADS
#include <algorithm>
#include <atomic>
#include <cmath>
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/first_keys.hpp>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>
#include <unsupported/Eigen/CXX11/Tensor>
#include <vector>

#include "support/catch.hpp"
#include "support/executors.hpp"

namespace {

struct call {
  heed::extents q, k, v;
  std::vector<float> qs = random(q), ks = random(k), vs = random(v);

  static std::vector<float> random(const heed::extents& e) {
    static std::mt19937 generator(7);
    std::uniform_real_distribution<float> uniform(-2, 2);
    std::vector<float> x(static_cast<std::size_t>(e[0] * e[1] * e[2] * e[3]));
    for (float& value : x) value = uniform(generator);
    return x;
  }
  // out and lse, one after the other.
  std::vector<float> operator()(const heed::executor_ref& executor,
                                heed::workspace_ref scratch = {}) const {
    const heed::index rows = q[0] * q[1] * q[2];
    std::vector<float> both(static_cast<std::size_t>(rows * (v[3] + 1)), std::nanf(""));
    const heed::view<float> out(both.data(), {q[0], q[1], q[2], v[3]}),
        lse(both.data() + rows * v[3], {q[0], q[1], q[2], 1});
    heed::attend(heed::attention{.mask = heed::causal{}}, heed::view<const float>(qs.data(), q),
                 heed::view<const float>(ks.data(), k), heed::view<const float>(vs.data(), v),
                 {.out = out, .lse = lse}, executor, scratch);
    return both;
  }
};

const std::vector<call> calls{{{2, 8, 301, 40}, {2, 2, 301, 40}, {2, 2, 301, 24}},
                              {{1, 1, 1, 64}, {1, 1, 700, 64}, {1, 1, 700, 64}},
                              {{3, 4, 7, 5}, {3, 4, 90, 5}, {3, 4, 90, 130}},
                              {{1, 16, 130, 32}, {1, 1, 520, 32}, {1, 1, 520, 32}}};

}  // namespace

TEST_CASE("the number of threads changes no bit") {
  for (const call& c : calls) {
    const std::vector<float> expected = c(heed::serial{});
    REQUIRE(std::none_of(expected.begin(), expected.end(), [](float x) { return std::isnan(x); }));
    heed::workspace scratch;
    for (int threads : {1, 2, 3, 16}) {
      Eigen::ThreadPool pool(threads);
      const Eigen::ThreadPoolDevice device(&pool, threads);
      CHECK(c(heed::on(device)) == expected);
      CHECK(c(heed::on(device), scratch) == expected);
    }
  }
}

TEST_CASE("nor do other executors and orders of tasks") {
  for (const call& c : calls) {
    const std::vector<float> expected = c(heed::serial{});
    CHECK(c(heed::test::backwards{5}) == expected);
    CHECK(c(heed::test::each_thread{4}) == expected);
    for (unsigned seed = 0; seed < 5; ++seed)
      CHECK(c(heed::test::shuffled{heed::index{1} << seed, seed}) == expected);
  }
}

TEST_CASE("threads may call at once, each with a workspace of its own") {
  const call& c = calls.front();
  const std::vector<float> expected = c(heed::serial{});
  std::vector<std::vector<float>> results(3);
  std::vector<std::thread> threads;
  for (auto& r : results) threads.emplace_back([&] { r = c(heed::serial{}); });
  for (std::thread& t : threads) t.join();
  for (const auto& r : results) CHECK(r == expected);
}

TEST_CASE("what a policy throws reaches the caller of any executor") {
  const auto spec = heed::attention{.score = [](float s, const heed::position& at) {
    if (at.k == 50 && at.h == 3) throw std::runtime_error("score of key 50");
    return s;
  }};
  const call& c = calls.front();
  std::vector<float> out(static_cast<std::size_t>(2 * 8 * 301 * 24));
  const auto run = [&](const heed::executor_ref& executor) {
    heed::attend(spec, heed::view<const float>(c.qs.data(), c.q),
                 heed::view<const float>(c.ks.data(), c.k),
                 heed::view<const float>(c.vs.data(), c.v),
                 heed::view<float>(out.data(), {2, 8, 301, 24}), executor);
  };
  Eigen::ThreadPool pool(4);
  const Eigen::ThreadPoolDevice device(&pool, 4);
  CHECK_THROWS_WITH(run(heed::on(device)), "score of key 50");
  CHECK_THROWS_WITH(run(heed::serial{}), "score of key 50");
}

// Keys are packed by the first task that needs them: nobody may wait for the one that failed.
TEST_CASE("what a key transform throws reaches the caller, once or every time") {
  const call& c = calls.front();
  std::vector<float> out(static_cast<std::size_t>(2 * 8 * 301 * 24));
  const auto run = [&](const auto& key, const heed::executor_ref& executor) {
    heed::attend(heed::attention{.key = key}, heed::view<const float>(c.qs.data(), c.q),
                 heed::view<const float>(c.ks.data(), c.k),
                 heed::view<const float>(c.vs.data(), c.v),
                 heed::view<float>(out.data(), {2, 8, 301, 24}), executor);
  };
  const auto always = [](float*, heed::index, const heed::row_position& at) {
    if (at.row == 250) throw std::runtime_error("key 250");
  };
  for (int threads : {1, 2, 4}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    for (int i = 0; i < 20; ++i) {
      CHECK_THROWS_WITH(run(always, heed::on(device)), "key 250");
      std::atomic<bool> thrown{false};
      const auto once = [&](float*, heed::index, const heed::row_position& at) {
        if (at.row == 250 && !thrown.exchange(true)) throw std::runtime_error("key 250");
      };
      CHECK_THROWS_WITH(run(once, heed::on(device)), "key 250");
    }
  }
  CHECK_THROWS_WITH(run(always, heed::serial{}), "key 250");
}

TEST_CASE("a key is packed once a head, and only in tiles that some query sees") {
  const auto count = [](const call& c, const auto& mask, const heed::executor_ref& executor) {
    std::vector<std::atomic<int>> packed(static_cast<std::size_t>(c.k[2]));
    const auto key = [&](float*, heed::index, const heed::row_position& at) {
      ++packed[static_cast<std::size_t>(at.row)];
    };
    const heed::extents to{c.q[0], c.q[1], c.q[2], c.v[3]};
    std::vector<float> out(static_cast<std::size_t>(to[0] * to[1] * to[2] * to[3]));
    heed::attend(
        heed::attention{.mask = mask, .key = key}, heed::view<const float>(c.qs.data(), c.q),
        heed::view<const float>(c.ks.data(), c.k), heed::view<const float>(c.vs.data(), c.v),
        heed::view<float>(out.data(), to), executor);
    return std::vector<int>(packed.begin(), packed.end());
  };
  const call& c = calls.front();
  const std::vector<int> once(301, 2 * 2);
  Eigen::ThreadPool pool(4);
  const Eigen::ThreadPoolDevice device(&pool, 4);
  CHECK(count(c, heed::full{}, heed::on(device)) == once);
  CHECK(count(c, heed::causal{}, heed::test::shuffled{3, 1}) == once);
  CHECK(count(c, heed::causal{}, heed::serial{}) == once);
  const std::vector<int> seen = count(calls.back(), heed::first_keys{1}, heed::serial{});
  CHECK(seen.front() == 1);
  CHECK(seen.back() == 0);
}
