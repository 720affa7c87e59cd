// SPDX-License-Identifier: BSL-1.0
// What must hold of any call: items of a batch do not touch each other, an observer sees every row
// once, scratch stays small and is not grown by a second call.
#include <algorithm>
#include <cmath>
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <set>
#include <vector>

#include "support/catch.hpp"

using heed::view;

namespace {

std::vector<float> values(heed::index n, int seed) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = std::sin(0.37f * static_cast<float>(i) + static_cast<float>(seed) * 1.7f);
  return x;
}

struct rows_seen final : heed::observer {
  std::set<std::vector<heed::index>> rows;
  std::vector<double> lse;
  bool twice = false;
  void row(const heed::row_position& at, const heed::row_end& end) override {
    twice |= !rows.insert({at.b, at.h, at.row}).second;
    CHECK(at.pos == at.row + 3);
    lse.push_back(end.max * heed::simd::ln2 + std::log(end.sum));
  }
};

}  // namespace

TEST_CASE("Permuting the batch permutes the output") {
  const heed::index B = 5, H = 2, L = 31, D = 12, item = H * L * D;
  const auto q = values(B * item, 1), k = values(B * item, 2), v = values(B * item, 3);
  std::vector<float> out(q.size()), permuted(q.size());
  const heed::extents shape{B, H, L, D}, strides = heed::row_major(shape);
  heed::extents reversed = strides;
  reversed[0] = -item;
  const auto last = (B - 1) * item;
  const heed::attention spec{.mask = heed::causal{}};
  heed::attend(spec, view<const float>(q.data(), shape), view<const float>(k.data(), shape),
               view<const float>(v.data(), shape), view<float>(out.data(), shape));
  heed::attend(spec, view<const float>(q.data() + last, shape, reversed),
               view<const float>(k.data() + last, shape, reversed),
               view<const float>(v.data() + last, shape, reversed),
               view<float>(permuted.data() + last, shape, reversed));
  CHECK(out == permuted);
}

TEST_CASE("An observer sees every row once, with its log-sum-exp") {
  const heed::index B = 2, H = 4, Lq = 30, Lk = 33, D = 8;
  const auto q = values(B * H * Lq * D, 1), k = values(B * 2 * Lk * D, 2);
  std::vector<float> out(q.size()), lse(static_cast<std::size_t>(B * H * Lq));
  rows_seen seen;
  heed::attend(heed::attention{}, view<const float>(q.data(), {B, H, Lq, D}),
               view<const float>(k.data(), {B, 2, Lk, D}),
               view<const float>(k.data(), {B, 2, Lk, D}),
               {.out = view<float>(out.data(), {B, H, Lq, D}),
                .lse = view<float>(lse.data(), {B, H, Lq, 1}),
                .observe = &seen});
  CHECK_FALSE(seen.twice);
  REQUIRE(seen.rows.size() == lse.size());
  std::vector<double> sorted(lse.begin(), lse.end());
  std::sort(sorted.begin(), sorted.end());
  std::sort(seen.lse.begin(), seen.lse.end());
  for (std::size_t i = 0; i < sorted.size(); ++i)
    CHECK(seen.lse[i] == Approx(sorted[i]).margin(1e-5));
}

TEST_CASE("Scratch is small, and a second call needs no more") {
  const heed::index H = GENERATE(1, 8), D = GENERATE(64, 128, 512), L = 700;
  const auto q = values(H * L * D, 1);
  std::vector<float> out(q.size());
  const heed::extents shape{1, H, L, D};
  heed::workspace scratch;
  const auto call = [&] {
    heed::attend(heed::attention{.mask = heed::causal{}}, view<const float>(q.data(), shape),
                 view<const float>(q.data(), shape), view<const float>(q.data(), shape),
                 view<float>(out.data(), shape), heed::serial{}, scratch);
  };
  call();
  const std::size_t first = scratch.capacity();
  const auto packed = static_cast<std::size_t>((L + 512) * 2 * D) * sizeof(float);
  CHECK(first < (std::size_t{4} << 20) + packed);
  call();
  CHECK(scratch.capacity() == first);
}
