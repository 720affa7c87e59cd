// SPDX-License-Identifier: BSL-1.0
// attend_backward where the loss depends on the log-sum-exp as well.
#include <heed/mask/causal.hpp>
#include <heed/normalizer/relu.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/softcap.hpp>

#include "support/differences.hpp"

namespace heed::test {

TEST_CASE("dL/dlse reaches q and k") {
  gradient_case{}.check(attention{}, true);
  gradient_case{.b = 2, .h = 4, .kv = 2, .lq = 7, .lk = 4}.check(attention<causal>{}, true);
  gradient_case{}.check(attention{.mask = causal{}, .score = softcap{2}}, true);
}

TEST_CASE("dL/dlse reaches the logit of a sink") {
  std::vector<double> logits{0.3, -0.5}, got(2);
  gradient_case x;
  const attention spec{.normalizer = sink_softmax{logits}};
  spec_gradients<std::remove_const_t<decltype(spec)>> more;
  more.normalizer = {.logits = got};
  x.check(spec, true, more);
  check_gradient(got, differences(logits, [&] { return x.loss(spec, true); }), "dlogits");
}

TEST_CASE("dL/dlse from what forward saved") {
  gradient_case x;
  const attention<causal> spec{};
  auto out = unwritten<double>(x.a.extent), lse = unwritten<double>(x.c.extent);
  attend(spec, x.q.in(), x.k.in(), x.v.in(), {.out = out.in(), .lse = lse.in()});
  auto once = unwritten<double>(x.q.extent), again = unwritten<double>(x.q.extent);
  const upstream d(x.a.in(), x.c.in());
  attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {}, d, {.dq = once.in()});
  attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {.out = out.in(), .lse = lse.in()}, d,
                  {.dq = again.in()});
  CHECK(once.data == again.data);
}

TEST_CASE("dL/dlse of a wrong shape, or of a normaliser without one, is refused") {
  gradient_case x;
  auto dq = unwritten<double>(x.q.extent);
  const auto call = [&](const auto& spec, const upstream& d) {
    attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {}, d, {.dq = dq.in()});
  };
  CHECK_THROWS_WITH(call(attention{}, {x.a.in(), x.a.in()}),
                    Catch::Matchers::ContainsSubstring("d_lse must be [B,H,Lq]"));
  CHECK_THROWS_WITH(call(attention{.normalizer = relu{}}, {x.a.in(), x.c.in()}),
                    Catch::Matchers::ContainsSubstring("no log-sum-exp"));
  for (const double value : dq.data) CHECK(std::isnan(value));
}

}  // namespace heed::test
