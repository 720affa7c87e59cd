// SPDX-License-Identifier: BSL-1.0
// Dense weights to a graph, for Sparse-GIN (Buehler, 2025): an edge j → i wherever the mean over
// the heads of A [1,H,N,M] exceeds a threshold, with that mean as its weight.
//
//   const sparse_graph g = sparsify(as<"HLD">(a), 0.1);
//   aggregate_edges(gin_pna{.graph = g.edges(), .weights = g.weights_view(), …}, x, out)
#pragma once

#include <heed/core/axes.hpp>
#include <heed/segment/problem.hpp>
#include <heed/simd/convert.hpp>

namespace heed {

class sparse_graph {
 public:
  csr edges() const { return {offsets_, sources_}; }
  std::span<const double> weights() const { return weights_; }
  view<const double> weights_view() const {
    return {weights_.data(), {1, 1, index(weights_.size()), 1}};
  }

 private:
  friend sparse_graph sparsify_any(const operand&, double);
  std::vector<index> offsets_{0};
  std::vector<int> sources_;
  std::vector<double> weights_;
};

inline sparse_graph sparsify_any(const operand& a, double above) {
  const index heads = a.extent[1], columns = a.extent[3];
  if (a.extent[0] != 1 || heads < 1)
    check::fail("heed::sparsify", "weights must be [1,H,N,M]", {{"weights", a}});
  detail::check_rows("heed::sparsify", {"weights", a}, a.extent);
  sparse_graph g;
  std::vector<double> row(static_cast<std::size_t>(columns)), sum(row.size());
  for (index i = 0; i < a.extent[2]; ++i) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (index h = 0; h < heads; ++h) {
      simd::load_row(a.type, a.row(0, h, i), a.stride[3], columns, row.data());
      for (std::size_t j = 0; j < row.size(); ++j) sum[j] += row[j] / double(heads);
    }
    for (std::size_t j = 0; j < row.size(); ++j)
      if (sum[j] > above) g.sources_.push_back(int(j)), g.weights_.push_back(sum[j]);
    g.offsets_.push_back(index(g.sources_.size()));
  }
  return g;
}

// Sources ascend. NaN is no edge.
template <storable A> sparse_graph sparsify(const view<A>& weights, double above) {
  return sparsify_any(view<const A>(weights), above);
}

}  // namespace heed
