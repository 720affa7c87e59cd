// SPDX-License-Identifier: BSL-1.0
// Every operand that does not fit is refused before anything is written, in words that help.
#include <functional>
#include <heed/attention/attend_backward.hpp>
#include <heed/heads/output_gate.hpp>
#include <heed/kv/extra.hpp>
#include <heed/kv/output_bias.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/key_bias.hpp>
#include <heed/score/relative_bias.hpp>
#include <heed/score/temperature.hpp>
#include <heed/similarity/additive.hpp>
#include <heed/similarity/cosine.hpp>
#include <heed/similarity/qk_norm.hpp>

#include "support/catch.hpp"

using Catch::Matchers::ContainsSubstring;
using heed::attention;

namespace {

struct call {
  std::vector<float> memory = std::vector<float>(4096, 0.5f);
  std::vector<float> written = std::vector<float>(8192, 7.f);
  heed::view<float> q{memory.data(), {2, 4, 5, 8}}, k{memory.data(), {2, 2, 7, 8}},
      v{memory.data(), {2, 2, 7, 6}}, out{memory.data(), {2, 4, 5, 6}},
      lse{memory.data() + 2048, {2, 4, 5, 1}}, d_out = out;
  heed::view<float> dq{written.data(), q.extent}, dk{written.data() + 1024, k.extent},
      dv{written.data() + 2048, v.extent};

  template <class Spec>
  void run(const Spec& spec, const heed::spec_gradients<Spec>& to = {}) const {
    heed::attend_backward(spec, q, k, v, {.out = out, .lse = lse}, d_out,
                          {.dq = dq, .dk = dk, .dv = dv, .spec = to});
  }
  bool untouched() const {
    return std::all_of(written.begin(), written.end(), [](float x) { return x == 7.f; });
  }
};

void refused(const std::string& rule, const std::function<void(call&)>& spoil) {
  call c;
  spoil(c);
  INFO(rule);
  CHECK_THROWS_AS(c.run(attention{}), std::invalid_argument);
  CHECK_THROWS_WITH(c.run(attention{}), ContainsSubstring("heed::attend_backward: " + rule));
  CHECK(c.untouched());
}

heed::view<float> of(call& c, const heed::extents& e) { return {c.memory.data(), e}; }
heed::view<float> to(call& c, const heed::extents& e) { return {c.written.data() + 3072, e}; }

template <class Spec>
void policy_refused(const std::string& text, call& c, const Spec& spec,
                    const std::type_identity_t<heed::spec_gradients<Spec>>& gradient) {
  INFO(text);
  CHECK_THROWS_AS(c.run(spec, gradient), std::invalid_argument);
  CHECK_THROWS_WITH(c.run(spec, gradient), ContainsSubstring(text));
  CHECK(c.untouched());
}

}  // namespace

TEST_CASE("the call that the others spoil is valid") {
  call c;
  CHECK_NOTHROW(c.run(attention{}));
  CHECK_FALSE(c.untouched());
}

TEST_CASE("gradients and what was saved must fit") {
  for (std::size_t axis = 0; axis < 4; ++axis)
    for (const int by : {-1, 1}) {
      refused("d_out must have the shape of out", [&](call& c) { c.d_out.extent[axis] += by; });
      refused("dq must have the shape of q", [&](call& c) { c.dq.extent[axis] += by; });
      refused("dk must have the shape of k", [&](call& c) { c.dk.extent[axis] += by; });
      refused("dv must have the shape of v", [&](call& c) { c.dv.extent[axis] += by; });
      refused("lse must be [B,H,Lq]", [&](call& c) { c.lse.extent[axis] += by; });
    }
  refused("d_out must not be null", [](call& c) { c.d_out.data = nullptr; });
}

TEST_CASE("so must the operands of the forward call, saved or not") {
  const std::function<void(call&)> spoils[] = {
      [](call& c) { c.q.extent[0] = 1; },  [](call& c) { c.k.extent[3] = 7; },
      [](call& c) { c.v.extent[2] = 6; },  [](call& c) { c.k.extent[1] = c.v.extent[1] = 3; },
      [](call& c) { c.q.extent[2] = -1; }, [](call& c) { c.q.extent[0] = c.k.extent[0] = -1; },
      [](call& c) { c.v.extent[3] = -3; }, [](call& c) { c.q.data = nullptr; },
      [](call& c) { c.k.data = nullptr; }, [](call& c) { c.v.data = nullptr; }};
  for (const auto& spoil : spoils)
    for (const bool saved : {true, false}) {
      call c;
      if (!saved) c.out.data = c.lse.data = nullptr;
      spoil(c);
      CHECK_THROWS_AS(c.run(attention{}), std::invalid_argument);
      CHECK(c.untouched());
    }
  call c;
  c.out.extent[3] = 5;
  CHECK_THROWS_AS(c.run(attention{}), std::invalid_argument);
  CHECK(c.untouched());
}

TEST_CASE("null is fine where nothing would be read or written") {
  call c;
  c.dq.data = c.dk.data = c.dv.data = nullptr;
  CHECK_NOTHROW(c.run(attention{}));
  CHECK(c.untouched());
  call none;
  none.q.data = none.k.data = none.v.data = none.out.data = none.d_out.data = nullptr;
  none.q.extent[2] = none.out.extent[2] = none.d_out.extent[2] = none.lse.extent[2] = 0;
  none.dq.extent[2] = 0;
  CHECK_NOTHROW(none.run(attention{}));
  CHECK(none.written[2048] == 0);
}

TEST_CASE("gradients of tables must have their shape") {
  call c;
  policy_refused("heed::bias: the gradient is [2, 4, 5, 1]", c,
                 attention{.score = heed::bias{of(c, {2, 4, 5, 7})}},
                 {.score = {to(c, {2, 4, 5, 1})}});
  policy_refused("heed::key_bias: the gradient is [1, 1, 7, 1]", c,
                 attention{.score = heed::key_bias{of(c, {1, 4, 7, 1})}},
                 {.score = {to(c, {1, 1, 7, 1})}});
  policy_refused("heed::relative_bias: the gradient is [1, 1, 9, 1]", c,
                 attention{.score = heed::relative_bias::clipped(of(c, {1, 4, 9, 1}))},
                 {.score = {to(c, {1, 1, 9, 1})}});
  policy_refused("heed::temperature: the gradient is [1, 4, 5, 1]", c,
                 attention{.score = heed::temperature{of(c, {1, 4, 1, 1})}},
                 {.score = {to(c, {1, 4, 5, 1})}});
  policy_refused("heed::scalable_softmax: the gradient is [1, 1, 1, 1]", c,
                 attention{.score = heed::scalable_softmax{of(c, {1, 4, 1, 1})}},
                 {.score = {to(c, {1, 1, 1, 1})}});
  policy_refused("heed::output_gate: the gradient is [2, 4, 5, 1]", c,
                 attention{.output = heed::output_gate{of(c, {2, 4, 5, 6})}},
                 {.output = {to(c, {2, 4, 5, 1})}});
  policy_refused("heed::output_bias: the gradient is [1, 1, 1, 5]", c,
                 attention{.output = heed::output_bias{of(c, {1, 4, 1, 6})}},
                 {.output = {to(c, {1, 1, 1, 5})}});
  policy_refused("heed::extra_slots: the gradient is [1, 1, 2, 8]", c,
                 attention{.extra = heed::extra_slots{of(c, {1, 1, 3, 8})}},
                 {.extra = {to(c, {1, 1, 2, 8}), {}}});
  policy_refused("heed::extra_slots: the gradient is [1, 1, 3, 6]", c,
                 attention{.extra = heed::extra_slots{of(c, {1, 1, 3, 8})}},
                 {.extra = {{}, to(c, {1, 1, 3, 6})}});
}

TEST_CASE("gradients that are added to where they lie must be float or double") {
  call c;
  heed::result half = to(c, {2, 4, 5, 7});
  half.type = heed::element::f16;
  policy_refused("heed::bias: the gradient must be float or double", c,
                 attention{.score = heed::bias{of(c, {2, 4, 5, 7})}}, {.score = {half}});
}

TEST_CASE("gradients of lists must have their length") {
  call c;
  const std::vector<float> four(4, 0.5f), eight(8, 0.5f);
  std::vector<float> wrong(3, 7.f);
  policy_refused("heed::alibi: the gradient of the slopes must have 4 entries, not 3", c,
                 attention{.score = heed::alibi{four}}, {.score = {wrong}});
  policy_refused("heed::sink_softmax: the gradient of the logits must have 4 entries, not 3", c,
                 attention{.normalizer = heed::sink_softmax{four}}, {.normalizer = {wrong}});
  policy_refused("heed::cosine: the gradient of beta must have 4 entries, not 3", c,
                 attention{.similarity = heed::cosine{four}}, {.similarity = {wrong}});
  policy_refused("heed::additive: the gradient of the weight must have 8 entries, not 3", c,
                 attention{.similarity = heed::additive<>{eight}}, {.similarity = {wrong, {}, {}}});
  policy_refused("heed::additive: the gradient of the offset must have 1 entries, not 3", c,
                 attention{.similarity = heed::additive<>{eight}}, {.similarity = {{}, {}, wrong}});
  policy_refused("heed::qk_norm: the gradient of the gain must have 8 entries, not 3", c,
                 attention{.key = heed::qk_norm{eight}}, {.key = {wrong}});
  CHECK(wrong == std::vector<float>(3, 7.f));
}
