// SPDX-License-Identifier: BSL-1.0
// Neighbourhoods with every kind of policy around them, against the oracle in double.
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/reference/attend.hpp>
#include <heed/score/softcap.hpp>
#include <heed/similarity/cosine.hpp>
#include <heed/similarity/distance.hpp>

#include "support/neighborhood.hpp"

using namespace heed::test;
using heed::neighborhood;

namespace {

template <class F> void each_grid(F f) {
  for (const heed::index x : {5, 8, 13, 16, 23, 32, 40})
    for (const heed::index w : {2, 3, 5, 8, 13})
      if (w <= x) f(grid_case<2>{{{4, x}, {3, w}}, 1, 2, 1, 6, 9});
  draws from(10);
  for (int n = 0; n < 24; ++n)
    f(grid_case<2>{draw_windows<2>({from.from(1, 7), from.from(1, 26)}, from), 1, 4, 2, 7, 4});
}

/// make(grid) is the spec; scores are of the size of `larger` times |q| |k| / √D.
template <class Make> void agree(const Make& make, double larger = 1) {
  each_grid([&](const grid_case<2>& x) {
    const auto spec = make(x);
    constexpr bool logarithmic = heed::has_lse<decltype(spec.normalizer)>;
    const auto q = random<float>(x.q(), 1), k = random<float>(x.k(), 2),
               v = random<float>(x.v(), 3);
    auto out = unwritten<float>(x.out()), lse = unwritten<float>(x.rows());
    auto expected = unwritten<double>(x.out()), expected_lse = unwritten<double>(x.rows());
    heed::outputs to{.out = out.in()}, want{.out = expected.in()};
    if (logarithmic) to.lse = lse.in(), want.lse = expected_lse.in();
    heed::attend(spec, q.in(), k.in(), v.in(), to);
    heed::reference::attend(spec, q.in(), k.in(), v.in(), want);
    for (heed::index h = 0; h < x.h; ++h) {
      const double size = q.head(0, h).rowwise().norm().maxCoeff() *
                          k.head(0, h * x.kv / x.h).rowwise().norm().maxCoeff();
      const double allowed =
          tolerance<float>(8, x.d, std::max(1.0, larger * size / std::sqrt(double(x.d))));
      check_close(out.head(0, h), expected.head(0, h), allowed, x.name());
      if (logarithmic) check_close(lse.head(0, h), expected_lse.head(0, h), allowed, x.name());
    }
  });
}

}  // namespace

TEST_CASE("neighbourhoods with capped scores") {
  agree([](const grid_case<2>& x) {
    return heed::attention{.mask = x.grid, .score = heed::softcap{2}};
  });
}

TEST_CASE("neighbourhoods with sinks") {
  const std::vector<double> sinks{0.5, -1, 3, 2};
  agree([&](const grid_case<2>& x) {
    return heed::attention{
        .mask = x.grid, .normalizer = heed::sink_softmax{std::span(sinks).first(std::size_t(x.h))}};
  });
}

TEST_CASE("neighbourhoods with sigmoid weights") {
  agree(
      [](const grid_case<2>& x) {
        const double window = double(x.grid.window[0] * x.grid.window[1]);
        return heed::attention{.mask = x.grid,
                               .normalizer = heed::sigmoid{.bias = -std::log(window)}};
      },
      4);
}

TEST_CASE("neighbourhoods with cosines") {
  const std::vector<double> tau{10, 3, 7, 1};
  agree(
      [&](const grid_case<2>& x) {
        return heed::attention{.mask = x.grid,
                               .similarity = heed::cosine{std::span(tau).first(std::size_t(x.h))}};
      },
      2);
}

TEST_CASE("neighbourhoods with distances") {
  agree(
      [](const grid_case<2>& x) {
        return heed::attention{.mask = x.grid, .similarity = heed::distance{}};
      },
      4);
}
