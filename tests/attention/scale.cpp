// SPDX-License-Identifier: BSL-1.0
// `attention::scale` of any size and sign, whoever applies it: the queries, the normaliser or both.
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/signed_softmax.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/reference/attend.hpp>
#include <heed/score/softcap.hpp>
#include <heed/similarity/additive.hpp>

#include "support/attend.hpp"

namespace heed::test {
namespace {

constexpr index heads = 2, rows = 61, keys = 70, depth = 12;
const double scales[] = {
    0.08838834764831845, 0.5, 0.70710678118654752, 0.7071068, 1.7, -0.3, -4, 1e-3, 0};

// In double, so that a factor lost or taken twice is far above the rounding.
template <class Spec> void compare(Spec spec) {
  const auto q = random<double>({1, heads, rows, depth}, 1),
             k = random<double>({1, heads, keys, depth}, 2),
             v = random<double>({1, heads, keys, 5}, 3);
  constexpr bool has = has_lse<decltype(Spec::normalizer)>;
  for (const double scale : scales) {
    spec.scale = scale;
    auto out = unwritten<double>({1, heads, rows, 5}), expected = out;
    auto lse = unwritten<double>({1, heads, rows, 1}), expected_lse = lse;
    outputs to{.out = out.in()}, plain{.out = expected.in()};
    if (has) to.lse = lse.in(), plain.lse = expected_lse.in();
    attend(spec, q.in(), k.in(), v.in(), to);
    reference::attend(spec, q.in(), k.in(), v.in(), plain);
    for (index h = 0; h < heads; ++h) {
      const std::string where = "scale " + std::to_string(scale) + ", head " + std::to_string(h);
      const double largest = std::max(1.0, 16 * std::abs(scale));
      check_close(out.head(0, h), expected.head(0, h), tolerance<double>(32, depth, largest),
                  where);
      if (has)
        check_close(lse.head(0, h), expected_lse.head(0, h), tolerance<double>(8, depth, largest),
                    where + ", lse");
    }
  }
}

}  // namespace

TEST_CASE("a scale is a power of two and a rest next to one") {
  for (const double scale : scales) {
    const detail::split_scale x = detail::parted(scale);
    CAPTURE(scale);
    CHECK(x.exact * x.rest == scale);
    CHECK((x.rest > 0.7071067 && x.rest < 1.4142137));
    int exponent = 0;
    CHECK((scale == 0 || std::abs(std::frexp(x.exact, &exponent)) == 0.5));
  }
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(detail::parted(-infinity).exact == -infinity);
  CHECK(detail::parted(0.125).rest == 1);
}

TEST_CASE("any scale, where the normaliser takes a part") {
  compare(attention{.mask = causal{}});
  compare(attention{});
  const std::vector<double> logits{1.5, -2};
  compare(attention{.mask = causal{}, .normalizer = sink_softmax{logits}});
  compare(attention{.mask = causal{}, .normalizer = signed_softmax{}});
}

TEST_CASE("any scale, where scores must be whole") {
  compare(attention{.mask = causal{}, .score = softcap{2}});
  compare(attention{.mask = causal{}, .normalizer = sigmoid{-1}});
  const std::vector<double> weight(depth, 0.7);
  compare(attention{.mask = causal{}, .similarity = additive{.weight = weight}});
}

}  // namespace heed::test
