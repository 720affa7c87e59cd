// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/shapes.hpp"
#include "../support/timing.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <time.h>
#include <unistd.h>

namespace bench {

// Contiguous [batch, heads, length, dim] operands; `out` is the peer's own.
struct problem {
  shape form;
  const float* q;
  const float* k;
  const float* v;
  float* out;
};

// Another implementation of the same attention. Everything that a caller would do once per model
// (allocation, compilation of kernels, sessions) belongs in `prepare`, the rest in `run`.
class peer {
 public:
  virtual ~peer() = default;

  virtual std::string name() const = 0;
  virtual bool supports(const shape& form) const = 0;
  virtual void prepare(const problem& task) = 0;
  // Seconds a run, measured where the work is done.
  virtual double run(int times) = 0;
  // Brings the result of the last run into `problem::out`.
  virtual void fetch() {}
  // Frees what `prepare` took.
  virtual void release() {}
};

// Worker threads of OpenMP and of ONNX Runtime spin for a while after their work. Waits until the
// process (this one by default) rests, so that they do not slow down the next contender.
inline void rest_after_spinning(int threads, pid_t process = ::getpid()) {
  clockid_t clock{};
  if (threads < 2 || ::clock_getcpuclockid(process, &clock) != 0) return;
  const auto used = [&] {
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  // The kernel brings the clock of a running thread up to date at its ticks, 10 ms apart at most.
  for (int tries = 0; tries < 20; ++tries) {
    const double before = used();
    std::this_thread::sleep_for(std::chrono::milliseconds(12));
    if (used() - before < 1e-3) return;
  }
}

using peer_list = std::vector<std::unique_ptr<peer>>;

}  // namespace bench
