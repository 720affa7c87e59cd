// SPDX-License-Identifier: BSL-1.0
// Symbols of value/relational that name how far apart two tokens are:
//
//   S_i^h = Σ_j p_ij^h a_{clip(j−i, −m, m)} = π_i^h a        π: observe/relative_mass
//
// One pass beside the call and a product of rows; nothing of the size of p is kept. The gradient of
// π goes back into the call as that of an observer.
#pragma once

#include <heed/attention/dense_rows.hpp>
#include <heed/heads/products.hpp>
#include <heed/observe/relative_mass.hpp>
#include <optional>

namespace heed::detail {

template <class T> class relative_symbols {
 public:
  // a [1,1|H,2m+1,Ds], or absent; of rows [B,H,Lq].
  relative_symbols(const operand& a, const extents& rows) : table_(a) {
    if (!a.present()) return;
    if (table_.extent[1] == 1) table_.extent[1] = rows[1], table_.stride[1] = 0;
    mass_ = dense_rows(memory_[0], {rows[0], rows[1], rows[2], a.extent[2]});
    seen_.emplace(result(mass_));
  }
  relative_symbols(const relative_symbols&) = delete;
  relative_symbols& operator=(const relative_symbols&) = delete;

  // What is to watch the call.
  relative_mass* watcher() { return seen_ ? &*seen_ : nullptr; }

  // Once the call is done: S [B,H,Lq,Ds].
  template <class Arch> void sum(products<T, Arch>& by, const view<T>& s) const {
    if (seen_) by.multiply({{mass_, table_}}, s);
  }
  // From dL/dS: what the call is to be given as `.observed`, and dL/da.
  template <class Arch>
  const observed_gradient* backward(products<T, Arch>& by, const view<T>& ds, const result& da) {
    if (!seen_) return nullptr;
    const auto d_mass = dense_rows(memory_[1], mass_.extent);
    by.multiply({{ds, transpose_of(table_)}}, d_mass);
    gradient_.emplace(*seen_, operand(d_mass));
    if (da.present() && da.extent[1] == mass_.extent[1]) {
      by.multiply_rows(mass_, ds, da);
    } else if (da.present()) {
      const auto each = dense_rows(memory_[2], table_.extent);
      by.multiply_rows(mass_, ds, each);
      by.copy(each, da);
    }
    return &*gradient_;
  }

 private:
  operand table_;
  std::vector<T> memory_[3];
  view<T> mass_{};
  std::optional<relative_mass> seen_;
  std::optional<relative_mass::gradient> gradient_;
};

}  // namespace heed::detail
