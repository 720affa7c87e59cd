// SPDX-License-Identifier: BSL-1.0
// attend_along against lines gathered one by one, in layouts whose lines fold into one stride and
// in those whose lines do not.
#include <heed/mask/causal.hpp>
#include <heed/mask/window.hpp>
#include <heed/neighborhood/axial.hpp>
#include <heed/neighborhood/natten.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/neighborhood/axial.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/score/bias.hpp>
#include <numeric>

#include "support/exact.hpp"
#include "support/executors.hpp"
#include "support/masks.hpp"
#include "support/operands.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;
using reference::matrix;

namespace {

template <class T> matrix head(view<T> x, index b, index h) {
  matrix m(x.extent[2], x.extent[3]);
  for (index l = 0; l < m.rows(); ++l)
    for (index d = 0; d < m.cols(); ++d) m(l, d) = double(x(b, h, l, d));
  return m;
}

matrix softmax_lines(const matrix& q, const matrix& k, const matrix& v, bool by_lse) {
  const auto a = reference::mask::causal(q.rows(), k.rows());
  const matrix s = q * k.transpose() / std::sqrt(double(q.cols()));
  if (by_lse) return reference::normalizer::lse(s, a);
  return reference::attention(reference::normalizer::softmax(s, a), v);
}

/// Causal along the axis, two query heads a kv head, Dv ≠ D.
template <int N> void check_lines(const axial<N>& a, index batch, const layout& how) {
  engine random(seed());
  const index tokens = detail::grid_tokens(a.size);
  auto q = input<float>({batch, 4, tokens, 6}, how, random),
       k = input<float>({batch, 2, tokens, 6}, how, random),
       v = input<float>({batch, 2, tokens, 3}, how, random),
       out = output<float>({batch, 4, tokens, 3}, how, random),
       lse = output<float>({batch, 4, tokens, 1}, how, random);
  attend_along(a, attention{.mask = causal{}}, q.read(), k.read(), v.read(),
               {.out = out.mutable_view(), .lse = lse.mutable_view()});
  CHECK(rest_untouched(out));
  CHECK(rest_untouched(lse));
  const reference::indices size(a.size.begin(), a.size.end());
  for (index b = 0; b < batch; ++b)
    for (index h = 0; h < 4; ++h)
      for (const bool by_lse : {false, true}) {
        const matrix expected = reference::neighborhood::axial(
            head(q.read(), b, h), head(k.read(), b, h / 2), head(v.read(), b, h / 2), size,
            std::size_t(a.first), std::size_t(a.last),
            [&](const auto&... x) { return softmax_lines(x..., by_lse); });
        check_close(head(by_lse ? lse.read() : out.read(), b, h), expected, tolerance<float>(8, 6),
                    "axes " + std::to_string(a.first) + " to " + std::to_string(a.last));
      }
}

template <int N> void check_layouts(const axial<N>& a) {
  for (const index batch : {1, 3})
    for (const layout& how : {layout{}, layout{.permuted = true},
                              layout{.permuted = true, .strided_channels = true, .reversed = true},
                              layout{.broadcast = true}})
      check_lines(a, batch, how);
}

/// An image [B,Y,X,H,D] as the views have it.
template <class T> view<T> interleaved(tensor<T>& x) {
  const extents& e = x.extent;
  return {x.data.data(), e, {e[2] * e[1] * e[3], e[3], e[1] * e[3], 1}};
}

}  // namespace

TEST_CASE("attention along axes against lines by themselves") {
  check_layouts(axial<1>{{9}});
  for (int n = 0; n < 2; ++n) check_layouts(axial<2>{{5, 30}, n});
  check_layouts(axial<2>{{4, 7}, 0, 1});
  check_layouts(axial<2>{{1, 7}, 0});
  for (int first = 0; first < 3; ++first)
    for (int last = first; last < 3; ++last) check_layouts(axial<3>{{3, 4, 5}, first, last});
  check_lines(axial<2>{{4, 7}, 1}, 0, {});
}

TEST_CASE("policies see positions along the axis, and lines as their batch") {
  constexpr index Y = 4, X = 5, B = 2, H = 3;
  const auto q = random<double>({B, H, Y * X, 7}, 1), k = random<double>({B, H, Y * X, 7}, 2),
             v = random<double>({B, H, Y * X, 2}, 3),
             of_lines = random<double>({B * X, 1, Y, Y}, 4);
  auto out = unwritten<double>({B, H, Y * X, 2});
  attend_along(axial<2>{{Y, X}, 0},
               attention{.mask = window{.left = 2}, .score = bias{of_lines.in()}}, q.in(), k.in(),
               v.in(), out.in());
  for (index b = 0; b < B; ++b)
    for (index h = 0; h < H; ++h) {
      index line = b * X;
      const matrix expected = reference::neighborhood::axial(
          q.head(b, h), k.head(b, h), v.head(b, h), {Y, X}, 0, 0,
          [&](const matrix& lq, const matrix& lk, const matrix& lv) -> matrix {
            allowed a(Y, Y);
            for (index i = 0; i < Y; ++i)
              for (index j = 0; j < Y; ++j) a(i, j) = j <= i && j >= i - 2;
            const matrix s = lq * lk.transpose() / std::sqrt(7.0) + of_lines.head(line++, 0);
            return reference::attention(reference::normalizer::softmax(s, a), lv);
          });
      check_close(out.head(b, h), expected, tolerance<double>(16, 7));
    }
}

TEST_CASE("attention along axes: same bits for any layout, executor and workspace") {
  const auto check = [](const auto& a, index tokens) {
    const attention spec{.mask = causal{}};
    const extents wide{3, 2, tokens, 20};
    auto q = random<float>(wide, 1), k = random<float>(wide, 2), v = random<float>(wide, 3);
    auto out = unwritten<float>(wide), other = unwritten<float>(wide);
    attend_along(a, spec, q.in(), k.in(), v.in(), out.in());
    workspace scratch;
    for (int n = 0; n < 2; ++n) {
      std::fill(other.data.begin(), other.data.end(), not_a_number);
      attend_along(a, spec, q.in(), k.in(), v.in(), other.in(), shuffled{}, scratch);
      CHECK(other.data == out.data);
    }
    const auto copied = [&](const tensor<float>& x) {
      tensor<float> y(wide);
      const view<float> to = interleaved(y);
      for (index b = 0; b < 3; ++b)
        for (index h = 0; h < 2; ++h)
          for (index l = 0; l < tokens; ++l)
            for (index d = 0; d < 20; ++d) to(b, h, l, d) = x.in()(b, h, l, d);
      return y;
    };
    auto iq = copied(q), ik = copied(k), iv = copied(v);
    std::fill(other.data.begin(), other.data.end(), not_a_number);
    attend_along(a, spec, interleaved(iq), interleaved(ik), interleaved(iv), interleaved(other));
    CHECK(other.data == copied(out).data);
  };
  check(axial<2>{{30, 9}, 0}, 270);
  check(axial<2>{{30, 9}, 1}, 270);
  check(axial<3>{{3, 70, 4}, 1}, 840);
}

TEST_CASE("a neighbourhood along an axis is one with windows of 1 along the others") {
  constexpr index Y = 9, X = 14;
  const extents wide{3, 2, Y * X, 8};
  const auto q = random<float>(wide, 1), k = random<float>(wide, 2), v = random<float>(wide, 3);
  for (int n = 0; n < 2; ++n) {
    auto lines = unwritten<float>(wide), grid = lines;
    const index size = n == 0 ? Y : X;
    attend_along(axial<2>{{Y, X}, n}, attention{.mask = neighborhood<1>{{size}, {5}}}, q.in(),
                 k.in(), v.in(), lines.in());
    neighborhood<2> m{{Y, X}, {1, 1}};
    m.window[std::size_t(n)] = 5;
    attend(attention{.mask = m}, q.in(), k.in(), v.in(), grid.in());
    for (index b = 0; b < 3; ++b)
      for (index h = 0; h < 2; ++h)
        check_close(lines.head(b, h), grid.head(b, h), tolerance<float>(8, 8, 4));
  }
}

TEST_CASE("attention along axes refuses what does not fit") {
  const auto x = uniform({1, 2, 12, 4}, 1), more = uniform({1, 2, 13, 4}, 1);
  tensor<> out({1, 2, 12, 4}, not_a_number), short_lse({1, 2, 11, 1}, not_a_number);
  const auto refused = [&](const auto& a, const tensor<>& k, const outputs& to, const char* rule) {
    CHECK_THROWS_WITH(attend_along(a, attention{}, x.in(), k.in(), x.in(), to),
                      ContainsSubstring("heed::attend_along") && ContainsSubstring(rule));
  };
  const outputs to{.out = out.in()};
  refused(axial<2>{{0, 12}, 0}, x, to, "axis 0 is empty");
  refused(axial<2>{{3, 4}, 2}, x, to, "a grid of 2 axes has none from 2 to 2");
  refused(axial<2>{{3, 4}, -1}, x, to, "none from -1");
  refused(axial<3>{{3, 2, 2}, 2, 1}, x, to, "from 2 to 1");
  refused(axial<2>{{3, 5}, 1}, x, to, "q must have the 15 tokens of the grid");
  refused(axial<2>{{3, 4}, 1}, more, to, "k must have the 12 tokens of the grid");
  refused(axial<2>{{3, 4}, 1}, x, {.out = out.in(), .lse = short_lse.in()}, "lse must have");
  CHECK_THROWS_WITH(
      attend_along(axial<2>{{3, 4}, 0}, attention{}, x.in(), x.in(), x.in(), view<float>{}),
      ContainsSubstring("out"));
  CHECK_THROWS_WITH(attend_along_backward(axial<2>{{3, 4}, 5}, attention{}, x.in(), x.in(), x.in(),
                                          {}, x.in(), {.dq = out.in()}),
                    ContainsSubstring("heed::attend_along_backward"));
  CHECK(std::isnan(out.data.front()));
}

}  // namespace heed::test
