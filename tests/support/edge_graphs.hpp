// SPDX-License-Identifier: BSL-1.0
// Differences for gradients along the edges of graphs.
#pragma once

#include <functional>
#include <heed/reference/segment/graph.hpp>

#include "support/exact.hpp"
#include "support/executors.hpp"
#include "support/graphs.hpp"

namespace heed::test {

/// As the references of segment/ take it.
inline reference::segment::graph plain(const graph& g) {
  return {g.offsets, {g.sources.begin(), g.sources.end()}};
}

/// Without edges, a few, and a hub of several tasks.
inline graph small_graph() { return of_degrees({3, 0, 1, 6, 2, 4, 0, 5, 1, 2}, 8, 21, "small"); }
inline graph hub_graph() { return of_degrees({2, 0, 1100, 1, 600, 3}, 9, 22, "hub"); }

/// d loss / d at = gradient, in eight places and along one direction, by differences of fourth
/// order.
inline void check_slopes(const std::string& of, const std::function<double()>& loss,
                         std::vector<double>& at, const std::vector<double>& gradient,
                         double step = 1e-3, double digits = 1e-6) {
  REQUIRE(at.size() == gradient.size());
  if (at.empty()) return;
  double largest = 1e-2;
  for (const double g : gradient) largest = std::max(largest, std::abs(g));
  const std::vector<double> kept = at;
  const auto compare = [&](const std::vector<double>& u, const std::string& where) {
    double product = 0, size = 0, f[4];
    for (std::size_t i = 0; i < u.size(); ++i) product += u[i] * gradient[i], size += u[i] * u[i];
    for (int n = 0; n < 4; ++n) {
      const double t = step * (n < 2 ? n - 2 : n - 1);
      for (std::size_t i = 0; i < at.size(); ++i) at[i] = kept[i] + t * u[i];
      f[n] = loss();
    }
    at = kept;
    INFO("d " << of << where << ", seed " << seed());
    const double slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step);
    CHECK(product == Approx(slope).epsilon(0).margin(digits * std::sqrt(size) * largest));
  };
  std::mt19937 bits(seed());
  std::vector<double> u(at.size());
  for (int n = 0; n < 8; ++n) {
    const std::size_t i = n == 0 ? 0 : n == 1 ? u.size() - 1 : bits() % u.size();
    u[i] = 1;
    compare(u, "[" + std::to_string(i) + "]");
    u[i] = 0;
  }
  std::normal_distribution<double> normal;
  for (double& c : u) c = normal(bits);
  compare(u, " along a direction");
}

/// Σ x·y.
inline double product(const tensor<double>& x, const tensor<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i) sum += x.data[i] * y.data[i];
  return sum;
}

}  // namespace heed::test
