// SPDX-License-Identifier: BSL-1.0
// Vector loads of stored elements against one conversion at a time, bit for bit.
#include <bit>
#include <heed/simd/widen.hpp>

#include "simd/buffer.hpp"
#include "support/catch.hpp"

using namespace heed::test;
namespace simd = heed::simd;

namespace {

// Bits, and whether both are NaN: a conversion may set the quiet bit.
bool same(float a, float b) {
  return std::isnan(a) ? std::isnan(b)
                       : std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

template <class Arch, class S> void check_all_bits() {
  constexpr heed::index W = simd::width<float, Arch>;
  std::vector<S> x;
  for (unsigned bits = 0; bits < 65536; ++bits) x.push_back(S{static_cast<std::uint16_t>(bits)});
  float lanes[W];
  // By steps that leave the vectors unaligned.
  for (std::size_t i = 0; i + W <= x.size(); i += W == 1 ? 1 : W - 1) {
    simd::store(lanes, simd::widen<float, Arch>(x.data() + i));
    for (heed::index n = 0; n < W; ++n)
      REQUIRE(same(lanes[n], simd::widened(x[i + static_cast<std::size_t>(n)])));
  }
}

template <class T, class Arch, class S> void check_first(const std::vector<S>& all) {
  constexpr heed::index W = simd::width<T, Arch>;
  T lanes[W];
  for (heed::index count = 0; count <= W; ++count) {
    const std::vector<S> some(all.begin(), all.begin() + count);
    simd::store(lanes, simd::widen_first<T, Arch>(some.data(), count));
    for (heed::index n = 0; n < W; ++n)
      CHECK(lanes[n] == (n < count ? T(simd::widened(some[static_cast<std::size_t>(n)])) : T(0)));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("widen: every half and bfloat", "", simd::best, simd::scalar) {
  check_all_bits<TestType, simd::half>();
  check_all_bits<TestType, simd::bfloat>();
}

TEMPLATE_TEST_CASE("widen: every code", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  std::vector<std::int8_t> x;
  for (int code = -128; code < 128; ++code) x.push_back(static_cast<std::int8_t>(code));
  T lanes[W];
  for (std::size_t i = 0; i + W <= x.size(); ++i) {
    simd::store(lanes, simd::widen<T, Arch>(x.data() + i));
    for (heed::index n = 0; n < W; ++n)
      REQUIRE(lanes[n] == static_cast<T>(x[i + static_cast<std::size_t>(n)]));
  }
}

TEMPLATE_TEST_CASE("widen_first: zeros beyond, nothing else read", "", simd::best, simd::scalar) {
  std::vector<simd::half> half;
  std::vector<simd::bfloat> bfloat;
  std::vector<float> single;
  std::vector<double> twice;
  for (int i = 1; i <= 16; ++i) {
    const float x = float(i) / 4;
    half.push_back({simd::to_half(x)}), bfloat.push_back({simd::to_bfloat(x)});
    single.push_back(x), twice.push_back(x);
  }
  check_first<float, TestType>(half);
  check_first<float, TestType>(bfloat);
  check_first<float, TestType>(single);
  check_first<double, TestType>(twice);
}
