// SPDX-License-Identifier: BSL-1.0
// Driver `rows`: threads, masks that hide, layouts and types, packed sequences, caches, refusals.
#include <heed/attention/attend_backward.hpp>
#include <heed/attention/attend_source.hpp>
#include <heed/eigen.hpp>
#include <heed/heads/multi_token.hpp>
#include <heed/heads/talking.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/per_head.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/query_axis.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/normalizer/topk.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/normalizer/topk.hpp>

#include "support/exact.hpp"
#include "support/executors.hpp"
#include "support/operands.hpp"

namespace heed::test {

namespace {

constexpr extents of_q{2, 4, 61, 24}, of_k{2, 2, 83, 24}, of_v{2, 2, 83, 10}, of_out{2, 4, 61, 10};

template <class Spec> void same_bits(const Spec& spec) {
  const auto q = uniform(of_q, 1), k = uniform(of_k, 2), v = uniform(of_v, 3);
  auto one = unwritten<float>(of_out), many = one;
  attend(spec, q.in(), k.in(), v.in(), one.in());
  attend(spec, q.in(), k.in(), v.in(), many.in(), shuffled{5});
  CHECK(one.data == many.data);
  const auto d_out = uniform(of_out, 4);
  std::vector<std::vector<float>> got;
  const shuffled crew{7};
  for (const executor_ref& by : {executor_ref{}, executor_ref(crew)}) {
    auto dq = unwritten<float>(of_q), dk = unwritten<float>(of_k), dv = unwritten<float>(of_v);
    attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                    {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()}, by);
    for (auto* x : {&dq, &dk, &dv}) got.push_back(x->data);
  }
  for (std::size_t i = 0; i < 3; ++i) CHECK(got[i] == got[i + 3]);
}

// Keys 5 and 70 are hidden from all, and hold NaN.
template <class Spec> void hides(const Spec& spec) {
  const auto q = uniform(of_q, 1), d_out = uniform(of_out, 4);
  auto k = uniform(of_k, 2), v = uniform(of_v, 3);
  const auto run = [&] {
    std::vector<float> all;
    auto out = unwritten<float>(of_out), dq = unwritten<float>(of_q), dk = unwritten<float>(of_k),
         dv = unwritten<float>(of_v);
    attend(spec, q.in(), k.in(), v.in(), out.in());
    attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                    {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()});
    for (auto* x : {&out, &dq, &dk, &dv}) all.insert(all.end(), x->data.begin(), x->data.end());
    return all;
  };
  const auto clean = run();
  for (const index key : {5, 70})
    for (index b = 0; b < 2; ++b)
      for (index h = 0; h < 2; ++h) {
        for (index c = 0; c < 24; ++c) k(b, h, key, c) = std::nanf("");
        for (index c = 0; c < 10; ++c) v(b, h, key, c) = std::nanf("");
      }
  // Sums that leave out what is hidden are taken in another order.
  const auto poisoned = run();
  int wrong = 0;
  for (std::size_t i = 0; i < clean.size(); ++i)
    wrong += !(std::abs(poisoned[i] - clean[i]) < 1e-5f);
  CHECK(wrong == 0);
}

const auto seen = where([](position p) { return p.k != 5 && p.k != 70; });

}  // namespace

TEST_CASE("Whole rows have the same bits for any threads") {
  same_bits(attention{.mask = causal{}, .normalizer = entmax{}});
  same_bits(attention{.normalizer = stick_breaking{true}});
  same_bits(attention{.normalizer = query_axis{}});
  const auto theta = random<double>({1, 4, 3, 3}, 7, 0.3);
  same_bits(attention{.mask = causal{}, .weights = multi_token{.kernel = theta.in()}});
}

TEST_CASE("What whole rows do not see never leaks") {
  const auto hide = [](const auto& normalizer) {
    const attention spec{.mask = causal{} && seen, .normalizer = normalizer};
    hides(spec);
  };
  hide(entmax{}), hide(topk{7}), hide(stick_breaking{true}), hide(query_axis{});
  const auto theta = random<double>({1, 4, 3, 3}, 7, 0.3);
  const attention spec{.mask = causal{} && seen,
                       .weights = multi_token{.kernel = theta.in(), .after_kernel = theta.in()}};
  hides(spec);
}

TEST_CASE("Whole rows agree with the oracle in any layout and type") {
  engine random(seed());
  const attention spec{.mask = causal{},
                       .score = [](auto s, auto at) { return s + (at.k - at.q); },
                       .normalizer = entmax{}};
  for (const bool strided : {false, true}) {
    const layout how{.permuted = true, .strided_channels = strided, .reversed = true};
    auto q = input<float>(of_q, how, random), k = input<float>(of_k, how, random),
         v = input<float>(of_v, how, random);
    auto out = output<float>(of_out, how, random), expected = out;
    attend(spec, q.read(), k.read(), v.read(), out.mutable_view());
    reference::attend(spec, q.read(), k.read(), v.read(), expected.mutable_view());
    double worst = 0;
    for (std::size_t i = 0; i < out.memory.size(); ++i)
      worst = std::max(worst, std::abs(double(out.memory[i]) - double(expected.memory[i])));
    CHECK(worst < tolerance<float>(8, 24));
    CHECK(rest_untouched(out));
  }
  tensor<Eigen::bfloat16> q(of_q), k(of_k), v(of_v), out(of_out);
  tensor<Eigen::half> expected(of_out);
  for (auto* x : {&q, &k, &v}) {
    const auto from = uniform(x->extent, 5);
    for (std::size_t i = 0; i < x->data.size(); ++i) x->data[i] = Eigen::bfloat16(from.data[i]);
  }
  attend(spec, q.in(), k.in(), v.in(), out.in());
  reference::attend(spec, q.in(), k.in(), v.in(), expected.in());
  for (index h = 0; h < 4; ++h) check_close(out.head(1, h), expected.head(1, h), 0.01);
}

TEST_CASE("Whole rows of packed sequences and of a cache are those of tensors") {
  const attention spec{.mask = causal{}, .normalizer = stick_breaking{.self = true}};
  const auto q = uniform({1, 4, 70, 8}, 1), k = uniform({1, 2, 70, 8}, 2),
             v = uniform({1, 2, 70, 6}, 3);
  const std::vector<int> cuts{0, 13, 13, 64, 70};
  auto packed = unwritten<float>({1, 4, 70, 6}), each = packed;
  const attention varied{
      .mask = causal{}, .normalizer = stick_breaking{.self = true}, .plan = varlen{cuts}};
  attend(varied, q.in(), k.in(), v.in(), packed.in());
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    const index first = cuts[i], count = cuts[i + 1] - first;
    const auto rows = [&](auto x) {
      x.data += first * x.stride[2], x.extent[2] = count;
      return x;
    };
    attend(spec, rows(q.in()), rows(k.in()), rows(v.in()), rows(each.in()));
  }
  CHECK(packed.data == each.data);
  contiguous_kv cache({.batch = 1, .heads = 2, .depth = 8, .value_depth = 6}, 80);
  cache.append(k.in(), v.in());
  auto cached = unwritten<float>({1, 4, 70, 6}), whole = cached;
  attend(spec, q.in(), cache, cached.in());
  attend(spec, q.in(), k.in(), v.in(), whole.in());
  CHECK(cached.data == whole.data);
}

TEST_CASE("A head that sees nothing of a block of rows lends nothing to those that do") {
  const auto q = uniform(of_q, 1), k = uniform(of_k, 2), v = uniform(of_v, 3);
  const std::vector<int> mask_of{0, 0, 1, 0};
  const per_head seen(mask_of, causal{}, first_keys{30} && window{.left = 5});
  tensor<float> same({1, 1, 4, 4}, 0.f);
  for (index h = 0; h < 4; ++h) same(0, 0, h, h) = 1;
  auto mixed = unwritten<float>(of_out), plain = mixed;
  attend(attention{.mask = seen, .weights = talking{same.in(), same.in()}}, q.in(), k.in(), v.in(),
         mixed.in());
  attend(attention{.mask = seen}, q.in(), k.in(), v.in(), plain.in());
  for (std::size_t i = 0; i < mixed.data.size(); ++i)
    CHECK(mixed.data[i] == Approx(plain.data[i]).margin(1e-5));
}

TEST_CASE("The k largest: ties to the lower key, all keys where there are no more") {
  const auto k = [](std::initializer_list<float> scores) {
    tensor<float> x({1, 1, index(scores.size()), 1});
    x.data = scores;
    return x;
  };
  tensor<float> q({1, 1, 1, 1}, 1), out({1, 1, 1, 1});
  const auto keys = k({2, 7, 7, -3, 7, 1});
  const auto values = k({1, 10, 100, 1000, 10000, 100000});
  const auto weigh = [&](index most) {
    attend(attention{.normalizer = topk{most}, .scale = 1.0}, q.in(), keys.in(), values.in(),
           out.in());
    return out.data[0];
  };
  CHECK(weigh(1) == 10);
  CHECK(weigh(2) == 55);
  CHECK(weigh(3) == Approx(3370));
  const auto above = k({7, 9, 7, 7});
  attend(attention{.normalizer = topk{2}, .scale = 1.0}, q.in(), above.in(), k({1, 0, 5, 50}).in(),
         out.in());
  CHECK(out.data[0] == Approx(1 / (1 + std::exp(2.0))));
  auto soft = out;
  attend(attention{.scale = 1.0}, q.in(), keys.in(), values.in(), soft.in());
  CHECK(weigh(6) == Approx(soft.data[0]));
  CHECK(weigh(60) == Approx(soft.data[0]));
  for (const index n : {1, 5, 300}) {
    const auto qs = uniform({1, 1, 40, 8}, 1), ks = uniform({1, 1, 210, 8}, 2);
    auto got = unwritten<float>({1, 1, 40, 8});
    attend(attention{.normalizer = topk{n}}, qs.in(), ks.in(), ks.in(), got.in());
    const Eigen::MatrixXd s = qs.head(0, 0) * ks.head(0, 0).transpose() / std::sqrt(8.0);
    const reference::allowed all = reference::allowed::Constant(40, 210, true);
    check_close(got.head(0, 0), reference::normalizer::topk(s, all, n) * ks.head(0, 0),
                tolerance<float>(8, 8));
  }
}

TEST_CASE("What is left of the stick is told") {
  const auto q = uniform(of_q, 1), k = uniform(of_k, 2);
  const auto ones = tensor<float>(of_v, 1);
  auto out = unwritten<float>(of_out), rest = unwritten<float>({2, 4, 61, 1});
  attend(attention{.mask = causal{}, .normalizer = stick_breaking{.rest = rest.in()}}, q.in(),
         k.in(), ones.in(), out.in());
  for (std::size_t row = 0; row < rest.data.size(); ++row)
    CHECK(rest.data[row] == Approx(1 - out.data[10 * row]).margin(1e-6));
  attend(attention{.mask = causal{}, .normalizer = stick_breaking{.rest_to_self = true}}, q.in(),
         k.in(), ones.in(), out.in());
  for (const float x : out.data) CHECK(x == Approx(1));
}

TEST_CASE("Whole rows refuse what they cannot give") {
  const auto q = uniform(of_q, 1), k = uniform(of_k, 2), v = uniform(of_v, 3);
  auto out = unwritten<float>(of_out), lse = unwritten<float>({2, 4, 61, 1});
  const auto call = [&](const auto& spec, const outputs& to) {
    attend(spec, q.in(), k.in(), v.in(), to);
  };
  CHECK_THROWS_AS(call(attention{.normalizer = entmax{}}, {.out = out.in(), .lse = lse.in()}),
                  std::invalid_argument);
  CHECK_THROWS_WITH(call(attention{.normalizer = entmax{.alpha = 1}}, {.out = out.in()}),
                    Catch::Matchers::ContainsSubstring("alpha must be above 1"));
  CHECK_THROWS_WITH(call(attention{.normalizer = topk{0}}, {.out = out.in()}),
                    Catch::Matchers::ContainsSubstring("k must be at least 1"));
  CHECK_THROWS_AS(
      call(attention{.normalizer = stick_breaking{.rest = out.in()}}, {.out = out.in()}),
      std::invalid_argument);
  CHECK_THROWS_AS(call(attention{.normalizer = query_axis{-1}}, {.out = out.in()}),
                  std::invalid_argument);
  CHECK(std::isnan(out.data[0]));
}

}  // namespace heed::test
