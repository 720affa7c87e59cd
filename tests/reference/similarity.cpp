// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/similarity/additive.hpp>
#include <heed/reference/similarity/cosine.hpp>
#include <heed/reference/similarity/distance.hpp>
#include <heed/reference/similarity/dot.hpp>
#include <heed/reference/similarity/feature_product.hpp>
#include <heed/reference/similarity/qk_norm.hpp>

#include <cmath>

#include "support/catch.hpp"

using heed::reference::matrix;
using heed::reference::vector;
using namespace heed::reference::similarity;

namespace {

const matrix q{{3, 4, 0, 0}, {0, 0, 0, 0}};
const matrix k{{1, 0, 0, 0}, {0, 2, 0, 0}, {3, 4, 0, 0}};

}  // namespace

TEST_CASE("dot with the default scale and a given one") {
  CHECK(dot(q, k, 1) == matrix{{3, 8, 25}, {0, 0, 0}});
  CHECK(dot(q, k) == matrix{{1.5, 4, 12.5}, {0, 0, 0}});
}

TEST_CASE("cosine, with zero rows kept finite") {
  CHECK(cosine(q, k, 10, 1e-6).isApprox(matrix{{6, 8, 10}, {0, 0, 0}}));
  CHECK(cosine(q, k, 1, 10).isApprox(matrix{{0.03, 0.08, 0.25}, {0, 0, 0}}));
  CHECK(swin_beta(1) == Approx(std::exp(1.0)));
  CHECK(swin_beta(9) == Approx(100));
}

TEST_CASE("distance is the expanded square") {
  CHECK(distance(q, k, 2) == matrix{{-10, -6.5, 0}, {-0.5, -2, -12.5}});
  const matrix a = matrix::Random(5, 7), b = matrix::Random(3, 7);
  const matrix expanded = (2 * a * b.transpose()).colwise() - a.rowwise().squaredNorm();
  CHECK(distance(a, b, 1).isApprox(expanded.rowwise() - b.rowwise().squaredNorm().transpose()));
}

TEST_CASE("feature_product of elu + 1 and of the identity") {
  const matrix a{{1, -std::log(2.0)}};
  CHECK(feature_product(a, a, &elu_plus_one).value() == Approx(4.25));
  CHECK(feature_product(q, k, [](double x) { return x; }) == dot(q, k, 1));
}

TEST_CASE("additive with tanh and with a linear activation") {
  const matrix u{{1, 2}, {3, 4}}, t{{0, -1}};
  const vector w{{2, -1}}, b{{0.5, 0.25}};
  const auto identity = [](double x) { return x; };
  CHECK(additive(u, t, w, b, 10, identity).isApprox(matrix{{11.75}, {13.75}}));
  CHECK(additive(u, t, w, b, 10)(0) == Approx(2 * std::tanh(1.5) - std::tanh(1.25) + 10));
}

TEST_CASE("qk_norm gives rows of unit mean square, times the gain") {
  CHECK(qk_norm(matrix{{3, 4, 0, 0}}, vector{{1, 1, 1, 2}}, 0).isApprox(matrix{{1.2, 1.6, 0, 0}}));
  CHECK(qk_norm(matrix{{0, 0}}, vector{{1, 1}}, 1e-6) == matrix{{0, 0}});
  CHECK(qk_norm(matrix{{1, 1}}, vector{{3, 5}}, 3).isApprox(matrix{{1.5, 2.5}}));
}
