// SPDX-License-Identifier: BSL-1.0
// How long the prompt and the tokens added to it took, and attention's share.
#pragma once

#include <chrono>
#include <cstdio>

#include "../decoder/session.hpp"

namespace generate {

// One stage: prefill or decode.
class stage {
 public:
  stage(const char* name, const decoder::session& session) : name_(name), session_(&session) {}

  template <class F> auto measured(std::size_t tokens, const F& f) {
    const double before = session_->attention_seconds();
    const auto start = std::chrono::steady_clock::now();
    const auto result = f();
    all_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    attention_ += session_->attention_seconds() - before;
    tokens_ += tokens;
    return result;
  }
  void report() const {
    std::fprintf(stderr, "%-8s %zu tokens, %.0f a second, %.0f %% of the time in attention\n",
                 name_, tokens_, all_ > 0 ? double(tokens_) / all_ : 0.0,
                 all_ > 0 ? 100 * attention_ / all_ : 0.0);
  }

 private:
  const char* name_;
  const decoder::session* session_;
  std::size_t tokens_ = 0;
  double all_ = 0, attention_ = 0;
};

}  // namespace generate
