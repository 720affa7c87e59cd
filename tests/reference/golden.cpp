// SPDX-License-Identifier: BSL-1.0
// The references against ONNX Runtime (float) and NumPy (double); tests/golden holds both.
#include "support/golden.hpp"

#include <heed/reference/dense.hpp>
#include <heed/reference/heads/grouped.hpp>
#include <heed/reference/heads/output_gate.hpp>
#include <heed/reference/kv/extra.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/full.hpp>
#include <heed/reference/mask/lengths.hpp>
#include <heed/reference/mask/window.hpp>
#include <heed/reference/normalizer/custom.hpp>
#include <heed/reference/normalizer/elu1.hpp>
#include <heed/reference/normalizer/laplace.hpp>
#include <heed/reference/normalizer/linear.hpp>
#include <heed/reference/normalizer/relu.hpp>
#include <heed/reference/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/signed_softmax.hpp>
#include <heed/reference/normalizer/sink_softmax.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/normalizer/unnormalized.hpp>
#include <heed/reference/plan/varlen.hpp>
#include <heed/reference/position/rope.hpp>
#include <heed/reference/position/rope_axes.hpp>
#include <heed/reference/position/rope_scaling.hpp>
#include <heed/reference/score/alibi.hpp>
#include <heed/reference/score/bias.hpp>
#include <heed/reference/score/clamp.hpp>
#include <heed/reference/score/key_bias.hpp>
#include <heed/reference/score/relative_bias.hpp>
#include <heed/reference/score/softcap.hpp>
#include <heed/reference/score/temperature.hpp>
#include <heed/reference/similarity/additive.hpp>
#include <heed/reference/similarity/cosine.hpp>
#include <heed/reference/similarity/distance.hpp>
#include <heed/reference/similarity/dot.hpp>
#include <heed/reference/similarity/feature_product.hpp>
#include <heed/reference/similarity/qk_norm.hpp>

#include <cmath>
#include <limits>
#include <string>

#include "support/catch.hpp"

using namespace heed::reference;
using heed::test::golden;
using heed::test::golden_case;

namespace {

/// Largest difference as a share of the largest magnitude.
double deviation(const matrix& x, const matrix& expected) {
  if (x.rows() != expected.rows() || x.cols() != expected.cols())
    return std::numeric_limits<double>::infinity();
  return (x - expected).cwiseAbs().maxCoeff() / std::max(1.0, expected.cwiseAbs().maxCoeff());
}

constexpr double in_float = 2e-6, in_double = 1e-13;

allowed flags(const matrix& x) { return x.array() != 0; }

/// The n-th matrix of a tensor whose leading axes broadcast to [B, H].
matrix broadcast(const heed::test::golden_tensor& x, Eigen::Index b, Eigen::Index h) {
  if (x.shape.size() == 2) return x.matrix();
  return x.matrix((x.shape[0] == 1 ? 0 : b) * x.shape[1] + (x.shape[1] == 1 ? 0 : h));
}

/// One head of one of ONNX Runtime's attention operators, as the case's parameters ask.
matrix head(const golden_case& c, Eigen::Index b, Eigen::Index h) {
  const auto &q_shape = c["q"].shape, &k_shape = c["k"].shape;
  const Eigen::Index g = heads::kv_head(h, q_shape[1], k_shape[1]);
  matrix q = c["q"].matrix(b * q_shape[1] + h), k = c["k"].matrix(b * k_shape[1] + g);
  const matrix v = c["v"].matrix(b * k_shape[1] + g);
  const Eigen::Index lq = q.rows(), lk = k.rows();
  if (c.has("rotary")) {
    const auto pairs = c.scalar_or("interleaved", 0) != 0 ? position::pairing::interleaved
                                                          : position::pairing::neox;
    const auto f = position::unscaled(static_cast<Eigen::Index>(c["rotary"].scalar()), 10000);
    const vector ids = vector::LinSpaced(lk, 0, static_cast<double>(lk - 1));
    q = position::rope(q, ids.tail(lq), f, pairs);
    k = position::rope(k, ids, f, pairs);
  }
  matrix s = c.has("scale") ? similarity::dot(q, k, c["scale"].scalar()) : similarity::dot(q, k);
  if (c.has("softcap")) s = score::softcap(s, c["softcap"].scalar());
  if (c.has("bias")) s = score::bias(s, broadcast(c["bias"], b, h));
  allowed a = mask::full(lq, lk);
  if (c.has("causal")) a = a && mask::causal(lq, lk);
  if (c.has("window"))
    a = a && mask::window(lq, lk, static_cast<Eigen::Index>(c["window"].scalar()) - 1, 0);
  if (c.has("allowed")) a = a && flags(broadcast(c["allowed"], b, h));
  if (c.has("lengths"))
    a = a && mask::lengths(lq, lk, lq, c["lengths"].integers()[static_cast<std::size_t>(b)]);
  if (c.has("sink")) return attention(normalizer::sink_softmax(s, a, c["sink"].vector()(h)), v);
  if (c.has("off_by_one")) return attention(normalizer::sink_softmax(s, a, 0), v);
  return attention(normalizer::softmax(s, a), v);
}

}  // namespace

TEST_CASE("ONNX Runtime: Attention, GroupQueryAttention, MultiHeadAttention") {
  int seen = 0;
  for (const golden_case& c : heed::test::golden_cases()) {
    const std::string family = c.name.substr(0, c.name.find('/'));
    if (family != "attention" && family != "gqa" && family != "mha") continue;
    ++seen;
    const auto& shape = c["q"].shape;
    for (Eigen::Index b = 0; b < shape[0]; ++b)
      for (Eigen::Index h = 0; h < shape[1]; ++h) {
        INFO(c.name << " batch " << b << " head " << h);
        CHECK(deviation(head(c, b, h), c["out"].matrix(b * shape[1] + h)) < in_float);
      }
  }
  CHECK(seen == 27);
}

TEST_CASE("ONNX Runtime: RotaryEmbedding and RMSNormalization") {
  for (const char* name : {"neox", "interleaved", "partial", "partial_interleaved"}) {
    INFO(name);
    const golden_case c = golden(std::string("rope/") + name);
    const auto pairs =
        c["interleaved"].scalar() != 0 ? position::pairing::interleaved : position::pairing::neox;
    const auto f = position::unscaled(static_cast<Eigen::Index>(c["rotary"].scalar()), 10000);
    for (Eigen::Index n = 0; n < 6; ++n) {
      const vector ids = c["ids"].matrix().row(n / 3);
      CHECK(deviation(position::rope(c["x"].matrix(n), ids, f, pairs), c["out"].matrix(n)) <
            in_float);
    }
  }
  const golden_case c = golden("qk_norm/rms");
  for (Eigen::Index h = 0; h < 2; ++h)
    CHECK(
        deviation(similarity::qk_norm(c["x"].matrix(h), c["gain"].vector(), c["epsilon"].scalar()),
                  c["out"].matrix(h)) < in_float);
}

TEST_CASE("NumPy: normalizers") {
  const golden_case c = golden("normalizer/all");
  const allowed a = flags(c["allowed"].matrix());
  const matrix s = similarity::dot(c["q"].matrix(), c["k"].matrix()), v = c["v"].matrix();
  const auto check = [&](const std::string& name, const matrix& p) {
    INFO(name);
    CHECK(deviation(p, c["p_" + name].matrix()) < in_double);
    CHECK(deviation(attention(p, v), c["out_" + name].matrix()) < in_double);
  };
  using namespace normalizer;
  CHECK(deviation(lse(s, a), c["lse"].vector()) < in_double);
  check("softmax", softmax(s, a));
  check("sink_softmax", sink_softmax(s, a, c["sink"].scalar()));
  check("sigmoid", sigmoid(s, a, -std::log(9.0)));
  check("sigmoid_normalized", sigmoid_normalized(s, a, 0));
  check("relu", relu(s, a, 1, 1));
  check("relu_squared", relu(s, a, 2, 9));
  check("elu1", elu1(s, a));
  check("elu1_normalized", elu1_normalized(s, a));
  check("linear", linear(s, a));
  check("linear_mean", linear_mean(s, a));
  check("linear_sum", linear_sum(s, a));
  check("linear_bounded", linear_bounded(s, a));
  check("unnormalized", unnormalized(s, a));
  check("unnormalized_mean", unnormalized_mean(s, a));
  check("unnormalized_over", unnormalized_over(s, a, 16));
  check("laplace", laplace(s, a));
  check("signed_softmax", signed_softmax(s, a));
  check("custom_square", custom(s, a, [](double x) { return x * x; }));
}

TEST_CASE("NumPy: similarities") {
  const golden_case c = golden("similarity/all");
  const matrix q = c["q"].matrix(), k = c["k"].matrix(), v = c["v"].matrix();
  const auto check = [&](const std::string& name, const matrix& s) {
    INFO(name);
    CHECK(deviation(s, c["s_" + name].matrix()) < in_double);
    const matrix p = normalizer::softmax(s, mask::full(s.rows(), s.cols()));
    CHECK(deviation(attention(p, v), c["out_" + name].matrix()) < in_double);
  };
  using namespace similarity;
  const vector gain = c["gain"].vector();
  check("dot", dot(q, k));
  check("cosine", cosine(q, k, 10, 1e-6));
  check("distance", distance(q, k, 2 * std::sqrt(8.0)));
  check("feature_product", feature_product(q, k, &elu_plus_one));
  check("additive", additive(c["u"].matrix(), c["t"].matrix(), c["w"].vector(), c["b"].vector(),
                             c["b0"].scalar()));
  check("qk_norm", dot(qk_norm(q, gain, 1e-6), qk_norm(k, gain, 1e-6)));
}

TEST_CASE("NumPy: score functions") {
  for (Eigen::Index h : {1, 2, 3, 6, 8, 12, 20, 32})
    CHECK(deviation(score::alibi_slopes(h),
                    golden("alibi/slopes" + std::to_string(h))["slopes"].vector()) < in_double);
  const golden_case t5 = golden("relative_bias/t5");
  const auto delta = t5["delta"].integers();
  for (std::size_t n = 0; n < delta.size(); ++n) {
    CHECK(score::t5_bucket(delta[n], 32, score::direction::bidirectional) ==
          t5["bidirectional"].integers()[n]);
    CHECK(score::t5_bucket(delta[n], 32, score::direction::causal) == t5["causal"].integers()[n]);
  }

  const golden_case c = golden("score/all");
  const matrix s = similarity::dot(c["q"].matrix(), c["k"].matrix()), v = c["v"].matrix();
  const allowed full = mask::full(5, 8), causal = mask::causal(5, 8);
  const auto check = [&](const std::string& name, const matrix& x, const allowed& a) {
    INFO(name);
    if (c.has("s_" + name)) CHECK(deviation(x, c["s_" + name].matrix()) < in_double);
    CHECK(deviation(attention(normalizer::softmax(x, a), v), c["out_" + name].matrix()) <
          in_double);
  };
  using namespace score;
  const vector table = c["table"].vector();
  const matrix bias_matrix = c["bias"].matrix();
  const auto both = [](Eigen::Index d) { return t5_bucket(d, 32, direction::bidirectional); };
  const auto past = [](Eigen::Index d) { return t5_bucket(d, 32, direction::causal); };
  check("softcap", softcap(s, 0.5), full);
  check("alibi", alibi(s, 0.25, 3), causal);
  check("alibi_symmetric", alibi_symmetric(s, 0.25, 3), full);
  check("t5_bidirectional", relative_bias(s, table, 3, both), full);
  check("t5_causal", relative_bias(s, table, 3, past), causal);
  check("clipped",
        relative_bias(s, c["clipped"].vector(), 3, [](Eigen::Index d) { return clipped(d, 3); }),
        full);
  check("toeplitz", toeplitz(s, c["toeplitz"].vector()), full);
  check("bias", bias(s, bias_matrix), full);
  check("bias_row", bias(s, bias_matrix.leftCols(1)), full);
  check("key_bias", key_bias(s, c["key_bias"].vector()), full);
  check("log_counts", key_bias(s, log_counts(c["counts"].vector())), full);
  check("clamp", clamp(s, -0.5, 0.25), full);
  check("temperature", temperature(s, 1.5), full);
  check("temperature_rows", temperature(s, c["tau"].vector()), full);
  check("ssmax", ssmax(s, 0.43, normalizer::counts(causal)), causal);
  check("softcap_then_alibi", alibi(softcap(s, 0.5), 0.25, 3), full);
}

TEST_CASE("NumPy: rope with its scalings, and with several axes") {
  using namespace position;
  const golden_case c = golden("rope/scalings");
  const matrix x = c["x"].matrix();
  const auto check = [&](const std::string& name, const frequencies& f) {
    INFO(name);
    CHECK(deviation(f.theta, c["theta_" + name].vector()) < in_double);
    CHECK(f.magnitude == Approx(c["magnitude_" + name].scalar()).epsilon(in_double));
    const vector at = c["positions"].vector();
    // Angles reach 5000, so the last bit of θ is worth 5000 ε.
    CHECK(deviation(rope(x, at, f, pairing::neox), c["neox_" + name].matrix()) < 1e-11);
    CHECK(deviation(rope(x, at, f, pairing::interleaved), c["interleaved_" + name].matrix()) <
          1e-11);
  };
  check("unscaled", unscaled(32, 10000));
  check("linear", linear(32, 10000, 8));
  check("ntk", ntk(32, 10000, 8));
  check("dynamic_ntk", dynamic_ntk(32, 10000, 8, 4096, 2048));
  check("dynamic_ntk_short", dynamic_ntk(32, 10000, 8, 1024, 2048));
  check("yarn", yarn(32, 10000, 16, 4096));
  check("llama3", llama3(32, 10000, 8, 1, 4, 8192));
  check("longrope", longrope(32, 10000, c["factors"].vector(), 32, 4096));

  const golden_case axes = golden("rope_axes/sections");
  const matrix angles = axis_angles(axes["ids"].matrix(), {4, 6, 6}, axes["theta"].vector());
  CHECK(deviation(angles, axes["angles"].matrix()) < in_double);
  const matrix y = axes["x"].matrix();
  CHECK(deviation(rotate(y, angles, pairing::neox), axes["neox"].matrix()) < in_double);
  CHECK(deviation(rotate(y, angles, pairing::interleaved), axes["interleaved"].matrix()) <
        in_double);
}

TEST_CASE("NumPy: extra slots, output gates, packed sequences") {
  const golden_case c = golden("extra/slots");
  CHECK(
      deviation(kv::extra(c["q"].matrix(), c["k"].matrix(), c["v"].matrix(), c["k_extra"].matrix(),
                          c["v_extra"].matrix(), 1 / std::sqrt(8.0), mask::causal(5, 7)),
                c["out"].matrix()) < in_double);

  const golden_case g = golden("output_gate/all");
  const matrix o = g["o"].matrix(), row = g["row"].matrix(), channel = g["channel"].matrix();
  CHECK(deviation(heads::output_gate(o, row), g["sigmoid_row"].matrix()) < in_double);
  CHECK(deviation(heads::output_gate(o, channel), g["sigmoid_channel"].matrix()) < in_double);
  CHECK(deviation(heads::output_gate_silu(o, channel), g["silu_channel"].matrix()) < in_double);
  CHECK(deviation(heads::output_gate_additive(o, channel), g["additive_channel"].matrix()) <
        in_double);

  const golden_case packed = golden("varlen/causal");
  const auto causal = [](const matrix& q, const matrix& k, const matrix& v) {
    return attention(normalizer::softmax(similarity::dot(q, k), mask::causal(q.rows(), k.rows())),
                     v);
  };
  CHECK(deviation(plan::varlen(packed["q"].matrix(), packed["k"].matrix(), packed["v"].matrix(),
                               packed["cu_q"].integers(), packed["cu_k"].integers(), causal),
                  packed["out"].matrix()) < in_double);
}
