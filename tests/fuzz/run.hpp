// SPDX-License-Identifier: BSL-1.0
// Random calls of heed::attend against heed::reference::attend.
//
//   HEED_FUZZ_SECONDS   20: for all executables together
//   HEED_FUZZ_SEED      of the first round; a failure prints the one that makes it first
#pragma once

#include <chrono>
#include <cstdio>

#include "fuzz/inputs.hpp"
#include "fuzz/setting.hpp"
#include "fuzz/specs.hpp"
#include "fuzz/tally.hpp"
#include "support/catch.hpp"

namespace heed::fuzz {

// A call of the shape of `c`, all else random.
template <class Spec> void check_call(call& c, workspace& scratch, tally& tally) {
  constexpr bool with_lse = has_lse<decltype(Spec::normalizer)>;
  engine& random = c.random;
  const Spec spec = draw_spec<Spec>(c);
  const operands x = draw_operands(c);
  const extents shape{c.batch, c.shape.heads, c.shape.queries, c.shape.value_depth},
      row_shape{c.batch, c.shape.heads, c.shape.queries, 1};
  memory out(c.any_element(), shape, use::written, random),
      lse(c.any_element(), row_shape, use::written, random);
  const bool wants_lse = with_lse && c.chance(2);
  const auto to = [&](memory& o, memory& l) {
    outputs written{.out = o.write()};
    if (wants_lse) written.lse = l.write();
    return written;
  };
  INFO(c.describe() << "types q " << check::print(x.q.type) << " k " << check::print(x.k.type)
                    << " v " << check::print(x.v.type) << " out " << check::print(out.type)
                    << " large " << c.large << " scale " << spec.scale << " offset "
                    << spec.offset);

  memory other = out, other_lse = lse;
  poison(scratch);
  engine_run(spec, x, to(out, lse), {}, scratch);
  REQUIRE(out.rest_untouched());
  REQUIRE(lse.rest_untouched());
  const shuffled crew{c.from(1, 7), &random};
  poison(scratch);
  engine_run(spec, x, to(other, other_lse), crew, scratch);
  REQUIRE(out.bytes == other.bytes);
  REQUIRE(lse.bytes == other_lse.bytes);

  const operands exact{x.q.dense(), x.k.dense(), x.v.dense()};
  memory expected(element::f64, shape), before(element::f64, shape),
      expected_lse(element::f64, row_shape);
  const auto oracle = [&](const auto& of, memory& o) {
    reference::attend(of, exact.q.as<double>(), exact.k.as<double>(), exact.v.as<double>(),
                      to(o, expected_lse));
  };
  oracle(spec, expected);
  if constexpr (!std::is_same_v<decltype(Spec::output), none>) {
    using S = Spec;
    const attention<decltype(S::mask), decltype(S::similarity), decltype(S::score),
                    decltype(S::normalizer), none, decltype(S::query), decltype(S::key),
                    decltype(S::value), none, decltype(S::extra), decltype(S::plan)>
        bare{.mask = spec.mask,
             .similarity = spec.similarity,
             .score = spec.score,
             .normalizer = spec.normalizer,
             .scale = spec.scale,
             .offset = spec.offset,
             .query = spec.query,
             .key = spec.key,
             .value = spec.value,
             .extra = spec.extra,
             .plan = spec.plan};
    oracle(bare, before);
  }

  const bool in_double =
      x.q.type == element::f64 && x.k.type == element::f64 && x.v.type == element::f64;
  const double epsilon = in_double ? 0x1p-52 : 0x1p-23;
  const operand from[] = {exact.q.read(), exact.k.read(), exact.v.read()};
  const outputs anywhere{.out = expected.write()};
  const auto p = heed::detail::checked(spec, from[0], from[1], from[2], anywhere);
  const heed::detail::sequences<decltype(Spec::plan)> items{p, spec.plan};
  ++tally.calls;
  for (index n = 0; n < items.count(); ++n)
    for (index kv = 0; kv < c.shape.kv_heads; ++kv) {
      const auto s = items[n];
      const head_rows rows = rewritten(spec, p, s, kv);
      for (index h = kv * c.shape.group(); h < (kv + 1) * c.shape.group(); ++h)
        for (index i = 0; i < s.rows; ++i) {
          const index r = s.row + i;
          row_bound b = bound(spec, p, s, rows, h, i, epsilon);
          ++(b.comparable ? tally.rows : tally.skipped);
          if (!b.comparable) continue;
          row o;
          for (index d = 0; d < shape[3]; ++d) o.push_back(before.get(s.batch, h, r, d));
          if (!o.empty()) through(spec.output, o, {s.b, h, i + s.offset, r}, epsilon, b.out);
          for (index d = 0; d < shape[3]; ++d) {
            const double got = out.get(s.batch, h, r, d), want = expected.get(s.batch, h, r, d);
            const double allowed = b.out[static_cast<std::size_t>(d)];
            if (!tally.good(got, want, allowed, out.type)) {
              CAPTURE(s.b, h, r, d, got, want, allowed);
              FAIL("attend differs from the oracle");
            }
          }
          if (!wants_lse) continue;
          const double got = lse.get(s.batch, h, r, 0), want = expected_lse.get(s.batch, h, r, 0);
          if (!tally.good(got, want, b.lse, lse.type)) {
            CAPTURE(s.b, h, r, got, want, b.lse);
            FAIL("lse differs from the oracle");
          }
        }
    }
}

template <class Spec> void one_call(engine& random, workspace& scratch, tally& tally) {
  call c(random);
  if constexpr (!std::is_same_v<decltype(Spec::plan), none>) c.cut();
  check_call<Spec>(c, scratch, tally);
}

// One call a spec and round, in turn; every spec has at least one.
struct forward {
  static constexpr const char* name = "spec";
  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    one_call<Spec>(random, scratch, seen);
  }
};
// Specs [First, First + sizeof...(N)) of a table.
template <class Pass, class Table, std::size_t First, std::size_t... N>
void fuzz_specs(std::index_sequence<N...>) {
  using clock = std::chrono::steady_clock;
  constexpr double all = 2 * std::tuple_size_v<table>;  // forward and backward
  const double seconds = setting("HEED_FUZZ_SECONDS", 20) * double(sizeof...(N)) / all;
  const auto start = clock::now();
  const auto first = static_cast<unsigned long>(setting("HEED_FUZZ_SEED", 20240229));
  workspace scratch;
  tally tallies[sizeof...(N)];
  unsigned long round = first;
  do {
    const auto one = [&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
      INFO(Pass::name << " " << First + I << ", HEED_FUZZ_SEED=" << round);
      engine random(static_cast<unsigned>(round * 64 + First + I));
      Pass::template one<typename std::tuple_element_t<First + I, Table>::type>(random, scratch,
                                                                                tallies[I]);
    };
    (one(std::integral_constant<std::size_t, N>{}), ...);
    ++round;
  } while (std::chrono::duration<double>(clock::now() - start).count() < seconds);
  for (std::size_t i = 0; i < sizeof...(N); ++i)
    std::printf("%s %zu: %ld calls, %ld rows, %ld not comparable, error / allowed %.3f\n",
                Pass::name, First + i, tallies[i].calls, tallies[i].rows, tallies[i].skipped,
                tallies[i].worst);
}
template <std::size_t First, std::size_t Count, class Pass = forward, class Table = table>
void fuzz() {
  fuzz_specs<Pass, Table, First>(std::make_index_sequence<Count>{});
}

}  // namespace heed::fuzz
