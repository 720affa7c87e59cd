// SPDX-License-Identifier: BSL-1.0
// A call of scan or step with its types erased: what lies where, which sequences there are, and
// what is wrong with it.
#pragma once

#include <heed/recurrence/sequences.hpp>
#include <heed/recurrence/spec.hpp>
#include <heed/recurrence/state.hpp>
#include <heed/simd/feature.hpp>

namespace heed::detail {

template <class Spec> using feature_of = decltype(Spec::feature);
template <class Spec> using decay_of = decltype(Spec::decay);
template <class Spec> using update_of = decltype(Spec::update);
template <class Spec> using readout_of = decltype(Spec::readout);

template <class Spec> inline constexpr decay_kind decays = kind_of_decay<decay_of<Spec>>();
template <class Spec> inline constexpr bool gated = has_gain<decay_of<Spec>>;
template <class Spec> inline constexpr bool corrects = requires(const Spec& s) { s.update.beta; };
template <class Spec> inline constexpr bool mixes = requires(const Spec& s) { s.update.a; };
// S is read before the token is added; the token itself comes through u.
template <class Spec> inline constexpr bool reads_before = requires(const Spec& s) { s.readout.u; };
// A sum of keys is carried beside S.
template <class Spec>
inline constexpr bool sums_keys = requires { requires readout_of<Spec>::sums_keys; };

struct recurrence_problem {
  operand q, k, v;
  result out;
  index heads = 0;  // of the state: those of k or of v
  index width = 0;  // key channels of the state
  sequence_list list;

  index batch() const { return q.extent[0]; }
  index tokens() const { return q.extent[2]; }
  index depth() const { return q.extent[3]; }
  index value_depth() const { return v.extent[3]; }
  index group() const { return heads > 0 ? out.extent[1] / heads : 0; }
  // The head of x that head h of the state, or of the output, goes with.
  static index head_of(const operand& x, index h, index heads) { return h / (heads / x.extent[1]); }
};

inline void check_recurrence(const char* operation, const recurrence_problem& p) {
  const extents &q = p.q.extent, &k = p.k.extent, &v = p.v.extent, &o = p.out.extent;
  const auto broken = [&](const char* rule) {
    check::fail(operation, rule, {{"q", p.q}, {"k", p.k}, {"v", p.v}, {"out", operand(p.out)}});
  };
  for (std::size_t i = 0; i < 4; ++i)
    if (q[i] < 0 || k[i] < 0 || v[i] < 0 || o[i] < 0) broken("extents must not be negative");
  if (q[0] != k[0] || q[0] != v[0] || q[0] != o[0])
    broken("q, k, v and out must have the same batch");
  if (q[2] != k[2] || q[2] != v[2] || q[2] != o[2])
    broken("q, k, v and out must have the same length");
  if (q[3] != k[3]) broken("q and k must have the same channels");
  if (q[3] == 0) broken("q and k must have at least one channel");
  if (v[3] != o[3]) broken("v and out must have the same channels");
  if (q[1] == 0 || k[1] == 0 || v[1] == 0) broken("q, k and v must have at least one head");
  if (p.heads % k[1] != 0 || p.heads % v[1] != 0)
    broken("of the heads of k and v one must be a multiple of the other");
  if (q[1] % p.heads != 0 && p.heads % q[1] != 0)
    broken("of the heads of q and of k or v one must be a multiple of the other");
  if (o[1] != std::max(q[1], p.heads)) broken("out must have as many heads as there are");
  const bool work = q[0] * q[2] > 0;
  if (work &&
      (!p.q.present() || !p.k.present() || (v[3] > 0 && (!p.v.present() || !p.out.present()))))
    broken("q, k, v and out must not be null");
  if (!p.list.cu.empty() && q[0] != 1) broken("packed sequences have a batch of 1");
  p.list.check(operation);
}

// What each policy demands of the call.
template <class Spec>
void check_policies(const char* operation, const Spec& spec, const recurrence_problem& p) {
  const index B = p.batch(), H = p.heads, L = p.tokens();
  if (!(std::isfinite(spec.scale))) check::fail(operation, "the scale must be finite");
  if (spec.chunk < 0) check::fail(operation, "the chunk must not be negative");
  if constexpr (requires { spec.feature.check(p.depth()); }) spec.feature.check(p.depth());
  if constexpr (decays<Spec> != decay_kind::none)
    broadcast::check(operation, "log of the decay", spec.decay.log,
                     {B, H, L, decays<Spec> == decay_kind::channel ? p.width : 1});
  if constexpr (gated<Spec>) broadcast::check(operation, "gain", spec.decay.gain, {B, H, L, 1});
  if constexpr (corrects<Spec>) broadcast::check(operation, "beta", spec.update.beta, {B, H, L, 1});
  if constexpr (mixes<Spec>) {
    broadcast::check(operation, "a", spec.update.a, {B, H, L, p.width});
    broadcast::check(operation, "b", spec.update.b, {B, H, L, p.width});
  }
  if constexpr (reads_before<Spec>)
    broadcast::check(operation, "u", spec.readout.u, {1, H, 1, p.width});
  if (!spec.causal &&
      (decays<Spec> != decay_kind::none || corrects<Spec> || mixes<Spec> || reads_before<Spec>))
    check::fail(operation,
                "only a recurrence that forgets nothing and only adds can be read by all tokens");
  static_assert(!sums_keys<Spec> || !(corrects<Spec> || mixes<Spec>),
                "a normaliser goes with an additive update");
  static_assert(!gated<Spec> || !(corrects<Spec> || mixes<Spec> || reads_before<Spec>),
                "an exponential gate goes with an additive update that is read after it");
  static_assert(!reads_before<Spec> || !corrects<Spec>,
                "a readout before the update goes with one that does not correct");
}

template <class Spec> state_format format_of(const recurrence_problem& p) {
  const auto name = []<class P>(const P*) -> std::string {
    if constexpr (std::is_same_v<P, none>)
      return "no decay";
    else
      return P::name;
  };
  return {.kind = name(static_cast<decay_of<Spec>*>(nullptr)) + ", " + update_of<Spec>::name +
                  ", " + readout_of<Spec>::name,
          .heads = p.heads,
          .rows = p.width,
          .columns = p.value_depth(),
          .side = (sums_keys<Spec> ? p.width : 0) + (gated<Spec> ? 1 : 0),
          .logarithm = gated<Spec>};
}

template <class Spec>
recurrence_problem checked_recurrence(const char* operation, const Spec& spec, const operand& q,
                                      const operand& k, const operand& v, const result& out) {
  recurrence_problem p{.q = q,
                       .k = k,
                       .v = v,
                       .out = out,
                       .heads = std::max(k.extent[1], v.extent[1]),
                       .width = feature_width(spec.feature, q.extent[3]),
                       .list = {q.extent[0], q.extent[2], spec.cu_seqlens}};
  check_recurrence(operation, p);
  check_policies(operation, spec, p);
  return p;
}

}  // namespace heed::detail
