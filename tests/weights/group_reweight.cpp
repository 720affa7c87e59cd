// SPDX-License-Identifier: BSL-1.0
#include <heed/mask/window.hpp>
#include <heed/position/rope.hpp>
#include <heed/reference/weights/group_reweight.hpp>
#include <heed/score/softcap.hpp>
#include <heed/weights/group_reweight.hpp>

#include "support/differences.hpp"
#include "support/gradients.hpp"
#include "support/labels.hpp"
#include "support/scores.hpp"
#include "support/weights.hpp"

namespace heed::test {
namespace {

// `rule` against `formula(p, labels)`, labels by batch item and head, in runs short and long.
template <class T, class Rule, class Formula>
void agree_rule(const Rule& rule, const Formula& formula, double growth = 2) {
  labelling x{};
  for (const bool shared : {false, true})
    for (const int run : {1, 20})
      agree_edited<T>(
          [&](const shape& of) {
            x = random_labels(shared ? 1 : of.b, shared ? 1 : of.h, of.lk, 2, run);
            return attention{.mask = causal{}, .weights = group_reweight{x.groups(), rule}};
          },
          [&](const Eigen::MatrixXd& p, index b, index h) { return formula(p, x.of(b, h)); },
          growth);
}

}  // namespace

TEST_CASE("split-softmax is its formula") {
  for (const double k : {0.0, 0.3, 1.0}) {
    const auto formula = [&](const Eigen::MatrixXd& p, const reference::indices& span) {
      return reference::weights::split_softmax(p, span, k);
    };
    agree_rule<float>(split_softmax{k}, formula);
    agree_rule<double>(split_softmax{k}, formula);
  }
}

TEST_CASE("spotlight is its formula") {
  for (const double least : {0.0, 0.3, 0.9})
    agree_rule<float>(spotlight{least},
                      [&](const Eigen::MatrixXd& p, const reference::indices& span) {
                        return reference::weights::spotlight(p, span, least);
                      });
}

TEST_CASE("the log-sum-exp is that of the scores, and masked values never leak") {
  const auto x = random_labels(1, 1, 90, 2, 7);
  const attention plain{.mask = window{.left = 11, .right = 2}, .score = softcap{5}};
  const attention edited{.mask = plain.mask,
                         .score = plain.score,
                         .weights = group_reweight{x.groups(), split_softmax{0.4}}};
  const auto q = random<double>({1, 2, 20, 6}, 1), k = random<double>({1, 1, 90, 6}, 2);
  auto v = random<double>({1, 1, 90, 4}, 3);
  for (index j = 0; j < 50; ++j) v(0, 0, j, 1) = std::numeric_limits<double>::quiet_NaN();
  auto out = unwritten<double>({1, 2, 20, 4}), expected = out, other = out;
  auto lse = unwritten<double>({1, 2, 20, 1}), same = lse;
  attend(edited, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
  attend(plain, q.in(), k.in(), v.in(), {.out = other.in(), .lse = same.in()});
  reference::attend(edited, q.in(), k.in(), v.in(), expected.in());
  for (index h = 0; h < 2; ++h) {
    check_close(lse.head(0, h), same.head(0, h), tolerance<double>(8, 6, 8));
    check_close(out.head(0, h), expected.head(0, h), tolerance<double>(8, 6, 8));
  }
}

TEST_CASE("group_reweight gives the same bits for any number of threads") {
  const auto x = random_labels(2, 4, 333, 2, 30);
  check_threads(
      attention{.mask = causal{}, .weights = group_reweight{x.groups(), split_softmax{0.5}}},
      {2, 4, 2, 130, 333, 16, 8});
}

TEST_CASE("group_reweight takes prologues, and out of another type") {
  const auto x = random_labels(1, 1, 40, 2, 5);
  const attention spec{.mask = causal{},
                       .weights = group_reweight{x.groups(), spotlight{0.7}},
                       .query = rope{},
                       .key = rope{}};
  const auto q = random<float>({1, 2, 40, 8}, 1), k = random<float>({1, 2, 40, 8}, 2);
  auto out = unwritten<double>({1, 2, 40, 8}), expected = out;
  attend(spec, q.in(), k.in(), k.in(), out.in());
  reference::attend(spec, q.in(), k.in(), k.in(), expected.in());
  for (index h = 0; h < 2; ++h)
    check_close(out.head(0, h), expected.head(0, h), tolerance<float>(8, 8, 8));
}

TEST_CASE("gradients through masses are central differences") {
  const auto shared = random_labels(1, 1, 9, 2, 2), each = random_labels(2, 4, 6, 2, 2);
  for (const double k : {0.3, 1.0})
    gradient_case{}.check(attention{.weights = group_reweight{shared.groups(), split_softmax{k}}},
                          true);
  gradient_case{.b = 2, .h = 4, .kv = 2, .lq = 7, .lk = 6}.check(
      attention{.mask = causal{}, .weights = group_reweight{each.groups(), split_softmax{0.4}}});
  gradient_case{}.check(attention{.mask = causal{},
                                  .score = softcap{3},
                                  .weights = group_reweight{shared.groups(), spotlight{0.6}}});
}

TEST_CASE("gradients over many tiles are central differences") {
  const auto x = random_labels(1, 4, 300, 2, 9);
  check_gradients("split_softmax",
                  attention{.mask = window{.left = 120, .right = 9},
                            .weights = group_reweight{x.groups(), split_softmax{0.4}}},
                  {}, {}, {.lq = 70, .lk = 300});
}

TEST_CASE("observers of rows see the scores, others are refused") {
  const auto x = random_labels(1, 1, 9, 2, 2);
  struct watcher final : observer {
    needs of = needs::rows;
    std::vector<double> lse;
    needs wants() const override { return of; }
    void row(const row_position&, const row_end& end) override {
      lse.push_back(end.max * simd::ln2 + std::log(end.sum));
    }
  } watch;
  const auto q = random<double>({1, 1, 3, 4}, 1), k = random<double>({1, 1, 9, 4}, 2);
  auto out = unwritten<double>(q.extent), lse = unwritten<double>({1, 1, 3, 1});
  const auto call = [&] {
    attend(attention{.weights = group_reweight{x.groups(), split_softmax{0.4}}}, q.in(), k.in(),
           k.in(), {.out = out.in(), .lse = lse.in(), .observe = &watch});
  };
  call();
  for (std::size_t i = 0; i < 3; ++i) CHECK(watch.lse.at(i) == Approx(lse.data[i]));
  watch.of = observer::needs::weights;
  out = unwritten<double>(q.extent);
  CHECK_THROWS_WITH(call(), Catch::Matchers::ContainsSubstring("only observers of whole rows"));
  struct : observed_gradient {
    void add(const tile&, const float*, float*) const override {}
    void add(const tile&, const double*, double*) const override {}
    double delta(const row_position&) const override { return 0; }
  } nothing;
  CHECK_THROWS_WITH(
      attend_backward(attention{.weights = group_reweight{x.groups(), split_softmax{0.4}}}, q.in(),
                      k.in(), k.in(), saved{}, operand(out.in()),
                      {.dq = out.in(), .observed = &nothing}),
      Catch::Matchers::ContainsSubstring("no gradient of what was observed"));
  for (const double value : out.data) CHECK(std::isnan(value));
}

TEST_CASE("gradients of groups are written where asked for, for any number of threads") {
  const auto x = random_labels(1, 4, 150, 2, 9);
  const attention spec{.mask = causal{}, .weights = group_reweight{x.groups(), split_softmax{0.5}}};
  const auto q = random<float>({1, 4, 120, 8}, 1), k = random<float>({1, 2, 150, 8}, 2);
  auto once = unwritten<float>(q.extent), again = once, dk = unwritten<float>(k.extent), dk2 = dk;
  attend_backward(spec, q.in(), k.in(), k.in(), {}, q.in(), {.dq = once.in(), .dk = dk.in()});
  attend_backward(spec, q.in(), k.in(), k.in(), {}, q.in(), {.dq = again.in(), .dk = dk2.in()},
                  threads{16});
  CHECK(once.data == again.data);
  CHECK(dk.data == dk2.data);
}

TEST_CASE("labels and numbers that do not fit are refused") {
  const auto spec = [](const key_groups& groups, auto rule) {
    return attention{.weights = group_reweight{groups, rule}};
  };
  const std::vector<int> five(5), six(6), wrong{0, 1, 2, 0, 0}, low{0, -1, 0, 0, 0};
  check_refused(spec({six}, split_softmax{}), "labels must be [B|1, H|1, Lk]");
  check_refused(spec({five, 1, 3}, split_softmax{}), "labels must be [B|1, H|1, Lk]");
  check_refused(spec({wrong}, split_softmax{}), "labels must lie in [0, 2)");
  check_refused(spec({low}, split_softmax{}), "labels must lie in [0, 2)");
  check_refused(spec({five}, split_softmax{1.5}), "k must be in [0, 1]");
  check_refused(spec({five}, spotlight{-0.1}), "least must be in [0, 1]");
}

}  // namespace heed::test
