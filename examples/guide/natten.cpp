// SPDX-License-Identifier: BSL-1.0
// natten.na1d, na2d and na3d, the unfused halves, and the simulator.
#include <heed/kv/extra.hpp>
#include <heed/mask/where.hpp>
#include <heed/neighborhood/natten.hpp>
#include <heed/neighborhood/relative_position_bias.hpp>
#include <heed/neighborhood/simulate.hpp>
#include <heed/neighborhood/unfused.hpp>
#include <heed/reference/neighborhood/natten.hpp>

#include <vector>

#include "checked.hpp"

namespace guide {

namespace {

using heed::as;

constexpr Eigen::Index height = 12, width = 18;

// Who sees whom, by the definition in plain code.
auto seen(const heed::reference::neighborhood::axes& grid) {
  std::vector<bool> pairs(std::size_t(height * width * height * width));
  for (Eigen::Index q = 0; q < height * width; ++q)
    for (const Eigen::Index k : heed::reference::neighborhood::seen(grid, q))
      pairs[std::size_t(q * height * width + k)] = true;
  return heed::where(
      [pairs](heed::position at) { return pairs[std::size_t(at.q * height * width + at.k)]; });
}

struct images {
  tensor<5> q = random(1, height, width, 2, 16), k = random(1, height, width, 2, 16);
  tensor<5> v = random(1, height, width, 2, 16), out = tensor<5>(1, height, width, 2, 16);

  images() { out.setConstant(NAN); }
  template <class Spec> void check(const char* name, const Spec& spec) {
    tensor<5> expected(1, height, width, 2, 16);
    heed::reference::attend(spec, as<"BLLHD">(q), as<"BLLHD">(k), as<"BLLHD">(v),
                            as<"BLLHD">(expected));
    report(name, difference(out, expected));
    out.setConstant(NAN);
  }
};

void fused() {
  images x;
  auto& [q, k, v, out] = x;

  // [natten_2d]
  // na2d(q, k, v, kernel_size=7): [B,Y,X,H,D], the axis order of NATTEN.
  const heed::attention spec{.mask = heed::neighborhood<2>{{height, width}, {7, 7}}};
  heed::attend(spec, as<"BLLHD">(q), as<"BLLHD">(k), as<"BLLHD">(v), as<"BLLHD">(out));
  // [/natten_2d]
  x.check("natten_2d", heed::attention{.mask = seen({{height, 7}, {width, 7}})});

  // [natten_options]
  // na2d(q, k, v, kernel_size=(3, 4), stride=(1, 2), dilation=(2, 3), is_causal=(True, False))
  const heed::attention options{.mask = heed::neighborhood<2>{.size = {height, width},
                                                              .window = {3, 4},
                                                              .stride = {1, 2},
                                                              .dilation = {2, 3},
                                                              .causal = {true, false}}};
  // [/natten_options]
  heed::attend(options, as<"BLLHD">(q), as<"BLLHD">(k), as<"BLLHD">(v), as<"BLLHD">(out));
  x.check("natten_options",
          heed::attention{.mask = seen({{height, 3, 1, 2, true}, {width, 4, 2, 3, false}})});
}

void additional() {
  images x;
  auto& [q, k, v, out] = x;
  const tensor<4> more_k = random(1, 5, 2, 16), more_v = random(1, 5, 2, 16);

  // [natten_additional]
  // additional_keys and additional_values [B,n,H,D]: every query sees them beside its window.
  const heed::attention spec{
      .mask = heed::neighborhood<2>{{height, width}, {5, 5}},
      .extra = heed::extra_slots{.k = as<"BLHD">(more_k), .v = as<"BLHD">(more_v)}};
  heed::attend(spec, as<"BLLHD">(q), as<"BLLHD">(k), as<"BLLHD">(v), as<"BLLHD">(out));
  // [/natten_additional]
  x.check("natten_additional",
          heed::attention{.mask = seen({{height, 5}, {width, 5}}), .extra = spec.extra});
}

void bias() {
  images x;
  auto& [q, k, v, out] = x;
  const tensor<3> rpb = random(2, 9, 9);

  // [natten_bias]
  // rpb [H, 2·5 - 1, 2·5 - 1], as NatTen's modules learn it.
  const heed::neighborhood<2> grid{{height, width}, {5, 5}};
  const heed::attention spec{
      .mask = grid,
      .score = heed::relative_position_bias<2>{as<"HLL">(rpb), {height, width}, {5, 5}}};
  heed::attend(spec, as<"BLLHD">(q), as<"BLLHD">(k), as<"BLLHD">(v), as<"BLLHD">(out));
  // [/natten_bias]
  const auto by_place = [&](auto s, heed::position at) {
    return s + rpb(at.h, at.k / width - at.q / width + 4, at.k % width - at.q % width + 4);
  };
  x.check("natten_bias",
          heed::attention{.mask = seen({{height, 5}, {width, 5}}), .score = by_place});
}

void halves() {
  images x;
  auto& [q, k, v, out] = x;
  tensor<5> weights(1, height, width, 2, 25);

  // [natten_unfused]
  // na2d_qk and na2d_av: weights [B,Y,X,H,25], in memory. Between them is whatever you like.
  const heed::neighborhood<2> grid{{height, width}, {5, 5}};
  heed::neighborhood_qk(grid, as<"BLLHD">(q), as<"BLLHD">(k), as<"BLLHD">(weights));
  const tensor<5> e = weights.exp();
  weights = e / e.sum(Eigen::array<int, 1>{4})
                    .reshape(Eigen::array<Eigen::Index, 5>{1, height, width, 2, 1})
                    .broadcast(Eigen::array<Eigen::Index, 5>{1, 1, 1, 1, 25});
  heed::neighborhood_av(grid, as<"BLLHD">(weights), as<"BLLHD">(v), as<"BLLHD">(out));
  // [/natten_unfused]
  x.check("natten_unfused", heed::attention{.mask = grid});
}

void simulated() {
  // [natten_simulate]
  // How many tiles of 8 × 8 queries and keys a kernel would visit, before anything is run.
  const heed::neighborhood<2> grid{{64, 64}, {16, 16}, {8, 8}};
  const heed::neighborhood_tiles tiles = heed::simulate(grid, {8, 8}, {8, 8});
  const double at_most = tiles.speedup();  // over dense attention by the same tiles
  // [/natten_simulate]
  report("natten_simulate", float(std::abs(at_most - double(tiles.dense) / double(tiles.visited))));
  report("natten_simulate, dense", float(std::abs(tiles.dense - 64 * 64)));
}

}  // namespace

void natten() {
  fused();
  additional();
  bias();
  halves();
  simulated();
}

}  // namespace guide
