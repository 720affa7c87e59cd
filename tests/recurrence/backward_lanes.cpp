// SPDX-License-Identifier: BSL-1.0
// The same gradients by one lane and by vectors.
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/rwkv7.hpp>
#include <heed/recurrence/scan_backward.hpp>

#include "support/catch.hpp"
#include "support/tensor.hpp"

using namespace heed;
using namespace heed::test;

namespace {

constexpr heed::index L = 37, D = 9;

struct gradients {
  tensor<double> dq = unwritten<double>({2, 2, L, D}), dk = dq, dv = dq;

  template <class Arch, class Spec> void fill(const Spec& spec) {
    const auto q = random<double>(dq.extent, 1), k = random<double>(dq.extent, 2, 0.3),
               v = random<double>(dq.extent, 3), d_out = random<double>(dq.extent, 4);
    scan_backward<Arch>(spec, q.in(), k.in(), v.in(), nullptr, d_out.in(), nullptr,
                        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()});
  }
  double apart(const gradients& o) const {
    double worst = 0;
    const auto add = [&](const tensor<double>& x, const tensor<double>& y) {
      for (std::size_t i = 0; i < x.data.size(); ++i) {
        const double off = std::abs(x.data[i] - y.data[i]);
        worst = std::max(worst, std::isnan(off) ? 1e300 : off);
      }
    };
    add(dq, o.dq), add(dk, o.dk), add(dv, o.dv);
    return worst;
  }
};

template <class Spec> void same_by_lanes(const Spec& spec) {
  gradients x, y;
  x.fill<simd::best>(spec), y.fill<simd::scalar>(spec);
  CHECK(x.apart(y) < 1e-12);
}

}  // namespace

TEST_CASE("gradients of one lane are those of vectors") {
  tensor<double> log({2, 2, L, 1}, -0.1), each({1, 2, L, D}, -0.2), beta({2, 2, L, 1}, 0.7);
  const auto a = random<double>(each.extent, 5, 0.2), b = random<double>(each.extent, 6, 0.2);
  same_by_lanes(recurrences::gated_delta(log.in(), beta.in(), D));
  same_by_lanes(recurrences::rwkv7(each.in(), a.in(), b.in()));
}
