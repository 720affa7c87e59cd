// SPDX-License-Identifier: BSL-1.0
// Where a call adds up the gradients of what its policies learn: once for each share of the work,
// cut by shape alone, and added in the order of the shares.
#pragma once

#include <heed/attention/gradient.hpp>
#include <heed/simd/shape.hpp>

namespace heed::detail {

template <class Spec> class gradient_sums {
 public:
  index score, similarity, normalizer, weights, query, key, value, output, extra;  // where

  gradient_sums(const Spec& spec, const spec_gradients<Spec>& g) : spec_(spec), g_(g) {
    const auto place = [this](index count) {
      const index at = size_;
      size_ += count;
      return at;
    };
    score = place(sums_of(spec.score, g.score));
    similarity = place(sums_of(spec.similarity, g.similarity));
    normalizer = place(sums_of(spec.normalizer, g.normalizer));
    weights = place(sums_of(spec.weights, g.weights));
    query = place(sums_of(spec.query, g.query));
    key = place(sums_of(spec.key, g.key));
    value = place(sums_of(spec.value, g.value));
    output = place(sums_of(spec.output, g.output));
    extra = place(sums_of(spec.extra, g.extra));
    turns_ = in_place(spec.score, g.score) || in_place(spec.weights, g.weights);
  }

  index bytes() const { return simd::most_units * size_ * index(sizeof(double)); }
  void start(std::byte* memory) {
    at_ = reinterpret_cast<double*>(memory);
    std::fill_n(at_, simd::most_units * size_, 0.0);
    clear_gradient(spec_.score, g_.score);
    clear_gradient(spec_.weights, g_.weights);
    clear_gradient(spec_.output, g_.output);
  }
  // Whether shares of the work must be taken one after another: all, and those of query rows.
  bool any() const { return turns_ || size_ > 0; }
  bool by_row() const {
    return weights > normalizer || extra > output || in_place(spec_.output, g_.output);
  }
  // Key range `range` of kv head `kv` belongs to one unit of so many.
  index units(index ranges) const { return turns_ ? ranges : simd::most_units; }
  index unit(index kv, index range, index ranges) const {
    return turns_ ? range : (kv * ranges + range) % simd::most_units;
  }
  double* of(index unit) const { return at_ + unit * size_; }

  void add_row(const row_position& at, double lse, double delta, index unit) const {
    if (weights > normalizer)
      spec_.normalizer.add_gradient(g_.normalizer, at, lse, delta, of(unit) + normalizer);
  }
  void deliver() const {
    for (index u = 1; u < simd::most_units; ++u)
      for (index i = 0; i < size_; ++i) at_[i] += of(u)[i];
    heed::deliver(spec_.score, g_.score, at_ + score);
    heed::deliver(spec_.similarity, g_.similarity, at_ + similarity);
    heed::deliver(spec_.normalizer, g_.normalizer, at_ + normalizer);
    heed::deliver(spec_.weights, g_.weights, at_ + weights);
    heed::deliver(spec_.query, g_.query, at_ + query);
    heed::deliver(spec_.key, g_.key, at_ + key);
    heed::deliver(spec_.value, g_.value, at_ + value);
    heed::deliver(spec_.output, g_.output, at_ + output);
    heed::deliver(spec_.extra, g_.extra, at_ + extra);
  }

 private:
  const Spec& spec_;
  const spec_gradients<Spec>& g_;
  index size_ = 0;
  bool turns_ = false;
  double* at_ = nullptr;
};

}  // namespace heed::detail
