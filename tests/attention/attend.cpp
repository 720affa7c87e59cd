// SPDX-License-Identifier: BSL-1.0
// The engine against a plain double loop: shapes, strides, precision, NaN in all it must not read.
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>

#include "support/catch.hpp"
#include "support/operands.hpp"
#include "support/plain.hpp"

using namespace heed::test;

namespace {

struct shape {
  heed::index batch, heads, kv_heads, queries, keys, depth, value_depth;
};
std::ostream& operator<<(std::ostream& to, const shape& s) {
  return to << "B " << s.batch << ", H " << s.heads << "/" << s.kv_heads << ", L " << s.queries
            << " x " << s.keys << ", D " << s.depth << ", Dv " << s.value_depth;
}

heed::workspace& poisoned() {
  static heed::workspace scratch;
  scratch.for_each_arena([](heed::arena& a) {
    std::fill_n(reinterpret_cast<unsigned char*>(a.data()), a.capacity(),
                static_cast<unsigned char>(0xff));
  });
  return scratch;
}

template <class T, class Arch, class Mask> void check(const shape& s, const layout& how = {}) {
  static engine random(17);
  const auto q = input<T>({s.batch, s.heads, s.queries, s.depth}, how, random);
  const auto k = input<T>({s.batch, s.kv_heads, s.keys, s.depth}, how, random);
  const auto v = input<T>({s.batch, s.kv_heads, s.keys, s.value_depth}, how, random);
  auto out = output<T>({s.batch, s.heads, s.queries, s.value_depth}, how, random);
  auto lse = output<T>({s.batch, s.heads, s.queries, 1}, how, random);
  const heed::attention<Mask> spec;
  heed::attend<Arch>(spec, q.read(), k.read(), v.read(),
                     {.out = out.mutable_view(), .lse = lse.mutable_view()}, {}, poisoned());

  INFO(s << ", permuted " << how.permuted << ", strided channels " << how.strided_channels
         << ", reversed " << how.reversed << ", broadcast " << how.broadcast);
  constexpr bool causal = std::is_same_v<Mask, heed::causal>;
  // Rounding of sums of `depth` and `keys` terms of order 1, and of a few ulp in each weight.
  const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
  const double tolerance = 16 * eps * (1 + std::sqrt(static_cast<double>(s.depth)));
  check_close(out.read(), plain(q.read(), k.read(), v.read(), causal), tolerance);
  double worst = 0;
  for (heed::index b = 0; b < s.batch; ++b)
    for (heed::index h = 0; h < s.heads; ++h)
      for (heed::index i = 0; i < s.queries; ++i) {
        const double expected = plain_lse(q.read(), k.read(), b, h, i, causal);
        const double got = static_cast<double>(lse.read()(b, h, i));
        const bool both_empty = std::isinf(expected) && got == expected;
        const double error = both_empty ? 0 : std::abs(got - expected);
        worst =
            std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(worst, error);
      }
  CHECK(worst <= 8 * tolerance);
  CHECK(rest_untouched(out));
  CHECK(rest_untouched(lse));
}

const std::vector<shape> shapes{
    {1, 1, 1, 1, 1, 1, 1},       {1, 1, 1, 1, 2, 16, 16},     {2, 3, 3, 5, 7, 11, 13},
    {1, 2, 1, 17, 19, 8, 8},     {1, 1, 1, 23, 24, 16, 16},   {1, 1, 1, 24, 24, 16, 16},
    {1, 1, 1, 25, 24, 16, 16},   {2, 8, 2, 31, 37, 64, 64},   {1, 6, 1, 49, 97, 32, 40},
    {3, 4, 4, 97, 61, 20, 12},   {1, 1, 1, 100, 255, 16, 16}, {1, 1, 1, 100, 256, 16, 16},
    {1, 1, 1, 100, 257, 16, 16}, {1, 2, 2, 3, 1021, 24, 24},  {1, 24, 1, 1, 130, 64, 64},
    {1, 40, 2, 2, 67, 16, 16},   {1, 1, 1, 211, 769, 5, 3},   {2, 2, 2, 127, 127, 128, 128},
    {1, 1, 1, 53, 3, 7, 9},      {1, 1, 1, 300, 1, 4, 4}};

const std::vector<shape> empty_shapes{
    {0, 2, 2, 3, 4, 5, 6}, {2, 0, 2, 3, 4, 5, 6},    {2, 2, 2, 0, 4, 5, 6}, {2, 2, 2, 3, 0, 5, 6},
    {2, 2, 2, 3, 4, 5, 0}, {1, 4, 2, 60, 0, 64, 64}, {0, 0, 0, 0, 0, 1, 0}};

}  // namespace

TEST_CASE("shapes of one, primes and tails; grouped and shared heads") {
  for (const shape& s : shapes) {
    check<float, heed::simd::best, heed::full>(s);
    check<float, heed::simd::best, heed::causal>(s);
  }
}

TEST_CASE("every depth of keys with every depth of values") {
  const heed::index depths[] = {1, 2, 3, 5, 8, 33, 64, 80, 512};
  for (heed::index d : depths)
    for (heed::index dv : depths) {
      check<float, heed::simd::best, heed::full>({1, 2, 1, 7, 29, d, dv});
      check<float, heed::simd::best, heed::causal>({1, 1, 1, 61, 50, d, dv});
    }
}

TEST_CASE("no keys give zeros and -inf, no queries nothing") {
  for (const shape& s : empty_shapes) {
    check<float, heed::simd::best, heed::full>(s);
    check<float, heed::simd::best, heed::causal>(s);
    check<double, heed::simd::best, heed::causal>(s);
    check<float, heed::simd::scalar, heed::causal>(s);
  }
}

TEST_CASE("any strides") {
  for (int bits = 0; bits < 16; ++bits)
    for (const shape& s : {shape{2, 4, 2, 21, 35, 13, 9}, shape{1, 2, 2, 70, 300, 16, 16},
                           shape{2, 2, 1, 3, 5, 33, 64}})
      for (int repeat = 0; repeat < 3; ++repeat) {
        const layout how{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
        check<float, heed::simd::best, heed::full>(s, how);
        check<float, heed::simd::best, heed::causal>(s, how);
        check<double, heed::simd::best, heed::causal>(s, how);
      }
}

TEST_CASE("rows far apart") {
  for (const shape& s : {shape{1, 4, 4, 40, 70, 16, 16}, shape{1, 1, 1, 5, 300, 8, 8}}) {
    engine random(3);
    std::vector<float> memory(static_cast<std::size_t>(300 * 600));
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& x : memory) x = uniform(random);
    const auto fused = [&](heed::index heads, heed::index rows, heed::index first) {
      return heed::view<const float>(memory.data() + first, {1, heads, rows, s.depth},
                                     {0, s.depth, 600, 1});
    };
    const auto q = fused(s.heads, s.queries, 0), k = fused(s.heads, s.keys, 200),
               v = fused(s.heads, s.keys, 400);
    std::vector<float> out(static_cast<std::size_t>(s.heads * s.queries * s.depth), std::nanf(""));
    const heed::view<float> to(out.data(), {1, s.heads, s.queries, s.depth});
    heed::attend(heed::attention<>{}, q, k, v, to);
    check_close(to, plain(q, k, v, false));
  }
}

TEST_CASE("in double, and on one lane") {
  for (const shape& s : shapes) {
    check<double, heed::simd::best, heed::causal>(s);
    if (s.queries * s.keys < 40000) check<float, heed::simd::scalar, heed::causal>(s);
  }
}
