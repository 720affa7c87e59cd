// SPDX-License-Identifier: BSL-1.0
#include <heed/score/alibi.hpp>
#include <heed/score/any_score.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/key_bias.hpp>
#include <heed/score/relative_bias.hpp>
#include <heed/score/softcap.hpp>

#include "support/scores.hpp"

using namespace heed::test;

namespace {

// 1/√D is a power of two: else its rest goes to softmax without a score function, to q with one.
constexpr heed::index B = 2, H = 4, Hkv = 2, Lq = 37, Lk = 141, D = 16;

// What `score` gives, bit by bit.
template <class T, class Arch = heed::simd::best, class Score>
std::vector<T> attended(const Score& score) {
  const auto q = random<T>({B, H, Lq, D}, 1), k = random<T>({B, Hkv, Lk, D}, 2),
             v = random<T>({B, Hkv, Lk, D}, 3);
  auto out = unwritten<T>({B, H, Lq, D});
  heed::attend<Arch>(heed::attention{.score = score}, q.in(), k.in(), v.in(), out.in());
  return out.data;
}

}  // namespace

TEST_CASE("any_score gives the bits of what it holds") {
  const auto b = random<float>({B, H, Lq, Lk}, 4), t = random<float>({1, H, 32, 1}, 5),
             kb = random<float>({1, Hkv, Lk, 1}, 6);
  const auto slopes = heed::alibi_slopes(H);
  const auto score = heed::softcap{3} | heed::bias{b.in()} | heed::key_bias{kb.in(), 2} |
                     heed::relative_bias::t5(t.in(), heed::bucket_order::bidirectional) |
                     heed::alibi{slopes};
  const heed::any_score erased(score);
  CHECK(attended<float>(erased) == attended<float>(score));
  CHECK(attended<double>(erased) == attended<double>(score));
}

TEST_CASE("any_score is chosen at run time, and chains") {
  const std::vector<heed::any_score> parts{
      heed::any_score{}, heed::softcap{2},
      [](auto s, auto at) { return s + (at.k - at.q) * 0.125f; },
      [](float s, const heed::position& at) { return s + 0.5f * float(at.row % 3 + at.h); }};
  const auto whole = heed::softcap{2} | [](auto s, auto at) {
    return s + (at.k - at.q) * 0.125f;
  } | [](float s, const heed::position& at) { return s + 0.5f * float(at.row % 3 + at.h); };
  const auto chained = parts[0] | parts[1] | parts[2] | parts[3];
  CHECK(attended<float>(chained) == attended<float>(whole));
  CHECK(attended<float>(parts[0]) == attended<float>(heed::none{}));
}

TEST_CASE("any_score on another arch is called element by element") {
  const auto b = random<float>({B, H, Lq, Lk}, 4);
  const auto score = heed::softcap{3} | heed::bias{b.in()};
  CHECK(attended<float, heed::simd::scalar>(heed::any_score(score)) ==
        attended<float, heed::simd::scalar>(score));
}

TEST_CASE("any_score refuses what its modifier refuses") {
  check_refused(heed::attention{.score = heed::any_score(heed::softcap{-1})},
                "heed::softcap: the cap must be positive");
}
