// SPDX-License-Identifier: BSL-1.0
// Features of linear attention against their formulas, and their derivatives against differences.
#include <heed/recurrence/feature/elementwise.hpp>
#include <heed/recurrence/feature/l2_norm.hpp>
#include <heed/recurrence/feature/random.hpp>
#include <heed/recurrence/feature/taylor.hpp>
#include <heed/reference/recurrence/favor.hpp>
#include <heed/reference/recurrence/taylor.hpp>
#include <heed/simd/feature.hpp>

#include "simd/buffer.hpp"
#include "support/differences.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

namespace {

using vector = Eigen::VectorXd;

template <class T> std::vector<T> row_of(heed::index depth, unsigned stream, double size = 1) {
  return random<T>({1, 1, 1, depth}, stream, size).data;
}
template <class T> vector exact(const std::vector<T>& x) {
  return Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>>(x.data(), heed::index(x.size()))
      .template cast<double>();
}
template <class Arch, class F, class T>
std::vector<T> mapped(const F& f, std::vector<T> x,
                      heed::feature_role role = heed::feature_role::key) {
  const auto depth = heed::index(x.size());
  const auto width = std::size_t(heed::feature_width(f, depth));
  x.resize(std::max(x.size(), width));
  heed::apply_feature<Arch>(f, x.data(), depth, role);
  x.resize(width);
  return x;
}
template <class T, class Got>
void check_rows(const Got& got, const vector& expected, double roundings) {
  check_close(exact(got), expected,
              roundings * double(std::numeric_limits<T>::epsilon()) *
                  std::max(1e-30, expected.cwiseAbs().maxCoeff()));
}

constexpr heed::index depths[] = {1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 100};

}  // namespace

TEMPLATE_TEST_CASE("features of single channels", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  for (const heed::index depth : depths) {
    auto x = row_of<T>(depth, 1, 3);
    x[0] = 0, x.back() = T(-90);
    const vector y = exact(x);
    const auto each = [&](const auto& f, auto formula) {
      const auto got = mapped<Arch>(f, x);
      for (heed::index c = 0; c < depth; ++c) {
        const double want = formula(y(c));
        CHECK(double(got[std::size_t(c)]) ==
              Approx(want).epsilon(4 * double(std::numeric_limits<T>::epsilon())).margin(1e-37));
      }
    };
    each(heed::elu1_feature{}, [](double z) { return z > 0 ? z + 1 : std::exp(z); });
    each(heed::relu_feature{}, [](double z) { return std::max(z, 0.0); });
    each(heed::silu_feature{}, [](double z) { return z / (1 + std::exp(-z)); });
  }
}

TEMPLATE_TEST_CASE("l2_norm", "", HEED_KINDS) {
  using T = typename TestType::T;
  for (const heed::index depth : depths)
    for (const double size : {1.0, 1e-4, 0.0, 1e4}) {
      const auto x = row_of<T>(depth, 2, size);
      const auto got = mapped<typename TestType::Arch>(heed::l2_norm_feature{1e-6}, x);
      check_rows<T>(got, exact(x) / std::sqrt(exact(x).squaredNorm() + 1e-6),
                    4 + std::sqrt(double(depth)) / 2);
    }
}

TEMPLATE_TEST_CASE("products of taylor features are those of the paper", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  for (const int order : {1, 2})
    for (const heed::index depth : {1, 2, 3, 7, 16, 33}) {
      const heed::taylor_feature f{order};
      const auto q = row_of<T>(depth, 3), k = row_of<T>(depth, 4);
      const vector a = exact(mapped<Arch>(f, q)), b = exact(mapped<Arch>(f, k)),
                   p = rec::taylor_feature(exact(q), order),
                   r = rec::taylor_feature(exact(k), order);
      CHECK(a.size() == 1 + depth + (order == 2 ? depth * (depth + 1) / 2 : 0));
      const double allowed =
          4 * double(std::numeric_limits<T>::epsilon()) * p.cwiseAbs().dot(r.cwiseAbs());
      CHECK(std::abs(a.dot(b) - p.dot(r)) <= allowed);
      CHECK(std::abs(a.dot(a) - p.dot(p)) <=
            4 * double(std::numeric_limits<T>::epsilon()) * p.dot(p));
    }
}

TEMPLATE_TEST_CASE("random features; a query's largest is 1 over the root of their number", "",
                   HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  for (const heed::index depth : {1, 3, 16, 37})
    for (const heed::index features : {1, 5, 16, 40}) {
      const auto omega = random<double>({1, 1, features, depth}, 6);
      const heed::random_feature f{omega.data, features};
      const auto x = row_of<T>(depth, 5);
      const vector want = rec::favor_feature(exact(x), omega.head(0, 0));
      // Exponents of up to |ω| |y| + |y|² / 2, each off by so many roundings.
      const double y = exact(x).norm() / std::pow(double(depth), 0.25),
                   roundings = 4 + (2 + std::sqrt(double(depth)) / 4) *
                                       (omega.head(0, 0).rowwise().norm().maxCoeff() * y + y * y);
      check_rows<T>(mapped<Arch>(f, x), want, roundings);
      check_rows<T>(mapped<Arch>(f, x, heed::feature_role::query),
                    want / want.maxCoeff() / std::sqrt(double(features)), 2 * roundings);
    }
}

TEST_CASE("features of queries stay finite where those of keys would not") {
  const auto omega = random<double>({1, 1, 9, 4}, 6, 30);
  const heed::random_feature f{omega.data, 9};
  for (const double size : {1.0, 100.0, 1e4}) {
    const auto q =
        mapped<heed::simd::best>(f, row_of<float>(4, 7, size), heed::feature_role::query);
    CHECK(*std::max_element(q.begin(), q.end()) == Approx(1 / 3.0));
    for (const float y : q) CHECK(std::isfinite(y));
  }
}

namespace {

template <class F> void check_backward(const char* name, const F& f) {
  for (const heed::index depth : {1, 3, 8, 17}) {
    auto x = row_of<double>(depth, 8);
    const auto width = heed::feature_width(f, depth);
    const auto weights = row_of<double>(width, 9);
    const auto loss = [&] {
      const auto y = mapped<heed::simd::best>(f, x);
      return exact(y).dot(exact(weights));
    };
    const auto expected = differences(x, loss);
    auto dx = weights;
    dx.resize(std::size_t(std::max(width, depth)));
    heed::feature_backward<heed::simd::best>(f, x.data(), dx.data(), depth);
    dx.resize(std::size_t(depth));
    check_gradient(dx, expected, name);
  }
}

}  // namespace

TEST_CASE("derivatives of features") {
  check_backward("elu1", heed::elu1_feature{});
  check_backward("relu", heed::relu_feature{});
  check_backward("silu", heed::silu_feature{});
  check_backward("l2_norm", heed::l2_norm_feature{});
  check_backward("l2_norm, a large ε", heed::l2_norm_feature{2});
  check_backward("taylor of order 1", heed::taylor_feature{1});
  check_backward("taylor of order 2", heed::taylor_feature{2});
}
