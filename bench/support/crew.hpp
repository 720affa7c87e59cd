// SPDX-License-Identifier: BSL-1.0
// Threads for ours and for the peers that have none of their own: the same pool, the same places.
#pragma once

#include "shapes.hpp"

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sched.h>

namespace bench {

// The processors this process may use, as they were at the first call.
inline const std::vector<int>& processors() {
  static const std::vector<int> all = [] {
    std::vector<int> found;
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) {
      for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
    }
    return found;
  }();
  return all;
}

inline void place(const std::vector<int>& where) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : where) CPU_SET(cpu, &set);
  ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

// Keeps the calling thread on the first processor while it leads a crew, whose workers stay on the
// others: a kernel may otherwise leave caller and worker on one processor for many milliseconds.
class leading {
 public:
  explicit leading(int threads)
      : placed_(threads > 1 && static_cast<int>(processors().size()) >= threads) {
    if (placed_) place({processors().front()});
  }
  ~leading() {
    if (placed_) place(processors());
  }
  leading(const leading&) = delete;
  leading& operator=(const leading&) = delete;

 private:
  bool placed_;
};

// Environment of an Eigen thread pool whose thread i stays on processor i + 1.
class placed_environment {
 public:
  struct Task {
    std::function<void()> f;
  };
  class EnvThread {
   public:
    explicit EnvThread(std::function<void()> f) : thread_(std::move(f)) {}
    ~EnvThread() { thread_.join(); }
    void OnCancel() {}

   private:
    std::thread thread_;
  };

  EnvThread* CreateThread(std::function<void()> f) {
    const auto cpu = static_cast<std::size_t>(++created_);
    return new EnvThread([cpu, work = std::move(f)] {
      if (cpu < processors().size()) place({processors()[cpu]});
      work();
    });
  }
  Task CreateTask(std::function<void()> f) { return {std::move(f)}; }
  void ExecuteTask(const Task& task) { task.f(); }

 private:
  int created_ = 0;
};

// The caller is one of the threads, so a crew of n needs a pool of n - 1.
using placed_pool = Eigen::ThreadPoolTempl<placed_environment>;

// `threads` workers, the calling thread among them, that share tasks from one counter.
class crew {
 public:
  explicit crew(int threads) : threads_(threads) {
    if (threads > 1) pool_ = std::make_unique<placed_pool>(threads - 1);
  }

  // Calls f(task, worker) for every task in [0, count).
  template <class F> void each(index count, const F& f) {
    std::atomic<index> next{0};
    const auto work = [&](int worker) {
      for (index task = next++; task < count; task = next++) f(task, worker);
    };
    if (!pool_ || count < 2) return work(0);
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
  std::unique_ptr<placed_pool> pool_;
};

}  // namespace bench
