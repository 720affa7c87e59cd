// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <time.h>
#include <unistd.h>

namespace bench {

inline double now() {
  using clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

// Seconds a call, over `times` calls.
template <class F> double seconds_per_call(int times, F&& call) {
  const double start = now();
  for (int i = 0; i < times; ++i) {
    call();
  }
  return (now() - start) / times;
}

class samples {
 public:
  void add(double seconds) { all_.push_back(seconds); }
  std::size_t count() const { return all_.size(); }
  double best() const { return all_.empty() ? nan() : *std::min_element(all_.begin(), all_.end()); }

  double median() const {
    if (all_.empty()) {
      return nan();
    }
    auto sorted = all_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    return *middle;
  }

 private:
  static double nan() { return std::numeric_limits<double>::quiet_NaN(); }

  std::vector<double> all_;
};

// The share of one processor that other processes used between `start` and `stop`, summed over
// many such spans, as far as the kernel's ticks tell.
class neighbours {
 public:
  void start() { before_ = all() - own(), since_ = now(); }
  void stop() { used_ += all() - own() - before_, watched_ += now() - since_; }
  double share() const { return watched_ > 0 ? std::max(0.0, used_ / watched_) : 0; }

 private:
  static double all() {
    std::ifstream file("/proc/stat");
    std::string cpu;
    double user = 0, nice = 0, system = 0;
    file >> cpu >> user >> nice >> system;
    return (user + nice + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  static double own() {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }

  double before_ = 0, since_ = 0, used_ = 0, watched_ = 0;
};

// Something to time: `run(times)` returns seconds a run.
struct contender {
  std::string name;
  std::function<double(int times)> run;
};

struct budget {
  double seconds = 1;
  std::size_t least_rounds = 5;
  std::size_t most_rounds = 400;
  double shortest_sample = 1e-3;
};

// A contender timed on the caller's clock.
template <class F> contender timed(std::string name, F call) {
  return {std::move(name), [call](int times) { return seconds_per_call(times, call); }};
}

// Times all contenders in turns: first, second, first, third, … so that what the machine does
// beside us falls on all of them alike. Calls shorter than a sample are timed in blocks.
inline std::vector<samples> interleave(const std::vector<contender>& field, const budget& limit,
                                       neighbours& others) {
  std::vector<int> times;
  for (const contender& one : field) {
    one.run(1);
    const double once = std::max(one.run(1), 1e-9);
    times.push_back(
        static_cast<int>(std::clamp(std::ceil(limit.shortest_sample / once), 1.0, 1e5)));
  }
  std::vector<samples> result(field.size());
  const double start = now();
  for (std::size_t round = 0; round < limit.most_rounds; ++round) {
    if (round >= limit.least_rounds && now() - start > limit.seconds) {
      break;
    }
    for (std::size_t i = std::min<std::size_t>(1, field.size() - 1); i < field.size(); ++i) {
      others.start();
      result[0].add(field[0].run(times[0]));
      others.stop();
      if (i > 0) {
        result[i].add(field[i].run(times[i]));
      }
    }
  }
  return result;
}

}  // namespace bench
