// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/dense.hpp>
#include <heed/reference/heads/grouped.hpp>
#include <heed/reference/heads/output_gate.hpp>
#include <heed/reference/kv/extra.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/document.hpp>
#include <heed/reference/mask/full.hpp>
#include <heed/reference/normalizer/sink_softmax.hpp>
#include <heed/reference/numerics/merge.hpp>
#include <heed/reference/numerics/online_softmax.hpp>
#include <heed/reference/plan/varlen.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"

using namespace heed::reference;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Plain attention of q on k, v under a mask.
matrix attend(const matrix& q, const matrix& k, const matrix& v, const allowed& a) {
  return attention(normalizer::softmax(similarity::dot(q, k), a), v);
}

}  // namespace

TEST_CASE("attention is the weighted mean of the values") {
  const matrix v{{1, 2}, {3, 4}};
  CHECK(attention(matrix{{0.25, 0.75}, {0, 0}}, v) == matrix{{2.5, 3.5}, {0, 0}});
}

TEST_CASE("a value of weight zero never leaks") {
  const matrix v{{1}, {std::numeric_limits<double>::quiet_NaN()}, {infinity}};
  CHECK(attention(matrix{{1, 0, 0}}, v)(0) == 1);
}

TEST_CASE("online_softmax is softmax attention") {
  const matrix s = 5 * matrix::Random(4, 6), v = matrix::Random(6, 3);
  const allowed a = mask::causal(4, 6, -1);
  const numerics::part one = numerics::online_softmax(s, a, v);
  CHECK(one.o.isApprox(attention(normalizer::softmax(s, a), v)));
  CHECK(one.lse(0) == -infinity);
  CHECK(one.lse.tail(3).isApprox(normalizer::lse(s, a).tail(3)));
}

TEST_CASE("merge of the parts is the whole") {
  const matrix s = 50 * matrix::Random(4, 7), v = matrix::Random(7, 3);
  const allowed a = mask::causal(4, 7, -1);
  const auto keys = [&](Eigen::Index begin, Eigen::Index n) {
    return numerics::online_softmax(s.middleCols(begin, n), a.middleCols(begin, n),
                                    v.middleRows(begin, n));
  };
  const numerics::part whole = keys(0, 7);
  const numerics::part merged = numerics::merge({keys(0, 2), keys(2, 0), keys(2, 5)});
  CHECK(merged.o.isApprox(whole.o));
  CHECK(merged.lse(0) == -infinity);
  CHECK(merged.lse.tail(3).isApprox(whole.lse.tail(3)));
  const numerics::part nested =
      numerics::merge({numerics::merge({keys(0, 2), keys(2, 3)}), keys(5, 2)});
  CHECK(nested.o.isApprox(whole.o));
}

TEST_CASE("extra slots are more keys, and a zero value is a sink") {
  const matrix q = matrix::Random(3, 4), k = matrix::Random(5, 4), v = matrix::Random(5, 2);
  const matrix k1 = matrix::Random(2, 4), v1 = matrix::Random(2, 2);
  const allowed a = mask::causal(3, 5);
  const matrix s = similarity::dot(q, k, 0.5), s1 = similarity::dot(q, k1, 0.5);
  const matrix merged = numerics::merge({numerics::online_softmax(s, a, v),
                                         numerics::online_softmax(s1, mask::full(3, 2), v1)})
                            .o;
  CHECK(kv::extra(q, k, v, k1, v1, 0.5, a).isApprox(merged));
  const matrix zero_key = matrix::Zero(1, 4), zero_value = matrix::Zero(1, 2);
  CHECK(kv::extra(q, k, v, zero_key, zero_value, 0.5, a)
            .isApprox(attention(normalizer::sink_softmax(s, a, 0), v)));
  CHECK(kv::extra(q, matrix(0, 4), matrix(0, 2), k1, v1, 0.5, allowed(3, 0))
            .isApprox(attention(normalizer::softmax(s1, mask::full(3, 2)), v1)));
  CHECK(kv::value_bias(matrix{{1, 2}, {3, 4}}, vector{{10, 20}}) == matrix{{11, 22}, {13, 24}});
}

TEST_CASE("varlen is the block diagonal") {
  const indices cu{0, 2, 2, 5};
  const matrix q = matrix::Random(5, 4), k = matrix::Random(5, 4), v = matrix::Random(5, 3);
  const auto causal = [](const matrix& a, const matrix& b, const matrix& c) {
    return attend(a, b, c, mask::causal(a.rows(), b.rows()));
  };
  const indices ids = mask::document_ids(cu);
  CHECK(plan::varlen(q, k, v, cu, cu, causal)
            .isApprox(attend(q, k, v, mask::document(ids, ids) && mask::causal(5, 5))));
  // Lengths that differ: the first sequence has one row and four keys, the second four rows and
  // one.
  const matrix o = plan::varlen(q, k, v, {0, 1, 5}, {0, 4, 5}, causal);
  CHECK(o.row(0).isApprox(attend(q.topRows(1), k.topRows(4), v.topRows(4), mask::full(1, 4))));
  CHECK(o.middleRows(1, 3) == matrix::Zero(3, 3));
  CHECK(o.row(4).isApprox(v.row(4)));
}

TEST_CASE("query heads share their key/value head in order") {
  for (Eigen::Index h = 0; h < 8; ++h) {
    CHECK(heads::kv_head(h, 8, 8) == h);
    CHECK(heads::kv_head(h, 8, 2) == h / 4);
    CHECK(heads::kv_head(h, 8, 1) == 0);
  }
}

TEST_CASE("output_gate per row and per channel") {
  const matrix o{{2, 4}, {6, 8}};
  const double ln3 = std::log(3.0);
  CHECK(heads::output_gate(o, matrix{{0}, {ln3}}).isApprox(matrix{{1, 2}, {4.5, 6}}));
  CHECK(heads::output_gate(o, matrix{{0, ln3}, {ln3, 0}}).isApprox(matrix{{1, 3}, {4.5, 4}}));
  CHECK(heads::output_gate_silu(o, matrix{{0}, {ln3}})
            .isApprox(matrix{{0, 0}, {4.5 * ln3, 6 * ln3}}));
  CHECK(heads::output_gate_additive(o, matrix{{0}, {ln3}})
            .isApprox(matrix{{2, 4}, {6 + 0.75 * ln3, 8 + 0.75 * ln3}}));
}
