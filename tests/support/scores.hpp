// SPDX-License-Identifier: BSL-1.0
// heed::attend with a spec that depends on the shape, against references of one head each.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/reference/dense.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/similarity/dot.hpp>

#include "support/exact.hpp"

namespace heed::test {

struct lengths {
  index b, h, kv, lq, lk, d, dv;
  index offset() const { return lk - lq; }
  index group() const { return h / kv; }
};

/// One lane, tails of lanes, panels and tiles, Lq on both sides of Lk.
inline const std::vector<lengths>& score_shapes() {
  static const std::vector<lengths> all{{1, 1, 1, 1, 1, 2, 1},
                                        {2, 3, 3, 7, 5, 4, 2},
                                        {2, 6, 2, 25, 33, 8, 7},
                                        {1, 2, 1, 3, 300, 10, 5},
                                        {2, 2, 2, 70, 257, 6, 4}};
  return all;
}

/// One head of a call: q, k, v in double, and what the reference makes of scores.
struct one_head {
  lengths x;
  index b, h;
  Eigen::MatrixXd q, k, v;

  Eigen::MatrixXd dot() const { return reference::similarity::dot(q, k); }
  Eigen::MatrixXd attended(const Eigen::MatrixXd& scores) const {
    const reference::allowed all = reference::allowed::Constant(x.lq, x.lk, true);
    return reference::attention(reference::normalizer::softmax(scores, all), v);
  }
};

/// attend(make(lengths), …) is expected(one_head), to c roundings of scores of size `magnitude`.
template <class T, class Arch = simd::best, class Make, class Expected>
void agree_by_head(const Make& make, const Expected& expected, double magnitude = 8, double c = 8,
                   const std::vector<lengths>& shapes = score_shapes()) {
  for (const lengths& x : shapes) {
    const auto q = random<T>({x.b, x.h, x.lq, x.d}, 1), k = random<T>({x.b, x.kv, x.lk, x.d}, 2),
               v = random<T>({x.b, x.kv, x.lk, x.dv}, 3);
    auto out = unwritten<T>({x.b, x.h, x.lq, x.dv});
    attend<Arch>(make(x), q.in(), k.in(), v.in(), out.in());
    for (index b = 0; b < x.b; ++b)
      for (index h = 0; h < x.h; ++h) {
        const one_head head{
            x, b, h, q.head(b, h), k.head(b, h / x.group()), v.head(b, h / x.group())};
        check_close(
            out.head(b, h), Eigen::MatrixXd(expected(head)), tolerance<T>(c, x.d, magnitude),
            std::to_string(x.lq) + " x " + std::to_string(x.lk) + ", head " + std::to_string(h));
      }
  }
}
/// The same for a modifier: expected(scores, one_head) gives the modified scores.
template <class T, class Arch = simd::best, class Make, class Expected>
void agree_scores(const Make& make, const Expected& expected, double magnitude = 8) {
  agree_by_head<T, Arch>(
      [&](const lengths& x) { return attention{.score = make(x)}; },
      [&](const one_head& head) { return head.attended(expected(head.dot(), head)); }, magnitude);
}

/// `grad` against central differences of the modifier, in double.
template <class S>
void check_grad(const S& score, const std::vector<double>& at, const point<double>& where = {}) {
  constexpr double step = 1e-5;
  for (const double s : at) {
    INFO("score " << s);
    CHECK(score.grad(s, where) ==
          Approx((score(s + step, where) - score(s - step, where)) / (2 * step)).margin(1e-8));
  }
}

/// The call must throw, and say `text`.
template <class Spec>
void check_refused(const Spec& spec, const std::string& text,
                   const lengths& x = {2, 4, 2, 3, 5, 6, 4}) {
  const auto q = random<float>({x.b, x.h, x.lq, x.d}, 1),
             k = random<float>({x.b, x.kv, x.lk, x.d}, 2),
             v = random<float>({x.b, x.kv, x.lk, x.dv}, 3);
  auto out = unwritten<float>({x.b, x.h, x.lq, x.dv});
  const detail::problem p{
      .shape = {}, .q = q.in(), .k = k.in(), .v = v.in(), .to = {.out = out.in()}};
  CHECK_THROWS_WITH(detail::checked(spec, p.q, p.k, p.v, p.to),
                    Catch::Matchers::ContainsSubstring(text));
}

}  // namespace heed::test
