// SPDX-License-Identifier: BSL-1.0
// heed::attend over a source of keys and values: a cache.
#pragma once

#include <heed/attention/attend.hpp>

namespace heed {

namespace detail {

template <class T, class Arch, class Spec>
HEED_NOINLINE void attend_source(const Spec& spec, const operand& q, const kv_ref& source,
                                 const outputs& to, const executor_ref& executor,
                                 const workspace_ref& scratch) {
  static_assert(std::is_same_v<decltype(Spec::plan), none>, "a plan needs tensors");
  static_assert(!has_driver<decltype(Spec::weights)>, "edits of final weights need tensors");
  operand k, v;
  k.extent = {source.batch(), source.heads(), source.longest(), source.depth()};
  v.extent = {source.batch(), source.heads(), source.longest(), source.value_depth()};
  run<T, Arch>(spec, checked(spec, q, k, v, to, &source), executor, scratch);
}

}  // namespace detail

// The call of attend.hpp with the tokens of `source` for k and v. Query row r of sequence b sits at
// position end(b) - Lq + r, or r + offset where the spec gives one: append first, then attend.
// `slot` counts the tokens that the source still has. Computes in float, or in double if q is
// double. Throws and costs what that call does, and what the source says of its own.
template <class Arch = simd::best, class Spec, storable Q, kv_source Source>
void attend(const Spec& spec, const view<Q>& q, const Source& source, const outputs& to,
            const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::check_source(source);
  detail::attend_source<compute_type<Q>, Arch>(spec, view<const Q>(q), source, to, executor,
                                               scratch);
}
template <class Arch = simd::best, class Spec, storable Q, kv_source Source, storable O>
  requires(!std::is_const_v<O>)
void attend(const Spec& spec, const view<Q>& q, const Source& source, const view<O>& out,
            const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  attend<Arch>(spec, q, source, outputs{.out = out}, executor, scratch);
}

}  // namespace heed
