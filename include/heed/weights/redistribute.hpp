// SPDX-License-Identifier: BSL-1.0
// weights/redistribute: weights of source keys times `keep`, what that frees to target keys in
// proportion to their weights. Rules of weights/group_reweight:
//
//   attention{.weights = group_reweight{{labels, batch, heads}, redistribute{.keep = keep}}}
//
// Rows that see no target are left as they are.
#pragma once

#include <heed/core/parameters.hpp>
#include <heed/weights/group_reweight.hpp>

namespace heed {

// Labels: 0 neither, 1 source, 2 target. keep [H] or [1]: 1 for heads that are to be left alone.
// ACT (attention calibration, Yu et al. 2024): sources are the columns j > 0 of large mean weight,
// a head at a time; every other column is a target.
struct redistribute {
  parameters keep{};

  static constexpr index groups = 3;
  void operator()(const double* mass, double* to, const row_position& at) const {
    const double freed = given(mass, at) * mass[1];
    to[0] = mass[0], to[1] = mass[1] - freed, to[2] = mass[2] + freed;
  }
  void backward(const double* mass, const double* d_to, double* d_mass,
                const row_position& at) const {
    d_mass[0] = d_to[0], d_mass[2] = d_to[2];
    d_mass[1] = d_to[1] + given(mass, at) * (d_to[2] - d_to[1]);
  }
  void check(const problem_shape& shape) const {
    if (keep.size() != 1 && keep.size() != shape.heads)
      check::fail("heed::redistribute", "keep must have one entry, or one a query head, not " +
                                            std::to_string(keep.size()));
    for (index i = 0; i < keep.size(); ++i)
      if (!(keep[i] >= 0 && keep[i] <= 1))
        check::fail("heed::redistribute", "keep must be in [0, 1], not " + std::to_string(keep[i]));
  }

 private:
  double given(const double* mass, const row_position& at) const {
    return mass[2] > 0 ? 1 - keep[keep.size() == 1 ? 0 : at.h] : 0;
  }
};

// Labels: 0 others, 1 sinks in the text, 2 sinks in the image, 3 the rest of the image, which gets
// what both kinds of sinks lose. Acts on rows with at least `least` of their mass on the image, of
// that no more than `most` on its sinks. VAR (visual attention redistribution, Kang et al. 2025):
// sinks are the tokens that are large in a few channels; the last layer is left to the caller.
struct redistribute_image {
  double keep = 0.6, least = 0.2, most = 0.5;

  static constexpr index groups = 4;
  void operator()(const double* mass, double* to, const row_position&) const {
    const double kept = acts(mass) ? keep : 1;
    to[0] = mass[0], to[1] = kept * mass[1], to[2] = kept * mass[2];
    to[3] = mass[3] + (1 - kept) * (mass[1] + mass[2]);
  }
  void backward(const double* mass, const double* d_to, double* d_mass, const row_position&) const {
    const double kept = acts(mass) ? keep : 1;
    for (index g = 0; g < groups; ++g) d_mass[g] = d_to[g];
    for (const index g : {1, 2}) d_mass[g] = kept * d_to[g] + (1 - kept) * d_to[3];
  }
  void check(const problem_shape&) const {
    for (const double x : {keep, least, most})
      if (!(x >= 0 && x <= 1))
        check::fail("heed::redistribute_image",
                    "keep, least and most must be in [0, 1], not " + std::to_string(x));
  }

 private:
  bool acts(const double* mass) const {
    const double image = mass[2] + mass[3];
    return mass[3] > 0 && image >= least && mass[2] <= most * image;
  }
};

}  // namespace heed
