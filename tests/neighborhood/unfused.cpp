// SPDX-License-Identifier: BSL-1.0
// The halves of neighbourhood attention: with a softmax between them they are attend, and so are
// their gradients.
#include <heed/attention/attend_backward.hpp>
#include <heed/neighborhood/unfused.hpp>

#include "support/differences.hpp"
#include "support/neighborhood.hpp"
#include "support/weights.hpp"

namespace heed {
template <> struct element_of<Eigen::half> {
  static constexpr element value = element::f16;
};
}  // namespace heed

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
using heed::neighborhood;

namespace {

template <int N> heed::extents weights_of(const grid_case<N>& x) {
  heed::index taps = 1;
  for (const heed::index w : x.grid.window) taps *= w;
  return {x.b, x.h, x.tokens(), taps};
}
template <class T> tensor<T> softmax(tensor<T> a) {
  const heed::index taps = a.extent[3];
  for (auto row = a.data.begin(); row != a.data.end(); row += taps) {
    const T top = *std::max_element(row, row + taps);
    T sum = 0;
    for (auto x = row; x != row + taps; ++x) sum += * x = std::exp(*x - top);
    for (auto x = row; x != row + taps; ++x) *x /= sum;
  }
  return a;
}

template <class T, int N> void check_halves(const grid_case<N>& x) {
  const auto q = random<T>(x.q(), 1), k = random<T>(x.k(), 2), v = random<T>(x.v(), 3),
             d_out = random<T>(x.out(), 4);
  auto a = unwritten<T>(weights_of(x));
  heed::neighborhood_qk(x.grid, q.in(), k.in(), a.in());
  const auto p = softmax(a);
  auto out = unwritten<T>(x.out()), fused = out;
  heed::neighborhood_av(x.grid, p.in(), v.in(), out.in());
  const heed::attention spec{.mask = x.grid};
  heed::attend(spec, q.in(), k.in(), v.in(), fused.in());

  auto dp = unwritten<T>(a.extent), dq = unwritten<T>(x.q()), dk = unwritten<T>(x.k()),
       dv = unwritten<T>(x.v());
  heed::neighborhood_av_backward(x.grid, p.in(), v.in(), d_out.in(), dp.in(), dv.in());
  auto ds = dp;
  const heed::index taps = a.extent[3];
  for (std::size_t row = 0; row < a.data.size(); row += std::size_t(taps)) {
    T delta = 0;
    for (std::size_t t = row; t < row + std::size_t(taps); ++t) delta += p.data[t] * dp.data[t];
    for (std::size_t t = row; t < row + std::size_t(taps); ++t)
      ds.data[t] = p.data[t] * (dp.data[t] - delta);
  }
  heed::neighborhood_qk_backward(x.grid, q.in(), k.in(), ds.in(), dq.in(), dk.in());
  auto by_q = unwritten<T>(x.q()), by_k = unwritten<T>(x.k()), by_v = unwritten<T>(x.v());
  heed::attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                        {.dq = by_q.in(), .dk = by_k.in(), .dv = by_v.in()});
  const auto close = [&](const char* name, const tensor<T>& got, const tensor<T>& want) {
    double largest = 1;
    for (const T y : want.data) largest = std::max(largest, std::abs(double(y)));
    for (heed::index b = 0; b < x.b; ++b)
      for (heed::index h = 0; h < want.extent[1]; ++h)
        check_close(got.head(b, h), want.head(b, h), tolerance<T>(16, x.d + x.dv, 4 * largest),
                    x.name() + name);
  };
  close("out", out, fused);
  close("dq", dq, by_q), close("dk", dk, by_k), close("dv", dv, by_v);
}

/// Which key each tap has, -1 where it has none: products of tokens with themselves tell.
template <int N> std::vector<std::vector<int>> taps_of(const neighborhood<N>& grid) {
  const heed::index tokens = grid.tokens();
  tensor<double> q({1, 1, tokens, 1}, 1), k({1, 1, tokens, 1});
  for (heed::index i = 0; i < tokens; ++i) k(0, 0, i) = double(i);
  auto a = unwritten<double>(weights_of(grid_case<N>{grid}));
  heed::neighborhood_qk(grid, q.in(), k.in(), a.in(), 1);
  std::vector<std::vector<int>> taps;
  for (heed::index i = 0; i < tokens; ++i) {
    taps.emplace_back();
    for (heed::index t = 0; t < a.extent[3]; ++t)
      taps.back().push_back(std::isinf(a(0, 0, i, t)) ? -1 : int(a(0, 0, i, t)));
  }
  return taps;
}

}  // namespace

TEST_CASE("taps are the places of a window") {
  using rows = std::vector<std::vector<int>>;
  CHECK(taps_of<1>({{4}, {3}}) == rows{{0, 1, 2}, {0, 1, 2}, {1, 2, 3}, {1, 2, 3}});
  CHECK(taps_of<1>({{4}, {2}, {1}, {2}}) == rows{{0, 2}, {1, 3}, {0, 2}, {1, 3}});
  CHECK(taps_of<1>({{4}, {3}, {1}, {1}, {true}}) ==
        rows{{-1, -1, 0}, {-1, 0, 1}, {0, 1, 2}, {1, 2, 3}});
  CHECK(taps_of<1>({{4}, {3}, {2}, {1}, {true}}) ==
        rows{{-1, 0, -1}, {-1, 0, 1}, {1, 2, -1}, {1, 2, 3}});
  CHECK(taps_of<2>({{2, 3}, {2, 2}, {1, 1}, {1, 1}, {true, false}})[1] ==
        std::vector<int>{-1, -1, 0, 1});
  draws from(11);
  for (int n = 0; n < 30; ++n) {
    const auto grid = draw_windows<2>({from.from(1, 8), from.from(1, 9)}, from);
    const auto taps = taps_of(grid);
    for (heed::index i = 0; i < grid.tokens(); ++i) {
      std::vector<heed::index> present;
      for (const int k : taps[std::size_t(i)])
        if (k >= 0) present.push_back(k);
      CHECK(present == heed::reference::neighborhood::seen(axes_of(grid), i));
    }
  }
}

TEST_CASE("a softmax between the halves is attend") {
  draws from(12);
  for (int n = 0; n < 20; ++n) {
    check_halves<double>(grid_case<1>{draw_windows<1>({from.from(1, 50)}, from), 2, 4, 2, 5, 3});
    check_halves<float>(grid_case<2>{draw_windows<2>({from.from(1, 8), from.from(1, 14)}, from), 1,
                                     6, 2, from.from(1, 40), from.from(1, 40)});
  }
}

TEST_CASE("gradients of the halves are their differences") {
  for (const neighborhood<3>& grid :
       {neighborhood<3>{{2, 3, 4}, {2, 2, 3}},
        {{3, 2, 5}, {2, 1, 2}, {2, 1, 1}, {1, 2, 2}},
        {{2, 2, 4}, {2, 2, 3}, {1, 1, 2}, {1, 1, 1}, {true, false, true}}}) {
    const grid_case<3> x{grid, 1, 2, 1, 3, 2};
    auto q = random<double>(x.q(), 1), k = random<double>(x.k(), 2), v = random<double>(x.v(), 3);
    const auto d_out = random<double>(x.out(), 4);
    auto a = unwritten<double>(weights_of(x)), da = a;
    auto weights = random<double>(a.extent, 5);
    heed::neighborhood_qk(grid, q.in(), k.in(), a.in());
    // What is absent is neither read nor written by a gradient, and comes back as 0.
    auto up = random<double>(a.extent, 6);
    for (std::size_t i = 0; i < a.data.size(); ++i)
      if (std::isinf(a.data[i])) up.data[i] = weights.data[i] = NAN;
    auto dq = unwritten<double>(x.q()), dk = unwritten<double>(x.k()),
         dv = unwritten<double>(x.v());
    heed::neighborhood_qk_backward(grid, q.in(), k.in(), up.in(), dq.in(), dk.in());
    heed::neighborhood_av_backward(grid, weights.in(), v.in(), d_out.in(), da.in(), dv.in());
    const auto scores = [&] {
      auto s = unwritten<double>(a.extent);
      heed::neighborhood_qk(grid, q.in(), k.in(), s.in());
      double sum = 0;
      for (std::size_t i = 0; i < s.data.size(); ++i)
        if (std::isfinite(s.data[i])) sum += s.data[i] * up.data[i];
      return sum;
    };
    const auto sums = [&] {
      auto out = unwritten<double>(x.out());
      heed::neighborhood_av(grid, weights.in(), v.in(), out.in());
      double sum = 0;
      for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * d_out.data[i];
      return sum;
    };
    check_gradient(dq.data, differences(q.data, scores), "dq");
    check_gradient(dk.data, differences(k.data, scores), "dk");
    check_gradient(dv.data, differences(v.data, sums), "dv");
    check_gradient(da.data, differences(weights.data, sums), "da");
  }
}

TEST_CASE("halves of other element types and strides") {
  using half = Eigen::half;
  const grid_case<2> x{{{5, 9}, {3, 4}}, 1, 2, 2, 6, 6};
  const heed::index tokens = x.tokens();
  const auto q = random<half>(x.q(), 1), k = random<half>(x.k(), 2);
  tensor<float> q32(x.q()), k32(x.k());
  std::copy(q.data.begin(), q.data.end(), q32.data.begin());
  // Channels two apart, the tokens of all heads side by side.
  tensor<float> wide({1, tokens, x.h, 2 * x.d});
  const heed::view<float> apart(wide.data.data(), x.k(), {0, 2 * x.d, 2 * x.d * x.h, 2});
  for (heed::index h = 0; h < x.h; ++h)
    for (heed::index i = 0; i < tokens; ++i)
      for (heed::index c = 0; c < x.d; ++c)
        apart(0, h, i, c) = k32(0, h, i, c) = float(k.in()(0, h, i, c));
  auto a = unwritten<float>(weights_of(x)), b = a, c = a;
  heed::neighborhood_qk(x.grid, q.in(), k.in(), a.in());
  heed::neighborhood_qk(x.grid, q32.in(), k32.in(), b.in());
  heed::neighborhood_qk(x.grid, q32.in(), apart, c.in());
  CHECK(a.data == b.data);
  CHECK(c.data == b.data);
  auto out = unwritten<float>(x.out());
  auto rounded = unwritten<half>(x.out());
  heed::neighborhood_av(x.grid, a.in(), k.in(), out.in());
  heed::neighborhood_av(x.grid, a.in(), apart, rounded.in());
  for (std::size_t i = 0; i < out.data.size(); ++i) CHECK(rounded.data[i] == half(out.data[i]));
}

TEST_CASE("the number of threads changes no bit of the halves") {
  const grid_case<2> x{{{9, 33}, {3, 5}}, 2, 4, 2, 16, 16};
  const auto q = random<float>(x.q(), 1), k = random<float>(x.k(), 2);
  auto a = unwritten<float>(weights_of(x)), dq = unwritten<float>(x.q()),
       dk = unwritten<float>(x.k());
  heed::neighborhood_qk(x.grid, q.in(), k.in(), a.in());
  heed::neighborhood_qk_backward(x.grid, q.in(), k.in(), a.in(), dq.in(), dk.in());
  heed::workspace scratch;
  for (const heed::index count : {2, 5}) {
    auto a2 = unwritten<float>(a.extent), dq2 = unwritten<float>(x.q()),
         dk2 = unwritten<float>(x.k());
    heed::neighborhood_qk(x.grid, q.in(), k.in(), a2.in(), heed::automatic, threads{count},
                          scratch);
    heed::neighborhood_qk_backward(x.grid, q.in(), k.in(), a.in(), dq2.in(), dk2.in(),
                                   heed::automatic, threads{count}, scratch);
    CHECK(a2.data == a.data);
    CHECK(dq2.data == dq.data);
    CHECK(dk2.data == dk.data);
  }
}

TEST_CASE("halves refuse what does not fit") {
  const grid_case<2> x{{{3, 4}, {2, 3}}, 1, 4, 2, 5, 5};
  const auto q = random<float>(x.q(), 1), k = random<float>(x.k(), 2);
  auto a = unwritten<float>(weights_of(x)), out = unwritten<float>(x.out());
  const auto throws = [](const auto& call, const std::string& text) {
    CHECK_THROWS_WITH(call(), ContainsSubstring(text));
  };
  throws([&] { heed::neighborhood_qk(x.grid, q.in(), k.in(), out.in()); },
         "heed::neighborhood_qk: a must be [1, 4, 12, 6]");
  throws([&] { heed::neighborhood_qk(x.grid, q.in(), k.in().slice_channels(0, 3), a.in()); },
         "heed::neighborhood_qk: rows that meet must have the same channels");
  throws([&] { heed::neighborhood_qk(x.grid, q.in(), k.in().slice_rows(0, 3), a.in()); },
         "heed::neighborhood: a grid of 12 tokens needs as many queries and keys");
  throws([&] { heed::neighborhood_av(x.grid, out.in(), k.in(), out.in()); },
         "heed::neighborhood_av: a must be [1, 4, 12, 6]");
  throws([&] { heed::neighborhood_av(neighborhood<2>{{3, 4}, {2, 5}}, a.in(), k.in(), out.in()); },
         "heed::neighborhood: axis 1 is shorter than its window times its dilation");
  throws([&] { heed::neighborhood_qk_backward(x.grid, q.in(), k.in(), a.in(), a.in(), {}); },
         "heed::neighborhood_qk_backward: dq must be [1, 4, 12, 5]");
  throws([&] { heed::neighborhood_av_backward(x.grid, a.in(), k.in(), q.in(), {}, out.in()); },
         "heed::neighborhood_av_backward: dv must be [1, 2, 12, 5]");
  for (const float y : a.data) CHECK(std::isnan(y));
  for (const float y : out.data) CHECK(std::isnan(y));
}

TEST_CASE("halves without query heads leave keys and values a gradient of 0") {
  const neighborhood<2> grid{{3, 4}, {2, 3}};
  const tensor<float> q({1, 0, 12, 5}), a({1, 0, 12, 6});
  const auto k = random<float>({1, 2, 12, 5}, 2);
  auto dk = unwritten<float>(k.extent), dv = dk;
  heed::neighborhood_qk_backward(grid, q.in(), k.in(), a.in(), {}, dk.in());
  heed::neighborhood_av_backward(grid, a.in(), k.in(), q.in(), {}, dv.in());
  for (const float y : dk.data) CHECK(y == 0);
  for (const float y : dv.data) CHECK(y == 0);
}

TEST_CASE("rows without channels meet in scores of 0") {
  const tensor<float> q({1, 1, 9, 0});
  auto a = unwritten<float>({1, 1, 9, 4});
  heed::neighborhood_qk(neighborhood<2>{{3, 3}, {2, 2}}, q.in(), q.in(), a.in());
  for (const float y : a.data) CHECK(y == 0);
}
