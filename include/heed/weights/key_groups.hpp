// SPDX-License-Identifier: BSL-1.0
// A partition of the keys: labels [B|1, H|1, Lk], small integers from 0 on, borrowed for the call;
// and the mask of one group. Runs of one label are one span each, so that what lies in other groups
// is skipped.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/mask/concept.hpp>
#include <span>
#include <vector>

namespace heed {

struct key_groups {
  std::span<const int> labels{};
  index batch = 1, heads = 1;

  constexpr index length() const {
    return index(labels.size()) / std::max<index>(batch * heads, 1);
  }
  constexpr index part(index b, index h) const {
    return (batch == 1 ? 0 : b) * heads + (heads == 1 ? 0 : h);
  }
  constexpr index operator()(index b, index h, index k) const {
    return labels[static_cast<std::size_t>(part(b, h) * length() + k)];
  }

  void check(const char* policy, const problem_shape& shape, index groups) const {
    if ((batch != 1 && batch != shape.batch) || (heads != 1 && heads != shape.heads) ||
        index(labels.size()) != batch * heads * shape.keys)
      check::fail(policy, "labels must be [B|1, H|1, Lk]: " + std::to_string(labels.size()) +
                              " labels for " + std::to_string(batch) + " x " +
                              std::to_string(heads) + " x " + std::to_string(shape.keys));
    for (const int label : labels)
      if (label < 0 || label >= groups)
        check::fail(policy, "labels must lie in [0, " + std::to_string(groups) + "), not " +
                                std::to_string(label));
  }
};

namespace detail {

class group_mask {
 public:
  static constexpr bool exact = true;

  group_mask(const key_groups& groups, index group)
      : groups_(groups),
        group_(group),
        first_(static_cast<std::size_t>(groups.batch * groups.heads) + 1) {
    const index length = groups.length();
    for (std::size_t part = 0; part + 1 < first_.size(); ++part) {
      const int* const label = groups.labels.data() + static_cast<index>(part) * length;
      for (index k = 0; k < length; ++k) {
        if (label[k] != group) continue;
        span run{k, k + 1};
        while (run.end < length && label[run.end] == group) ++run.end;
        runs_.push_back(run);
        k = run.end;
      }
      first_[part + 1] = runs_.size();
    }
  }
  bool operator()(const position& at) const { return groups_(at.b, at.h, at.k) == group_; }
  template <class F> void intervals(const position& at, index keys, F emit) const {
    const auto part = static_cast<std::size_t>(groups_.part(at.b, at.h));
    for (std::size_t i = first_[part]; i < first_[part + 1]; ++i) {
      const span run{runs_[i].begin, std::min(runs_[i].end, keys)};
      if (!run.empty()) emit(run);
    }
  }

 private:
  key_groups groups_;
  index group_;
  std::vector<std::size_t> first_;  // run of each part, and the end
  std::vector<span> runs_;
};

// The mask of one group by reference: masks are copied into specs.
struct one_group {
  const group_mask* of;

  static constexpr bool exact = true;
  bool operator()(const position& at) const { return (*of)(at); }
  template <class F> void intervals(const position& at, index keys, F emit) const {
    of->intervals(at, keys, emit);
  }
};

}  // namespace detail

}  // namespace heed
