// SPDX-License-Identifier: BSL-1.0
#include <heed/heads/output_gate.hpp>
#include <heed/reference/heads/output_gate.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::heads;

namespace {

const std::vector<lengths>& shapes() {
  static const std::vector<lengths> all{
      {1, 1, 1, 1, 1, 2, 1}, {2, 4, 2, 27, 12, 8, 13}, {1, 2, 1, 5, 9, 4, 150}};
  return all;
}

Eigen::MatrixXd gated(heed::gate form, const Eigen::MatrixXd& o, const Eigen::MatrixXd& g) {
  if (form == heed::gate::sigmoid) return reference::output_gate(o, g);
  return form == heed::gate::silu ? reference::output_gate_silu(o, g)
                                  : reference::output_gate_additive(o, g);
}

enum class width { one, channels };

template <class T, class Arch = heed::simd::best> void agree_gate(heed::gate form, width w) {
  tensor<float> g({0, 0, 0, 0});  // stored [B, L, H, Dv|1]
  const auto logits = [&](const lengths& x) {
    const heed::index d = g.extent[3];
    return heed::view<const float>(g.data.data(), {x.b, x.h, x.lq, d},
                                   {x.lq * x.h * d, d, x.h * d, 1});
  };
  agree_by_head<T, Arch>(
      [&](const lengths& x) {
        g = random<float>({x.b, x.lq, x.h, w == width::one ? 1 : x.dv}, 4, 3);
        return heed::attention{.output = heed::output_gate{logits(x), form}};
      },
      [&](const one_head& head) {
        const auto v = logits(head.x);
        Eigen::MatrixXd m(head.x.lq, v.extent[3]);
        for (heed::index i = 0; i < m.rows(); ++i)
          for (heed::index c = 0; c < m.cols(); ++c) m(i, c) = double(v(head.b, head.h, i, c));
        return gated(form, head.attended(head.dot()), m);
      },
      16, 8, shapes());
}

}  // namespace

TEST_CASE("outputs are gated per channel and per head") {
  for (const auto form : {heed::gate::sigmoid, heed::gate::silu, heed::gate::additive})
    for (const auto w : {width::one, width::channels}) {
      agree_gate<float>(form, w);
      agree_gate<double>(form, w);
      agree_gate<float, heed::simd::scalar>(form, w);
    }
}

TEST_CASE("gates far out are 0 and 1") {
  const std::vector<float> logits{-1e4f, 1e4f, 0};
  std::vector<float> x{3, 5, 8};
  const heed::output_gate g{heed::view<const float>(logits.data(), {1, 1, 1, 3})};
  g.row<heed::simd::best>(x.data(), 3, {});
  CHECK(x == std::vector<float>{0, 5, 4});
}

TEST_CASE("output_gate refuses logits that do not fit") {
  const auto g = random<float>({2, 4, 3, 3}, 1), h = random<float>({2, 3, 4, 1}, 1);
  check_refused(heed::attention{.output = heed::output_gate{g.in()}},
                "heed::output_gate: the gate is [2, 4, 3, 3], but must broadcast to [2, 4, 3, 4]");
  check_refused(heed::attention{.output = heed::output_gate{h.in()}}, "heed::output_gate");
}
