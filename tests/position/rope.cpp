// SPDX-License-Identifier: BSL-1.0
#include <heed/position/rope.hpp>
#include <heed/reference/position/rope.hpp>
#include <heed/reference/position/rope_scaling.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::position;

namespace {

heed::reference::vector positions(heed::index count, heed::index from) {
  return heed::reference::vector::LinSpaced(count, double(from), double(from + count - 1));
}
reference::pairing paired(heed::rope_pairs p) {
  return p == heed::rope_pairs::neox ? reference::pairing::neox : reference::pairing::interleaved;
}
// Largest even number of channels, at most `most`.
heed::index even(heed::index channels, heed::index most) {
  return std::min(channels, most) / 2 * 2;
}

const std::vector<lengths>& shapes() {
  static const std::vector<lengths> all{{1, 1, 1, 1, 1, 2, 1},
                                        {2, 4, 2, 7, 12, 9, 3},
                                        {1, 2, 1, 30, 29, 64, 4},
                                        {1, 1, 1, 5, 70, 150, 4}};
  return all;
}

template <class T, class Arch = heed::simd::best>
void agree_rope(heed::rope_pairs pairs, heed::index most) {
  agree_by_head<T, Arch>(
      [&](const lengths& x) {
        const heed::rope r{heed::rotations::yarn(even(x.d, most), 500, 4, 32), pairs};
        return heed::attention{.query = r, .key = r};
      },
      [&](one_head head) {
        const auto f = reference::yarn(even(head.x.d, most), 500, 4, 32);
        head.q = reference::rope(head.q, positions(head.x.lq, head.x.offset()), f, paired(pairs));
        head.k = reference::rope(head.k, positions(head.x.lk, 0), f, paired(pairs));
        return head.attended(head.dot());
      },
      8, 16, shapes());
}

void check_rotation(const heed::rotation& r, const reference::frequencies& f) {
  REQUIRE(r.pairs() == f.theta.size());
  for (heed::index c = 0; c < r.pairs(); ++c)
    CHECK(r.theta[std::size_t(c)] == Approx(f.theta(c)).epsilon(1e-12));
  CHECK(r.magnitude == Approx(f.magnitude).epsilon(1e-12));
}

}  // namespace

TEST_CASE("queries and keys turn by their positions") {
  for (const auto pairs : {heed::rope_pairs::neox, heed::rope_pairs::interleaved})
    for (const heed::index most : {6, 1000}) {
      agree_rope<float>(pairs, most);
      agree_rope<double>(pairs, most);
      agree_rope<float, heed::simd::scalar>(pairs, most);
    }
}

TEST_CASE("rows sit where their ids say") {
  std::vector<heed::index> q_ids, k_ids;
  const auto fill = [](std::vector<heed::index>& ids, heed::index count, heed::index step) {
    ids.clear();
    for (heed::index i = 0; i < count; ++i) ids.push_back((i * step) % 1009 - 17);
  };
  agree_by_head<float>(
      [&](const lengths& x) {
        fill(q_ids, x.b * x.lq, 37), fill(k_ids, x.lk, 113);
        const auto by = heed::rotations::plain(even(x.d, 64));
        return heed::attention{.query = heed::rope{by, {}, {q_ids.data(), {x.b, 1, x.lq, 1}}},
                               .key = heed::rope{by, {}, {k_ids.data(), {1, 1, x.lk, 1}}}};
      },
      [&](one_head head) {
        const auto f = reference::unscaled(even(head.x.d, 64), 10000);
        heed::reference::vector at(head.x.lq), from(head.x.lk);
        for (heed::index i = 0; i < head.x.lq; ++i)
          at(i) = double(q_ids[std::size_t(head.b * head.x.lq + i)]);
        for (heed::index j = 0; j < head.x.lk; ++j) from(j) = double(k_ids[std::size_t(j)]);
        head.q = reference::rope(head.q, at, f, reference::pairing::neox);
        head.k = reference::rope(head.k, from, f, reference::pairing::neox);
        return head.attended(head.dot());
      },
      8, 16, shapes());
}

TEST_CASE("a row among others becomes what its position alone makes of it") {
  constexpr heed::index count = 70, channels = 150, stride = 160, from = -21;
  for (const auto pairs : {heed::rope_pairs::neox, heed::rope_pairs::interleaved}) {
    const heed::rope r{heed::rotations::yarn(140, 10000, 4, 64), pairs};
    const auto x = random<float>({1, 1, count, stride}, 1);
    auto together = x, direct = x;
    using best = heed::simd::best;
    r.rows<best>(together.data.data(), stride, count, channels, {.pos = from});
    for (heed::index i = 0; i < count; ++i)
      r.row<best>(direct.data.data() + i * stride, channels, {.pos = from + i});
    // The same sines to an ulp or so: two products of numbers below 4 and their sum.
    for (std::size_t i = 0; i < x.data.size(); ++i)
      CHECK(together.data[i] == Approx(direct.data[i]).margin(2e-6));
    for (const heed::index first : {1, 11, 37}) {
      auto later = x;
      r.rows<best>(later.data.data() + first * stride, stride, count - first, channels,
                   {.pos = from + first});
      CHECK(std::equal(later.data.begin() + first * stride, later.data.end(),
                       together.data.begin() + first * stride));
    }
  }
}

TEST_CASE("frequencies are those of each scaling") {
  const heed::index r = 64;
  check_rotation(heed::rotations::plain(r), reference::unscaled(r, 10000));
  check_rotation(heed::rotations::linear(r, 10000, 4), reference::linear(r, 10000, 4));
  check_rotation(heed::rotations::ntk(r, 10000, 4), reference::ntk(r, 10000, 4));
  for (const double length : {100.0, 9000.0})
    check_rotation(heed::rotations::dynamic_ntk(r, 10000, 2, length, 4096),
                   reference::dynamic_ntk(r, 10000, 2, length, 4096));
  check_rotation(heed::rotations::yarn(r, 10000, 8, 4096), reference::yarn(r, 10000, 8, 4096));
  check_rotation(heed::rotations::llama3(r, 500000, 8, 1, 4, 8192),
                 reference::llama3(r, 500000, 8, 1, 4, 8192));
  std::vector<double> factors;
  for (int c = 0; c < 32; ++c) factors.push_back(1 + 0.3 * c);
  check_rotation(heed::rotations::longrope(r, 10000, factors, 32, 4096),
                 reference::longrope(
                     r, 10000, Eigen::Map<const Eigen::VectorXd>(factors.data(), 32), 32, 4096));
}

TEST_CASE("the inverse undoes a rotation, and a rotated row can be moved on") {
  const heed::rope r{heed::rotations::yarn(32, 10000, 4, 64), heed::rope_pairs::interleaved};
  const auto x = random<float>({1, 1, 1, 40}, 1);
  auto there = x, direct = x;
  r.row<heed::simd::best>(there.data.data(), 40, {.pos = 1000});
  r.row<heed::simd::best>(direct.data.data(), 40, {.pos = 1250});
  auto back = there;
  r.inverse().row<heed::simd::best>(back.data.data(), 40, {.pos = 1000});
  r.advance(there.data.data(), 250);
  for (std::size_t c = 0; c < 40; ++c) {
    CHECK(back.data[c] == Approx(x.data[c]).margin(1e-6));
    CHECK(there.data[c] == Approx(direct.data[c]).margin(1e-6));
  }
}

TEST_CASE("rope refuses what does not fit") {
  const auto eight = heed::rotations::plain(8);
  check_refused(heed::attention{.query = heed::rope{eight}},
                "heed::rope: 4 pairs do not fit in 6 channels");
  const auto by = heed::rotations::plain(6);
  const std::vector<heed::index> ids(20);
  check_refused(heed::attention{.key = heed::rope{by, {}, {ids.data(), {1, 1, 3, 1}}}},
                "ids are [1, 1, 3, 1] for 5 rows");
  check_refused(heed::attention{.key = heed::rope{by, {}, {ids.data(), {3, 1, 5, 1}}}},
                "for a batch of 2");
  CHECK_THROWS_WITH(heed::rotations::plain(7), Catch::Matchers::ContainsSubstring("must be even"));
  CHECK_THROWS_WITH(heed::rotations::plain(8, -1),
                    Catch::Matchers::ContainsSubstring("base positive"));
  CHECK_THROWS_WITH(heed::rotations::ntk(2, 10000, 2),
                    Catch::Matchers::ContainsSubstring("more than 2"));
  CHECK_THROWS_WITH(heed::rotations::longrope(8, 10000, {1, 2}, 2, 64),
                    Catch::Matchers::ContainsSubstring("2 factors for 4 pairs"));
  CHECK_THROWS_WITH(heed::rotations::llama3(8, 10000, 2, 4, 1, 64),
                    Catch::Matchers::ContainsSubstring("low < high"));
  const auto positive = Catch::Matchers::ContainsSubstring("must be positive");
  CHECK_THROWS_WITH(heed::rotations::linear(8, 10000, 0), positive);
  CHECK_THROWS_WITH(heed::rotations::ntk(8, 10000, -2), positive);
  CHECK_THROWS_WITH(heed::rotations::dynamic_ntk(8, 10000, 2, 100, 0), positive);
  CHECK_THROWS_WITH(heed::rotations::yarn(8, 10000, 4, -1), positive);
  CHECK_THROWS_WITH(heed::rotations::llama3(8, 10000, 0, 1, 4, 64), positive);
  CHECK_THROWS_WITH(heed::rotations::longrope(8, 10000, {1, 1, 1, 1}, std::nan(""), 64), positive);
}
