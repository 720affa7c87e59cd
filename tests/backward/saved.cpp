// SPDX-License-Identifier: BSL-1.0
// What the forward call saved changes nothing but roundings; scratch may hold anything; gradients
// that are not wanted are not written.
#include <cstring>
#include <heed/attention/attend_backward.hpp>
#include <heed/heads/output_gate.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/softcap.hpp>

#include "support/exact.hpp"

using namespace heed::test;
using heed::attention;

namespace {

constexpr heed::extents of_q{2, 4, 61, 9}, of_k{2, 2, 113, 9}, of_v{2, 2, 113, 6},
    of_out{2, 4, 61, 6}, of_lse{2, 4, 61, 1};

struct operands {
  tensor<double> q = random<double>(of_q, 1), k = random<double>(of_k, 2),
                 v = random<double>(of_v, 3), d_out = random<double>(of_out, 4);
  tensor<double> out = unwritten<double>(d_out.extent), lse = unwritten<double>(of_lse);
};

struct gradients {
  tensor<double> dq = unwritten<double>(of_q), dk = unwritten<double>(of_k),
                 dv = unwritten<double>(of_v);
};

template <class Spec>
gradients run(const Spec& spec, const operands& x, const heed::saved& forward,
              heed::workspace_ref scratch = {}) {
  gradients g;
  heed::attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), forward, x.d_out.in(),
                        {.dq = g.dq.in(), .dk = g.dk.in(), .dv = g.dv.in()}, {}, scratch);
  return g;
}

void check_same(const gradients& got, const gradients& want, double allowed) {
  for (heed::index h = 0; h < 4; ++h) check_close(got.dq.head(1, h), want.dq.head(1, h), allowed);
  for (heed::index h = 0; h < 2; ++h) {
    check_close(got.dk.head(1, h), want.dk.head(1, h), allowed);
    check_close(got.dv.head(1, h), want.dv.head(1, h), allowed);
  }
}

template <class Spec> void check_saved(const std::string& name, const Spec& spec) {
  constexpr bool logarithmic = heed::has_lse<decltype(Spec::normalizer)>;
  INFO(name);
  operands x;
  heed::outputs to{.out = x.out.in()};
  if (logarithmic) to.lse = x.lse.in();
  heed::attend(spec, x.q.in(), x.k.in(), x.v.in(), to);
  const gradients expected = run(spec, x, {});
  const double allowed = tolerance<double>(16, 113);
  check_same(run(spec, x, {.out = x.out.in()}), expected, allowed);
  if (!logarithmic) return;
  check_same(run(spec, x, {.out = x.out.in(), .lse = x.lse.in()}), expected, allowed);
  check_same(run(spec, x, {.out = {}, .lse = x.lse.in()}), expected, allowed);
}

}  // namespace

TEST_CASE("saved or computed again, the gradients agree") {
  const auto logits = random<double>({1, 4, 61, 6}, 5);
  const std::vector<double> z{0.5, -1, 2, -std::numeric_limits<double>::infinity()};
  check_saved("softmax", attention{});
  check_saved("causal", attention{.mask = heed::causal{}, .score = heed::softcap{3}});
  check_saved("sink", attention{.mask = heed::causal{}, .normalizer = heed::sink_softmax{z}});
  check_saved("sigmoid", attention{.normalizer = heed::sigmoid{}});
  check_saved("gate", attention{.output = heed::output_gate{logits.in()}});
}

TEST_CASE("scratch that holds NaN is not read") {
  const operands x;
  const attention spec{.mask = heed::causal{}, .score = heed::softcap{3}};
  const gradients expected = run(spec, x, {});
  heed::workspace scratch;
  for (int again = 0; again < 3; ++again) {
    const gradients got = run(spec, x, {}, scratch);
    CHECK(got.dq.data == expected.dq.data);
    CHECK(got.dk.data == expected.dk.data);
    CHECK(got.dv.data == expected.dv.data);
    scratch.for_each_arena([](heed::arena& a) {
      if (a.capacity() > 0) std::memset(a.data(), 0xff, a.capacity());
    });
  }
}

TEST_CASE("a second call needs no more scratch") {
  const operands x;
  heed::workspace scratch;
  run(attention{}, x, {}, scratch);
  const std::size_t first = scratch.capacity();
  run(attention{}, x, {}, scratch);
  CHECK(scratch.capacity() == first);
}

TEST_CASE("gradients that are not wanted change no other") {
  const operands x;
  const attention spec{.mask = heed::causal{}};
  const gradients all = run(spec, x, {});
  gradients g;
  const auto call = [&](const heed::gradients<attention<heed::causal>>& to) {
    heed::attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {}, x.d_out.in(), to);
  };
  call({.dq = g.dq.in()});
  call({.dk = g.dk.in()});
  call({.dv = g.dv.in()});
  CHECK(g.dq.data == all.dq.data);
  CHECK(g.dk.data == all.dk.data);
  CHECK(g.dv.data == all.dv.data);
}
