// SPDX-License-Identifier: BSL-1.0
// com.microsoft.LinearAttention of ONNX Runtime: over whole sequences, or for a token on states
// whose turns come one by one. See ort.mjs.
#pragma once

#include "../support/recurrence_kinds.hpp"
#include "ort.hpp"

namespace bench {

class ort_recurrence {
 public:
  // `past`: the state [heads, dim, dim] that each of `layers` layers has of its own; none: no past.
  ort_recurrence(ort_process& process, const kinds::ort_rule& rule, const sequences& x, index first,
                 index count, int threads, const float* past = nullptr, index layers = 0)
      : process_(process), threads_(threads), heads_(x.heads()), count_(count), dim_(x.dim()) {
    const some_tokens some{x, first, count};
    put("q", some[sequences::q], rule.silu);
    put("k", some[sequences::k], rule.silu);
    put("v", some[sequences::v]);
    index width = 0;
    if (rule.decay == kinds::ort_rule::constant) {
      const heed::view<const float> log = x.constant();
      put("decay", {log.data, {1, heads_, count, 1}, {0, 1, 0, 1}});
      width = 1;
    } else if (rule.decay != kinds::ort_rule::none) {
      const auto part =
          rule.decay == kinds::ort_rule::scalar ? sequences::scalar : sequences::channels;
      put("decay", some[part]);
      width = x.width(part);
    }
    if (rule.beta) put("beta", some[sequences::beta]);
    if (layers > 0) process_.put("past", past, heads_ * dim_ * dim_);
    std::string line = std::string("recur linear_attention ") + rule.rule;
    for (const index n : {heads_, count, dim_, width, index{rule.beta}, index{threads}, layers})
      line.append(" ").append(std::to_string(n));
    process_.ask(line + " " + std::to_string(rule.scaled ? kinds::root_of(x) : 1.0));
  }
  ~ort_recurrence() { process_.ask("release linear_attention"); }
  ort_recurrence(const ort_recurrence&) = delete;
  ort_recurrence& operator=(const ort_recurrence&) = delete;

  // Seconds a run, or a layer.
  double run(int times) {
    const double nanoseconds =
        std::strtod(process_.ask("run linear_attention " + std::to_string(times)).c_str(), nullptr);
    rest_after_spinning(threads_, process_.id());
    return 1e-9 * nanoseconds;
  }
  // [1, heads, count, dim], of the first layer.
  buffer<float> fetch() {
    buffer<float> out(static_cast<std::size_t>(heads_ * count_ * dim_));
    process_.ask("fetch linear_attention");
    process_.get("out", out.data(), heads_ * count_ * dim_);
    return out;
  }

 private:
  // As [count, heads, width].
  void put(const std::string& file, const heed::view<const float>& x, bool silu = false) {
    buffer<float> rows;
    rows.reserve(static_cast<std::size_t>(x.extent[1] * x.extent[2] * x.extent[3]));
    for (index t = 0; t < x.extent[2]; ++t)
      for (index h = 0; h < x.extent[1]; ++h)
        for (index c = 0; c < x.extent[3]; ++c) {
          const float y = x(0, h, t, c);
          rows.push_back(silu ? y / (1 + std::exp(-y)) : y);
        }
    process_.put(file, rows.data(), static_cast<index>(rows.size()));
  }

  ort_process& process_;
  int threads_;
  index heads_, count_, dim_;
};

// The process, one for all cases; none where no folder was given.
inline ort_process* ort_for(const trial& t) {
  static const auto process = t.ort().empty() ? nullptr : std::make_unique<ort_process>(t.ort());
  return process.get();
}

}  // namespace bench
