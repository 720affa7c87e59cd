// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "shapes.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace bench {

// Ends the program: a bench that computes something wrong has nothing to report.
[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "error: %s\n", what.c_str());
  std::exit(1);
}

inline constexpr auto no_score = [](double score, index, index, index) { return score; };

// Attention of one query row straight from the definition, in double. `score(s, head, q, k)` edits
// the scaled score.
template <class Q, class K, class V, class Score>
std::vector<double> exact_row(const shape& form, const Q* q, const K* k, const V* v, index batch,
                              index head, index row, const Score& score) {
  const index kv_head = head / (form.heads / form.kv_heads);
  const index dim = form.dim;
  const Q* query = q + ((batch * form.heads + head) * form.queries + row) * dim;
  const K* keys = k + (batch * form.kv_heads + kv_head) * form.keys * dim;
  const V* values = v + (batch * form.kv_heads + kv_head) * form.keys * dim;
  std::vector<double> weight(static_cast<std::size_t>(form.keys),
                             -std::numeric_limits<double>::infinity());
  double top = -std::numeric_limits<double>::infinity();
  for (index key = 0; key < form.keys; ++key) {
    if (!allowed(form, row, key)) {
      continue;
    }
    double dot = 0;
    for (index d = 0; d < dim; ++d) {
      dot += static_cast<double>(query[d]) * static_cast<double>(keys[key * dim + d]);
    }
    double& s = weight[static_cast<std::size_t>(key)];
    s = score(dot / std::sqrt(static_cast<double>(dim)), head, row, key);
    top = std::max(top, s);
  }
  std::vector<double> out(static_cast<std::size_t>(dim), 0.0);
  double sum = 0;
  for (index key = 0; key < form.keys; ++key) {
    const double w = std::exp(weight[static_cast<std::size_t>(key)] - top);
    if (!(w > 0)) {
      continue;
    }
    sum += w;
    for (index d = 0; d < dim; ++d) {
      out[static_cast<std::size_t>(d)] += w * static_cast<double>(values[key * dim + d]);
    }
  }
  for (double& x : out) {
    x /= sum;
  }
  return out;
}

// Compares rows spread over all heads with the definition (all rows of small problems) and ends
// the program on a difference that float arithmetic cannot explain.
template <class Q, class K, class V, class Score>
void check(const std::string& who, const shape& form, const Q* q, const K* k, const V* v,
           const float* out, const Score& score) {
  const index rows = form.batch * form.heads * form.queries;
  const double work = static_cast<double>(rows) * static_cast<double>(form.keys * form.dim);
  const index step = std::max<index>(1, static_cast<index>(work / 3e7)) | 1;
  const double tolerance =
      64 * std::numeric_limits<float>::epsilon() * (1 + std::sqrt(static_cast<double>(form.dim)));
  for (index at = 0; at < rows; at += step) {
    const index batch = at / (form.heads * form.queries);
    const index head = at / form.queries % form.heads;
    const index row = at % form.queries;
    const auto want = exact_row(form, q, k, v, batch, head, row, score);
    for (index d = 0; d < form.dim; ++d) {
      const double got = static_cast<double>(out[at * form.dim + d]);
      const double exact = want[static_cast<std::size_t>(d)];
      if (!(std::abs(got - exact) <= tolerance * (1 + std::abs(exact)))) {
        fail(who + " is wrong at batch " + std::to_string(batch) + ", head " +
             std::to_string(head) + ", query " + std::to_string(row) + ", channel " +
             std::to_string(d) + ": " + std::to_string(got) + " instead of " +
             std::to_string(exact));
      }
    }
  }
}

template <class Q, class K, class V>
void check(const std::string& who, const shape& form, const Q* q, const K* k, const V* v,
           const float* out) {
  check(who, form, q, k, v, out, no_score);
}

}  // namespace bench
