// SPDX-License-Identifier: BSL-1.0
#include <heed/normalizer/custom.hpp>
#include <heed/reference/normalizer/custom.hpp>

#include "support/attend.hpp"

using namespace heed;
using namespace heed::test;
namespace expected = heed::reference::normalizer;

namespace {

// One plus the square of the score.
struct square {
  template <class V> V operator()(const V& s) const {
    return simd::fma(s, s, simd::constant<V>(1));
  }
};
struct twice {
  template <class V> V operator()(const V& s) const { return s + s; }
};
// A step function looked up score by score.
struct table {
  std::vector<double> values;
  double operator()(double s) const {
    const auto last = double(values.size() - 1);
    return values[static_cast<std::size_t>(std::clamp(std::floor(s + last / 2), 0.0, last))];
  }
};

const auto squares = [](const auto& s, const auto& a, heed::index) {
  return expected::custom(s, a, [](double x) { return 1 + x * x; });
};

// Hard attention to the first key, as a user would write it: {start, absorb, finish} and no more.
struct first_key {
  template <class T> row_state<T> start(const row_position&) const { return {T(0), T(0)}; }
  template <class Arch, class T>
  bool absorb(T* s, heed::index pitch, heed::index keys, row_state<simd::batch<T, Arch>>& state,
              simd::batch<T, Arch>&) const {
    using B = simd::batch<T, Arch>;
    for (heed::index j = 0; j < keys; ++j) {
      const B x = simd::load<T, Arch>(s + j * pitch), one(T(1)), zero(T(0));
      const B free = simd::select(x <= B(masked<T> / 2), zero, B(one - state.max));
      state.max = state.max + free;
      simd::store(s + j * pitch, free);
    }
    return false;
  }
  template <class B> B finish(const row_state<B>&) const { return simd::constant<B>(1); }
};

}  // namespace

TEST_CASE("custom divides any function by its row sum") {
  const attention spec{.mask = causal{}, .normalizer = custom{square{}}};
  agree<float>(spec, scaled_dot, squares);
  agree<double>(spec, scaled_dot, squares);
}

TEST_CASE("custom takes a table of single numbers") {
  const table steps{{0, 0.5, 2, 1, 4}};
  agree<double, simd::best>(
      attention{.mask = causal{}, .normalizer = custom{steps}}, scaled_dot,
      [&](const auto& s, const auto& a, heed::index) { return expected::custom(s, a, steps); });
}

TEST_CASE("custom's derivative agrees with differences") {
  check_derivative(custom{square{}, twice{}}, {0.3, -1.2, 4, 0});
  check_derivative(custom{square{}, twice{}, divisor::one}, {0.3, -1.2, 4, 0});
}

TEST_CASE("a normaliser of the user's own needs start, absorb and finish") {
  agree<float>(attention{.mask = causal{}, .normalizer = first_key{}}, scaled_dot,
               [](const auto& s, const auto& a, heed::index) {
                 Eigen::MatrixXd p = Eigen::MatrixXd::Zero(s.rows(), s.cols());
                 for (Eigen::Index i = 0; i < p.rows(); ++i)
                   if (p.cols() && a(i, 0)) p(i, 0) = 1;
                 return p;
               });
}
