// SPDX-License-Identifier: BSL-1.0
// docs/algebra.md: what can be done with an output and its log-sum-exp.
#include <heed/kv/extra.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/numerics/merge.hpp>

#include <vector>

#include "checked.hpp"

namespace guide {

namespace {

using heed::as;

// Keys, or values, first … last of x [B,H,L,D], where they lie.
template <class X> auto some(X& x, Eigen::Index first, Eigen::Index last) {
  auto rows = as<"BHLD">(x);
  rows.data += first * rows.stride[2];
  rows.extent[2] = last - first;
  return rows;
}

tensor<4> number(float x) {
  tensor<4> one(1, 1, 1, 1);
  one.setConstant(x);
  return one;
}

void example() {
  tensor<4> o(1, 1, 1, 1), lse(1, 1, 1, 1);

  // [algebra_example]
  // One query and three keys: e^s = 1, 2 and 5, v = 1, 4 and 10.
  const tensor<4> o_a = number(3), lse_a = number(std::log(3.0f));   // keys 1 and 2
  const tensor<4> o_b = number(10), lse_b = number(std::log(5.0f));  // key 3
  heed::merge({{as<"BHLD">(o_a), as<"BHLD">(lse_a)}, {as<"BHLD">(o_b), as<"BHLD">(lse_b)}},
              {.out = as<"BHLD">(o), .lse = as<"BHLD">(lse)});
  // o = 3/8 · 3 + 5/8 · 10 = 7.375, lse = log 8
  // [/algebra_example]

  report("algebra_example", std::abs(o.data()[0] - 7.375f));
  report("algebra_example, lse", std::abs(lse.data()[0] - std::log(8.0f)));
}

void split() {
  inputs x;
  auto& [q, k, v, out] = x;
  tensor<4> o1(2, 4, 30, 16), o2(2, 4, 30, 16);
  tensor<3> lse1(2, 4, 30), lse2(2, 4, 30), lse(2, 4, 30);

  // [algebra_split]
  // Causal attention to 40 keys, in two calls. Query row 0 sits at position 10, as in one call; the
  // second call counts positions from key 25.
  const heed::index at = k.dimension(2) - q.dimension(2), cut = 25;
  heed::attend(heed::attention{.mask = heed::causal{}, .offset = at}, as<"BHLD">(q),
               some(k, 0, cut), some(v, 0, cut), {.out = as<"BHLD">(o1), .lse = as<"BHL">(lse1)});
  heed::attend(heed::attention{.mask = heed::causal{}, .offset = at - cut}, as<"BHLD">(q),
               some(k, cut, 40), some(v, cut, 40), {.out = as<"BHLD">(o2), .lse = as<"BHL">(lse2)});
  heed::merge({{as<"BHLD">(o1), as<"BHL">(lse1)}, {as<"BHLD">(o2), as<"BHL">(lse2)}},
              {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)});
  // [/algebra_split]

  x.check("algebra_split", heed::attention{.mask = heed::causal{}}, out);
  // Row 0 sees none of the second keys.
  report("algebra_split, empty", std::isinf(lse2(1, 1, 0)) && lse2(1, 1, 0) < 0 ? 0.0f : 1.0f);
  report("algebra_split, zeros", std::abs(o2(1, 1, 0, 3)));

  // What an empty part holds does not matter.
  for (Eigen::Index d = 0; d < 16; ++d) o2(1, 1, 0, d) = NAN;
  tensor<4> again(2, 4, 30, 16);
  heed::merge({{as<"BHLD">(o1), as<"BHL">(lse1)}, {as<"BHLD">(o2), as<"BHL">(lse2)}},
              {.out = as<"BHLD">(again)});
  report("algebra_split, NaN", difference(out, again));

  const tensor<4> d_out = random(2, 4, 30, 16);
  tensor<4> dq(2, 4, 30, 16), dq1(2, 4, 30, 16), dq2(2, 4, 30, 16);
  tensor<4> dk(2, 2, 40, 16), dv(2, 2, 40, 16), whole_dk(2, 2, 40, 16), whole_dv(2, 2, 40, 16);

  // [algebra_backward]
  // Each part with what was merged: weights e^{s - lse} and δ = dO·O are those of the whole.
  const heed::saved merged{as<"BHLD">(out), as<"BHL">(lse)};
  heed::attend_backward(heed::attention{.mask = heed::causal{}, .offset = at}, as<"BHLD">(q),
                        some(k, 0, cut), some(v, 0, cut), merged, as<"BHLD">(d_out),
                        {.dq = as<"BHLD">(dq1), .dk = some(dk, 0, cut), .dv = some(dv, 0, cut)});
  heed::attend_backward(heed::attention{.mask = heed::causal{}, .offset = at - cut}, as<"BHLD">(q),
                        some(k, cut, 40), some(v, cut, 40), merged, as<"BHLD">(d_out),
                        {.dq = as<"BHLD">(dq2), .dk = some(dk, cut, 40), .dv = some(dv, cut, 40)});
  dq = dq1 + dq2;
  // [/algebra_backward]

  tensor<4> whole_dq(2, 4, 30, 16);
  heed::attend_backward(
      heed::attention{.mask = heed::causal{}}, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), {},
      as<"BHLD">(d_out),
      {.dq = as<"BHLD">(whole_dq), .dk = as<"BHLD">(whole_dk), .dv = as<"BHLD">(whole_dv)});
  report("algebra_backward, dq", difference(dq, whole_dq));
  report("algebra_backward, dk", difference(dk, whole_dk));
  report("algebra_backward, dv", difference(dv, whole_dv));

  // [algebra_lse_gradient]
  // Or part by part: dO_r = w_r dO, dlse_r = w_r (dO·O_r - dO·O), with w_r = e^{lse_r - lse}.
  tensor<4> d_o1(o1.dimensions());
  tensor<3> d_lse1(lse1.dimensions());
  for (Eigen::Index b = 0; b < 2; ++b)
    for (Eigen::Index h = 0; h < 4; ++h)
      for (Eigen::Index i = 0; i < 30; ++i) {
        const float w = std::exp(lse1(b, h, i) - lse(b, h, i));
        d_lse1(b, h, i) = 0;
        for (Eigen::Index d = 0; d < 16; ++d) {
          d_o1(b, h, i, d) = w * d_out(b, h, i, d);
          d_lse1(b, h, i) += w * d_out(b, h, i, d) * (o1(b, h, i, d) - out(b, h, i, d));
        }
      }
  heed::attend_backward(heed::attention{.mask = heed::causal{}, .offset = at}, as<"BHLD">(q),
                        some(k, 0, cut), some(v, 0, cut),
                        {.out = as<"BHLD">(o1), .lse = as<"BHL">(lse1)},
                        {as<"BHLD">(d_o1), as<"BHL">(d_lse1)}, {.dq = as<"BHLD">(dq)});
  // [/algebra_lse_gradient]
  report("algebra_lse_gradient", difference(dq, dq1));
}

// A sink as a normaliser, as a slot whose value is zero, and as a part.
void sinks() {
  inputs x;
  auto& [q, k, v, out] = x;
  tensor<4> slot(2, 4, 30, 16), merged(2, 4, 30, 16), nothing(2, 4, 30, 16);
  tensor<3> lse(2, 4, 30), z(2, 4, 30);
  const std::vector<float> logits{0.5f, 0.5f, 0.5f, 0.5f};
  nothing.setZero();
  z.setConstant(0.5f);

  // [algebra_sink]
  // Softmax with e^z in the denominator …
  heed::attend(heed::attention{.normalizer = heed::sink_softmax{logits}}, as<"BHLD">(q),
               as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(out));
  // … is softmax, merged with a part that has nothing to say and weighs e^z.
  heed::attend(heed::attention{}, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
               {.out = as<"BHLD">(slot), .lse = as<"BHL">(lse)});
  heed::merge({{as<"BHLD">(slot), as<"BHL">(lse)}, {as<"BHLD">(nothing), as<"BHL">(z)}},
              {.out = as<"BHLD">(merged)});
  // [/algebra_sink]
  report("algebra_sink", difference(out, merged));

  const tensor<4> more_k = random(2, 2, 3, 16), more_v = random(2, 2, 3, 16);
  tensor<4> whole(2, 4, 30, 16), slots(2, 4, 30, 16);
  tensor<3> lse_slots(2, 4, 30);

  // [algebra_slots]
  // Slots that every query sees beside its keys are a part of their own as well.
  heed::attend(heed::attention{.mask = heed::causal{},
                               .extra = heed::extra_slots{as<"BHLD">(more_k), as<"BHLD">(more_v)}},
               as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(whole));
  heed::attend(heed::attention{.mask = heed::causal{}}, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
               {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)});
  heed::attend(heed::attention{}, as<"BHLD">(q), as<"BHLD">(more_k), as<"BHLD">(more_v),
               {.out = as<"BHLD">(slots), .lse = as<"BHL">(lse_slots)});
  heed::merge({{as<"BHLD">(slots), as<"BHL">(lse_slots)}, {as<"BHLD">(out), as<"BHL">(lse)}},
              {.out = as<"BHLD">(merged)});
  // [/algebra_slots]
  report("algebra_slots", difference(whole, merged));
}

}  // namespace

void algebra() {
  example();
  split();
  sinks();
}

}  // namespace guide
