// SPDX-License-Identifier: BSL-1.0
// Random calls of heed::scan and heed::step against the token form in double: every policy of
// recurrences, heads, layouts, element types, sequences, chunks, splits. HEED_FUZZ_SECONDS and
// HEED_FUZZ_SEED as in fuzz/run.hpp.
#pragma once

#include <chrono>
#include <cstdio>
#include <heed/recurrence/decay/constant.hpp>
#include <heed/recurrence/decay/exponential_gate.hpp>
#include <heed/recurrence/decay/per_channel.hpp>
#include <heed/recurrence/decay/scalar.hpp>
#include <heed/recurrence/feature/elementwise.hpp>
#include <heed/recurrence/feature/l2_norm.hpp>
#include <heed/recurrence/feature/random.hpp>
#include <heed/recurrence/feature/taylor.hpp>
#include <heed/recurrence/update/delta.hpp>
#include <heed/recurrence/update/low_rank.hpp>

#include "fuzz/inputs.hpp"
#include "fuzz/setting.hpp"
#include "support/recurrent_inputs.hpp"

namespace heed::fuzz {

inline constexpr int recurrence_files = 8;  // they share the time

struct drawn {
  index batch, q, k, v, length, depth, value_depth;
  engine& random;
  bool wild;  // gates at the ends of their ranges
  bool in_double = false;

  explicit drawn(engine& from) : random(from) {
    const index small = between(random, 1, 3), more = small * between(random, 1, 3),
                most = more * between(random, 1, 2);
    index heads[] = {small, more, most};
    std::shuffle(heads, heads + 3, random);
    q = heads[0], k = heads[1], v = heads[2];
    batch = between(random, 1, 2);
    length = one_in(random, 8) ? between(random, 0, 3)
                               : between(random, 0, one_in(random, 4) ? 150 : 40);
    depth = between(random, 1, one_in(random, 4) ? 70 : 17);
    value_depth = between(random, 1, one_in(random, 4) ? 70 : 20);
    wild = one_in(random, 3);
  }
  index state_heads() const { return std::max(k, v); }
  index heads() const { return std::max(q, state_heads()); }
  element any() const {
    constexpr element all[] = {element::f32, element::f32, element::f64, element::f16,
                               element::bf16};
    return in_double ? element::f64 : all[between(random, 0, 4)];
  }

  // Numbers f() of any layout and type.
  template <class F> memory table(const extents& e, F f) const {
    memory x(any(), e, use::read, random);
    x.each([&](index b, index h, index l, index d) { x.set(b, h, l, d, f()); });
    return x;
  }
  double normal() const { return std::normal_distribution<double>()(random); }
  // Of one number a token and state head, or fewer.
  extents gate(index channels, bool every_token = false) const {
    return {one_in(random, 5) ? 1 : batch, one_in(random, 5) ? 1 : state_heads(),
            !every_token && one_in(random, 5) ? 1 : length, channels};
  }
  memory logarithms(index channels) const {
    return table(gate(channels), [&]() -> double {
      if (wild && one_in(random, 6)) return -std::numeric_limits<double>::infinity();
      return wild && one_in(random, 4) ? 0 : -0.3 * std::abs(normal());
    });
  }
};

// The policies of a specification, and the memory that they borrow.
template <class Spec> struct recurrence_draw {
  std::vector<memory> tables;
  std::vector<double> omega;
  Spec spec;

  explicit recurrence_draw(const drawn& x) {
    tables.reserve(8);
    const auto keep = [&](memory m) {
      tables.push_back(std::move(m));
      return tables.back().read();
    };
    index width = x.depth;
    if constexpr (requires { spec.feature.omega; }) {
      const index features = between(x.random, 1, 20);
      for (index i = 0; i < features * x.depth; ++i) omega.push_back(x.normal());
      spec.feature.omega = omega, spec.feature.features = features;
    }
    if constexpr (requires { spec.feature.order; })
      spec.feature.order = int(between(x.random, 1, 2));
    if constexpr (requires { spec.feature.width(width); }) width = spec.feature.width(width);
    using Decay = decltype(Spec::decay);
    if constexpr (!std::is_same_v<Decay, none>)
      spec.decay.log = keep(x.logarithms(Decay::kind == decay_kind::channel ? width : 1));
    if constexpr (has_gain<Decay>)
      spec.decay.gain = keep(x.table(x.gate(1), [&] {
        return x.wild && one_in(x.random, 5) ? 100 * x.normal() : x.normal();
      }));
    if constexpr (requires { spec.update.beta; })
      spec.update.beta = keep(x.table(x.gate(1), [&]() -> double {
        return x.wild && one_in(x.random, 3) ? double(one_in(x.random, 2))
                                             : uniform(x.random, 0, 1);
      }));
    if constexpr (requires { spec.update.a; }) {
      // Each reads and writes about half of a unit.
      const double size = 0.7 / std::sqrt(double(width));
      const auto draw = [&] { return size * x.normal(); };
      spec.update.a = keep(x.table(x.gate(width), draw));
      spec.update.b = keep(x.table(x.gate(width), draw));
    }
    if constexpr (requires { spec.readout.u; })
      spec.readout.u = keep(x.table(
          {1, one_in(x.random, 3) ? 1 : x.state_heads(), 1, one_in(x.random, 3) ? 1 : width},
          [&] { return x.normal(); }));
    if constexpr (requires { spec.readout.epsilon; })
      spec.readout.epsilon = one_in(x.random, 2) ? 0 : 0.25;
    spec.scale = one_in(x.random, 2) ? 1 : 0.5;
    spec.chunk = one_in(x.random, 2) ? 0 : between(x.random, 1, 70);
    if constexpr (std::is_same_v<Decay, none> &&
                  std::is_same_v<decltype(Spec::update), additive_update> &&
                  !requires { spec.readout.u; })
      spec.causal = !one_in(x.random, 3);
  }
};

template <class T, class Spec>
void run_recurrence(const drawn& x, const Spec& spec, const memory& q, const memory& k,
                    const memory& v, workspace& scratch, double& worst) {
  engine& random = x.random;
  const extents shape{x.batch, x.heads(), x.length, x.value_depth};
  const bool packed = !spec.cu_seqlens.empty();
  recurrent_state<T> initial;
  const auto call = [&](bool by_token, const Spec& part, index first, index count,
                        recurrent_state<T>& state, memory& out, const auto& executor) {
    const auto rows = [&](auto of) {
      of.data = of.row(0, 0, first), of.extent[2] = count;
      return of;
    };
    poison(scratch);
    heed::detail::scan_any<T, simd::best>("fuzz", by_token, part, rows(q.read()), rows(k.read()),
                                          rows(v.read()), rows(out.write()), &state, executor,
                                          scratch);
  };
  memory out(x.any(), shape, use::written, random);
  if (!packed && one_in(random, 2)) {  // a state that has seen another call
    recurrent_state<T> before;
    memory ignored = out;
    call(one_in(random, 2), spec, 0, x.length, before, ignored, serial{});
    initial = before;
  }
  // Of millions of numbers the worst is twice as far off as roundings that add up in squares say.
  test::recurrent_expectation expected(spec, q.read(), k.read(), v.read(), initial,
                                       2 * test::engine_epsilon<T>);
  const auto check = [&](const memory& got, const recurrent_state<T>& state, const char* how) {
    expected.check_rows([&](index b, index h, index l, index d) { return got.get(b, h, l, d); },
                        got.type, how);
    expected.check_state(state, how);
    REQUIRE(got.rest_untouched());
  };
  memory first = out, second = out, third = out;
  recurrent_state<T> a = initial, b = initial, c = initial;
  call(false, spec, 0, x.length, a, first, serial{});
  check(first, a, "scan");
  const shuffled crew{between(random, 1, 5), &random};
  call(false, spec, 0, x.length, b, second, crew);
  REQUIRE(first.bytes == second.bytes);
  b = initial;
  call(true, spec, 0, x.length, b, second = out, crew);
  check(second, b, "step");
  worst = std::max(worst, expected.worst);
  if (packed || !spec.causal) return;
  const index cut = between(random, 0, x.length);
  const bool by_token = one_in(random, 2);
  call(by_token, test::tokens_of(spec, x.length, 0, cut), 0, cut, c, third, serial{});
  call(one_in(random, 2), test::tokens_of(spec, x.length, cut, x.length - cut), cut, x.length - cut,
       c, third, serial{});
  check(third, c, "pieces");
  worst = std::max(worst, expected.worst);
}

template <class Spec> void one_recurrence(engine& random, workspace& scratch, double& worst) {
  drawn x(random);
  std::vector<int> offsets;
  if (one_in(random, 4)) {
    x.batch = 1;
    offsets = {0, int(x.length)};
    for (index n = between(random, 0, 4); n > 0; --n)
      offsets.push_back(int(between(random, 0, x.length)));
    std::sort(offsets.begin(), offsets.end());
  }
  recurrence_draw<Spec> policies(x);
  policies.spec.cu_seqlens = offsets;
  const double size = 1 / std::sqrt(double(x.depth));
  const auto normal = [&] { return x.normal(); };
  const memory q = x.table({x.batch, x.q, x.length, x.depth}, normal),
               v = x.table({x.batch, x.v, x.length, x.value_depth}, normal);
  memory k = x.table({x.batch, x.k, x.length, x.depth}, [&] { return size * x.normal(); });
  if (x.length > 0 && one_in(random, 8))  // from this token on nothing is compared
    k.set(0, 0, between(random, 0, x.length - 1), 0, NAN);
  INFO("batch " << x.batch << ", heads " << x.q << " " << x.k << " " << x.v << ", L " << x.length
                << ", D " << x.depth << ", Dv " << x.value_depth << ", chunk "
                << policies.spec.chunk << ", causal " << policies.spec.causal << ", sequences "
                << offsets.size() << ", wild " << x.wild);
  if (q.type == element::f64 && k.type == element::f64 && v.type == element::f64)
    run_recurrence<double>(x, policies.spec, q, k, v, scratch, worst);
  else
    run_recurrence<float>(x, policies.spec, q, k, v, scratch, worst);
}

// One call a specification and round, in turn.
template <class... Spec> void fuzz_recurrences(int file) {
  using clock = std::chrono::steady_clock;
  const double seconds = setting("HEED_FUZZ_SECONDS", 20) / 5 / recurrence_files;
  const auto start = clock::now();
  auto round = static_cast<unsigned long>(setting("HEED_FUZZ_SEED", 20240229));
  workspace scratch;
  double worst[sizeof...(Spec)] = {};
  long rounds = 0;
  do {
    int n = 0;
    const auto one = [&]<class S>(std::type_identity<S>) {
      INFO("recurrence " << file << ", " << n << ", HEED_FUZZ_SEED=" << round);
      engine random(static_cast<unsigned>(round * 64) + unsigned(8 * file + n));
      one_recurrence<S>(random, scratch, worst[n]);
      ++n;
    };
    (one(std::type_identity<Spec>{}), ...);
    ++round, ++rounds;
  } while (std::chrono::duration<double>(clock::now() - start).count() < seconds);
  for (std::size_t n = 0; n < sizeof...(Spec); ++n)
    std::printf("recurrence %d, %zu: %ld calls, error / allowed %.3f\n", file, n, rounds, worst[n]);
}

}  // namespace heed::fuzz
