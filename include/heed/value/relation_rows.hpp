// SPDX-License-Identifier: BSL-1.0
// The second kind of queries and keys of value/relational, and their products r_ij^l = c
// q_i^l·k_j^l, a panel of queries against a tile of keys.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/simd/rows.hpp>

namespace heed::detail {

// q, k [B,R,L,Dr]. A row is of a sequence as in the call: `offset` rows into its item.
template <class T, class Arch> class relation_rows {
  static constexpr index W = simd::width<T, Arch>, widest = simd::shape<T, Arch>::panel;

 public:
  relation_rows(const operand& q, const operand& k, double scale)
      : q_(q), k_(k), scale_(static_cast<T>(scale)) {}

  index count() const { return q_.extent[1]; }
  index depth() const { return q_.extent[3]; }
  // Numbers of a panel of queries, of a tile of `height` keys, and of their rows on the way.
  index of_queries() const { return count() * depth() * widest; }
  index of_keys(index height) const { return count() * height * depth(); }
  index of_row() const { return W * depth(); }

  // c q_l of rows [first, first + some) as [l][channel][lane]; whether all are finite.
  bool queries(const sequence& s, index first, index some, index pitch, T* rows, T* to) const {
    bool finite = true;
    std::fill_n(to, of_queries(), T(0));
    for (index l = 0; l < count(); ++l)
      for (index lane = 0; lane < some; lane += W) {
        const index n = std::min(W, some - lane);
        for (index i = 0; i < n; ++i)
          simd::load_row(q_.type, q_.row(s.batch, l, s.row + first + lane + i), q_.stride[3],
                         depth(), rows + i * depth());
        finite = simd::all_finite(rows, depth(), n, depth()) && finite;
        simd::to_lanes<T, Arch>(rows, depth(), n, depth(), scale_, to + l * depth() * widest + lane,
                                pitch);
      }
    return finite;
  }
  // k_l as [l][key][channel], `height` keys apart; whether all are finite.
  bool keys(const sequence& s, span some, index height, T* to) const {
    bool finite = true;
    for (index l = 0; l < count(); ++l, to += height * depth()) {
      for (index j = 0; j < some.size(); ++j)
        simd::load_row(k_.type, k_.row(s.batch, l, s.slot + some.begin + j), k_.stride[3], depth(),
                       to + j * depth());
      finite = simd::all_finite(to, depth(), some.size(), depth()) && finite;
    }
    return finite;
  }
  // r as [l][key][lane], `block` from one relation to the next.
  void products(const T* q, const T* k, index height, index some, index pitch, T* r,
                index block) const {
    for (index l = 0; l < count(); ++l)
      simd::scores<T, Arch>(pitch / W, k + l * height * depth(), depth(), some,
                            q + l * depth() * widest, pitch, depth(), r + l * block, pitch);
  }

 private:
  const operand &q_, &k_;
  T scale_;
};

}  // namespace heed::detail
