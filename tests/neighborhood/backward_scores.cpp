// SPDX-License-Identifier: BSL-1.0
// Gradients of neighbourhoods under score modifiers that learn nothing, against central differences
// in double: a bias by place, what looks at positions, a chain of both.
#include <heed/score/softcap.hpp>

#include "support/gradients.hpp"
#include "support/neighborhood.hpp"

using namespace heed::test;
using heed::neighborhood;
using heed::relative_position_bias;

namespace {

// The further the key, the less; its slope depends on the score and on where the two are.
struct fading {
  template <class S, class At> S operator()(const S& s, const At& at) const {
    return s + s * grown(s, at);
  }
  template <class S, class At> S grad(const S& s, const At& at) const {
    return heed::simd::constant<S>(1) + grown(s, at);
  }

 private:
  template <class S, class At> static S grown(const S&, const At& at) {
    return S(S(at.k) - S(at.q)) * heed::simd::constant<S>(0.01);
  }
};

template <int N> void check_scores(const grid_case<N>& x) {
  const backward_shape shape{x.b, x.h, x.kv, x.tokens(), x.tokens(), x.d, x.dv};
  const auto table = random<double>({1, x.h, x.entries(), 1}, 5);
  const auto bias = relative_position_bias<N>::of(x.grid, table.in());
  check_gradients(x.name() + "bias", heed::attention{.mask = x.grid, .score = bias}, {}, {}, shape);
  check_gradients(x.name() + "fading", heed::attention{.mask = x.grid, .score = fading{}}, {}, {},
                  shape);
  check_gradients(x.name() + "chain",
                  heed::attention{.mask = x.grid, .score = bias | heed::softcap{2}}, {}, {}, shape);
}

}  // namespace

TEST_CASE("gradients of images under scores") {
  for (const heed::index size : {5, 13, 24})
    for (const heed::index window : {2, 5})
      check_scores<2>({{{6, size}, {4, window}}, 1, 2, 1, 3, 4});
  check_scores<2>({{{7, 21}, {3, 4}, {1, 1}, {2, 3}, {false, true}}, 1, 2, 2, 3, 4});
}

TEST_CASE("gradients of clips under scores") {
  check_scores<3>({{{3, 4, 19}, {2, 3, 5}}, 1, 2, 1, 3, 3});
}
