// SPDX-License-Identifier: BSL-1.0
// Gradients through every similarity, and of what they learn.
#include <heed/mask/causal.hpp>
#include <heed/normalizer/linear.hpp>
#include <heed/similarity/additive.hpp>
#include <heed/similarity/cosine.hpp>
#include <heed/similarity/distance.hpp>
#include <heed/similarity/feature_product.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;

namespace {

// [x², x], twice as wide.
struct widening_feature {
  heed::index width(heed::index depth) const { return 2 * depth; }
  template <class T> void operator()(T* row, heed::index depth) const {
    for (heed::index i = 0; i < depth; ++i) row[depth + i] = row[i], row[i] *= row[i];
  }
  template <class T> void backward(const T* x, T* dx, heed::index depth) const {
    for (heed::index i = 0; i < depth; ++i) dx[i] = 2 * x[i] * dx[i] + dx[depth + i];
  }
};

}  // namespace

TEST_CASE("gradients through cosines") {
  for (const backward_shape& x : {backward_shape{}, backward_shape{.lq = 130, .lk = 230}}) {
    learned beta(4, 1, 3);
    check_gradients("cosine", attention{.similarity = heed::cosine{beta.list()}},
                    {.similarity = {beta.to_list()}}, {&beta}, x);
  }
  check_gradients("without beta",
                  attention{.mask = heed::causal{}, .similarity = heed::cosine{}, .scale = 2});
  // Rows shorter than ε are not brought to length 1.
  check_gradients("short rows", attention{.similarity = heed::cosine{{}, 2.9}}, {}, {}, {},
                  curve::kinked);
}

TEST_CASE("gradients through distances") {
  for (const backward_shape& x : {backward_shape{}, backward_shape{.lq = 130, .lk = 230}}) {
    check_gradients("distance", attention{.mask = heed::causal{}, .similarity = heed::distance{}},
                    {}, {}, x);
    check_gradients("direct distance",
                    attention{.mask = heed::causal{}, .similarity = heed::direct_distance{3}}, {},
                    {}, x);
  }
  check_gradients("direct distance", attention{.similarity = heed::direct_distance{}});
}

TEST_CASE("gradients through features") {
  check_gradients("elu1",
                  attention{.mask = heed::causal{},
                            .similarity = heed::feature_product<heed::elu1_feature>{},
                            .normalizer = heed::linear{heed::divisor::sum}},
                  {}, {}, {}, curve::kinked);
  check_gradients("square",
                  attention{.similarity = heed::feature_product{[](auto x) { return x * x; }}});
  check_gradients("wider",
                  attention{.similarity = heed::feature_product<widening_feature>{}, .scale = 0.1});
}

TEST_CASE("gradients through additive similarities") {
  for (const backward_shape& x : {backward_shape{}, backward_shape{.lq = 61, .lk = 130}}) {
    learned w(9), b(9, 1, 0, 12);
    std::vector<double> offset(1);
    const heed::additive<> f{w.list(), b.list(), 0.3};
    check_gradients("additive", attention{.mask = heed::causal{}, .similarity = f},
                    {.similarity = {w.to_list(), b.to_list(), offset}}, {&w, &b}, x);
    // Softmax does not see what is added to a whole row.
    CHECK(std::abs(offset[0]) < 1e-12);
  }
  learned w(9);
  const auto bent = [](auto x) { return x * x * 0.1 + x; };
  const heed::additive<decltype(bent)> f{w.list(), {}, 0, bent};
  check_gradients("an activation of the user's", attention{.similarity = f},
                  {.similarity = {w.to_list(), {}, {}}}, {&w});
}

TEST_CASE("the gradient of an additive offset") {
  const backward_shape x;
  const learned w(9);
  std::vector<double> offset(1);
  const auto q = random<double>(x.q(), 1), k = random<double>(x.k(), 2),
             v = random<double>(x.v(), 3), d_out = random<double>(x.out(), 4);
  const auto spec = [&](double b) {
    return attention{.mask = heed::causal{},
                     .similarity = heed::additive<>{w.list(), {}, b},
                     .normalizer = heed::linear{}};
  };
  const auto loss = [&](double b) {
    auto out = unwritten<double>(x.out());
    heed::attend(spec(b), q.in(), k.in(), v.in(), out.in());
    double sum = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * d_out.data[i];
    return sum;
  };
  heed::attend_backward(spec(0.3), q.in(), k.in(), v.in(), {}, d_out.in(),
                        {.spec = {.similarity = {{}, {}, offset}}});
  // The loss is linear in it.
  CHECK(offset[0] == Approx((loss(1.3) - loss(-0.7)) / 2).epsilon(1e-10));
}
