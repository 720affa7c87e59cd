// SPDX-License-Identifier: BSL-1.0
// position/rope_axes: rotary positions of several axes, and rotation by a table of angles.
//
// The pairs fall into sections, one an axis, and section a turns by ids[a]·θ_c: M-RoPE (time, y, x)
// with θ running on through the sections, or axial rotation with θ of `axial`, which begins anew in
// each. Qwen2-VL, Wang et al. 2024. O(R) a row. Throws if the sections do not hold all pairs, these
// do not fit in the channels, or ids or angles do not fit the operand.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/policy.hpp>
#include <heed/position/rotation.hpp>

namespace heed {

namespace rotations {

// Sections of the given numbers of pairs, each with frequencies of its own.
inline rotation axial(const std::vector<index>& sections, double base = 10000) {
  rotation r;
  for (const index pairs : sections) {
    const rotation one = plain(2 * pairs, base);
    r.theta.insert(r.theta.end(), one.theta.begin(), one.theta.end());
  }
  return r;
}

}  // namespace rotations

// ids [B|1, axes, L, 1]: one id an axis and row of the operand that the policy is used on.
struct rope_axes {
  rotation by;
  std::vector<index> sections;  // pairs of each axis
  view<const index> ids;
  rope_pairs pairs = rope_pairs::neox;

  template <class Arch, class T> void row(T* x, index, const row_position& at) const {
    turn<Arch>(x, at, 1);
  }
  // The transpose: the same turns back.
  template <class Arch, class T>
  void row_backward(const T*, T* dx, index, const row_position& at) const {
    turn<Arch>(dx, at, -1);
  }
  rope_axes inverse() const { return {by.inverse(), sections, ids, pairs}; }

  void check(const row_shape& rows) const {
    by.check("heed::rope_axes", rows.channels);
    index sum = 0;
    for (const index pairs_of : sections) {
      if (pairs_of < 0)
        check::fail("heed::rope_axes",
                    "a section must not have " + std::to_string(pairs_of) + " pairs");
      sum += pairs_of;
    }
    if (sum != by.pairs())
      check::fail("heed::rope_axes", "the sections hold " + std::to_string(sum) + " pairs of " +
                                         std::to_string(by.pairs()));
    if (!ids.data || (ids.extent[0] != 1 && ids.extent[0] != rows.batch) ||
        ids.extent[1] != static_cast<index>(sections.size()) || ids.extent[2] != rows.rows ||
        ids.extent[3] != 1)
      check::fail("heed::rope_axes", "ids are " + check::print(ids.extent) +
                                         ", but must be [B or 1, axes, L, 1] with " +
                                         std::to_string(sections.size()) + " axes and " +
                                         std::to_string(rows.rows) + " rows");
  }

 private:
  template <class Arch, class T> void turn(T* x, const row_position& at, double sign) const {
    index first = 0;
    for (std::size_t axis = 0; axis < sections.size(); first += sections[axis++])
      turn_pairs<Arch>(x, by.pairs(), pairs, first, sections[axis],
                       sign * double(ids(ids.extent[0] == 1 ? 0 : at.b, index(axis), at.row)),
                       by.theta.data() + first, by.magnitude);
  }
};

// angles [B|1, H|1, L, R/2]: pair c of row l turns by angles[l, c].
struct rope_angles {
  operand angles;
  rope_pairs pairs = rope_pairs::neox;
  double magnitude = 1;

  template <class Arch, class T> void row(T* x, index, const row_position& at) const {
    turn<Arch>(x, at, 1);
  }
  template <class Arch, class T>
  void row_backward(const T*, T* dx, index, const row_position& at) const {
    turn<Arch>(dx, at, -1);
  }
  void check(const row_shape& rows) const {
    broadcast::check("heed::rope_angles", "the table", angles,
                     {rows.batch, rows.heads, rows.rows, angles.extent[3]});
    if (angles.extent[2] != rows.rows || 2 * angles.extent[3] > rows.channels)
      check::fail("heed::rope_angles", "the table is " + check::print(angles.extent) + " for " +
                                           std::to_string(rows.rows) + " rows of " +
                                           std::to_string(rows.channels) + " channels");
  }

 private:
  template <class Arch, class T> void turn(T* x, const row_position& at, double sign) const {
    const index half = angles.extent[3];
    double theta[simd::most_angles];
    for (index c = 0; c < half; c += simd::most_angles) {
      const index some = std::min(simd::most_angles, half - c);
      broadcast::load(angles, at.b, at.h, at.row, c, 3, some, theta);
      turn_pairs<Arch>(x, half, pairs, c, some, sign, theta, magnitude);
    }
  }
};

}  // namespace heed
