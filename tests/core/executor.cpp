// SPDX-License-Identifier: BSL-1.0
#define EIGEN_USE_THREADS
#include <atomic>
#include <heed/core/executor.hpp>
#include <memory>
#include <stdexcept>
#include <unsupported/Eigen/CXX11/Tensor>
#include <vector>

#include "support/catch.hpp"

namespace {

// Every task ran once, by a worker that exists, and no worker was two at once.
template <class Executor> void check_contract(const Executor& executor, heed::index n) {
  const auto workers = static_cast<std::size_t>(executor.workers());
  std::vector<std::atomic<int>> ran(static_cast<std::size_t>(n)), busy(workers);
  std::atomic<bool> clash{false}, unknown{false};
  executor.for_each(n, [&](heed::index task, heed::index worker) {
    const auto w = static_cast<std::size_t>(worker);
    if (w >= workers) {
      unknown = true;
      return;
    }
    if (busy[w].exchange(1) != 0) clash = true;
    ++ran[static_cast<std::size_t>(task)];
    busy[w] = 0;
  });
  CHECK_FALSE(clash);
  CHECK_FALSE(unknown);
  int wrong = 0;
  for (const auto& count : ran) wrong += count != 1;
  CHECK(wrong == 0);
}

struct pool {
  explicit pool(int threads, int claimed) : threads_(threads), device(&threads_, claimed) {}
  Eigen::ThreadPool threads_;
  Eigen::ThreadPoolDevice device;
};

}  // namespace

TEST_CASE("serial runs in order on the only worker") {
  static_assert(heed::executor<heed::serial>);
  std::vector<heed::index> order;
  heed::serial{}.for_each(5, [&](heed::index task, heed::index worker) {
    CHECK(worker == 0);
    order.push_back(task);
  });
  CHECK(order == std::vector<heed::index>{0, 1, 2, 3, 4});
  CHECK(heed::serial{}.workers() == 1);
}

TEST_CASE("Eigen's pool is an executor") {
  for (int threads : {1, 2, 3, 16}) {
    const pool p(threads, threads);
    const auto executor = heed::on(p.device);
    static_assert(heed::executor<decltype(executor)>);
    CHECK(executor.workers() == threads);
    for (heed::index n : {0, 1, 2, 15, 16, 17, 1000}) check_contract(executor, n);
  }
  const pool more_than_it_has(2, 8);
  check_contract(heed::on(more_than_it_has.device), 500);
}

TEST_CASE("an exception of a task reaches the caller, once the others are done") {
  for (int threads : {1, 4}) {
    const pool p(threads, threads);
    std::atomic<int> running{0};
    const auto run = [&](heed::index bad) {
      heed::on(p.device).for_each(200, [&](heed::index task, heed::index) {
        ++running;
        const bool fail = task == bad;
        --running;
        if (fail) throw std::runtime_error("task " + std::to_string(task));
      });
    };
    for (heed::index bad : {0, 100, 199}) {
      CHECK_THROWS_WITH(run(bad), "task " + std::to_string(bad));
      CHECK(running == 0);
    }
    CHECK_NOTHROW(run(-1));
    CHECK_THROWS_AS(
        heed::executor_ref(heed::on(p.device))
            .for_each(9, [](heed::index, heed::index) { throw std::logic_error("all"); }),
        std::logic_error);
  }
}

TEST_CASE("a reference to any executor, serial if to none") {
  check_contract(heed::executor_ref(), 10);
  CHECK(heed::executor_ref().workers() == 1);
  const pool p(3, 3);
  const auto executor = heed::on(p.device);
  const heed::executor_ref ref = executor, copy = ref;
  CHECK(copy.workers() == 3);
  for (heed::index n : {0, 1, 2, 100}) check_contract(copy, n);
}
