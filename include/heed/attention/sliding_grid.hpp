// SPDX-License-Identifier: BSL-1.0
// What driver `sliding` knows of a neighbourhood: one dilation group of its grid as rows of
// consecutive places, and blocks of them as wide as a vector.
#pragma once

#include <heed/neighborhood/natten.hpp>
#include <heed/score/pairs.hpp>
#include <heed/simd/pick.hpp>

namespace heed::detail {

template <class Mask> inline constexpr int grid_axes = 0;
template <int N> inline constexpr int grid_axes<neighborhood<N>> = N;

// Which places meet: queries and the keys they see, or keys and the queries that see them.
enum class meeting { keys, queries };

// Axes z, y and x; those that the grid lacks have one token. Places count within the group.
struct sliding_grid {
  neighborhood_axis axis[3] = {{1, 1}, {1, 1}, {1, 1}};
  index group[3] = {}, length[3] = {1, 1, 1};
  index step[3] = {};  // tokens from a place to the next
  index first = 0;     // token at place 0, 0, 0
  meeting who = meeting::keys;

  template <int N> static index groups(const neighborhood<N>& of) {
    index n = 1;
    for (const index d : of.dilation) n *= d;
    return n;
  }
  // The `number`-th group.
  template <int N> sliding_grid(const neighborhood<N>& of, index number, meeting m) : who(m) {
    index apart = 1;
    for (int n = N; n-- > 0;) {
      const int a = n + 3 - N;
      axis[a] = of.axis(n);
      group[a] = number % axis[a].dilation, number /= axis[a].dilation;
      length[a] = axis[a].group_size(group[a]);
      step[a] = apart * axis[a].dilation;
      first += apart * group[a];
      apart *= axis[a].size;
    }
  }

  index token(index z, index y, index x) const {
    return first + z * step[0] + y * step[1] + x * step[2];
  }
  // Whom place i of an axis meets.
  span met(int a, index i) const {
    return who == meeting::keys ? axis[a].keys(i, length[a]) : axis[a].queries(i, length[a]);
  }
  // Whom places [first, last) meet, all together.
  span met(int a, index begin, index end) const {
    return {met(a, begin).begin, met(a, end - 1).end};
  }
};

// Up to W places of a row. Tap t of lane l is place first + order(l) + t of the row they meet.
template <class T, class Arch> struct lane_block {
  static constexpr index W = simd::width<T, Arch>;

  index x = 0, lanes = 0, first = 0, taps = 0;
  bool ordered = false;  // some lane is not as far on as its number
  bool masked = false;   // some lane does not meet all taps: those from low to high only
  T low[W] = {}, high[W] = {};
  simd::lane_order from{};

  lane_block(const sliding_grid& grid, index place, index count) : x(place), lanes(count) {
    first = grid.met(2, x).begin;
    for (index l = 0; l < W; ++l) {
      const span seen = grid.met(2, x + std::min(l, lanes - 1));
      const index on = l < lanes ? std::min(seen.begin - first, W - 1)
                                 : std::min<index>(from.from[lanes - 1] + l - lanes + 1, W - 1);
      from.from[l] = static_cast<std::int32_t>(on);
      ordered |= on != l;
      if (l >= lanes) {
        low[l] = low[lanes - 1], high[l] = high[lanes - 1];
        continue;
      }
      low[l] = static_cast<T>(seen.begin - first - on);
      high[l] = static_cast<T>(seen.end - first - on);
      taps = std::max(taps, seen.end - first - on);
    }
    for (index l = 0; l < lanes; ++l) masked |= low[l] != T(0) || high[l] != static_cast<T>(taps);
  }
  // S[tap][lane] = `instead` where the lane does not meet the tap.
  void hide(T* s, T instead) const {
    using B = simd::batch<T, Arch>;
    const B from_tap = simd::load<T, Arch>(low), to_tap = simd::load<T, Arch>(high);
    for (index t = 0; t < taps; ++t, s += W) {
      const B tap(static_cast<T>(t));
      simd::store(s, B(simd::select(simd::both(from_tap <= tap, tap < to_tap),
                                    simd::load<T, Arch>(s), B(instead))));
    }
  }
};

// The pairs of a block of places of row `r` below (z, y) and a row that it meets, as score
// modifiers are told of them.
template <class T, class Arch, int N> struct met_pairs {
  static constexpr index W = simd::width<T, Arch>;
  index place[W], met[W], on[W], apart[N];
  pair_taps taps;

  met_pairs(const neighborhood<N>& of, const sliding_grid& grid, index b, index h, index z, index y,
            const lane_block<T, Arch>& x, index met_z, index met_y) {
    const bool keys = grid.who == meeting::keys;
    const index sign = keys ? 1 : -1;
    for (index l = 0; l < W; ++l) {
      const index lane = std::min(l, x.lanes - 1);
      place[l] = grid.token(z, y, x.x + lane);
      met[l] = grid.token(met_z, met_y, x.first + x.from.from[lane]);
      on[l] = sign * (x.from.from[lane] - lane);
    }
    const index all[3] = {met_z - z, met_y - y, x.first - x.x};
    for (int n = 0; n < N; ++n) apart[n] = sign * all[3 - N + n];
    taps = {b,
            h,
            keys ? place : met,
            keys ? met : place,
            keys ? 0 : grid.step[2],
            keys ? grid.step[2] : 0,
            x.lanes,
            x.taps,
            N,
            of.size.data(),
            of.dilation.data(),
            apart,
            on};
  }
  met_pairs(const met_pairs&) = delete;  // refers to itself
  met_pairs& operator=(const met_pairs&) = delete;
};

}  // namespace heed::detail
