// SPDX-License-Identifier: BSL-1.0
// select/expert_choice: each head takes the k tokens that it rates highest, and these attend to
// each other (Piękos et al., MoSA, 2025).
//
//   const row_selection chosen = choose_tokens(expert_choice{.count = k}, r);
//   attend_lists(gathered{chosen.lists(), overlap::sum, r}, attention{.mask = causal{}}, q, k, v,
//                out);
//
// r = σ(x W_e) [B,E,L,1] is the caller's product. Head e has I = the tokens of its k largest r,
// ties to the lower number, and out_a = r_a Σ_b softmax(q_a·k_b/√D) v_b over a, b ∈ I, b ≤ a where
// causal; zeros for other tokens, so that the output projection adds up the heads. Positions are
// those in the text, for masks and for rotary transforms. The gradient of the gate is that of r,
// the choice has none: `attend_lists_backward(…, {.gate = dr})`. O(k² + L) a head.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/select/data.hpp>
#include <heed/select/row_lists.hpp>
#include <heed/select/top_k.hpp>
#include <heed/simd/convert.hpp>

namespace heed {

struct expert_choice {
  index count = 1;     // tokens a head, all of them where there are fewer
  bool first = false;  // token 0 is always one of them
};

// One list an item and head. Ratings that are NaN or minus infinity are never chosen. Throws
// std::invalid_argument on ratings of another shape and a count that is not positive.
template <storable R>
row_selection choose_tokens(const expert_choice& spec, const view<R>& ratings,
                            const executor_ref& executor = {}) {
  const operand r = view<const R>(ratings);
  if (spec.count < 1)
    check::fail("heed::choose_tokens", "count must be positive: " + std::to_string(spec.count));
  if (r.extent[3] != 1)
    check::fail("heed::choose_tokens", "ratings must be [B,E,L,1]", {{"ratings", r}});
  detail::check_data("heed::choose_tokens", {{"ratings", r}});
  const index length = r.extent[2], heads = r.extent[0] * r.extent[1];
  const index count = std::min(spec.count, length);
  row_selection to{.batch = r.extent[0], .heads = r.extent[1]};
  to.queries.resize(static_cast<std::size_t>(heads * count));
  std::vector<double> scores(static_cast<std::size_t>(2 * length * executor.workers()));
  std::vector<index> found(static_cast<std::size_t>(heads));
  executor.for_each(heads, [&](index n, index worker) {
    double* const s = scores.data() + 2 * length * worker;
    simd::load_row(r.type, r.row(n / r.extent[1], n % r.extent[1], 0), r.stride[2], length, s);
    if (spec.first && length > 0) s[0] = std::numeric_limits<double>::infinity();
    found[static_cast<std::size_t>(n)] =
        top_k(s, length, count, to.queries.data() + n * count, s + length);
  });
  for (index n = 0; n < heads; ++n) {
    const index own = found[static_cast<std::size_t>(n)], at = to.query_offsets.back();
    if (at != n * count) std::copy_n(to.queries.data() + n * count, own, to.queries.data() + at);
    to.query_offsets.push_back(at + own);
  }
  to.queries.resize(static_cast<std::size_t>(to.query_offsets.back()));
  return to;
}

}  // namespace heed
