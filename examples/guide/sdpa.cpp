// SPDX-License-Identifier: BSL-1.0
// torch.nn.functional.scaled_dot_product_attention, and what is called beside it.
#include <heed/mask/causal.hpp>
#include <heed/mask/where.hpp>
#include <heed/observe/rows.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/score/bias.hpp>
#include <heed/weights/dropout.hpp>

#include <cstdint>
#include <vector>

#include "checked.hpp"

namespace guide {

namespace {

using heed::as;

void plain() {
  const auto [q, k, v, unused] = inputs(40);

  // [sdpa_plain]
  auto out = heed::attend(heed::attention{}, q, k, v);  // q [B,H,L,E], k and v [B,Hkv,S,E]
  // [/sdpa_plain]

  // [sdpa_scale]
  auto scaled = heed::attend(heed::attention{.scale = 0.3}, q, k, v);
  // [/sdpa_scale]

  inputs x;
  x.q = q, x.k = k, x.v = v;
  x.check("sdpa_plain", heed::attention{}, out);
  x.check("sdpa_scale", heed::attention{.scale = 0.3}, scaled);
}

void causal() {
  inputs x;
  auto& [q, k, v, out] = x;

  // [sdpa_causal]
  const Eigen::Index L = q.dimension(2), S = k.dimension(2);
  const heed::attention top_left{.mask = heed::causal{.shift = L - S}};  // as PyTorch aligns it
  const heed::attention bottom_right{.mask = heed::causal{}};            // as a cache needs it
  // [/sdpa_causal]

  // tril(ones(L, S)), and tril(ones(L, S), S - L)
  const heed::attention tril{.mask =
                                 heed::where([](heed::position at) { return at.slot <= at.row; })};
  const heed::attention shifted{
      .mask = heed::where([](heed::position at) { return at.slot <= at.row + 10; })};
  x.check("sdpa_causal", tril, heed::attend(top_left, q, k, v));
  x.check("sdpa_causal, shifted", shifted, heed::attend(bottom_right, q, k, v));
  // Row 0 of the one sees key 0 and nothing else.
  const tensor<4> first = heed::attend(top_left, q, k, v);
  float error = 0;
  for (Eigen::Index d = 0; d < 16; ++d)
    error = std::max(error, std::abs(first(1, 3, 0, d) - v(1, 1, 0, d)));
  report("sdpa_causal, first row", error);
}

void masks() {
  inputs x;
  auto& [q, k, v, out] = x;
  Eigen::Tensor<bool, 4, Eigen::RowMajor> allowed(2, 1, 30, 40);
  for (Eigen::Index i = 0; i < allowed.size(); ++i) allowed.data()[i] = (i * 7) % 11 > 3;
  const tensor<4> added = random(1, 4, 30, 40);

  // [sdpa_bool_mask]
  // attn_mask of bool [B,1,L,S]: a mask hides, NaN included.
  const heed::attention hidden{
      .mask = heed::where([&](heed::position at) { return allowed(at.b, 0, at.row, at.slot); })};
  heed::attend(hidden, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  // [/sdpa_bool_mask]
  x.check("sdpa_bool_mask", hidden, out);

  // [sdpa_float_mask]
  // attn_mask of float: extents of 1 are broadcast, strides are free. The last axis is the keys.
  const heed::attention biased{.score = heed::bias{as<"BHLD">(added)}};
  heed::attend(biased, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  // [/sdpa_float_mask]
  x.check("sdpa_float_mask", biased, out);
}

void dropout() {
  inputs x;
  auto& [q, k, v, out] = x;
  const std::uint64_t step = 17;

  // [sdpa_dropout]
  const heed::attention training{.mask = heed::causal{},
                                 .weights = heed::dropout{.rate = 0.1, .seed = step}};
  // [/sdpa_dropout]
  x.check("sdpa_dropout", training, heed::attend(training, q, k, v));
}

// Changes of L = Σ out · d_out where q moves, against the gradient.
void gradients() {
  inputs x;
  auto& [q, k, v, out] = x;
  const tensor<4> d_out = random(2, 4, 30, 16);
  tensor<3> lse(2, 4, 30);
  tensor<4> dq(q.dimensions()), dk(k.dimensions()), dv(v.dimensions());
  const heed::attention spec{.mask = heed::causal{}};

  // [sdpa_backward]
  heed::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
               {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)});
  // … the rest of the model, and its gradients down to d_out …
  heed::attend_backward(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
                        {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)}, as<"BHLD">(d_out),
                        {.dq = as<"BHLD">(dq), .dk = as<"BHLD">(dk), .dv = as<"BHLD">(dv)});
  // [/sdpa_backward]

  const auto loss = [&](const tensor<4>& moved) {
    return product(heed::attend(spec, moved, k, v), d_out);
  };
  const tensor<4> way = random(2, 4, 30, 16);
  const double measured = (loss(q + way * 0.01f) - loss(q - way * 0.01f)) / 0.02;
  const double slope = product(dq, way);
  report("sdpa_backward", float(std::abs(measured - slope) / std::abs(slope)), 2e-3f);
}

void packed() {
  const tensor<3> q = random(30, 4, 16), k = random(30, 2, 16), v = random(30, 2, 16);
  tensor<3> out(30, 4, 16), alone(30, 4, 16);

  // [sdpa_varlen]
  // flash_attn_varlen_func(q, k, v, cu_seqlens_q, …): rows [Σ L, H, E] of all sequences.
  const std::vector<int> cu_seqlens{0, 7, 18, 30};
  const heed::attention each{.mask = heed::causal{}, .plan = heed::varlen{cu_seqlens}};
  heed::attend(each, as<"LHD">(q), as<"LHD">(k), as<"LHD">(v), as<"LHD">(out));
  // [/sdpa_varlen]

  for (std::size_t i = 0; i + 1 < cu_seqlens.size(); ++i) {
    const auto of = [&](auto& x) {
      auto rows = as<"LHD">(x);
      rows.data += cu_seqlens[i] * rows.stride[2];
      rows.extent[2] = cu_seqlens[i + 1] - cu_seqlens[i];
      return rows;
    };
    heed::reference::attend(heed::attention{.mask = heed::causal{}}, of(q), of(k), of(v),
                            of(alone));
  }
  report("sdpa_varlen", difference(out, alone));
}

void weights() {
  inputs x;
  auto& [q, k, v, out] = x;
  tensor<4> attention_weights(2, 4, 2, 40);

  // [sdpa_weights]
  // need_weights=True, for the queries that you will look at: here the first and the last.
  const std::vector<heed::index> queries{0, 29};
  heed::rows maps(queries, as<"BHLD">(attention_weights));  // [B,H,queries,S]
  heed::attend(heed::attention{}, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
               {.out = as<"BHLD">(out), .observe = &maps});
  // [/sdpa_weights]

  x.check("sdpa_weights, output", heed::attention{}, out);
  float error = 0;
  for (Eigen::Index d = 0; d < 16; ++d) {
    float sum = 0;
    for (Eigen::Index j = 0; j < 40; ++j) sum += attention_weights(1, 2, 1, j) * v(1, 1, j, d);
    error = std::max(error, std::abs(sum - out(1, 2, 29, d)));
  }
  report("sdpa_weights", error);
}

}  // namespace

void sdpa() {
  plain();
  causal();
  masks();
  dropout();
  gradients();
  packed();
  weights();
}

}  // namespace guide
