// SPDX-License-Identifier: BSL-1.0
// Threads come from the caller: an executor is anything with `workers()` and
// `for_each(n, f(task, worker))`, where no two calls run with the same worker at once.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <exception>
#include <heed/core/position.hpp>
#include <mutex>
#include <thread>
#include <type_traits>

namespace heed {

struct serial {
  constexpr index workers() const { return 1; }
  template <class F> void for_each(index n, F&& f) const {
    for (index i = 0; i < n; ++i) f(i, index{0});
  }
};

template <class E>
concept executor = requires(const E& e, void (*f)(index, index)) {
  { e.workers() } -> std::convertible_to<index>;
  e.for_each(index{}, f);
};

// A pool with Eigen's interface: numThreads() and parallelFor(n, cost, f(first, last)). Tasks are
// handed out one by one; the first exception that a task throws is rethrown to the caller.
template <class Device> class device_executor {
 public:
  explicit device_executor(const Device& device) : device_(&device) {}
  index workers() const { return std::max<index>(1, device_->numThreads()); }

  template <class F> void for_each(index n, F&& f) const {
    const index crew = std::min(workers(), n);
    if (crew <= 1) return serial{}.for_each(n, f);
    std::atomic<index> next{0}, busy{crew};
    std::exception_ptr error;
    std::mutex guard;
    const auto work = [&](index first, index last) {
      for (index worker = first; worker < last; ++worker) try {
          for (index i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) f(i, worker);
        } catch (...) {
          next.store(n, std::memory_order_relaxed);
          const std::lock_guard lock(guard);
          if (!error) error = std::current_exception();
        }
      busy.fetch_sub(last - first, std::memory_order_release);
      // Eigen's pool runs worker 0 on the calling thread, which would sleep until the others are
      // done and take as long to wake as a small task takes to run.
      if (first == 0)
        for (int i = 0; i < 1000 && busy.load(std::memory_order_acquire) > 0; ++i)
          std::this_thread::yield();
    };
    constexpr double cycles = 1e9;  // "every task is worth a thread"
    device_->parallelFor(crew, {0.0, 0.0, cycles}, work);
    if (error) std::rethrow_exception(error);
  }

 private:
  const Device* device_;
};

// The device must outlive the executor.
template <class Device>
  requires requires(const Device& d) { d.numThreads(); }
device_executor<Device> on(const Device& device) {
  return device_executor<Device>(device);
}

// Type-erased, so that engines are compiled once for all executors.
class executor_ref {
 public:
  executor_ref() : executor_ref(default_) {}
  template <executor E>
    requires(!std::same_as<E, executor_ref>)
  executor_ref(const E& e)  // NOLINT: every executor is one
      : object_(&e), workers_(e.workers()), run_([](const void* o, index n, task t) {
          static_cast<const E*>(o)->for_each(n, [t](index i, index w) { t.call(t.object, i, w); });
        }) {}

  index workers() const { return workers_; }
  template <class F> void for_each(index n, F&& f) const {
    if (n == 1) return f(index{0}, index{0});
    using body = std::remove_reference_t<F>;
    run_(object_, n, {&f, [](const void* o, index i, index w) {
                        (*const_cast<body*>(static_cast<const body*>(o)))(i, w);
                      }});
  }

 private:
  struct task {
    const void* object;
    void (*call)(const void*, index, index);
  };
  static constexpr serial default_{};

  const void* object_;
  index workers_;
  void (*run_)(const void*, index, task);
};

}  // namespace heed
