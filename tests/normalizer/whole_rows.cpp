// SPDX-License-Identifier: BSL-1.0
// Normalisers that need whole rows, on the driver of their own, against their references.
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/query_axis.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/normalizer/topk.hpp>
#include <heed/reference/normalizer/entmax.hpp>
#include <heed/reference/normalizer/query_axis.hpp>
#include <heed/reference/normalizer/stick_breaking.hpp>
#include <heed/reference/normalizer/topk.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

template <class T, class Arch = simd::best> void sweep() {
  for (const double alpha : {1.5, 2.0, 1.3, 3.0})
    agree<T, Arch>(
        attention{.mask = causal{}, .normalizer = entmax{.alpha = alpha}}, scaled_dot,
        [&](const auto& s, const auto& a, heed::index) { return expected::entmax(s, a, alpha); },
        alpha > 2 ? 1000 : 16);  // a root: infinitely steep at 0
  for (const bool self : {false, true}) {
    agree<T, Arch>(attention{.mask = causal{}, .normalizer = stick_breaking{.self = self}},
                   scaled_dot, [&](const auto& s, const auto& a, heed::index) {
                     return expected::stick_breaking(s, a, self);
                   });
    agree<T, Arch>(attention{.mask = causal{},
                             .normalizer = stick_breaking{.self = self, .rest_to_self = true}},
                   scaled_dot, [&](const auto& s, const auto& a, heed::index) {
                     return expected::rest_to_self(expected::stick_breaking(s, a, self), a);
                   });
  }
  agree<T, Arch>(
      attention{.mask = causal{}, .normalizer = query_axis{}}, scaled_dot,
      [](const auto& s, const auto& a, heed::index) { return expected::query_axis(s, a, 1e-8); });
}

}  // namespace

TEST_CASE("normalisers of whole rows agree with their references, float") { sweep<float>(); }
TEST_CASE("normalisers of whole rows agree with their references, double") { sweep<double>(); }
TEST_CASE("normalisers of whole rows agree with their references, one lane") {
  sweep<float, simd::scalar>();
}
