// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <numbers>

#include "../decoder/state.hpp"

namespace train_text {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// One line that is rewritten on a terminal; elsewhere a line every ten seconds.
class progress {
 public:
  progress(const decoder::recipe& r, decoder::index first) : recipe_(r), first_(first) {}

  void step(decoder::index done, double nats) {
    const double weight = std::max(0.02, 1 / ++seen_);
    mean_ += weight * (nats / std::numbers::ln2 - mean_);
    const double now = seconds();
    if (now - shown_ < (terminal_ ? 0.5 : 10) && done < recipe_.steps) return;
    shown_ = now;
    const double rate = double(done - first_) / (now - start_);
    const int left = static_cast<int>(double(recipe_.steps - done) / rate);
    std::printf("%sstep %5td of %td   loss %.3f bits a byte   %.0f tokens/s   %d:%02d left%s",
                terminal_ ? "\r" : "", done, recipe_.steps, mean_, rate * double(recipe_.tokens()),
                left / 60, left % 60, terminal_ ? "  " : "\n");
    std::fflush(stdout);
  }
  void end() const {
    if (terminal_) std::printf("\n");
  }
  double elapsed() const { return seconds() - start_; }

 private:
  decoder::recipe recipe_;
  decoder::index first_;
  bool terminal_ = isatty(STDOUT_FILENO) != 0;
  double start_ = seconds(), shown_ = 0, mean_ = 0, seen_ = 0;
};

}  // namespace train_text
