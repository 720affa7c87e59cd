// SPDX-License-Identifier: BSL-1.0
// flash-linear-attention: chunk_*, fused_recurrent_* and what is called beside them.
#include <heed/recurrence/feature/l2_norm.hpp>
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/scan_backward.hpp>
#include <heed/recurrence/short_conv.hpp>
#include <heed/reference/recurrence/gated_delta.hpp>
#include <heed/reference/recurrence/gla.hpp>
#include <heed/reference/recurrence/short_conv.hpp>

#include <vector>

#include "checked.hpp"

namespace guide {

namespace {

using heed::as;
namespace definition = heed::reference::recurrence;

constexpr Eigen::Index tokens = 50, heads = 2, depth = 16;

// Rows first … last of one head of x [1,L,H,D].
Eigen::MatrixXd head(const tensor<4>& x, Eigen::Index h, Eigen::Index first = 0,
                     Eigen::Index last = tokens) {
  Eigen::MatrixXd m(last - first, x.dimension(3));
  for (Eigen::Index t = 0; t < m.rows(); ++t)
    for (Eigen::Index d = 0; d < m.cols(); ++d) m(t, d) = double(x(0, first + t, h, d));
  return m;
}

struct inputs {
  tensor<4> q = random(1, tokens, heads, depth), k = random(1, tokens, heads, depth);
  tensor<4> v = random(1, tokens, heads, depth), out = tensor<4>(1, tokens, heads, depth);

  inputs() { out.setConstant(NAN); }
};

// Numbers of [-1, 0) as logarithms of decays, of [0, 1) as gains.
tensor<4> logs(Eigen::Index channels) { return (random(1, tokens, heads, channels) - 1.0f) * 0.5f; }
tensor<4> gains() { return (random(1, tokens, heads, 1) + 1.0f) * 0.5f; }

void gla() {
  inputs x;
  auto& [q, k, v, out] = x;
  const tensor<4> g = logs(depth);

  // [fla_gla]
  // o, state = chunk_gla(q, k, v, g, output_final_state=True), all [B,L,H,·], g the log decays.
  heed::recurrent_state<float> state;  // empty: starts from zeros
  const auto gla = heed::recurrences::gla(as<"BLHD">(g), depth);
  heed::scan(gla, as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v), as<"BLHD">(out), state);
  // [/fla_gla]

  for (Eigen::Index h = 0; h < heads; ++h) {
    const auto want = definition::gla(head(q, h), head(k, h), head(v, h), head(g, h), {}, 0.25);
    report("fla_gla", float((want.out - head(out, h)).cwiseAbs().maxCoeff()));
    float error = 0;
    for (Eigen::Index i = 0; i < depth; ++i)
      for (Eigen::Index j = 0; j < depth; ++j)
        error =
            std::max(error, std::abs(state.head(0, h)[i * depth + j] - float(want.state.s(i, j))));
    report("fla_gla, state", error);
  }
}

void gated_delta() {
  inputs x;
  auto& [q, k, v, out] = x;
  const tensor<4> g = logs(1), beta = gains();

  // [fla_gated_delta]
  // chunk_gated_delta_rule(q, k, v, g, beta, use_qk_l2norm_in_kernel=True)
  const heed::recurrence delta{.feature = heed::l2_norm_feature{},
                               .decay = heed::scalar_decay{as<"BLHD">(g)},
                               .update = heed::delta_update{as<"BLHD">(beta)},
                               .scale = 0.25};
  heed::recurrent_state<float> state;
  heed::scan(delta, as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v), as<"BLHD">(out), state);
  // [/fla_gated_delta]

  const auto unit = [](Eigen::MatrixXd m) { return Eigen::MatrixXd(m.rowwise().normalized()); };
  for (Eigen::Index h = 0; h < heads; ++h) {
    const auto want = definition::gated_delta(unit(head(q, h)), unit(head(k, h)), head(v, h),
                                              head(g, h), head(beta, h), {}, 0.25);
    report("fla_gated_delta", float((want.out - head(out, h)).cwiseAbs().maxCoeff()));
  }
}

void decode() {
  inputs x;
  auto& [q, k, v, out] = x;
  const tensor<4> g = logs(depth);
  // Token t of [B,L,H,·]: a view of it.
  const auto token = [](auto& y, Eigen::Index t) {
    auto one = as<"BLHD">(y);
    one.data += t * one.stride[2];
    one.extent[2] = 1;
    return one;
  };

  // [fla_step]
  // fused_recurrent_gla, one token at a time from the state that a prompt left.
  heed::recurrent_state<float> state;
  for (Eigen::Index t = 0; t < tokens; ++t) {
    const auto gate = token(g, t);  // [B,1,H,D], as all of these
    heed::step(heed::recurrences::gla(gate, depth), token(q, t), token(k, t), token(v, t),
               token(out, t), state);
  }
  // [/fla_step]

  tensor<4> at_once(1, tokens, heads, depth);
  heed::scan(heed::recurrences::gla(as<"BLHD">(g), depth), as<"BLHD">(q), as<"BLHD">(k),
             as<"BLHD">(v), as<"BLHD">(at_once));
  report("fla_step", difference(out, at_once));
}

void packed() {
  inputs x;
  auto& [q, k, v, out] = x;
  const tensor<4> g = logs(depth);

  // [fla_varlen]
  // chunk_gla(q, k, v, g, cu_seqlens=…): sequences end to end in a batch of 1, a state for each.
  const std::vector<int> cu_seqlens{0, 20, 50};
  auto packed = heed::recurrences::gla(as<"BLHD">(g), depth);
  packed.cu_seqlens = cu_seqlens;
  heed::recurrent_state<float> states;
  heed::scan(packed, as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v), as<"BLHD">(out), states);
  // [/fla_varlen]

  for (Eigen::Index h = 0; h < heads; ++h) {
    const auto want =
        definition::gla(head(q, h, 20), head(k, h, 20), head(v, h, 20), head(g, h, 20), {}, 0.25);
    report("fla_varlen", float((want.out - head(out, h, 20)).cwiseAbs().maxCoeff()));
  }
}

// The change of L = Σ out · d_out where the gates move, against their gradient.
void gradients() {
  inputs x;
  auto& [q, k, v, out] = x;
  tensor<4> g = logs(depth);
  const tensor<4> d_out = random(1, tokens, heads, depth), way = random(1, tokens, heads, depth);
  tensor<4> dq(q.dimensions()), dk(k.dimensions()), dv(v.dimensions()), dg(g.dimensions());

  // [fla_backward]
  // The states are what the forward call started from, and dL/d(final state): none here.
  heed::scan_backward(
      heed::recurrences::gla(as<"BLHD">(g), depth), as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v),
      nullptr, as<"BLHD">(d_out), nullptr,
      {.dq = as<"BLHD">(dq), .dk = as<"BLHD">(dk), .dv = as<"BLHD">(dv), .d_log = as<"BLHD">(dg)});
  // [/fla_backward]

  const auto loss = [&](const tensor<4>& gates) {
    heed::scan(heed::recurrences::gla(as<"BLHD">(gates), depth), as<"BLHD">(q), as<"BLHD">(k),
               as<"BLHD">(v), as<"BLHD">(out));
    return product(out, d_out);
  };
  const double measured = (loss(g + way * 0.01f) - loss(g - way * 0.01f)) / 0.02;
  const double slope = product(dg, way);
  report("fla_backward", float(std::abs(measured - slope) / std::abs(slope)), 2e-3f);
}

void convolution() {
  const tensor<3> y = random(1, tokens, 24);
  const tensor<2> w = random(24, 4);
  tensor<3> out(1, tokens, 24);

  // [fla_short_conv]
  // causal_conv1d_fn(x, weight, activation="silu"): x [B,L,C], weight [C,4].
  const heed::short_conv conv{.weight = as<"LD">(w), .silu = true};
  heed::scan(conv, as<"BLD">(y), as<"BLD">(out));
  // [/fla_short_conv]

  float error = 0;
  for (Eigen::Index t = 0; t < tokens; ++t)
    for (Eigen::Index c = 0; c < 24; ++c) {
      float sum = 0;
      for (Eigen::Index j = 0; j < 4; ++j)
        if (t - 3 + j >= 0) sum += w(c, j) * y(0, t - 3 + j, c);
      error = std::max(error, std::abs(out(0, t, c) - sum / (1 + std::exp(-sum))));
    }
  report("fla_short_conv", error);
}

}  // namespace

void linear() {
  gla();
  gated_delta();
  decode();
  packed();
  gradients();
  convolution();
}

}  // namespace guide
