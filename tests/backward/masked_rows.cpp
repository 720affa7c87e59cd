// SPDX-License-Identifier: BSL-1.0
// What a mask hides takes no part in any gradient, NaN and infinities included.
#include <heed/kv/extra.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/where.hpp>
#include <heed/normalizer/relu.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/softcap.hpp>
#include <heed/score/temperature.hpp>
#include <heed/similarity/additive.hpp>
#include <heed/similarity/cosine.hpp>
#include <heed/similarity/distance.hpp>
#include <heed/similarity/feature_product.hpp>
#include <heed/similarity/qk_norm.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();
constexpr backward_shape all{.b = 1, .lq = 137, .lk = 211};
constexpr heed::index queries = 90, keys = 103;  // the others are hidden
const std::vector<int> seen_keys{int(keys)}, seen_queries{int(queries)};
const heed::lengths padding{seen_keys, seen_queries};

void fill(tensor<double>& x, heed::index first, heed::index last, double with) {
  for (heed::index h = 0; h < x.extent[1]; ++h)
    for (heed::index l = first; l < last; ++l)
      for (heed::index c = 0; c < x.extent[3]; ++c) x(0, h, l, c) = with;
}

struct operands {
  tensor<double> q = random<double>(all.q(), 1), k = random<double>(all.k(), 2),
                 v = random<double>(all.v(), 3), d_out = random<double>(all.out(), 4);
  tensor<double> dq = unwritten<double>(all.q()), dk = unwritten<double>(all.k()),
                 dv = unwritten<double>(all.v());
};

// Rows [first, last) of both, to the rounding of sums in another order.
void same_rows(const tensor<double>& got, const tensor<double>& want, heed::index first,
               heed::index last) {
  for (heed::index h = 0; h < want.extent[1]; ++h)
    check_close(got.head(0, h).middleRows(first, last - first),
                want.head(0, h).middleRows(first, last - first), 1e-11);
}
void zero_rows(const tensor<double>& x, heed::index first) {
  for (heed::index h = 0; h < x.extent[1]; ++h)
    CHECK(x.head(0, h).bottomRows(x.extent[2] - first).isZero(0));
}

// Hidden queries and keys hold what is not finite; no gradient but theirs may show it, and theirs
// are 0.
template <class Spec>
void check_padding(const std::string& name, const Spec& spec,
                   const std::type_identity_t<heed::spec_gradients<Spec>>& to = {},
                   const std::vector<learned*>& borrowed = {}) {
  const auto run = [&](operands& x) {
    heed::attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {}, x.d_out.in(),
                          {.dq = x.dq.in(), .dk = x.dk.in(), .dv = x.dv.in(), .spec = to});
  };
  operands clean;
  run(clean);
  std::vector<std::vector<double>> expected;
  for (const learned* one : borrowed) expected.push_back(one->gradient.data);
  for (const double with : {not_a_number, infinity, -infinity})
    for (const int which : {0, 1, 2, 3, 4}) {
      INFO(name << ": " << with << " in " << which);
      operands dirty;
      if (which == 0 || which == 4) fill(dirty.q, queries, all.lq, with);
      if (which == 1 || which == 4) fill(dirty.k, keys, all.lk, with);
      if (which == 2 || which == 4) fill(dirty.v, keys, all.lk, with);
      if (which == 3 || which == 4) fill(dirty.d_out, queries, all.lq, with);
      run(dirty);
      same_rows(dirty.dq, clean.dq, 0, all.lq);
      same_rows(dirty.dk, clean.dk, 0, all.lk);
      same_rows(dirty.dv, clean.dv, 0, all.lk);
      zero_rows(dirty.dq, queries);
      zero_rows(dirty.dk, keys);
      zero_rows(dirty.dv, keys);
      for (std::size_t i = 0; i < borrowed.size(); ++i)
        for (std::size_t n = 0; n < expected[i].size(); ++n)
          CHECK(borrowed[i]->gradient.data[n] == Approx(expected[i][n]).epsilon(0).margin(1e-10));
    }
}

}  // namespace

TEST_CASE("what padding holds does not leak") {
  check_padding("softmax", attention{.mask = padding});
  check_padding("causal", attention{.mask = heed::causal{} && padding});
  check_padding("asked", attention{.mask = heed::where([](const heed::position& at) {
                                     return at.row < queries && at.slot < keys &&
                                            (at.q + at.k) % 3 != 0;
                                   })});
  check_padding("relu", attention{.mask = padding, .normalizer = heed::relu{}});
  check_padding("sigmoid", attention{.mask = padding, .normalizer = heed::sigmoid{}});
}

TEST_CASE("nor through score modifiers and what they learn") {
  learned tau(heed::extents{1, 4, 1, 1}, 0.2, 1.5), b(heed::extents{1, 1, 137, 211});
  check_padding("softcap", attention{.mask = padding, .score = heed::softcap{2}});
  check_padding("lambda", attention{.mask = padding, .score = [](auto s, auto) { return s * s; }});
  check_padding(
      "lambda of a pair",
      attention{.mask = padding, .score = [](auto s, const heed::position&) { return s * s; }});
  check_padding(
      "chain",
      attention{.mask = padding, .score = heed::bias{b.table()} | heed::temperature{tau.table()}},
      {.score = {{b.to()}, {tau.to()}}}, {&b, &tau});
}

TEST_CASE("nor through similarities, sinks and slots") {
  learned w(9), bias(9), beta(4, 1, 3), z(4), k(heed::extents{1, 1, 3, 9});
  check_padding("additive",
                attention{.mask = padding, .similarity = heed::additive<>{w.list(), bias.list()}},
                {.similarity = {w.to_list(), bias.to_list(), {}}}, {&w, &bias});
  check_padding("cosine", attention{.mask = padding, .similarity = heed::cosine{beta.list()}},
                {.similarity = {beta.to_list()}}, {&beta});
  check_padding("distance", attention{.mask = padding, .similarity = heed::distance{}});
  check_padding("direct", attention{.mask = padding, .similarity = heed::direct_distance{}});
  check_padding("feature",
                attention{.mask = padding,
                          .similarity = heed::feature_product{[](auto x) { return x * x; }}});
  check_padding("sink", attention{.mask = padding, .normalizer = heed::sink_softmax{z.list()}},
                {.normalizer = {z.to_list()}}, {&z});
}

TEST_CASE("nor through norms") {
  learned gq(9, 0.2, 1), gk(9, 0.2, 1), gv(6, 0.2, 1);
  check_padding("norms",
                attention{.mask = padding,
                          .query = heed::qk_norm{gq.list()},
                          .key = heed::qk_norm{gk.list()},
                          .value = heed::qk_norm{gv.list()}},
                {.query = {gq.to_list()}, .key = {gk.to_list()}, .value = {gv.to_list()}},
                {&gq, &gk, &gv});
}

TEST_CASE("a query gets no gradient from keys that others see") {
  operands clean, dirty;
  const attention spec{.mask = heed::causal{}, .offset = 0};
  const auto run = [&](operands& x) {
    heed::attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {}, x.d_out.in(),
                          {.dq = x.dq.in(), .dk = x.dk.in(), .dv = x.dv.in()});
  };
  run(clean);
  fill(dirty.k, 60, 61, not_a_number);
  fill(dirty.v, 70, 71, infinity);
  run(dirty);
  same_rows(dirty.dq, clean.dq, 0, 60);
  CHECK(dirty.dq.head(0, 0).row(60).hasNaN());
  CHECK_FALSE(dirty.dk.head(0, 0).bottomRows(all.lk - all.lq).hasNaN());
}

TEST_CASE("keys get no gradient from queries that see others only") {
  operands clean, dirty;
  const attention spec{.mask = heed::causal{}, .offset = 0};
  const auto run = [&](operands& x) {
    heed::attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {}, x.d_out.in(),
                          {.dq = x.dq.in(), .dk = x.dk.in(), .dv = x.dv.in()});
  };
  run(clean);
  fill(dirty.d_out, 50, 51, not_a_number);
  fill(dirty.q, 40, 41, not_a_number);
  run(dirty);
  same_rows(dirty.dk, clean.dk, 51, all.lk);
  same_rows(dirty.dv, clean.dv, 51, all.lk);
  CHECK(dirty.dv.head(0, 0).row(50).hasNaN());
  same_rows(dirty.dq, clean.dq, 0, 40);
  same_rows(dirty.dq, clean.dq, 51, all.lq);
}

TEST_CASE("rows that see no key, and keys that no row sees, have gradients of zero") {
  operands x;
  heed::attend_backward(attention{.mask = heed::causal{}, .offset = -30}, x.q.in(), x.k.in(),
                        x.v.in(), {}, x.d_out.in(),
                        {.dq = x.dq.in(), .dk = x.dk.in(), .dv = x.dv.in()});
  for (heed::index h = 0; h < 4; ++h) CHECK(x.dq.head(0, h).topRows(30).isZero(0));
  zero_rows(x.dk, all.lq - 30);
  zero_rows(x.dv, all.lq - 30);
  CHECK_FALSE(x.dq.head(0, 0).bottomRows(all.lq - 30).hasNaN());
}

TEST_CASE("a row that a bias takes all keys from has a gradient of zero") {
  operands x;
  learned b(heed::extents{1, 1, 137, 1});
  b.value.data[17] = -infinity;
  heed::attend_backward(
      attention{.score = heed::bias{b.table()}}, x.q.in(), x.k.in(), x.v.in(), {}, x.d_out.in(),
      {.dq = x.dq.in(), .dk = x.dk.in(), .dv = x.dv.in(), .spec = {.score = {b.to()}}});
  for (heed::index h = 0; h < 4; ++h) {
    CHECK(x.dq.head(0, h).row(17).isZero(0));
    CHECK_FALSE(x.dq.head(0, h).hasNaN());
  }
  CHECK_FALSE(x.dk.head(0, 0).hasNaN());
  CHECK_FALSE(x.dv.head(0, 0).hasNaN());
  CHECK(b.gradient.data[17] == 0);
}
