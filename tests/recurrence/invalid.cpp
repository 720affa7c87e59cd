// SPDX-License-Identifier: BSL-1.0
// Calls that do not fit are refused before anything is written, in words that help.
#include <functional>
#include <heed/recurrence/favor.hpp>
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/rwkv6.hpp>
#include <heed/recurrence/rwkv7.hpp>
#include <heed/recurrence/taylor.hpp>

#include "support/recurrent_inputs.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace heed::test;
using heed::view;

namespace {

struct call {
  recurrent_inputs<float> x{{.b = 2, .q = 4, .k = 2, .v = 2, .l = 5, .d = 3, .dv = 6}};
  tensor<float> written{{2, 4, 5, 6}, 7.f};
  view<const float> q = std::as_const(x.q).in(), k = std::as_const(x.k).in(),
                    v = std::as_const(x.v).in(), log = std::as_const(x.log).in(),
                    beta = std::as_const(x.beta).in();
  view<float> out = written.in();
  heed::recurrent_state<float> state;

  auto spec() const { return heed::recurrences::gated_delta(log, beta, 3); }

  // Refused by scan and by step, in text that names both, and nothing was done.
  template <class Spec> void refused(const Spec& spec, const std::string& text) {
    INFO(text);
    const auto before = state;
    CHECK_THROWS_AS(heed::scan(spec, q, k, v, out, state), std::invalid_argument);
    CHECK_THROWS_WITH(heed::scan(spec, q, k, v, out, state),
                      ContainsSubstring("heed::scan: " + text));
    if (state.empty())
      CHECK_THROWS_WITH(heed::scan(spec, q, k, v, out), ContainsSubstring("heed::scan: " + text));
    CHECK_THROWS_WITH(heed::step(spec, q, k, v, out, state),
                      ContainsSubstring("heed::step: " + text));
    CHECK(std::all_of(written.data.begin(), written.data.end(), [](float y) { return y == 7.f; }));
    CHECK(state == before);
  }
};

void refused(const std::string& rule, const std::function<void(call&)>& spoil) {
  call c;
  spoil(c);
  c.refused(c.spec(), rule);
  const auto shown = [](const char* name, const heed::operand& x) {
    return std::string(name) + " [B,H,L,D] = " + heed::check::print(x.extent) + ", strides " +
           heed::check::print(x.stride) + ", float";
  };
  CHECK_THROWS_WITH(heed::scan(c.spec(), c.q, c.k, c.v, c.out, c.state),
                    ContainsSubstring(shown("q", c.q)) && ContainsSubstring(shown("k", c.k)) &&
                        ContainsSubstring(shown("v", c.v)) &&
                        ContainsSubstring(shown("out", c.out)));
}

}  // namespace

TEST_CASE("the call that the others spoil is valid") {
  call c;
  CHECK_NOTHROW(heed::scan(c.spec(), c.q, c.k, c.v, c.out, c.state));
  CHECK_NOTHROW(heed::scan(c.spec(), c.q, c.k, c.v, c.out));
  CHECK_NOTHROW(heed::step(c.spec(), c.q, c.k, c.v, c.out, c.state));
  CHECK(c.state.tokens(1) == 10);
}

TEST_CASE("extents that disagree") {
  for (view<const float> call::* x : {&call::q, &call::k, &call::v}) {
    refused("q, k, v and out must have the same batch", [x](call& c) { (c.*x).extent[0] = 1; });
    refused("q, k, v and out must have the same length", [x](call& c) { (c.*x).extent[2] = 4; });
    refused("q, k and v must have at least one head", [x](call& c) { (c.*x).extent[1] = 0; });
    for (const std::size_t axis : {0u, 1u, 2u, 3u})
      refused("extents must not be negative", [=](call& c) { (c.*x).extent[axis] = -1; });
    refused("q, k, v and out must not be null", [x](call& c) { (c.*x).data = nullptr; });
  }
  refused("q, k, v and out must have the same batch", [](call& c) { c.out.extent[0] = 3; });
  refused("q, k, v and out must have the same length", [](call& c) { c.out.extent[2] = 6; });
  refused("extents must not be negative", [](call& c) { c.out.extent[3] = -6; });
  refused("q, k, v and out must not be null", [](call& c) { c.out.data = nullptr; });
  refused("q and k must have the same channels", [](call& c) { c.q.extent[3] = 2; });
  refused("q and k must have the same channels", [](call& c) { c.k.extent[3] = 2; });
  refused("q and k must have at least one channel",
          [](call& c) { c.k.extent[3] = c.q.extent[3] = 0; });
  refused("v and out must have the same channels", [](call& c) { c.v.extent[3] = 5; });
  refused("v and out must have the same channels", [](call& c) { c.out.extent[3] = 5; });
}

TEST_CASE("heads that do not share") {
  refused("of the heads of k and v one must be a multiple of the other",
          [](call& c) { c.k.extent[1] = 3; });
  refused("of the heads of k and v one must be a multiple of the other",
          [](call& c) { c.v.extent[1] = 5; });
  refused("of the heads of q and of k or v one must be a multiple of the other",
          [](call& c) { c.q.extent[1] = 3; });
  refused("out must have as many heads as there are", [](call& c) { c.out.extent[1] = 2; });
  refused("out must have as many heads as there are", [](call& c) { c.q.extent[1] = 2; });
}

TEST_CASE("gates that do not broadcast") {
  const heed::extents wrong[] = {{3, 2, 5, 1}, {2, 4, 5, 1}, {2, 2, 4, 1}, {2, 2, 5, 3}};
  for (const heed::extents& e : wrong) {
    call c;
    c.log.extent = e;
    c.refused(c.spec(), "log of the decay is " + heed::check::print(e) +
                            ", but must broadcast to [2, 2, 5, 1]");
    call d;
    d.beta.extent = e;
    d.refused(d.spec(), "beta is " + heed::check::print(e));
  }
  call c;
  c.beta.data = nullptr;
  c.refused(c.spec(), "beta is [2, 2, 5, 1] without data");
  call d;
  const auto wide = view<const float>(d.x.channels.data.data(), {2, 2, 5, 2});
  const auto good = std::as_const(d.x.channels).in();
  d.refused(heed::recurrences::rwkv6(wide, d.x.u.in()), "log of the decay is [2, 2, 5, 2]");
  d.refused(heed::recurrences::rwkv6(good, good),
            "u is [2, 2, 5, 3], but must broadcast to [1, 2, 1, 3]");
  d.refused(heed::recurrences::rwkv7(good, wide, good), "a is [2, 2, 5, 2]");
  d.refused(heed::recurrences::rwkv7(good, good, wide), "b is [2, 2, 5, 2]");
  d.refused(heed::recurrences::mlstm(d.log, wide, 3), "gain is [2, 2, 5, 2]");
}

TEST_CASE("numbers out of range") {
  call c;
  auto spec = c.spec();
  spec.chunk = -1;
  c.refused(spec, "the chunk must not be negative");
  for (const double scale : {NAN, INFINITY}) {
    spec = c.spec();
    spec.scale = scale;
    c.refused(spec, "the scale must be finite");
  }
}

TEST_CASE("sequences that do not cut the tokens") {
  const auto packed = [](std::vector<int> offsets, const std::string& rule, heed::index batch = 1) {
    call c;
    for (auto* x : {&c.q, &c.k, &c.v, &c.log, &c.beta}) x->extent[0] = batch;
    c.out.extent[0] = batch;
    auto spec = c.spec();
    spec.cu_seqlens = offsets;
    c.refused(spec, rule);
  };
  packed({0, 3, 5}, "packed sequences have a batch of 1", 2);
  packed({1, 3, 5}, "cu_seqlens must start at 0: 1");
  packed({0, 3, 2, 5}, "cu_seqlens must not decrease: cu_seqlens[2] = 2 after 3");
  packed({0, 3}, "cu_seqlens must end at the number of rows: it ends at 3, there are 5");
  packed({0, 3, 6}, "cu_seqlens must end at the number of rows: it ends at 6, there are 5");
  packed({0}, "cu_seqlens must end at the number of rows");
}

TEST_CASE("what all tokens can read must not forget, nor correct") {
  call c;
  const std::string rule =
      "only a recurrence that forgets nothing and only adds can be read by all tokens";
  const auto whole = [&](auto spec) {
    spec.causal = false;
    c.refused(spec, rule);
  };
  whole(c.spec());
  whole(heed::recurrence{.decay = heed::scalar_decay{c.log}});
  whole(heed::recurrence{.update = heed::delta_update{c.beta}});
  const auto channels = std::as_const(c.x.channels).in();
  whole(heed::recurrence{.update = heed::low_rank_update{channels, channels}});
  whole(heed::recurrence{.readout = heed::bonus_readout{c.x.u.in()}});
}

TEST_CASE("states of another recurrence, of other heads, of another batch") {
  const auto with = [](auto change, const std::string& text) {
    call c;
    heed::scan(c.spec(), c.q, c.k, c.v, c.out, c.state);
    std::fill(c.written.data.begin(), c.written.data.end(), 7.f);
    change(c);
    c.refused(c.spec(), "the state is " + text);
  };
  const std::string kind = "scalar decay, delta, direct [2 heads of 3 x 6 + 0]";
  with(
      [](call& c) {
        for (auto* x : {&c.q, &c.k, &c.v, &c.log, &c.beta}) x->extent[0] = 1;
        c.out.extent[0] = 1;
      },
      kind + " for a batch of 2, but the call needs " + kind + " for 1");
  with([](call& c) { c.v.extent[3] = c.out.extent[3] = 4; }, kind);
  with([](call& c) { c.q.extent[3] = c.k.extent[3] = 2; }, kind);
  call c;
  heed::scan(heed::recurrence{.decay = heed::scalar_decay{c.log}}, c.q, c.k, c.v, c.out, c.state);
  std::fill(c.written.data.begin(), c.written.data.end(), 7.f);
  c.refused(c.spec(), "the state is scalar decay, additive, direct");
}

TEST_CASE("features that do not fit") {
  const call c;
  const auto refused = [&](const auto& spec, const std::string& text) {
    auto state = c.state;
    CHECK_THROWS_AS(heed::scan(spec, c.q, c.k, c.v, c.out, state), std::invalid_argument);
    CHECK_THROWS_WITH(heed::scan(spec, c.q, c.k, c.v, c.out, state), ContainsSubstring(text));
    CHECK_THROWS_WITH(heed::step(spec, c.q, c.k, c.v, c.out, state), ContainsSubstring(text));
    CHECK(state.empty());
  };
  const std::vector<double> omega(12), large(600);
  refused(heed::recurrences::taylor(3), "heed::taylor_feature: the order must be 1 or 2, not 3");
  refused(heed::recurrences::favor(omega, 0), "it holds 12 numbers for 0 x 3");
  refused(heed::recurrences::favor(omega, 5), "it holds 12 numbers for 5 x 3");
  tensor<float> q({1, 1, 1, 300}, 1), v({1, 1, 1, 1}, 1), out({1, 1, 1, 1}, 7);
  CHECK_THROWS_WITH(
      heed::scan(heed::recurrences::favor(large, 2), q.in(), q.in(), v.in(), out.in()),
      ContainsSubstring("heed::random_feature: omega must be [features, D], D at most 256"));
  CHECK(out.data[0] == 7);
}
