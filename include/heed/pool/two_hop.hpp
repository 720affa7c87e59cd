// SPDX-License-Identifier: BSL-1.0
// pool/two_hop: a few latent rows gather from all keys, and all queries read from the latents
// (induced points, Lee et al., Set Transformer, 2019; PhysGTO; Agent attention, Han et al., 2024).
//
//   Z = attend(first, a, k, v) [B,H,M,Dv]      O = attend(second, q, a, Z)
//
//   attend_two_hop(two_hop{first, second}, a, q, k, v, out);
//
// a [1|B,H,M,D], the same for all items if its batch is 1, q [B,H,Lq,D], k [B,Hkv,Lk,D],
// v [B,Hkv,Lk,Dv], out [B,H,Lq,Dv]. `first` and `second` are specs of `attend`, each with scores,
// biases and masks of its own. Where the latents are projected between the hops, (K₂, V₂) = Z W,
// make the two calls: `attend` with `latents`, the product, `attend`. O((Lq + Lk) · M · D).
#pragma once

#include <heed/pool/latent_queries.hpp>

namespace heed {

template <class First = attention<>, class Second = attention<>> struct two_hop {
  First first{};
  Second second{};
};

// Scratch of repeated calls. Not for two calls at once.
template <class T> struct two_hop_workspace {
  std::vector<T> gathered;  // Z
  workspace engine;
};

// Where the gradients go; what is absent is not stored. That of latents which all items share is
// summed over the batch.
template <class First, class Second> struct two_hop_gradients {
  result da{}, dq{}, dk{}, dv{};
  spec_gradients<First> first{};
  spec_gradients<Second> second{};
};

namespace detail {

// What does not fit the second hop is found before the first one writes.
template <class T, class Second, class A, class Q>
view<const A> checked_latents(const char* operation, const Second& second, const view<A>& a,
                              const view<Q>& q, const operand& v, const outputs& out) {
  if (a.extent[0] != 1 && a.extent[0] != q.extent[0])
    check::fail(operation, "latents must have a batch of 1 or that of q",
                {{"a", view<const A>(a)}, {"q", view<const Q>(q)}});
  const view<const A> all = a.extent[0] == 1 ? latents(view<const A>(a), q.extent[0]) : a;
  T none_yet{};
  const operand z = view<const T>(
      &none_yet, {all.extent[0], all.extent[1], all.extent[2], v.extent[3]}, {0, 0, 0, 0});
  const operand from = view<const Q>(q), keys = all;
  checked(second, from, keys, z, out);
  return all;
}

}  // namespace detail

// Computes in float, or in double if all operands are double. Same bits for any executor. Throws
// std::invalid_argument, before anything is written, if a shape or a policy does not fit.
template <class Arch = simd::best, class First, class Second, storable A, storable Q, storable K,
          storable V>
void attend_two_hop(const two_hop<First, Second>& spec, const view<A>& a, const view<Q>& q,
                    const view<K>& k, const view<V>& v, const std::type_identity_t<result>& out,
                    const executor_ref& executor = {},
                    two_hop_workspace<compute_type<A, Q, K, V>>* scratch = nullptr) {
  using T = compute_type<A, Q, K, V>;
  const auto all = detail::checked_latents<T>("heed::attend_two_hop", spec.second, a, q,
                                              view<const V>(v), outputs{.out = out});
  two_hop_workspace<T> own;
  auto& memory = scratch ? *scratch : own;
  const view<T> z = detail::dense_rows(memory.gathered,
                                       {all.extent[0], all.extent[1], all.extent[2], v.extent[3]});
  attend<Arch>(spec.first, all, k, v, z, executor, memory.engine);
  attend<Arch>(spec.second, q, all, z, out, executor, memory.engine);
}

// With d_out = dL/d_out, writes the gradients asked for; the first hop is made again. Same bits for
// any executor. Throws std::invalid_argument, before anything is written, if a shape, a policy or a
// gradient does not fit. Memory: Z, its gradient and two gradients of the latents.
template <class Arch = simd::best, class First, class Second, storable A, storable Q, storable K,
          storable V>
void attend_two_hop_backward(const two_hop<First, Second>& spec, const view<A>& a, const view<Q>& q,
                             const view<K>& k, const view<V>& v,
                             const std::type_identity_t<operand>& d_out,
                             const std::type_identity_t<two_hop_gradients<First, Second>>& to,
                             const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  using T = compute_type<A, Q, K, V>;
  constexpr const char* operation = "heed::attend_two_hop_backward";
  const extents out{q.extent[0], q.extent[1], q.extent[2], v.extent[3]};
  T unwritten{};
  const outputs absent{.out = view<T>(&unwritten, out, {0, 0, 0, 0})};
  const auto all =
      detail::checked_latents<T>(operation, spec.second, a, q, view<const V>(v), absent);
  const auto same = [&](const char* name, const operand& x, const extents& e, bool needed) {
    if ((needed || x.present()) && x.extent != e)
      check::fail(operation, std::string(name) + " must be " + check::print(e), {{name, x}});
  };
  same("d_out", d_out, out, true), same("da", to.da, a.extent, false);
  same("dq", to.dq, q.extent, false), same("dk", to.dk, k.extent, false);
  same("dv", to.dv, v.extent, false);
  check_gradients(spec.first, to.first);

  const extents wide{all.extent[0], all.extent[1], all.extent[2], v.extent[3]};
  std::vector<T> z_memory, lse_memory, dz_memory, keys_memory, queries_memory;
  const auto z = detail::dense_rows(z_memory, wide), dz = detail::dense_rows(dz_memory, wide);
  saved kept{.out = z};
  outputs first{.out = z};
  if constexpr (has_lse<decltype(First::normalizer)>)
    first.lse = detail::dense_rows(lse_memory, {wide[0], wide[1], wide[2], 1}),
    kept.lse = first.lse;
  attend<Arch>(spec.first, all, k, v, first, executor, scratch);
  const auto as_keys = detail::dense_rows(keys_memory, all.extent),
             as_queries = detail::dense_rows(queries_memory, all.extent);
  attend_backward<Arch>(spec.second, q, all, z, {}, d_out,
                        {.dq = to.dq, .dk = as_keys, .dv = dz, .spec = to.second}, executor,
                        scratch);
  attend_backward<Arch>(spec.first, all, k, v, kept, dz,
                        {.dq = as_queries, .dk = to.dk, .dv = to.dv, .spec = to.first}, executor,
                        scratch);
  if (!to.da.present()) return;
  for (std::size_t i = 0; i < keys_memory.size(); ++i) keys_memory[i] += queries_memory[i];
  if (a.extent[0] == 1)
    detail::sum_over_batch<T>(as_keys, to.da, executor);
  else
    detail::store_dense(keys_memory, to.da);
}

}  // namespace heed
