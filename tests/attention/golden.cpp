// SPDX-License-Identifier: BSL-1.0
// The engine against ONNX Runtime (float) and NumPy (double); tests/golden holds both.
#include "support/golden_tensors.hpp"

#include <heed/attention/attend.hpp>
#include <heed/kv/extra.hpp>
#include <heed/mask/any_mask.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/custom.hpp>
#include <heed/normalizer/elu1.hpp>
#include <heed/normalizer/laplace.hpp>
#include <heed/normalizer/linear.hpp>
#include <heed/normalizer/relu.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/signed_softmax.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/normalizer/unnormalized.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/position/rope.hpp>
#include <heed/score/any_score.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/softcap.hpp>
#include <heed/similarity/additive.hpp>
#include <heed/similarity/cosine.hpp>
#include <heed/similarity/distance.hpp>
#include <heed/similarity/feature_product.hpp>
#include <heed/similarity/qk_norm.hpp>

#include "support/exact.hpp"

namespace heed::test {
namespace {

// The tolerance is that of a sum of D terms, once for each program that rounds.
template <class T, class Spec>
void agrees(const Spec& spec, const golden_tensor& q, const golden_tensor& k,
            const golden_tensor& v, const golden_tensor& expected, double c) {
  const auto x = tensor_of<T>(q), y = tensor_of<T>(k), z = tensor_of<T>(v),
             want = tensor_of<T>(expected);
  auto out = unwritten<T>(want.extent);
  attend(spec, x.in(), y.in(), z.in(), out.in());
  double largest = 0;
  for (const T e : want.data) largest = std::max(largest, double(std::abs(e)));
  const double allowed = tolerance<T>(c, x.extent[3], std::max(1.0, largest));
  for (index b = 0; b < want.extent[0]; ++b)
    for (index h = 0; h < want.extent[1]; ++h)
      check_close(out.head(b, h), want.head(b, h), allowed);
}

// Whether the flags of [B|1, H|1, L, L] let a pair through.
auto flags(const tensor<float>& allowed) {
  return where([&allowed](const position& at) {
    const extents& e = allowed.extent;
    return allowed.in()(e[0] == 1 ? 0 : at.b, e[1] == 1 ? 0 : at.h, at.row, at.slot) != 0;
  });
}

void check_onnx(const golden_case& c) {
  any_mask mask;
  if (c.has("causal")) mask = causal{};
  if (c.has("window")) mask = mask && heed::window{.left = index(c["window"].scalar()) - 1};
  tensor<float> allowed({0, 0, 0, 0}), added({0, 0, 0, 0});
  if (c.has("allowed")) allowed = tensor_of<float>(c["allowed"]), mask = mask && flags(allowed);
  std::vector<int> keys;
  if (c.has("lengths")) {
    for (const std::ptrdiff_t n : c["lengths"].integers()) keys.push_back(int(n));
    mask = mask && lengths{.keys = keys};
  }
  any_score score;
  if (c.has("softcap")) score = softcap{c["softcap"].scalar()};
  any_score biased;
  if (c.has("bias")) added = tensor_of<float>(c["bias"]), biased = bias{added.in()};
  rope turn;
  if (c.has("rotary")) turn.by = rotations::plain(index(c["rotary"].scalar()));
  if (c.scalar_or("interleaved", 0) != 0) turn.pairs = rope_pairs::interleaved;
  const double scale = c.scalar_or("scale", automatic);
  std::vector<double> sinks;
  if (c.has("sink")) sinks = c["sink"].data;

  const auto with = [&](const auto& normalizer) {
    const attention spec{.mask = mask,
                         .score = score | biased,
                         .normalizer = normalizer,
                         .scale = scale,
                         .query = turn,
                         .key = turn};
    agrees<float>(spec, c["q"], c["k"], c["v"], c["out"], 4);
  };
  if (c.has("sink") || c.has("off_by_one"))
    with(sink_softmax{sinks});
  else
    with(softmax{});
}

struct square {
  template <class V> V operator()(const V& s) const { return s * s; }
};

}  // namespace

TEST_CASE("ONNX Runtime: Attention, GroupQueryAttention, MultiHeadAttention") {
  int seen = 0;
  for (const golden_case& c : golden_cases()) {
    const std::string family = c.name.substr(0, c.name.find('/'));
    if (family != "attention" && family != "gqa" && family != "mha") continue;
    ++seen;
    INFO(c.name);
    check_onnx(c);
  }
  CHECK(seen == 27);
}

TEST_CASE("NumPy: normalizers") {
  const golden_case c = golden("normalizer/all");
  const auto allowed = tensor_of<float>(c["allowed"]);
  const auto with = [&](const std::string& name, const auto& normalizer) {
    INFO(name);
    const attention spec{.mask = flags(allowed), .normalizer = normalizer};
    agrees<double>(spec, c["q"], c["k"], c["v"], c["out_" + name], 4);
  };
  const std::vector<double> sink{c["sink"].scalar()};
  with("softmax", softmax{});
  with("sink_softmax", sink_softmax{sink});
  with("sigmoid", sigmoid{.bias = -std::log(9)});
  with("sigmoid_normalized", sigmoid{.by = divisor::sum});
  with("relu", relu{});
  with("relu_squared", relu{.power = 2, .over = 9});
  with("elu1", elu1{});
  with("elu1_normalized", elu1{divisor::sum});
  with("linear", linear{});
  with("linear_mean", linear{divisor::count});
  with("linear_sum", linear{divisor::sum});
  with("linear_bounded", linear{divisor::bounded_sum});
  with("unnormalized", unnormalized{});
  with("unnormalized_mean", unnormalized{.by = divisor::count});
  with("unnormalized_over", unnormalized{.over = 16});
  with("laplace", laplace{});
  with("signed_softmax", signed_softmax{});
  with("custom_square", custom<square>{});
}

TEST_CASE("NumPy: similarities") {
  const golden_case c = golden("similarity/all");
  const auto with = [&](const std::string& name, const auto& spec, const char* q = "q",
                        const char* k = "k") {
    INFO(name);
    agrees<double>(spec, c[q], c[k], c["v"], c["out_" + name], 4);
  };
  const std::vector<double> ten{10};
  with("dot", attention{});
  with("cosine", attention{.similarity = cosine{ten}});
  with("distance", attention{.similarity = distance{}});
  with("distance", attention{.similarity = direct_distance{}});
  with("feature_product", attention{.similarity = feature_product<elu1_feature>{}});
  const qk_norm norm{c["gain"].data};
  with("qk_norm", attention{.query = norm, .key = norm});
  const additive<> sum{.weight = c["w"].data, .bias = c["b"].data, .offset = c["b0"].scalar()};
  with("additive", attention{.similarity = sum}, "u", "t");
}

TEST_CASE("NumPy: extra slots and packed sequences") {
  const golden_case slots = golden("extra/slots");
  const auto k = tensor_of<double>(slots["k_extra"]), v = tensor_of<double>(slots["v_extra"]);
  agrees<double>(attention{.mask = causal{}, .extra = extra_slots{k.in(), v.in()}}, slots["q"],
                 slots["k"], slots["v"], slots["out"], 4);

  const golden_case packed = golden("varlen/causal");
  const auto integers = [&](const char* name) {
    std::vector<int> x;
    for (const double n : packed[name].data) x.push_back(int(n));
    return x;
  };
  const std::vector<int> cu_q = integers("cu_q"), cu_k = integers("cu_k");
  agrees<double>(attention{.mask = causal{}, .plan = varlen{cu_q, cu_k}}, packed["q"], packed["k"],
                 packed["v"], packed["out"], 4);
}

}  // namespace heed::test
