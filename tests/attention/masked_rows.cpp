// SPDX-License-Identifier: BSL-1.0
// What a mask hides never leaks, and a row that sees nothing is known by it.
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>

#include "support/masks.hpp"

namespace heed::test {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct inputs {
  tensor<> q, k, v;
  inputs(index batch, index queries, index keys, index depth, index value_depth)
      : q(uniform({batch, 2, queries, depth}, 1)),
        k(uniform({batch, 1, keys, depth}, 2)),
        v(uniform({batch, 1, keys, value_depth}, 3)) {}
};

void poison(tensor<>& x, index b, index row, float with) {
  for (index h = 0; h < x.extent[1]; ++h)
    for (index c = 0; c < x.extent[3]; ++c) x.in()(b, h, row, c) = with;
}

bool same_row(const tensor<>& a, const tensor<>& b, index item, index row) {
  bool same = true;
  for (index h = 0; h < a.extent[1]; ++h)
    for (index c = 0; c < a.extent[3]; ++c)
      same = same && a.in()(item, h, row, c) == b.in()(item, h, row, c);
  return same;
}

// Rows that may not see `bad` keys must keep every bit when those keys hold NaN or infinity.
template <class M>
void check_keys_do_not_leak(const M& m, index queries, index keys, const std::vector<index>& bad) {
  for (const index depth : {1, 8, 65}) {
    const inputs clean(1, queries, keys, depth, depth + 3);
    const auto spec = attention{.mask = m};
    const attended want(spec, clean.q, clean.k, clean.v);
    for (const float with : {not_a_number, infinity, -infinity})
      for (const int which : {0, 1, 2}) {
        inputs dirty = clean;
        for (const index key : bad) {
          if (which != 1) poison(dirty.k, 0, key, with);
          if (which != 0) poison(dirty.v, 0, key, with);
        }
        const attended got(spec, dirty.q, dirty.k, dirty.v);
        index checked = 0;
        for (index i = 0; i < queries; ++i) {
          bool sees = false;
          for (const index key : bad) sees = sees || m(at(queries, keys, i, key));
          if (sees) continue;
          ++checked;
          if (!same_row(got.out, want.out, 0, i) || !same_row(got.lse, want.lse, 0, i)) {
            CAPTURE(queries, keys, depth, i, with, which, got.out.in()(0, 0, i),
                    want.out.in()(0, 0, i));
            FAIL("a hidden key leaks");
          }
        }
        REQUIRE(checked > 0);
      }
  }
}

}  // namespace

TEST_CASE("Non-finite keys and values do not leak through causal") {
  check_keys_do_not_leak(causal{}, 60, 60, {59});
  check_keys_do_not_leak(causal{}, 60, 60, {17, 30, 31});
  check_keys_do_not_leak(causal{}, 300, 300, {130, 255, 256, 299});
  check_keys_do_not_leak(causal{}, 5, 300, {297, 299});
  check_keys_do_not_leak(causal{}, 40, 7, {6});
}

TEST_CASE("Non-finite keys and values do not leak through spans on both sides") {
  const auto m = causal{} && (window{.left = 20} || !window{.left = 60});
  check_keys_do_not_leak(m, 150, 150, {0, 40, 100});
  check_keys_do_not_leak(m, 90, 400, {330, 256, 399});
}

TEST_CASE("Non-finite keys and values do not leak through a mask that is asked") {
  check_keys_do_not_leak(where([](const position& p) { return (p.q + p.k) % 3 != 0; }), 70, 300,
                         {3, 258});
}

TEST_CASE("Padding does not leak, and padded rows are zeros") {
  const std::vector<int> of_keys = {40, 0, 300}, of_queries = {50, 70, 0};
  inputs x(3, 70, 300, 8, 8);
  for (index b = 0; b < 3; ++b) {
    for (index k = of_keys[std::size_t(b)]; k < 300; ++k)
      poison(x.k, b, k, not_a_number), poison(x.v, b, k, infinity);
    for (index r = of_queries[std::size_t(b)]; r < 70; ++r) poison(x.q, b, r, not_a_number);
  }
  const attended got(attention{.mask = lengths{of_keys, of_queries}}, x.q, x.k, x.v);
  for (index b = 0; b < 3; ++b)
    for (index i = 0; i < 70; ++i) {
      const bool live = i < of_queries[std::size_t(b)] && of_keys[std::size_t(b)] > 0;
      for (index h = 0; h < 2; ++h) {
        REQUIRE((live ? std::isfinite(got.lse.in()(b, h, i)) : got.lse.in()(b, h, i) == -infinity));
        for (index c = 0; c < 8; ++c) {
          const float o = got.out.in()(b, h, i, c);
          REQUIRE((live ? std::abs(o) <= 1 : o == 0));
        }
      }
    }
}

TEST_CASE("A query that sees no key gives zeros and a log-sum-exp of minus infinity") {
  const auto check = [](const auto& m, index queries, index keys, index first_empty,
                        index last_empty) {
    inputs x(1, queries, keys, 8, 5);
    for (index r = first_empty; r < last_empty; ++r) poison(x.q, 0, r, not_a_number);
    const attended got(attention{.mask = m}, x.q, x.k, x.v);
    for (index i = 0; i < queries; ++i)
      for (index h = 0; h < 2; ++h) {
        const bool empty = first_empty <= i && i < last_empty;
        REQUIRE(
            (empty ? got.lse.in()(0, h, i) == -infinity : std::isfinite(got.lse.in()(0, h, i))));
        for (index c = 0; c < 5; ++c)
          REQUIRE(
              (empty ? got.out.in()(0, h, i, c) == 0 : std::isfinite(got.out.in()(0, h, i, c))));
      }
  };
  check(causal{}, 60, 20, 0, 40);
  check(causal{}, 9, 4, 0, 5);
  check(window{.left = 5}, 10, 0, 0, 10);
  check(causal{}, 1, 0, 0, 1);
}

TEST_CASE("A row of weights that all underflow is not an empty row") {
  inputs x(1, 4, 6, 1, 2);
  for (float& s : x.q.data) s = 100;
  for (float& s : x.k.data) s = -100;
  const attended got(attention{.mask = causal{}}, x.q, x.k, x.v);
  for (index i = 0; i < 4; ++i) {
    CHECK(got.lse.in()(0, 0, i) == Approx(-1e4 + std::log(double(i + 3))));
    double mean = 0;
    for (index k = 0; k < i + 3; ++k) mean += double(x.v.in()(0, 0, k)) / double(i + 3);
    CHECK(got.out.in()(0, 0, i) == Approx(mean).margin(1e-6));
  }
}

}  // namespace heed::test
