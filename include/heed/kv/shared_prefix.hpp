// SPDX-License-Identifier: BSL-1.0
// kv/shared_prefix: many sequences with one beginning, which is stored once and read once.
//
//   o_b = attend(q_b, [prefix; own_b]) = merge(attend(q, prefix), attend(q_b, own_b))
//
//   attend_shared_prefix(spec, q, prefix, own, {.out = out}, executor, &scratch);
//
// The queries of all sequences meet the prefix as one tall tile (cascade attention), so each of its
// keys is packed once. Parts are any sources, or tensors k and v: the prefix [1,Hkv,P,D], own
// tokens [B,Hkv,N,D]. Own tokens come after the prefix, whatever positions their source gives them:
// position P is its 0. Masks and row transforms see the whole; extra slots and sinks are in it
// once. A score function must not look at positions (`anywhere`), and there are no edits of
// weights, no plan, no `.output` and no observer. Throws std::invalid_argument, before anything is
// written, where parts, q and outputs do not fit each other.
//
// O(B · Lq · (P + N) · (D + Dv)), as if each sequence had all of its tokens, but the prefix is read
// once instead of B times. Scratch: two outputs with lse, and q where its rows cannot be folded.
// Hydragen, Juravsky et al. 2024.
#pragma once

#include <heed/attention/attend_source.hpp>
#include <heed/kv/parts.hpp>
#include <heed/kv/tensors.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/numerics/merge.hpp>
#include <heed/score/clamp.hpp>
#include <heed/score/softcap.hpp>

namespace heed {

// Reuse one to make repeated calls free of allocation.
struct shared_prefix_workspace {
  workspace call;
  arena parts;
  std::vector<index> first;
};

// Score functions that are the same for every pair.
template <class S> inline constexpr bool anywhere = false;
template <> inline constexpr bool anywhere<none> = true;
template <> inline constexpr bool anywhere<softcap> = true;
template <> inline constexpr bool anywhere<clamp> = true;
template <class A, class B>
inline constexpr bool anywhere<chain<A, B>> = anywhere<A> && anywhere<B>;

namespace detail {

inline void check_shared_prefix(const operand& q, const kv_ref& prefix, const kv_ref& own,
                                const outputs& to) {
  const extents &x = q.extent, rows{x[0], x[1], x[2], 1};
  const auto require = [&](bool rule, const char* text) {
    if (!rule)
      check::fail("heed::attend_shared_prefix", text,
                  {{"q", q}, {"out", operand(to.out)}, {"lse", operand(to.lse)}});
  };
  require(prefix.batch() == 1, "the prefix must be one sequence");
  require(own.batch() == x[0], "there must be own tokens for every sequence of q");
  require(prefix.heads() == own.heads() && prefix.depth() == own.depth() &&
              prefix.value_depth() == own.value_depth(),
          "the prefix and own tokens must have the same heads and channels");
  require(to.out.extent == extents{x[0], x[1], x[2], own.value_depth()}, "out must be [B,H,Lq,Dv]");
  require(!to.lse.present() || to.lse.extent == rows, "lse must be [B,H,Lq]");
  require(!to.observe, "a call in parts cannot be observed");
  for (index b = 0; b < own.batch(); ++b)
    for (index h = 0; h < own.heads(); ++h)
      require(!own.places(b, h), "own tokens must be without gaps");
}

}  // namespace detail

// q [B,H,Lq,D], out [B,H,Lq,Dv], lse [B,H,Lq]; H a multiple of Hkv.
template <class Arch = simd::best, class Spec, storable Q, kv_source Prefix, kv_source Own>
void attend_shared_prefix(const Spec& spec, const view<Q>& q, const Prefix& prefix, const Own& own,
                          const outputs& to, const executor_ref& executor = {},
                          shared_prefix_workspace* scratch = nullptr) {
  using T = compute_type<Q>;
  using N = decltype(Spec::normalizer);
  static_assert(anywhere<decltype(Spec::score)>, "a score function that looks at positions");
  static_assert(std::is_same_v<N, softmax> || std::is_same_v<N, sink_softmax>,
                "parts can be merged where weights are softmax");
  static_assert(std::is_same_v<decltype(Spec::weights), none> &&
                    std::is_same_v<decltype(Spec::plan), none> &&
                    std::is_same_v<decltype(Spec::output), none>,
                "no edits of weights, plan or .output in a call in parts");
  detail::check_source(prefix), detail::check_source(own);
  const kv_ref before = prefix, after = own;
  detail::check_shared_prefix(view<const Q>(q), before, after, to);
  const auto [B, H, L, D] = q.extent;
  const index P = before.end(0), Dv = after.value_depth();
  const detail::later_source shifted{after, P};

  index longest = 0;
  for (index b = 0; b < B; ++b) longest = std::max(longest, shifted.end(b));
  const bool placed = spec.offset != aligned_ends;
  const problem_shape whole{
      B, H, after.heads(), L, longest, D, Dv, placed ? spec.offset : longest - L};
  detail::check_policies(spec, whole);

  shared_prefix_workspace here;
  shared_prefix_workspace& memory = scratch ? *scratch : here;
  memory.first.resize(static_cast<std::size_t>(B));
  for (index b = 0; b < B; ++b)
    memory.first[static_cast<std::size_t>(b)] = placed ? spec.offset : shifted.end(b) - L;

  const detail::parts_of_rows<T> parts(memory.parts, q.extent, q.stride, Dv);
  const detail::placing queries{memory.first.data(), L, 0}, keys{nullptr, 0, P};
  const detail::placed_mask<decltype(Spec::mask)> above{spec.mask, queries},
      beside{spec.mask, keys};
  const auto first = detail::part_of(spec, above, softmax{}, none{}, queries);
  const auto second = detail::part_of(spec, beside, spec.normalizer, spec.extra, keys);
  if (parts.folds(q.stride))
    attend<Arch>(first, parts.folded(q), prefix, parts.tall(0), executor, memory.call);
  else
    attend<Arch>(first, parts.copied(view<const Q>(q), executor), prefix, parts.tall(0), executor,
                 memory.call);
  attend<Arch>(second, q, shifted, parts.each(1), executor, memory.call);
  merge<Arch>({parts.part(0), parts.part(1)}, to, executor);
}

template <class Arch = simd::best, class Spec, storable Q>
void attend_shared_prefix(const Spec& spec, const view<Q>& q, const operand& prefix_k,
                          const operand& prefix_v, const operand& own_k, const operand& own_v,
                          const outputs& to, const executor_ref& executor = {},
                          shared_prefix_workspace* scratch = nullptr) {
  const auto fit = [](const operand& k, const operand& v) {
    const index size = k.extent[0] * k.extent[1] * k.extent[2];
    if (!std::equal(k.extent.begin(), k.extent.end() - 1, v.extent.begin()) ||
        (size > 0 && (!k.present() || (v.extent[3] > 0 && !v.present()))))
      check::fail("heed::attend_shared_prefix",
                  "k and v of a part must be present, with the same batch, heads and length",
                  {{"k", k}, {"v", v}});
  };
  fit(prefix_k, prefix_v), fit(own_k, own_v);
  attend_shared_prefix<Arch>(spec, q, kv_tensors{prefix_k, prefix_v}, kv_tensors{own_k, own_v}, to,
                             executor, scratch);
}

}  // namespace heed
