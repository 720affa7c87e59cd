// SPDX-License-Identifier: BSL-1.0
// What a call writes.
#pragma once

#include <heed/core/storage.hpp>

namespace heed {

// Called once per query row, from the worker that finished it: the row's largest score and the sum
// of its weights before normalising, as the normaliser keeps them.
struct observer {
  virtual void row(const row_position& at, double max, double sum) = 0;

 protected:
  ~observer() = default;
};

// out [B,H,Lq,Dv] is required; lse [B,H,Lq] = log Σ_j e^{s_ij} only if present.
struct outputs {
  result out{};
  result lse{};
  observer* observe = nullptr;
};

}  // namespace heed
