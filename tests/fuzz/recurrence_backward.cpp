// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrences, of all that their policies are given.
#include <heed/recurrence/scan_backward.hpp>

#include "fuzz/recurrence.hpp"
#include "fuzz/rounds.hpp"
#include "fuzz/slopes.hpp"

namespace heed::fuzz {

template <class Spec> static void one_backward(engine& random, curve kind) {
  drawn x(random);
  x.in_double = true, x.wild = false;
  x.length = std::min<index>(x.length, 60);
  x.depth = 1 + x.depth % 20, x.value_depth = 1 + x.value_depth % 20;
  recurrence_draw<Spec> policies(x);
  Spec& spec = policies.spec;
  if constexpr (requires { spec.readout.epsilon; })
    if constexpr (has_gain<decltype(Spec::decay)>) spec.readout.epsilon = 0;
  const double size = 1 / std::sqrt(double(x.depth));
  const auto normal = [&] { return x.normal(); };
  learned q("q", random, x.table({x.batch, x.q, x.length, x.depth}, normal)),
      k("k", random, x.table({x.batch, x.k, x.length, x.depth}, [&] { return size * x.normal(); })),
      v("v", random, x.table({x.batch, x.v, x.length, x.value_depth}, normal));
  std::vector<learned*> all{&q, &k, &v};
  std::vector<learned> given;
  given.reserve(8);
  const auto take = [&](const char* name, operand& of) {
    for (const memory& m : policies.tables)
      if (m.read().data == of.data) given.emplace_back(name, random, m);
    of = given.back().value.read();
  };
  if constexpr (requires { spec.decay.log; }) take("log", spec.decay.log);
  if constexpr (requires { spec.decay.gain; }) take("gain", spec.decay.gain);
  if constexpr (requires { spec.update.beta; }) take("beta", spec.update.beta);
  if constexpr (requires { spec.update.a; }) take("a", spec.update.a), take("b", spec.update.b);
  if constexpr (requires { spec.readout.u; }) take("u", spec.readout.u);
  for (learned& one : given) all.push_back(&one);

  const extents shape{x.batch, x.heads(), x.length, x.value_depth};
  const memory d_out = x.table(shape, normal);
  memory out(element::f64, shape, use::written, random);
  workspace scratch;
  const auto loss = [&] {
    recurrent_state<double> state;
    heed::detail::scan_any<double, simd::best>("fuzz", false, spec, q.value.read(), k.value.read(),
                                               v.value.read(), out.write(), &state, serial{},
                                               scratch);
    return product(out, d_out);
  };
  const index segment = between(random, 0, 3);
  INFO("batch " << x.batch << ", heads " << x.q << " " << x.k << " " << x.v << ", L " << x.length
                << ", D " << x.depth << ", Dv " << x.value_depth << ", chunk " << spec.chunk
                << ", causal " << spec.causal << ", segment " << segment);
  check_slopes(random, all, kind, loss, [&](const executor_ref& on, const workspace_ref& memory) {
    scan_gradients<double> to{.dq = q.to(), .dk = k.to(), .dv = v.to()};
    std::size_t n = 0;
    if constexpr (requires { spec.decay.log; }) to.d_log = given[n++].to();
    if constexpr (requires { spec.decay.gain; }) to.d_gain = given[n++].to();
    if constexpr (requires { spec.update.beta; }) to.d_beta = given[n++].to();
    if constexpr (requires { spec.update.a; })
      to.d_a = given[n].to(), to.d_b = given[n + 1].to(), n += 2;
    if constexpr (requires { spec.readout.u; }) to.d_u = given[n++].to();
    heed::detail::scan_backward_any<double, simd::best>(spec, q.value.read(), k.value.read(),
                                                        v.value.read(), nullptr, d_out.read(),
                                                        nullptr, to, on, memory, segment);
  });
}

TEST_CASE("gradients of recurrences") {
  fuzz_rounds("recurrence backward", [](engine& random) {
    one_backward<recurrence<none, scalar_decay, additive_update, direct_readout>>(random,
                                                                                  curve::smooth);
    one_backward<recurrence<elu1_feature, constant_decay, additive_update, normalised_readout>>(
        random, curve::smooth);
    one_backward<recurrence<none, exponential_gate, additive_update, bounded_readout>>(
        random, curve::kinked);
    one_backward<recurrence<l2_norm_feature, channel_decay, delta_update, mean_readout>>(
        random, curve::kinked);
    one_backward<recurrence<none, channel_decay, low_rank_update, direct_readout>>(random,
                                                                                   curve::smooth);
  });
}

}  // namespace heed::fuzz
