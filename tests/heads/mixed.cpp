// SPDX-License-Identifier: BSL-1.0
// Talking heads and multi-token attention against their references.
#include <heed/heads/multi_token.hpp>
#include <heed/heads/talking.hpp>
#include <heed/reference/heads/multi_token.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::heads;

namespace {

/// `weights(scores of all heads, allowed)` gives those of all heads.
template <class T, class Arch, class Spec, class Weights>
void agree_mixed(const Spec& spec, const shape& x, const Weights& weights, double c) {
  const auto q = random<T>({x.b, x.h, x.lq, x.d}, 1), k = random<T>({x.b, x.kv, x.lk, x.d}, 2),
             v = random<T>({x.b, x.kv, x.lk, x.dv}, 3);
  auto out = unwritten<T>({x.b, x.h, x.lq, x.dv});
  attend<Arch>(spec, q.in(), k.in(), v.in(), out.in());
  const reference::allowed a = reference::mask::causal(x.lq, x.lk);
  for (heed::index b = 0; b < x.b; ++b) {
    std::vector<reference::matrix> s;
    for (heed::index h = 0; h < x.h; ++h)
      s.push_back(scaled_dot(q.head(b, h), k.head(b, h / (x.h / x.kv)), h));
    const std::vector<reference::matrix> p = weights(s, a);
    double mass = 1, largest = 1;
    for (std::size_t h = 0; h < p.size() && x.lk > 0; ++h) {
      mass = std::max(mass, p[h].cwiseAbs().rowwise().sum().maxCoeff());
      largest = std::max(largest, s[h].cwiseAbs().maxCoeff());
    }
    for (heed::index h = 0; h < x.h; ++h)
      check_close(
          out.head(b, h),
          reference::attention(p[static_cast<std::size_t>(h)], v.head(b, h / (x.h / x.kv))),
          tolerance<T>(c, x.d, largest * mass),
          std::to_string(x.lq) + " × " + std::to_string(x.lk) + ", head " + std::to_string(h));
  }
}

reference::matrix table(const tensor<double>& x, heed::index h) {
  reference::matrix m(x.extent[2], x.extent[3]);
  for (heed::index i = 0; i < m.rows(); ++i)
    for (heed::index j = 0; j < m.cols(); ++j)
      m(i, j) = x.data[static_cast<std::size_t>((h * m.rows() + i) * m.cols() + j)];
  return m;
}

template <class T, class Arch = simd::best> void sweep() {
  for (const shape& x : awkward_shapes()) {
    const auto l = random<double>({1, 1, x.h, x.h}, 5), w = random<double>({1, 1, x.h, x.h}, 6);
    agree_mixed<T, Arch>(
        attention{.mask = causal{}, .weights = talking{l.in(), w.in()}}, x,
        [&](const auto& s, const auto& a) {
          return expected::talking(s, a, table(l, 0), table(w, 0));
        },
        64);
    const heed::index g = x.h % 2 ? 1 : 2;
    for (const auto& [rows, keys, after] :
         {std::array<heed::index, 3>{1, 1, 1}, {3, 4, 1}, {6, 11, 1}, {2, 3, 4}}) {
      const auto theta = random<double>({1, x.h, rows, keys}, 7, 0.3),
                 later = random<double>({1, x.h, after, after}, 8, 0.3),
                 mix = random<double>({1, x.h / g, g, g}, 9);
      agree_mixed<T, Arch>(
          attention{.mask = causal{}, .weights = multi_token{theta.in(), later.in(), mix.in()}}, x,
          [&](const auto& s, const auto& a) {
            std::vector<reference::matrix> t, u;
            reference::matrix m = reference::matrix::Zero(x.h, x.h);
            for (heed::index h = 0; h < x.h; ++h)
              t.push_back(table(theta, h)), u.push_back(table(later, h));
            for (heed::index n = 0; n < x.h / g; ++n) m.block(n * g, n * g, g, g) = table(mix, n);
            return expected::multi_token(s, a, t, u, m);
          },
          64);
    }
  }
}

}  // namespace

TEST_CASE("heads that are mixed agree with their references, float") { sweep<float>(); }
TEST_CASE("heads that are mixed agree with their references, double") { sweep<double>(); }
TEST_CASE("heads that are mixed agree with their references, one lane") {
  sweep<float, simd::scalar>();
}

TEST_CASE("mixed heads refuse matrices that do not fit") {
  const auto m = random<float>({1, 1, 3, 4}, 1);
  const problem_shape shape{.heads = 3};
  CHECK_THROWS_WITH((talking{.after_softmax = m.in()}.check(shape)),
                    Catch::Matchers::ContainsSubstring("after must be [H,H]"));
  CHECK_THROWS_AS((multi_token{.kernel = m.in()}.check(shape)), std::invalid_argument);
  CHECK_THROWS_AS((multi_token{.mix = m.in()}.check(shape)), std::invalid_argument);
  CHECK_THROWS_AS((talking{}.check(problem_shape{.heads = 65})), std::invalid_argument);
}
