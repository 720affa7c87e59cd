// SPDX-License-Identifier: BSL-1.0
// Tiles of neighbourhoods, counted pair by pair.
#include <heed/neighborhood/simulate.hpp>
#include <map>

#include "support/catch.hpp"
#include "support/grids.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
using heed::neighborhood;
using heed::simulate;

namespace {

template <int N> struct counted {
  heed::index visited = 0, dense = 1, pairs = 0;
  bool perfect = true;

  using sizes = std::array<heed::index, N>;
  // A tile: its group along each axis and its place there.
  using tile = std::array<heed::index, 2 * N>;

  counted(const neighborhood<N>& grid, const sizes& tile_q, const sizes& tile_kv) {
    const auto tile_of = [&](heed::index token, const sizes& each) {
      const sizes at = grid.place(token);
      tile t{};
      for (std::size_t n = 0; n < N; ++n)
        t[n] = at[n] % grid.dilation[n], t[N + n] = at[n] / grid.dilation[n] / each[n];
      return t;
    };
    std::map<std::pair<tile, tile>, heed::index> met;
    for (heed::index q = 0; q < grid.tokens(); ++q)
      for (const heed::index k : heed::reference::neighborhood::seen(axes_of(grid), q))
        ++met[{tile_of(q, tile_q), tile_of(k, tile_kv)}], ++pairs;
    visited = heed::index(met.size());
    heed::index whole = 1;
    for (std::size_t n = 0; n < N; ++n) {
      dense *= ((grid.size[n] - 1) / tile_q[n] + 1) * ((grid.size[n] - 1) / tile_kv[n] + 1);
      whole *= tile_q[n] * tile_kv[n];
    }
    for (const auto& [which, seen] : met) perfect &= seen == whole;
  }
};

template <int N>
void check(const neighborhood<N>& grid, const std::array<heed::index, N>& tile_q,
           const std::array<heed::index, N>& tile_kv) {
  const counted<N> expected(grid, tile_q, tile_kv);
  const heed::neighborhood_tiles got = simulate(grid, tile_q, tile_kv);
  CHECK(got.visited == expected.visited);
  CHECK(got.dense == expected.dense);
  CHECK(got.pairs == expected.pairs);
  CHECK(got.perfect() == expected.perfect);
  CHECK(got.speedup() == double(expected.dense) / double(expected.visited));
}

}  // namespace

TEST_CASE("every axis of up to 12 tokens, by tiles up to 4") {
  long perfect = 0;
  for (heed::index size = 1; size <= 12; ++size)
    for (heed::index dilation = 1; dilation <= std::min<heed::index>(size, 3); ++dilation)
      for (heed::index window = 1; window * dilation <= size; ++window)
        for (heed::index stride = 1; stride <= window; ++stride)
          for (heed::index tq = 1; tq <= 4; ++tq)
            for (heed::index tk = 1; tk <= 4; ++tk)
              for (const bool causal : {false, true}) {
                const neighborhood<1> grid{{size}, {window}, {stride}, {dilation}, {causal}};
                const heed::neighborhood_tiles got = simulate<1>(grid, {tq}, {tk});
                const counted<1> expected(grid, {tq}, {tk});
                if (got.visited != expected.visited || got.dense != expected.dense ||
                    got.pairs != expected.pairs || got.perfect() != expected.perfect)
                  FAIL("size " << size << " window " << window << " stride " << stride
                               << " dilation " << dilation << " tiles " << tq << ", " << tk);
                if (causal) continue;
                perfect += got.perfect();
                if (got.perfect()) CHECK(window % tk == 0);
                const bool ends = dilation == 1 && size % tq == 0 && size % tk == 0;
                const bool aligned = (window / 2 - stride / 2) % tk == 0 && stride % tk == 0;
                if (ends && aligned && stride % tq == 0 && window % tk == 0 && size % stride == 0)
                  CHECK(got.perfect());
              }
  CHECK(perfect > 100);
}

TEST_CASE("tiles of maps and volumes") {
  draws from(20);
  for (int n = 0; n < 150; ++n) {
    check<2>(draw_windows<2>({from.from(1, 9), from.from(1, 12)}, from),
             {from.from(1, 4), from.from(1, 5)}, {from.from(1, 5), from.from(1, 4)});
    check<3>(draw_windows<3>({from.from(1, 4), from.from(1, 5), from.from(1, 6)}, from),
             {from.from(1, 3), from.from(1, 3), from.from(1, 3)},
             {from.from(1, 3), from.from(1, 3), from.from(1, 3)});
  }
}

TEST_CASE("blocks and strides of tiles are perfect") {
  const auto blocks = simulate<2>({{32, 32}, {8, 8}, {8, 8}}, {8, 8}, {4, 8});
  CHECK(blocks.perfect());
  CHECK(blocks.visited == 32);
  CHECK(blocks.speedup() == 16);
  // A window of three strides begins at a tile, one of two in the middle of it.
  CHECK(simulate<1>({{32}, {12}, {4}}, {4}, {4}).perfect());
  const auto two = simulate<1>({{32}, {8}, {4}}, {4}, {4});
  CHECK(!two.perfect());
  CHECK(two.visited == 2 + 6 * 3 + 2);
  CHECK(two.useful() == Approx(16. / 22));
  CHECK(simulate<1>({{32}, {8}, {4}}, {4}, {2}).perfect());
  CHECK(!simulate<1>({{32}, {12}}, {4}, {4}).perfect());
  CHECK(simulate<1>({{32}, {32}}, {8}, {16}).speedup() == 1);
  CHECK(simulate<1>({{8}, {4}}, {std::numeric_limits<heed::index>::max()}, {4}).dense == 2);
}

TEST_CASE("simulate refuses what has no meaning") {
  CHECK_THROWS_WITH(simulate<2>({{4, 5}, {3, 6}}, {1, 1}, {1, 1}),
                    ContainsSubstring("heed::neighborhood: axis 1 is shorter than its window"));
  CHECK_THROWS_WITH(simulate<2>({{4, 5}, {3, 3}}, {1, 0}, {1, 1}),
                    ContainsSubstring("heed::simulate: axis 1 has tiles below 1: 0 and 1"));
  CHECK_THROWS_WITH(simulate<1>({{0}, {1}}, {1}, {1}), ContainsSubstring("axis 0 is empty"));
}
