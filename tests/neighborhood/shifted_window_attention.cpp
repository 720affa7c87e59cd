// SPDX-License-Identifier: BSL-1.0
// attend over shifted windows, with the biases of Swin and Swin v2, against the roll of the paper.
#include <heed/eigen.hpp>
#include <heed/neighborhood/relative_position_bias.hpp>
#include <heed/neighborhood/shifted_window.hpp>
#include <heed/reference/neighborhood/shifted_window.hpp>
#include <heed/similarity/cosine.hpp>
#include <numeric>

#include "support/executors.hpp"
#include "support/gradients.hpp"

namespace heed::test {

namespace {

template <class A> reference::indices list(const A& a) { return {a.begin(), a.end()}; }

template <int N> index entries(const shifted_window<N>& m) {
  index n = 1;
  for (const index w : m.window) n *= 2 * w - 1;
  return n;
}

/// Swin's table [H][Π(2w − 1)] counts q − k: read from its end.
template <class T> view<const T> reversed(const tensor<T>& table) {
  view<const T> x = table.in();
  x.data += (x.extent[2] - 1) * x.stride[2];
  x.stride[2] = -x.stride[2];
  return x;
}

/// The scale of a head where q and k are unit vectors, else 1/√D.
struct similarity_of_heads {
  std::vector<double> beta{};

  Eigen::MatrixXd rows(Eigen::MatrixXd x) const {
    if (!beta.empty()) x.rowwise().normalize();
    return x;
  }
  double scale(index h, index depth) const {
    return beta.empty() ? 1 / std::sqrt(double(depth)) : beta.at(static_cast<std::size_t>(h));
  }
};

/// Two query heads a kv head, Dv ≠ D, any storage; `rounding` is that of Out.
template <class Q, class K, class V, class Out, int N, class Spec>
void check_attention(const shifted_window<N>& m, const Spec& spec, const tensor<float>& table,
                     double rounding, const similarity_of_heads& similarity = {}) {
  constexpr index B = 2, H = 4, kv = 2, D = 6, Dv = 3;
  const auto stored = [](const auto& from, auto zero) {
    tensor<decltype(zero)> to(from.extent, zero);
    for (std::size_t i = 0; i < to.data.size(); ++i)
      to.data[i] = static_cast<decltype(zero)>(from.data[i]);
    return to;
  };
  const index L = m.tokens();
  const auto q = stored(random<float>({B, H, L, D}, 1), Q(0));
  const auto k = stored(random<float>({B, kv, L, D}, 2), K(0));
  const auto v = stored(random<float>({B, kv, L, Dv}, 3), V(0));
  tensor<Out> out({B, H, L, Dv}, Out(NAN));
  tensor<float> lse({B, H, L, 1});
  attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
  for (index b = 0; b < B; ++b)
    for (index h = 0; h < H; ++h) {
      const Eigen::VectorXd of_head =
          table.data.empty() ? Eigen::VectorXd{} : Eigen::VectorXd(table.head(0, h).col(0));
      const auto expected = reference::neighborhood::shifted_window(
          similarity.rows(q.head(b, h)), similarity.rows(k.head(b, h / 2)), v.head(b, h / 2),
          list(m.size), list(m.window), list(m.shift), similarity.scale(h, D), of_head);
      const double largest = 4 + (similarity.beta.empty() ? 0 : 20);  // of a score, a value
      const double allowed = tolerance<float>(8, D, largest);
      check_close(out.head(b, h), expected.out, allowed + 4 * rounding);
      check_close(lse.head(b, h), expected.lse, allowed);
    }
}

template <int N> auto swin(const shifted_window<N>& m, const tensor<float>& table) {
  return attention{.mask = m,
                   .score = relative_position_bias<N>{reversed(table), m.size, m.window}};
}

template <int N> void check_swin(const shifted_window<N>& m) {
  CAPTURE(m.size, m.window, m.shift);
  const auto table = random<float>({1, 4, entries(m), 1}, 4);
  check_attention<float, float, float, float>(m, swin(m, table), table, 0);
}

}  // namespace

TEST_CASE("Swin against its roll") {
  check_swin(shifted_window<1>{{1}, {1}});
  check_swin(shifted_window<1>{{70}, {9}, {4}});
  check_swin(shifted_window<2>{{14, 21}, {7, 7}});
  check_swin(shifted_window<2>{{14, 21}, {7, 7}, {3, 3}});
  check_swin(shifted_window<2>{{13, 9}, {4, 5}, {2, 0}});
  check_swin(shifted_window<2>{{5, 3}, {5, 3}, {1, 2}});
  check_swin(shifted_window<3>{{4, 6, 5}, {2, 3, 4}});
  check_swin(shifted_window<3>{{4, 6, 5}, {2, 3, 4}, {1, 1, 2}});
}

TEST_CASE("Swin in other element types") {
  const shifted_window<2> m{{9, 12}, {4, 4}, {2, 2}};
  const auto table = random<float>({1, 4, entries(m), 1}, 4);
  const auto spec = swin(m, table);
  using Eigen::bfloat16, Eigen::half;
  check_attention<half, half, half, half>(m, spec, table, std::ldexp(1, -12));
  check_attention<bfloat16, bfloat16, bfloat16, bfloat16>(m, spec, table, std::ldexp(1, -9));
  check_attention<float, bfloat16, half, double>(m, spec, table, 0);
  check_attention<double, double, double, double>(m, spec, table, 0);
}

TEST_CASE("Swin: what other windows hold never leaks, for any executor") {
  const shifted_window<2> m{{11, 13}, {4, 6}, {2, 3}};
  const auto table = random<float>({1, 4, entries(m), 1}, 4);
  const auto spec = swin(m, table);
  const index L = m.tokens();
  const auto q = random<float>({2, 4, L, 6}, 1);
  auto k = random<float>({2, 2, L, 6}, 2), v = random<float>({2, 2, L, 3}, 3);
  auto clean = unwritten<float>({2, 4, L, 3}), out = clean;
  attend(spec, q.in(), k.in(), v.in(), clean.in());
  std::vector<bool> poisoned(static_cast<std::size_t>(L));
  for (index i = 0; i < m.patches(); i += 3)
    m.patch(i, [&](index token) {
      poisoned[static_cast<std::size_t>(token)] = true;
      for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 2; ++h) k(b, h, token, 1) = v(b, h, token, 2) = float(NAN);
    });
  attend(spec, q.in(), k.in(), v.in(), out.in(), shuffled{});
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 4; ++h)
      for (index l = 0; l < L; ++l) {
        const bool nan = std::isnan(out(b, h, l, 2)), same = out(b, h, l, 2) == clean(b, h, l, 2);
        if (poisoned[static_cast<std::size_t>(l)] ? !nan : !same) {
          CAPTURE(b, h, l, nan);
          FAIL("a token differs by what it does not see");
        }
      }
}

TEST_CASE("Swin v2: cosine of a scale a head, and a table of 16 sigmoids") {
  const shifted_window<2> m{{10, 12}, {4, 6}, {2, 3}};
  auto table = random<float>({1, 4, entries(m), 1}, 4);
  for (float& x : table.data) x = 16 / (1 + std::exp(-x));
  const std::vector<double> beta{cosine::swin(std::log(10)), cosine::swin(-1), cosine::swin(2.5),
                                 cosine::swin(0)};
  check_attention<float, float, float, float>(
      m,
      attention{.mask = m,
                .similarity = cosine{beta},
                .score = relative_position_bias<2>{reversed(table), m.size, m.window}},
      table, 0, {beta});
}

TEST_CASE("gradients of Swin and of Swin v2") {
  const auto check = []<int N>(const char* name, const shifted_window<N>& m,
                               const backward_shape& x) {
    learned table(extents{1, 4, entries(m), 1});
    check_gradients(
        name,
        attention{.mask = m, .score = relative_position_bias<N>{table.table(), m.size, m.window}},
        {.score = {table.to()}}, {&table}, x);
  };
  check("2-D", shifted_window<2>{{7, 9}, {3, 4}, {1, 2}}, {.lq = 63, .lk = 63});
  check("3-D", shifted_window<3>{{3, 4, 5}, {2, 2, 3}, {1, 0, 2}}, {.lq = 60, .lk = 60});

  const shifted_window<2> m{{6, 8}, {3, 4}, {1, 2}};
  learned table(extents{1, 4, entries(m), 1}, 1, 8), beta(4, 0.5, 5, 12);
  check_gradients("v2",
                  attention{.mask = m,
                            .similarity = cosine{beta.list()},
                            .score = relative_position_bias<2>{table.table(), m.size, m.window}},
                  {.similarity = {beta.to_list()}, .score = {table.to()}}, {&table, &beta},
                  {.lq = 48, .lk = 48});
}

}  // namespace heed::test
