// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <heed/reference/matrix.hpp>
#include <map>

namespace heed::reference::neighborhood {

/// The lines of a grid along axes [first, last]: the tokens that agree in all other coordinates, in
/// their order; lines are in the order of those coordinates.
inline std::vector<indices> lines(const indices& size, std::size_t first, std::size_t last) {
  index tokens = 1;
  for (const index n : size) tokens *= n;
  std::map<indices, indices> by_place;
  for (index token = 0; token < tokens; ++token) {
    indices at(size.size());
    index rest = token;
    for (std::size_t n = size.size(); n-- > 0; rest /= size[n])
      at[n] = n >= first && n <= last ? 0 : rest % size[n];
    by_place[at].push_back(token);
  }
  std::vector<indices> all;
  for (const auto& [place, line] : by_place) all.push_back(line);
  return all;
}

/// Axial attention (Ho et al.): o = attend(q, k, v) of every line by itself. q, k [L×D], v [L×Dv],
/// L = Π size; attend gives a matrix of as many rows, out or lse.
template <class Attend>
matrix axial(const matrix& q, const matrix& k, const matrix& v, const indices& size,
             std::size_t first, std::size_t last, Attend attend) {
  matrix out;
  for (const indices& line : lines(size, first, last)) {
    const auto n = static_cast<index>(line.size());
    matrix lq(n, q.cols()), lk(n, k.cols()), lv(n, v.cols());
    for (index i = 0; i < n; ++i) {
      const index token = line[static_cast<std::size_t>(i)];
      lq.row(i) = q.row(token), lk.row(i) = k.row(token), lv.row(i) = v.row(token);
    }
    const matrix o = attend(lq, lk, lv);
    if (out.size() == 0) out = matrix::Zero(q.rows(), o.cols());
    for (index i = 0; i < n; ++i) out.row(line[static_cast<std::size_t>(i)]) = o.row(i);
  }
  return out;
}

}  // namespace heed::reference::neighborhood
