// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "shapes.hpp"

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <atomic>
#include <memory>

namespace bench {

// `threads` workers, the calling thread among them, that share tasks from one counter.
class crew {
 public:
  explicit crew(int threads) : threads_{threads} {
    if (threads > 1) {
      pool_ = std::make_unique<Eigen::ThreadPool>(threads - 1);
    }
  }

  int size() const { return threads_; }

  // Calls f(task, worker) for every task in [0, count).
  template <class F> void each(index count, const F& f) {
    std::atomic<index> next{0};
    const auto work = [&](int worker) {
      for (index task = next++; task < count; task = next++) {
        f(task, worker);
      }
    };
    if (!pool_ || count < 2) {
      return work(0);
    }
    Eigen::Barrier done(static_cast<unsigned>(threads_ - 1));
    for (int worker = 1; worker < threads_; ++worker) {
      pool_->Schedule([&, worker] {
        work(worker);
        done.Notify();
      });
    }
    work(0);
    done.Wait();
  }

 private:
  int threads_;
  std::unique_ptr<Eigen::ThreadPool> pool_;
};

}  // namespace bench
