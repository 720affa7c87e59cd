// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/extra.hpp>
#include <heed/kv/output_bias.hpp>
#include <heed/reference/kv/extra.hpp>
#include <heed/score/softcap.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::kv;

namespace {

const std::vector<lengths>& shapes() {
  static const std::vector<lengths> all{{1, 1, 1, 1, 1, 2, 1},
                                        {2, 4, 2, 27, 12, 8, 13},
                                        {2, 2, 2, 5, 300, 4, 7},
                                        {1, 2, 1, 3, 0, 5, 4}};
  return all;
}
heed::reference::allowed all(const lengths& x) {
  return heed::reference::allowed::Constant(x.lq, x.lk, true);
}

enum class owner { everyone, head };

template <class T, class U, class Arch = heed::simd::best>
void agree_extra(heed::index slots, owner who) {
  tensor<U> k({0, 0, 0, 0}), v({0, 0, 0, 0});
  agree_by_head<T, Arch>(
      [&](const lengths& x) {
        const heed::index b = who == owner::head ? x.b : 1, h = who == owner::head ? x.kv : 1;
        k = random<U>({b, h, slots, x.d}, 4), v = random<U>({b, h, slots, x.dv}, 5);
        return heed::attention{.extra = heed::extra_slots{k.in(), v.in()}};
      },
      [&](const one_head& head) {
        const heed::index b = who == owner::head ? head.b : 0,
                          h = who == owner::head ? head.h / head.x.group() : 0;
        return reference::extra(head.q, head.k, head.v, k.head(b, h), v.head(b, h),
                                1 / std::sqrt(double(head.x.d)), all(head.x));
      },
      8, 8, shapes());
}

}  // namespace

TEST_CASE("every query sees the extra slots") {
  for (const auto who : {owner::everyone, owner::head})
    for (const heed::index slots : {1, 3, 70, 260}) {
      agree_extra<float, float>(slots, who);
      agree_extra<double, double>(slots, who);
      agree_extra<float, double>(slots, who);
    }
  agree_extra<float, float, heed::simd::scalar>(3, owner::head);
  agree_extra<float, float>(0, owner::head);
}

TEST_CASE("extra slots without values only take weight, and get no score modifier") {
  tensor<float> k({0, 0, 0, 0});
  agree_by_head<float>(
      [&](const lengths& x) {
        k = random<float>({1, x.kv, 2, x.d}, 4);
        return heed::attention{
            .score = heed::softcap{0.5}, .scale = 1.25, .extra = heed::extra_slots{k.in()}};
      },
      [&](const one_head& head) {
        const Eigen::MatrixXd keys = k.head(0, head.h / head.x.group());
        Eigen::MatrixXd s(head.x.lq, head.x.lk + 2),
            v = Eigen::MatrixXd::Zero(head.x.lk + 2, head.x.dv);
        s << 0.5 * (1.25 * head.q * head.k.transpose() / 0.5).array().tanh().matrix(),
            1.25 * head.q * keys.transpose();
        v.topRows(head.x.lk) = head.v;
        const heed::reference::allowed a =
            heed::reference::allowed::Constant(s.rows(), s.cols(), true);
        return heed::reference::attention(heed::reference::normalizer::softmax(s, a), v);
      },
      32, 8, shapes());
}

TEST_CASE("output_bias adds a value to every output") {
  tensor<float> v({0, 0, 0, 0});
  agree_by_head<float>(
      [&](const lengths& x) {
        v = random<float>({1, x.h, 1, x.dv}, 4);
        return heed::attention{.output = heed::output_bias{v.in()}};
      },
      [&](const one_head& head) {
        return reference::value_bias(head.attended(head.dot()),
                                     v.head(0, head.h).row(0).transpose());
      },
      8, 8, {shapes()[0], shapes()[1]});
}

TEST_CASE("extra slots refuse what does not fit") {
  const auto k = random<float>({1, 1, 2, 6}, 1), v = random<float>({1, 1, 3, 4}, 1),
             wide = random<float>({1, 1, 2, 7}, 1), three = random<float>({1, 3, 2, 6}, 1);
  check_refused(heed::attention{.extra = heed::extra_slots{k.in(), v.in()}},
                "k and v must have the same slots");
  check_refused(heed::attention{.extra = heed::extra_slots{wide.in()}},
                "heed::extra_slots: k is [1, 1, 2, 7]");
  check_refused(heed::attention{.extra = heed::extra_slots{three.in()}},
                "heed::extra_slots: k is [1, 3, 2, 6]");
  check_refused(heed::attention{.extra = heed::extra_slots{k.in(), wide.in()}},
                "heed::extra_slots: v is [1, 1, 2, 7]");
  check_refused(heed::attention{.extra = heed::extra_slots{}}, "without data");
  check_refused(heed::attention{.output = heed::output_bias{wide.in()}},
                "heed::output_bias: the bias is");
}
