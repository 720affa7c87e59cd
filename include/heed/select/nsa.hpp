// SPDX-License-Identifier: BSL-1.0
// select/nsa: what native sparse attention looks at (Yuan et al., NSA, 2025): compressed keys, and
// the blocks of tokens that weigh most among them.
//
//   K̃_c, Ṽ_c  one row for the tokens [c·stride, c·stride + block): a mean, or what a model makes
//
//   p_ic = softmax over the c that end at or before query i
//
//   P_ij = Σ_c (how many strides of c lie in block j) Σ_{heads of the group} p_ic
//
// Query i attends to the `count` blocks of `selected` tokens with the largest P_ij, the first
// `sinks` and the last `local` up to its own always among them; ties go to the lower block. One
// list for the query heads of a kv head. `select/nsa_attend.hpp` puts the branches together.
#pragma once

#include <heed/select/nsa_scores.hpp>
#include <heed/select/row_choice.hpp>

namespace heed {

struct nsa {
  index block = 32, stride = 16;  // of compressed keys
  index selected = 64;            // tokens of a block that is chosen
  index count = 16;
  index sinks = 1, local = 2;  // of the chosen
  index window = 512;          // of the sliding branch, the query itself counted

  // Compressed rows of `keys` tokens.
  constexpr index compressed(index keys) const {
    return keys < block ? 0 : (keys - block) / stride + 1;
  }
  void check(const char* operation) const {
    const auto positive = [&](const char* name, index is) {
      if (is < 1)
        check::fail(operation, std::string(name) + " must be positive: " + std::to_string(is));
    };
    positive("block", block), positive("stride", stride), positive("selected", selected);
    positive("count", count), positive("window", window);
    if (block % stride != 0 || selected % stride != 0)
      check::fail(operation, "block and selected must be multiples of stride " +
                                 std::to_string(stride) + ": " + std::to_string(block) + " and " +
                                 std::to_string(selected));
    if (sinks < 0 || local < 1 || sinks > count - local)
      check::fail(operation, "sinks and at least one local block must be among the " +
                                 std::to_string(count) + " chosen: " + std::to_string(sinks) +
                                 " and " + std::to_string(local));
  }
};

namespace detail {

template <class T, class Arch>
block_selection select_nsa_any(const nsa& spec, const operand& x, const operand& y,
                               const operand& l, double scale, index keys,
                               const executor_ref& executor) {
  constexpr const char* operation = "heed::select_nsa";
  spec.check(operation);
  check_choice(operation, x, y);
  if (keys < 0) check::fail(operation, "tokens must not be negative: " + std::to_string(keys));
  if (y.extent[2] != spec.compressed(keys))
    check::fail(operation,
                std::to_string(keys) + " tokens have " + std::to_string(spec.compressed(keys)) +
                    " compressed keys",
                {{"compressed", y}});
  if (l.extent != extents{x.extent[0], x.extent[1], x.extent[2], 1})
    check::fail(operation, "lse must be [B,H,Lq]", {{"lse", l}});
  check_data(operation, {{"lse", l}});
  const index kv_heads = y.extent[1], group = x.extent[1] / std::max<index>(1, kv_heads),
              offset = keys - x.extent[2], depth = x.extent[3],
              blocks = block_count(keys, spec.selected), nc = y.extent[2];
  std::vector<T> all(static_cast<std::size_t>(y.extent[0] * kv_heads * nc * depth));
  executor.for_each(y.extent[0] * kv_heads * nc, [&](index i, index) {
    const index head = i / nc;
    simd::load_row(y.type, y.row(head / kv_heads, head % kv_heads, i % nc), y.stride[3], depth,
                   all.data() + i * depth);
  });
  using scores = nsa_scores<T, Arch>;
  row_choice<T> choice({x.extent[0], kv_heads, group, x.extent[2]}, spec.count, spec.selected,
                       executor, blocks, scores::rows());
  std::vector<scores> workers(static_cast<std::size_t>(executor.workers()),
                              scores({spec.block, spec.stride}, spec.selected, depth, blocks));
  choice.each_rows(executor, [&](index b, index kv, span rows, auto& at) {
    scores& of = workers[static_cast<std::size_t>(at.number())];
    of.start();
    for (index g = 0; g < group; ++g)
      of.add(x, b, kv * group + g, rows.begin, rows.size(), rows.begin + offset,
             all.data() + (b * kv_heads + kv) * nc * depth, static_cast<T>(scale), [&](index i) {
               T value;
               simd::load_row(l.type, l.row(b, kv * group + g, i), 1, 1, &value);
               return value;
             });
    of.result(rows.size(), at.scores());
    for (index i = rows.begin; i < rows.end; ++i) {
      T* const s = at.scores() + (i - rows.begin) * blocks;
      if (i + offset < 0) continue;
      const index own = (i + offset) / spec.selected;
      for (index n = 0; n < std::min(spec.sinks, own + 1); ++n)
        s[n] = std::numeric_limits<T>::infinity();
      for (index n = std::max<index>(0, own + 1 - spec.local); n <= own; ++n)
        s[n] = std::numeric_limits<T>::infinity();
      at.choose(i, s, own + 1);
    }
  });
  return choice.take();
}

}  // namespace detail

// Lists of blocks for every query row and kv head, from K̃ `compressed` [B,Hkv,Nc,D] and the `lse`
// [B,H,Lq] of attention to it at `scale`; `keys` tokens, the last query at the last of them.
// O(Lq · Nc · D) a query head. Throws std::invalid_argument if shapes or numbers of the spec do not
// fit.
template <class Arch = simd::best, storable Q, storable K, storable L>
block_selection select_nsa(const nsa& spec, const view<Q>& q, const view<K>& compressed,
                           const view<L>& lse, double scale, index keys,
                           const executor_ref& executor = {}) {
  return detail::select_nsa_any<compute_type<Q, K>, Arch>(
      spec, view<const Q>(q), view<const K>(compressed), view<const L>(lse), scale, keys, executor);
}

}  // namespace heed
