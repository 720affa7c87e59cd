// SPDX-License-Identifier: BSL-1.0
// position/rope: channel pairs of q and k turn by position · θ_c; the channels beyond R stay.
//
//   rope r{rotations::yarn(64, 10000, 4, 4096)};
//   attention{.query = r, .key = r}
// A row's position is that of its token, or `ids` [B|1, 1, L, 1] where those are given: one id a
// row of the operand that the policy is used on.
//
// RoFormer, Su et al. 2021. O(R) a row. Throws if the pairs do not fit in the channels or the ids
// do not fit the operand.
#pragma once

#include <heed/core/policy.hpp>
#include <heed/core/view.hpp>
#include <heed/position/rotation.hpp>

namespace heed {

struct rope {
  rotation by;
  rope_pairs pairs = rope_pairs::neox;
  view<const index> ids{};

  template <class Arch, class T> void row(T* x, index, const row_position& at) const {
    const index position = ids.data ? ids(ids.extent[0] == 1 ? 0 : at.b, 0, at.row) : at.pos;
    turn_pairs<Arch>(x, by.pairs(), pairs, 0, by.pairs(), double(position), by.theta.data(),
                     by.magnitude);
  }
  // The transpose: the same turn back.
  template <class Arch, class T>
  void row_backward(const T*, T* dx, index, const row_position& at) const {
    const index position = ids.data ? ids(ids.extent[0] == 1 ? 0 : at.b, 0, at.row) : at.pos;
    turn_pairs<Arch>(dx, by.pairs(), pairs, 0, by.pairs(), -double(position), by.theta.data(),
                     by.magnitude);
  }
  // Rows of consecutive positions, `stride` apart.
  template <class Arch, class T>
  void rows(T* x, index stride, index count, index channels, const row_position& at) const {
    if (!ids.data) return turn_rows<Arch>(x, stride, count, pairs, at.pos, by);
    for (index i = 0; i < count; ++i)
      row<Arch>(x + i * stride, channels, {at.b, at.h, at.pos + i, at.row + i});
  }
  // A row that sits at p comes to sit at p + positions (a rotated key cache that moves). The
  // magnitude is in the row already.
  template <class Arch = simd::best, class T> void advance(T* x, index positions) const {
    turn_pairs<Arch>(x, by.pairs(), pairs, 0, by.pairs(), double(positions), by.theta.data(), 1);
  }
  rope inverse() const { return {by.inverse(), pairs, ids}; }

  void check(const row_shape& rows) const {
    by.check("heed::rope", rows.channels);
    if (ids.data && (ids.extent[0] != 1 && ids.extent[0] != rows.batch))
      check::fail("heed::rope", "ids are " + check::print(ids.extent) + " for a batch of " +
                                    std::to_string(rows.batch));
    if (ids.data && (ids.extent[1] != 1 || ids.extent[2] != rows.rows || ids.extent[3] != 1))
      check::fail("heed::rope", "ids are " + check::print(ids.extent) + " for " +
                                    std::to_string(rows.rows) + " rows");
  }
};

}  // namespace heed
