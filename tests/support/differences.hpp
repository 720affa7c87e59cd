// SPDX-License-Identifier: BSL-1.0
// Gradients against central differences, in double.
#pragma once

#include <heed/attention/attend_backward.hpp>

#include "support/exact.hpp"

namespace heed::test {

/// dL/dx of every number of `x` by central differences.
template <class L> std::vector<double> differences(std::vector<double>& x, const L& loss) {
  constexpr double step = 1e-5;
  std::vector<double> d;
  for (double& value : x) {
    const double at = value;
    value = at + step;
    const double up = loss();
    value = at - step;
    d.push_back((up - loss()) / (2 * step));
    value = at;
  }
  return d;
}

/// Of numbers of order 1: step² of the third derivative, and ε/step of the function.
inline void check_gradient(const std::vector<double>& got, const std::vector<double>& expected,
                           const std::string& name) {
  double worst = 0, size = 1;
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double off = std::abs(got[i] - expected[i]);
    worst = std::max(worst, std::isnan(off) ? std::numeric_limits<double>::infinity() : off);
    size = std::max(size, std::abs(expected[i]));
  }
  INFO(name << ", seed " << seed());
  CHECK(worst <= 2e-8 * size);
}

/// A call with L = Σ out ⊙ a + Σ lse ⊙ c over the rows that see a key: dq, dk, dv against
/// differences.
struct gradient_case {
  index b = 1, h = 2, kv = 1, lq = 5, lk = 9, d = 3, dv = 2;
  tensor<double> q = random<double>({b, h, lq, d}, 1), k = random<double>({b, kv, lk, d}, 2),
                 v = random<double>({b, kv, lk, dv}, 3), a = random<double>({b, h, lq, dv}, 4),
                 c = random<double>({b, h, lq, 1}, 5);

  template <class Spec> double loss(const Spec& spec, bool by_lse) const {
    auto out = unwritten<double>(a.extent), lse = unwritten<double>(c.extent);
    if (by_lse)
      attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
    else
      attend(spec, q.in(), k.in(), v.in(), out.in());
    double sum = 0;
    for (std::size_t i = 0; i < a.data.size(); ++i) sum += out.data[i] * a.data[i];
    for (std::size_t i = 0; by_lse && i < c.data.size(); ++i)
      if (std::isfinite(lse.data[i])) sum += lse.data[i] * c.data[i];
    return sum;
  }
  template <class Spec>
  void check(const Spec& spec, bool by_lse = false, const spec_gradients<Spec>& more = {}) {
    auto dq = unwritten<double>(q.extent), dk = unwritten<double>(k.extent),
         dv_ = unwritten<double>(v.extent);
    const upstream by = by_lse ? upstream(a.in(), c.in()) : upstream(a.in());
    attend_backward(spec, q.in(), k.in(), v.in(), {}, by,
                    {.dq = dq.in(), .dk = dk.in(), .dv = dv_.in(), .spec = more});
    const auto value = [&] { return loss(spec, by_lse); };
    check_gradient(dq.data, differences(q.data, value), "dq");
    check_gradient(dk.data, differences(k.data, value), "dk");
    check_gradient(dv_.data, differences(v.data, value), "dv");
  }
};

}  // namespace heed::test
