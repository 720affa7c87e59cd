// SPDX-License-Identifier: BSL-1.0
// torch.nn.attention.flex_attention: score_mod, mask_mod, block masks, captured buffers.
#include <heed/mask/block_map.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/document.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/softcap.hpp>

#include <array>
#include <vector>

#include "checked.hpp"

namespace guide {

namespace {

using heed::as;

void scores() {
  inputs x(30);
  auto& [q, k, v, out] = x;
  const std::array<float, 4> slope{0.5f, 0.25f, 0.125f, 0.0625f};

  // [flex_score]
  // `auto at` gets vectors of queries: at.q a batch, at.k and at.h numbers.
  const heed::attention spec{.mask = heed::causal{}, .score = [&](auto s, auto at) {
                               return s + slope[std::size_t(at.h)] * (at.k - at.q);
                             }};
  heed::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  // [/flex_score]
  x.check("flex_score", spec, out);

  // [flex_chain]
  const heed::attention capped{.score = heed::softcap{20} | [](auto s, auto) { return s * 2.0f; }};
  // [/flex_chain]
  heed::attend(capped, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  x.check("flex_chain", capped, out);

  // [flex_where]
  // torch.where: both sides are computed, and a branch on a comparison of vectors does not compile.
  const heed::attention near{
      .score = [](auto s, auto at) { return heed::simd::select(at.q - at.k < 8, s, s * 0.5f); }};
  // [/flex_where]
  heed::attend(near, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  x.check("flex_where", near, out);
}

void masks() {
  inputs x(30);
  auto& [q, k, v, out] = x;
  std::vector<int> document_id(30, 0);
  std::fill(document_id.begin() + 11, document_id.end(), 1);

  // [flex_mask]
  // and_masks(causal, sliding_window, document): spans are intersected, nothing else is computed.
  const auto seen = heed::causal{} && heed::window{.left = 8} && heed::document{{document_id}};
  // or_masks, and a mask_mod of your own. Bound the own one by masks that know their spans.
  const auto more =
      heed::causal{} && (seen || heed::where([](heed::position at) { return at.k % 5 == 0; }));
  const heed::attention spec{.mask = more};
  heed::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  // [/flex_mask]
  // The same as one mask_mod.
  const heed::attention mask_mod{.mask = heed::where([&](heed::position at) {
                                   const bool near = at.q - at.k <= 8,
                                              same = (at.q < 11) == (at.k < 11);
                                   return at.q >= at.k && ((near && same) || at.k % 5 == 0);
                                 })};
  x.check("flex_mask", mask_mod, out);

  // [flex_block_mask]
  // create_block_mask(mask_mod, B, H, Q_LEN, KV_LEN): once a shape, for all layers and steps.
  const heed::problem_shape shape{.batch = 2, .heads = 4, .kv_heads = 2, .queries = 30, .keys = 30};
  const heed::block_map blocks(more, shape, {.rows = 8, .keys = 8});
  const heed::attention sparse{.mask = blocks};
  heed::attend(sparse, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  // [/flex_block_mask]
  x.check("flex_block_mask", mask_mod, out);
}

void lse() {
  inputs x;
  auto& [q, k, v, out] = x;
  tensor<3> lse(2, 4, 30);

  // [flex_lse]
  // flex_attention(…, return_lse=True): the natural logarithm, without a maximum left out.
  heed::attend(heed::attention{}, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
               {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)});
  // [/flex_lse]

  double sum = 0;
  for (Eigen::Index j = 0; j < 40; ++j) {
    double s = 0;
    for (Eigen::Index d = 0; d < 16; ++d) s += double(q(1, 3, 29, d)) * double(k(1, 1, j, d));
    sum += std::exp(s / 4);
  }
  report("flex_lse", std::abs(lse(1, 3, 29) - float(std::log(sum))));
}

// A captured buffer that learns, against the change of L = Σ out · d_out.
void captured() {
  inputs x;
  auto& [q, k, v, out] = x;
  const tensor<4> d_out = random(2, 4, 30, 16);
  tensor<4> table = random(1, 4, 30, 40), d_table(1, 4, 30, 40);

  // [flex_captured]
  // def score_mod(score, b, h, q_idx, kv_idx): return score + table[0, h, q_idx, kv_idx]
  const heed::attention spec{.score = heed::bias{as<"BHLD">(table)}};
  heed::attend_backward(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), {}, as<"BHLD">(d_out),
                        {.spec = {.score = {as<"BHLD">(d_table)}}});
  // [/flex_captured]

  const auto loss = [&] { return product(heed::attend(spec, q, k, v), d_out); };
  const tensor<4> way = random(1, 4, 30, 40), start = table;
  const double slope = product(d_table, way);
  table = start + way * 0.01f;
  const double above = loss();
  table = start - way * 0.01f;
  const double measured = (above - loss()) / 0.02;
  report("flex_captured", float(std::abs(measured - slope) / std::abs(slope)), 2e-3f);
}

}  // namespace

void flex() {
  scores();
  masks();
  lse();
  captured();
}

}  // namespace guide
