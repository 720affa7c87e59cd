// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <heed/reference/matrix.hpp>
#include <limits>

namespace heed::reference::select {

/// The means of the rows of k in each group, [count×D].
inline matrix group_means(const matrix& k, const indices& group, index count) {
  matrix mean = matrix::Zero(count, k.cols());
  for (index g = 0; g < count; ++g) {
    double members = 0;
    for (index j = 0; j < k.rows(); ++j)
      if (group[static_cast<std::size_t>(j)] == g) mean.row(g) += k.row(j), members += 1;
    if (members > 0) mean.row(g) /= members;
  }
  return mean;
}

/// The first of the nearest centres of each row; centres without a row before do not count.
inline indices nearest(const matrix& k, const matrix& centres, const indices& before) {
  indices group;
  for (index j = 0; j < k.rows(); ++j) {
    double best = std::numeric_limits<double>::infinity();
    index of = 0;
    for (index g = 0; g < centres.rows(); ++g)
      if (const double d = (k.row(j) - centres.row(g)).norm();
          d < best && std::count(before.begin(), before.end(), g) > 0)
        best = d, of = g;
    group.push_back(of);
  }
  return group;
}

/// Groups of keys: centres are the first key and then the one farthest from all centres, of every
/// `step`-th key, up to `count` of them or until all these keys are within `enough`; then rounds of
/// k-means.
inline indices key_groups(const matrix& k, index count, index rounds, double enough,
                          index step = 1) {
  indices centres;
  for (index next = k.rows() > 0 ? 0 : -1; next >= 0 && index(centres.size()) < count;) {
    centres.push_back(next);
    double most = enough;
    next = -1;
    for (index j = 0; j < k.rows(); j += step) {
      double near = std::numeric_limits<double>::infinity();
      for (const index c : centres) near = std::min(near, (k.row(j) - k.row(c)).norm());
      if (near > most) most = near, next = j;
    }
  }
  matrix at(index(centres.size()), k.cols());
  indices used;
  for (index g = 0; g < at.rows(); ++g)
    at.row(g) = k.row(centres[static_cast<std::size_t>(g)]), used.push_back(g);
  indices group = nearest(k, at, used);
  for (index i = 0; i < rounds; ++i) group = nearest(k, group_means(k, group, count), group);
  return group;
}

/// RITA: o_i = Σ_g e^{q·r_g/√D} ṽ_g / Σ_g n_g e^{q·r_g/√D}.
inline matrix group_attention(const matrix& q, const matrix& k, const matrix& v,
                              const indices& group, index count) {
  const matrix r = group_means(k, group, count);
  matrix o = matrix::Zero(q.rows(), v.cols());
  for (index i = 0; i < q.rows(); ++i) {
    double sum = 0;
    for (index j = 0; j < k.rows(); ++j) {
      const index g = group[static_cast<std::size_t>(j)];
      const double e = std::exp(q.row(i).dot(r.row(g)) / std::sqrt(double(q.cols())));
      o.row(i) += e * v.row(j), sum += e;
    }
    if (sum > 0) o.row(i) /= sum;
  }
  return o;
}

}  // namespace heed::reference::select
