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
  relative_symbols(const operand& a, const extents& rows) {
    if (!a.present()) return;
    load(a, rows[1]);
    mass_ = dense_rows(memory_[0], {rows[0], rows[1], rows[2], a.extent[2]});
    seen_.emplace(result(mass_));
  }
  relative_symbols(const relative_symbols&) = delete;
  relative_symbols& operator=(const relative_symbols&) = delete;

  // What is to watch the call.
  relative_mass* watcher() { return seen_ ? &*seen_ : nullptr; }

  // Once the call is done: S [B,H,Lq,Ds].
  template <class Arch> void sum(products<T, Arch>& by, const view<T>& s) const {
    if (!seen_) return;
    by.multiply({{mass_, table_}}, s);
    each_met([&](index b, index h, index i, index, const T* symbol, T weight) {
      for (index c = 0; c < s.extent[3]; ++c) s(b, h, i, c) += weight * symbol[c];
    });
  }
  // From dL/dS: what the call is to be given as `.observed`, and dL/da.
  template <class Arch>
  const observed_gradient* backward(products<T, Arch>& by, const view<T>& ds, const result& da) {
    if (!seen_) return nullptr;
    const auto d_mass = dense_rows(memory_[1], mass_.extent);
    by.multiply({{ds, transpose_of(table_)}}, d_mass);
    each_met([&](index b, index h, index i, index n, const T* symbol, T) {
      for (index c = 0; c < ds.extent[3]; ++c) d_mass(b, h, i, n) += ds(b, h, i, c) * symbol[c];
    });
    gradient_.emplace(*seen_, operand(d_mass));
    if (da.present() && da.extent[1] == mass_.extent[1]) {
      by.multiply_rows(mass_, ds, da);
    } else if (da.present()) {
      const auto each = dense_rows(memory_[2], {1, mass_.extent[1], da.extent[2], da.extent[3]});
      by.multiply_rows(mass_, ds, each);
      by.copy(each, da);
    }
    return &*gradient_;
  }

 private:
  // A row of the table with an infinity or a NaN: what no query meets may hold anything.
  struct odd {
    index h, n;
    std::vector<T> symbol;
  };

  // The table, with rows of zeros for those.
  void load(const operand& a, index heads) {
    const index own = a.extent[1], depth = a.extent[3];
    view<T> table = dense_rows(memory_[3], a.extent);
    for (index h = 0; h < own; ++h)
      for (index n = 0; n < a.extent[2]; ++n) {
        T* const row = memory_[3].data() + (h * a.extent[2] + n) * depth;
        simd::load_row(a.type, a.row(0, h, n), a.stride[3], depth, row);
        if (simd::all_finite(row, depth, 1, depth)) continue;
        odd_.push_back({h, n, std::vector<T>(row, row + depth)});
        std::fill_n(row, depth, T(0));
      }
    if (own == 1) table.extent[1] = heads, table.stride[1] = 0;
    table_ = table, own_ = own;
  }
  // f(b, h, i, n, symbol, π_in) where a row gives such a symbol weight.
  template <class F> void each_met(const F& f) const {
    const extents& e = mass_.extent;
    for (const odd& x : odd_)
      for (index b = 0; b < e[0]; ++b)
        for (index h = own_ == 1 ? 0 : x.h; h < (own_ == 1 ? e[1] : x.h + 1); ++h)
          for (index i = 0; i < e[2]; ++i)
            if (const T weight = mass_(b, h, i, x.n); weight != 0)
              f(b, h, i, x.n, x.symbol.data(), weight);
  }

  operand table_{};
  index own_ = 1;  // heads of the table as it was given
  std::vector<odd> odd_;
  std::vector<T> memory_[4];
  view<T> mass_{};
  std::optional<relative_mass> seen_;
  std::optional<relative_mass::gradient> gradient_;
};

}  // namespace heed::detail
