// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <heed/reference/matrix.hpp>

namespace heed::reference::score {

/// s_ij + table[f(j − i)], query row r at i = r + offset.
template <class F> matrix relative_bias(matrix s, const vector& table, index offset, F bucket) {
  for (index r = 0; r < s.rows(); ++r)
    for (index j = 0; j < s.cols(); ++j) s(r, j) += table(bucket(j - (r + offset)));
  return s;
}

enum class direction { causal, bidirectional };

/// T5 (Raffel et al.): n = |j − i| (causal: max(i − j, 0)), nb = buckets (bidirectional: half of
/// them,
/// + nb when j > i), e = nb/2; n if n < e, else min(e + ⌊ln(n/e) / ln(128/e)·(nb − e)⌋, nb − 1).
inline index t5_bucket(index delta, index buckets, direction d, index max_distance = 128) {
  const index nb = d == direction::bidirectional ? buckets / 2 : buckets;
  const index base = d == direction::bidirectional && delta > 0 ? nb : 0;
  const index n = d == direction::bidirectional ? std::abs(delta) : std::max<index>(-delta, 0);
  const index e = nb / 2;
  if (n < e) return base + n;
  const double far = std::log(static_cast<double>(n) / static_cast<double>(e)) /
                     std::log(static_cast<double>(max_distance) / static_cast<double>(e));
  // The nudge keeps exact integers, such as ln 4 / ln 16 · 8, from rounding below themselves.
  const auto steps = static_cast<index>(std::floor(far * static_cast<double>(nb - e) + 1e-9));
  return base + std::min(e + steps, nb - 1);
}

/// Clipped table of 2w + 1 entries: entry min(max(j − i, −w), w) + w.
inline index clipped(index delta, index w) { return std::clamp(delta, -w, w) + w; }

/// s_rj + t[j − r + Lq − 1]: a Toeplitz vector t [Lq + Lk − 1] over row and key numbers.
inline matrix toeplitz(const matrix& s, const vector& t) {
  return relative_bias(s, t, 0, [&](index delta) { return delta + s.rows() - 1; });
}

}  // namespace heed::reference::score
