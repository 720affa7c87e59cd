// SPDX-License-Identifier: BSL-1.0
// heed::scan_backward against differences of heed::scan, both in double: of q, k, v, the initial
// state and all that the policies were given.
#pragma once

#include <heed/recurrence/scan_backward.hpp>
#include <string>

#include "support/catch.hpp"
#include "support/tensor.hpp"

namespace heed::test {

struct scan_shape {
  index b = 2, hq = 2, hk = 2, hv = 2, l = 37, d = 5, dv = 3;
  std::vector<int> cu{};
  index segment = 0;
  bool state = true;  // with an initial and a final one
  double step = 1e-3;

  index heads() const { return std::max(hk, hv); }
  index sequences() const { return cu.empty() ? b : index(cu.size()) - 1; }
  extents q() const { return {b, hq, l, d}; }
  extents k() const { return {b, hk, l, d}; }
  extents v() const { return {b, hv, l, dv}; }
  extents out() const { return {b, std::max(hq, heads()), l, dv}; }
};

/// What a policy borrows, and where its gradient goes.
struct owned {
  tensor<double> value, gradient;

  explicit owned(tensor<double> x)
      : value(std::move(x)), gradient(unwritten<double>(value.extent)) {}
  operator operand() const { return value.in(); }  // NOLINT: it stands for one
  result to() { return gradient.in(); }
};

/// Logarithms of decays, some near 0, some strong.
inline owned logs(const extents& e, unsigned stream = 21, double deviation = 0.7) {
  auto x = random<double>(e, stream, deviation);
  for (double& y : x.data) y = -std::abs(y);
  return owned(std::move(x));
}
/// Numbers of (0, 2).
inline owned betas(const extents& e, unsigned stream = 22) {
  auto x = uniform<double>(e, stream);
  for (double& y : x.data) y += 1;
  return owned(std::move(x));
}

/// Random numbers, and sums of keys that make no divisor small.
template <class Spec> recurrent_state<double> some_state(const Spec& spec, const scan_shape& x) {
  detail::recurrence_problem p;
  p.q = tensor<double>({x.b, 1, 1, x.d}).in(), p.v = tensor<double>({x.b, 1, 1, x.dv}).in();
  p.heads = x.heads(), p.width = feature_width(spec.feature, x.d);
  recurrent_state<double> state(detail::format_of<Spec>(p), x.sequences());
  const auto r = random<double>({x.sequences(), x.heads(), 1, state.format().head_size()}, 31, 0.5);
  for (index i = 0; i < x.sequences(); ++i) {
    state.tokens(i) = 3 + i;
    for (index h = 0; h < x.heads(); ++h)
      std::copy_n(r.in().data + r.in().offset(i, h, 0, 0), state.format().head_size(),
                  state.head(i, h));
  }
  return state;
}

/// Some numbers of every operand one by one, and all of them along a direction.
template <class Spec>
void check_scan(const std::string& name, Spec spec, scan_gradients<double> to,
                const std::vector<owned*>& given = {}, const scan_shape& x = {}, double shift = 0) {
  auto q = random<double>(x.q(), 1), k = random<double>(x.k(), 2, 0.5),
       v = random<double>(x.v(), 3);
  for (double& y : q.data) y += shift;  // positive sums of keys
  for (double& y : k.data) y += shift;
  const auto d_out = random<double>(x.out(), 4);
  auto out = unwritten<double>(x.out()), dq = unwritten<double>(x.q()),
       dk = unwritten<double>(x.k()), dv = unwritten<double>(x.v());
  spec.cu_seqlens = x.cu;
  recurrent_state<double> initial = some_state(spec, x), final_state;
  const auto size = initial.format().rows * initial.format().columns;
  const bool sums = initial.format().side > (initial.format().logarithm ? 1 : 0);
  const index counted = size + (sums ? initial.format().rows : 0);
  const auto by_final =
      random<double>({x.sequences(), x.heads(), 1, initial.format().head_size()}, 5, 0.3);
  const auto run = [&] {
    final_state = x.state ? initial : recurrent_state<double>();
    scan(spec, q.in(), k.in(), v.in(), out.in(), final_state);
  };
  // A state with a running maximum stands for itself times e^m.
  const auto weight = [&](index i, index h) {
    return initial.format().logarithm ? std::exp(final_state.head(i, h)[counted]) : 1;
  };
  const auto loss = [&] {
    run();
    double sum = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * d_out.data[i];
    for (index i = 0; i < x.sequences() && x.state; ++i)
      for (index h = 0; h < x.heads(); ++h)
        for (index n = 0; n < counted; ++n)
          sum += by_final.in()(i, h, 0, n) * final_state.head(i, h)[n] * weight(i, h);
    return sum;
  };
  run();
  recurrent_state<double> d_final = initial, d_initial;
  for (index i = 0; i < x.sequences(); ++i)
    for (index h = 0; h < x.heads(); ++h)
      for (index n = 0; n < initial.format().head_size(); ++n)
        d_final.head(i, h)[n] = by_final.in()(i, h, 0, n) * weight(i, h);
  to.dq = dq.in(), to.dk = dk.in(), to.dv = dv.in();
  to.d_initial_state = x.state ? &d_initial : nullptr;
  detail::scan_backward_any<double, simd::best>(
      spec, q.in(), k.in(), v.in(), x.state ? &initial : nullptr, view<const double>(d_out.in()),
      x.state ? &d_final : nullptr, to, {}, {}, x.segment);

  std::mt19937 bits(seed());
  std::normal_distribution<double> normal;
  const auto check = [&](const std::string& of, double* at, const double* gradient, index count) {
    if (count == 0) return;
    std::vector<double> kept(at, at + count), u(static_cast<std::size_t>(count), 0.0);
    double largest = 1e-2;
    for (index i = 0; i < count; ++i) largest = std::max(largest, std::abs(gradient[i]));
    const auto compare = [&](const std::string& where) {
      double f[4], product = 0, length = 0;
      for (int n = 0; n < 4; ++n) {
        const double t = x.step * (n < 2 ? n - 2 : n - 1);
        for (index i = 0; i < count; ++i) at[i] = kept[std::size_t(i)] + t * u[std::size_t(i)];
        f[n] = loss();
      }
      std::copy(kept.begin(), kept.end(), at);
      for (index i = 0; i < count; ++i)
        product += u[std::size_t(i)] * gradient[i], length += u[std::size_t(i)] * u[std::size_t(i)];
      INFO(name << ": d" << of << where << ", L " << x.l << ", seed " << seed());
      CHECK(product == Approx((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * x.step))
                           .epsilon(0)
                           .margin(1e-7 * std::sqrt(length) * largest));
    };
    for (int n = 0; n < 4; ++n) {
      const auto i = n == 0 ? 0 : n == 1 ? u.size() - 1 : bits() % u.size();
      u[i] = 1;
      compare("[" + std::to_string(i) + "]");
      u[i] = 0;
    }
    for (double& y : u) y = normal(bits);
    compare(" along a direction");
  };
  const auto whole = [&](const char* of, std::vector<double>& at, const std::vector<double>& by) {
    check(of, at.data(), by.data(), index(at.size()));
  };
  whole("q", q.data, dq.data);
  whole("k", k.data, dk.data);
  whole("v", v.data, dv.data);
  for (owned* one : given) whole(" operand", one->value.data, one->gradient.data);
  for (index i = 0; i < x.sequences() && x.state; ++i)
    for (index h = 0; h < x.heads(); ++h)
      check("state", initial.head(i, h), d_initial.head(i, h), initial.format().head_size());
}

}  // namespace heed::test
