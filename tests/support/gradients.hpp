// SPDX-License-Identifier: BSL-1.0
// heed::attend_backward against differences of heed::attend, both in double: of q, k, v and of all
// that policies learn.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <span>

#include "support/exact.hpp"

namespace heed::test {

struct backward_shape {
  index b = 2, h = 4, kv = 2, lq = 37, lk = 53, d = 9, dv = 6;

  extents q() const { return {b, h, lq, d}; }
  extents k() const { return {b, kv, lk, d}; }
  extents v() const { return {b, kv, lk, dv}; }
  extents out() const { return {b, h, lq, dv}; }
};

/// Numbers that a policy borrows, and where their gradient goes.
struct learned {
  tensor<double> value, gradient;

  explicit learned(const extents& e, double deviation = 1, double mean = 0, unsigned stream = 11)
      : value(random<double>(e, stream, deviation)), gradient(unwritten<double>(e)) {
    for (double& x : value.data) x += mean;
  }
  explicit learned(index n, double deviation = 1, double mean = 0, unsigned stream = 11)
      : learned(extents{1, 1, 1, n}, deviation, mean, stream) {}

  view<const double> table() const { return value.in(); }
  view<double> to() { return gradient.in(); }
  const std::vector<double>& list() const { return value.data; }
  std::vector<double>& to_list() { return gradient.data; }
};

/// Policies with kinks get steps that meet none, at the price of digits.
enum class curve { smooth, kinked };

/// dL of L = Σ out · d_out. Smooth ones also along a direction that moves every number at once.
template <class Spec>
void check_gradients(const std::string& name, const Spec& spec,
                     const std::type_identity_t<spec_gradients<Spec>>& to = {},
                     const std::vector<learned*>& borrowed = {}, const backward_shape& x = {},
                     curve kind = curve::smooth) {
  auto q = random<double>(x.q(), 1), k = random<double>(x.k(), 2), v = random<double>(x.v(), 3);
  const auto d_out = random<double>(x.out(), 4);
  auto out = unwritten<double>(x.out()), dq = unwritten<double>(x.q()),
       dk = unwritten<double>(x.k()), dv = unwritten<double>(x.v());
  attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                  {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = to});
  const auto loss = [&] {
    attend(spec, q.in(), k.in(), v.in(), out.in());
    double sum = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * d_out.data[i];
    return sum;
  };
  const double step = kind == curve::smooth ? 1e-3 : 1e-6;
  // dL/dt of L(x + t·u).
  const auto slope = [&](std::vector<double>& at, const std::vector<double>& u) {
    const std::vector<double> kept = at;
    double f[4];
    for (int n = 0; n < 4; ++n) {
      const double t = step * (n < 2 ? n - 2 : n - 1);
      for (std::size_t i = 0; i < at.size(); ++i) at[i] = kept[i] + t * u[i];
      f[n] = loss();
    }
    at = kept;
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step);
  };
  std::mt19937 bits(seed());
  const auto check = [&](const std::string& of, std::vector<double>& at,
                         const std::vector<double>& gradient) {
    REQUIRE(at.size() == gradient.size());
    if (at.empty()) return;
    double largest = 0;
    for (const double g : gradient) largest = std::max(largest, std::abs(g));
    const auto compare = [&](const std::vector<double>& u, const std::string& where) {
      double product = 0, size = 0;
      for (std::size_t i = 0; i < u.size(); ++i) product += u[i] * gradient[i], size += u[i] * u[i];
      const double expected = slope(at, u);
      INFO(name << ": d" << of << where << ", seed " << seed());
      CHECK(product ==
            Approx(expected).epsilon(0).margin(1e-6 * std::sqrt(size) * std::max(largest, 1e-2)));
    };
    std::vector<double> u(at.size());
    for (int n = 0; n < 8; ++n) {
      const std::size_t i = n == 0 ? 0 : n == 1 ? u.size() - 1 : bits() % u.size();
      u[i] = 1;
      compare(u, "[" + std::to_string(i) + "]");
      u[i] = 0;
    }
    if (kind == curve::kinked) return;
    std::normal_distribution<double> normal;
    for (double& c : u) c = normal(bits);
    compare(u, " along a direction");
  };
  check("q", q.data, dq.data);
  check("k", k.data, dk.data);
  check("v", v.data, dv.data);
  for (learned* one : borrowed) check(" learned", one->value.data, one->gradient.data);
}

}  // namespace heed::test
