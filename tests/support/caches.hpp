// SPDX-License-Identifier: BSL-1.0
// A source of tokens as awkward as kv/source.hpp allows, and any source as dense rows in double.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <heed/kv/source.hpp>
#include <iterator>
#include <random>
#include <vector>

#include "support/stored_block.hpp"
#include "support/tensor.hpp"

namespace heed::test {

// Rows of normal numbers in runs of random lengths. Every run has memory of its own, a
// random row stride and a start no better aligned than its elements.
class scattered_source {
 public:
  explicit scattered_source(scattered_form form, unsigned stream = 0)
      : form_(std::move(form)), random_(seed() + 7919u * stream), ends_(form_.lengths) {
    for (index& end : ends_) end += form_.forgotten;
    for (index b = 0; b < batch(); ++b) {
      // All heads end with the same position, the newest token's.
      if (form_.places && length(b) > 0) ends_[at(b)] = form_.forgotten + 3 * length(b);
      for (index h = 0; h < heads(); ++h) {
        heads_.push_back(draw(length(b)));
        if (form_.places) heads_.back().places = draw_places(length(b), ends_[at(b)]);
      }
    }
  }

  index batch() const { return static_cast<index>(form_.lengths.size()); }
  index heads() const { return form_.heads; }
  index depth() const { return form_.depth; }
  index value_depth() const { return form_.value_depth; }
  index length(index b) const { return form_.lengths[at(b)]; }
  index end(index b) const { return ends_[at(b)]; }
  kv_run run(index b, index h, index t) const {
    const auto& pieces = head(b, h).pieces;
    const auto next = std::upper_bound(pieces.begin(), pieces.end(), t,
                                       [](index x, const piece& p) { return x < p.first; });
    const piece& p = *std::prev(next);
    const index skip = t - p.first;
    return {p.k.rows().from(skip), p.v.rows().from(skip), p.count - skip};
  }
  const index* places(index b, index h) const {
    return form_.places ? head(b, h).places.data() : nullptr;
  }
  // What was stored, before it was rounded, [length × channels].
  const Eigen::MatrixXd& exact_k(index b, index h) const { return head(b, h).k; }
  const Eigen::MatrixXd& exact_v(index b, index h) const { return head(b, h).v; }

 private:
  struct piece {
    index first = 0, count = 0;
    stored_block k, v;
  };
  struct stored_head {
    std::vector<piece> pieces;
    std::vector<index> places;
    Eigen::MatrixXd k, v;
  };

  static std::size_t at(index i) { return static_cast<std::size_t>(i); }
  const stored_head& head(index b, index h) const { return heads_[at(b * heads() + h)]; }
  Eigen::MatrixXd normal(index rows, index columns) {
    std::normal_distribution<double> numbers;
    return Eigen::MatrixXd::NullaryExpr(rows, columns, [&] { return numbers(random_); });
  }

  stored_head draw(index length) {
    stored_head x{{}, {}, normal(length, depth()), normal(length, value_depth())};
    for (index t = 0; t < length;) {
      const index count = std::min(length - t, between(random_, 1, form_.longest_run));
      x.pieces.push_back({t, count, store(form_.k, x.k.middleRows(t, count), form_, random_),
                          store(form_.v, x.v.middleRows(t, count), form_, random_)});
      t += count;
    }
    return x;
  }
  std::vector<index> draw_places(index length, index end) {
    std::vector<index> all, chosen;
    for (index p = 0; p + 1 < end; ++p) all.push_back(p);
    std::sample(all.begin(), all.end(), std::back_inserter(chosen), std::max<index>(length - 1, 0),
                random_);
    if (length > 0) chosen.push_back(end - 1);
    return chosen;
  }

  scattered_form form_;
  std::mt19937 random_;
  std::vector<index> ends_;
  std::vector<stored_head> heads_;
};

struct dense_kv {
  Eigen::MatrixXd k, v;          // [length × channels]
  std::vector<index> positions;  // of each token
};

// All tokens of a head, oldest first.
inline dense_kv dense_of(const kv_ref& source, index b, index h) {
  const index length = source.length(b);
  dense_kv x{
      Eigen::MatrixXd(length, source.depth()), Eigen::MatrixXd(length, source.value_depth()), {}};
  Eigen::VectorXd k(source.depth()), v(source.value_depth());
  for_each_run(source, b, h, {0, length}, [&](const kv_run& run, index first) {
    for (index n = 0; n < run.count; ++n) {
      load_stored(run.k, n, k.size(), k.data());
      load_stored(run.v, n, v.size(), v.data());
      x.k.row(first + n) = k, x.v.row(first + n) = v;
    }
  });
  const index* const places = source.places(b, h);
  for (index t = 0; t < length; ++t)
    x.positions.push_back(places ? places[t] : source.end(b) - length + t);
  return x;
}

}  // namespace heed::test
