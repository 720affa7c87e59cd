// SPDX-License-Identifier: BSL-1.0
// A mask, a score function, a normaliser and an operator of one's own, each checked against the
// oracle. docs/design.md shows the regions.
#include <heed/mask/window.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/reference/attend.hpp>
#include <heed/score/softcap.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

// [mask]
// A token of an image sees its own row of `width` pixels.
struct same_row {
  heed::index width = 1;

  static constexpr bool exact = true;
  constexpr bool operator()(const heed::position& at) const {
    return at.q >= 0 && at.q / width == at.k / width;  // negative: more queries than keys
  }
  template <class F>
  constexpr void intervals(const heed::position& at, heed::index keys, F emit) const {
    const heed::index first = at.q / width * width;
    const heed::span s{first, std::min(first + width, keys)};
    if (at.q >= 0 && !s.empty()) emit(s);
  }
  void check(const heed::problem_shape&) const {
    if (width < 1) heed::check::fail("same_row", "width must be positive");
  }
};
// [/mask]

// [score]
// s - a·log(1 + |q - k|): the further, the less, but ever more slowly.
struct log_distance {
  double a = 1;

  template <class S, class At> HEED_INLINE S operator()(const S& s, const At& at) const {
    namespace simd = heed::simd;
    const S apart = simd::abs(S(S(at.q) - S(at.k)));
    return s - simd::constant<S>(a) * simd::log(S(apart + simd::constant<S>(1)));
  }
  void check(const heed::problem_shape&) const {
    if (!(a >= 0)) heed::check::fail("log_distance", "a must not be negative");
  }
};
// [/score]

// [normalizer]
// p_ij = s_ij² / Σ_j s_ij². Rows that sum to zero give zeros.
struct squares {
  static constexpr heed::divisor by = heed::divisor::sum;
  template <class B> B weight(const B& s) const { return s * s; }
};
// [/normalizer]

// [operator]
// The local layers of Gemma 2: a causal window and capped scores.
inline auto capped_window(heed::index left, double cap) {
  return heed::attention{.mask = heed::window{.left = left}, .score = heed::softcap{cap}};
}
// [/operator]

namespace {

// Largest distance to the oracle, 2 query heads on 1 key head.
template <class Spec> bool agrees(const char* name, const Spec& spec) {
  const heed::index rows = 100, depth = 20;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  const auto filled = [&](heed::index heads) {
    std::vector<float> x(static_cast<std::size_t>(heads * rows * depth));
    for (float& value : x) value = normal(random);
    return x;
  };
  const std::vector<float> q = filled(2), k = filled(1), v = filled(1);
  std::vector<float> out(q.size()), expected(q.size());
  const heed::extents wide{1, 2, rows, depth}, narrow{1, 1, rows, depth};
  const heed::view<const float> qs(q.data(), wide), ks(k.data(), narrow), vs(v.data(), narrow);
  heed::attend(spec, qs, ks, vs, heed::view<float>(out.data(), wide));
  heed::reference::attend(spec, qs, ks, vs, heed::view<float>(expected.data(), wide));

  float worst = 0;
  for (std::size_t i = 0; i < out.size(); ++i)
    worst = std::max(worst, std::abs(out[i] - expected[i]));
  std::printf("%-14s off by at most %.1e\n", name, static_cast<double>(worst));
  return worst < 1e-5f;
}

}  // namespace

int main() {
  bool right = agrees("same_row", heed::attention{.mask = same_row{12}});
  right = agrees("log_distance", heed::attention{.score = log_distance{0.5}}) && right;
  right = agrees("squares", heed::attention{.normalizer = squares{}}) && right;
  right = agrees("capped_window", capped_window(16, 30)) && right;
  return right ? 0 : 1;
}
