// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/weights/redistribute.hpp>
#include <heed/weights/redistribute.hpp>

#include "support/differences.hpp"
#include "support/labels.hpp"
#include "support/scores.hpp"
#include "support/weights.hpp"

namespace heed::test {

TEST_CASE("redistribute is its formula, a kept share for each head") {
  labelling x{};
  std::vector<double> keep;
  agree_edited<float>(
      [&](const shape& of) {
        x = random_labels(of.b, of.h, of.lk, 3, 4);
        keep.clear();
        for (index h = 0; h < of.h; ++h) keep.push_back(h % 2 == 0 ? 0.4 : 1.0);
        return attention{.mask = causal{},
                         .weights = group_reweight{x.groups(), redistribute{keep}}};
      },
      [&](const Eigen::MatrixXd& p, index b, index h) {
        return reference::weights::redistribute(p, x.of(b, h), keep[std::size_t(h)]);
      });
}

TEST_CASE("redistribute_image is its formula, and acts on some rows only") {
  labelling x{};
  const redistribute_image rule{.keep = 0.3, .least = 0.4, .most = 0.45};
  index changed = 0, same = 0;
  agree_edited<float>(
      [&](const shape& of) {
        x = random_labels(1, of.h, of.lk, 4, 3);
        return attention{.mask = causal{}, .weights = group_reweight{x.groups(), rule}};
      },
      [&](const Eigen::MatrixXd& p, index b, index h) {
        const Eigen::MatrixXd edited =
            reference::weights::redistribute_image(p, x.of(b, h), rule.keep, rule.least, rule.most);
        for (index i = 0; i < p.rows(); ++i) ++(edited.row(i) == p.row(i) ? same : changed);
        return edited;
      });
  CHECK(changed > 50);
  CHECK(same > 50);
}

TEST_CASE("redistribute gives the same bits for any number of threads") {
  const auto x = random_labels(2, 1, 333, 4, 30);
  check_threads(
      attention{.mask = causal{}, .weights = group_reweight{x.groups(), redistribute_image{}}},
      {2, 4, 2, 130, 333, 16, 8});
}

TEST_CASE("gradients through redistributed masses are central differences") {
  const std::vector<double> keep{0.4, 0.9};
  const auto three = random_labels(1, 2, 9, 3, 2), four = random_labels(1, 1, 9, 4, 2);
  gradient_case{}.check(
      attention{.mask = causal{}, .weights = group_reweight{three.groups(), redistribute{keep}}},
      true);
  // Rows far from the thresholds: each of them changes which rows the rule acts on.
  gradient_case{}.check(attention{.weights = group_reweight{four.groups(), redistribute_image{}}});
}

TEST_CASE("shares outside [0, 1] are refused") {
  const std::vector<int> labels(5);
  const std::vector<double> few{0.1, 0.2}, large{1.5};
  const auto spec = [&](auto rule) {
    return attention{.weights = group_reweight{key_groups{labels}, rule}};
  };
  check_refused(spec(redistribute{few}), "keep must have one entry");
  check_refused(spec(redistribute{}), "keep must have one entry");
  check_refused(spec(redistribute{large}), "keep must be in [0, 1]");
  check_refused(spec(redistribute_image{.keep = -1}), "must be in [0, 1]");
}

}  // namespace heed::test
