// SPDX-License-Identifier: BSL-1.0
// The pieces of the tile loop by themselves, operands in L1: the two micro-kernels, exp2, the
// transposes and the packing, and the kernels over stored rows.
#include "support/suite.hpp"

#include <heed/simd/exp2.hpp>
#include <heed/simd/integer_tile.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/row_tile.hpp>
#include <heed/simd/row_tile_scalar.hpp>
#include <heed/simd/tile.hpp>
#include <heed/simd/transpose.hpp>

namespace {

namespace simd = heed::simd;
using arch = simd::best;
using sizes = simd::shape<float, arch>;
using bench::buffer;
using bench::index;
using bench::timed;
using bench::trial;

buffer<float> zeros(index count) { return buffer<float>(static_cast<std::size_t>(count), 0.0f); }

void expect_near(const char* what, double got, double want, double tolerance) {
  if (!(std::abs(got - want) <= tolerance)) {
    bench::fail(std::string(what) + " gives " + std::to_string(got) + " instead of " +
                std::to_string(want));
  }
}

constexpr bench::budget quiet{.least_rounds = 200, .most_rounds = 2000, .shortest_sample = 1e-4};

// S = K Qᵀ for one panel of queries, `keys` rows of `depth` channels.
void scores(trial& t, index keys, index depth) {
  const auto key = bench::normal_numbers(keys * depth, 1),
             q = bench::normal_numbers(depth * sizes::panel, 2);
  auto s = zeros(keys * sizes::panel);
  const auto run = [&] {
    simd::scores<float, arch>(sizes::vectors, key.data(), depth, keys, q.data(), sizes::panel,
                              depth, s.data());
  };
  run();
  for (index j = 0; j < keys; ++j) {
    for (index lane = 0; lane < sizes::panel; ++lane) {
      double want = 0;
      for (index c = 0; c < depth; ++c)
        want += double{key[std::size_t(j * depth + c)]} * q[std::size_t(c * sizes::panel + lane)];
      expect_near("scores", s[std::size_t(j * sizes::panel + lane)], want,
                  1e-4 * static_cast<double>(depth));
    }
  }
  t.measure({timed("scores", run)}, 2.0 * static_cast<double>(keys * depth * sizes::panel), quiet);
}

// The same in blocks of six rows against two vectors: the shape of backward products and
// recurrences.
void six_by_two(trial& t, index blocks, index depth) {
  constexpr index pitch = 2 * sizes::lanes;
  const auto key = bench::normal_numbers(6 * blocks * depth, 1),
             q = bench::normal_numbers(depth * pitch, 2);
  auto s = zeros(6 * blocks * pitch);
  const auto run = [&] {
    for (index j = 0; j < blocks; ++j)
      simd::detail::scores_rows<float, arch, 6, 2>(key.data() + 6 * j * depth, depth, q.data(),
                                                   pitch, depth, s.data() + 6 * j * pitch, pitch,
                                                   false);
  };
  run();
  for (index j = 0; j < 6 * blocks; ++j)
    for (index lane = 0; lane < pitch; ++lane) {
      double want = 0;
      for (index c = 0; c < depth; ++c)
        want += double{key[std::size_t(j * depth + c)]} * q[std::size_t(c * pitch + lane)];
      expect_near("six by two", s[std::size_t(j * pitch + lane)], want,
                  1e-4 * static_cast<double>(depth));
    }
  t.measure({timed("scores", run)}, 2.0 * static_cast<double>(6 * blocks * depth * pitch), quiet);
}

// O += Vᵀ P for one panel of queries.
void accumulate(trial& t, index keys, index channels) {
  const auto p = bench::normal_numbers(keys * sizes::panel, 1),
             v = bench::normal_numbers(keys * channels, 2);
  auto packed = zeros(keys * (channels + 3)), o = zeros(channels * sizes::panel);
  simd::pack_values(v.data(), channels, keys, channels, 4 * keys, packed.data());
  const auto run = [&] {
    simd::accumulate<float, arch>(sizes::vectors, p.data(), sizes::panel, keys, packed.data(), 4,
                                  4 * keys, channels, o.data());
  };
  run();
  for (index d = 0; d < channels; ++d) {
    for (index lane = 0; lane < sizes::panel; ++lane) {
      double want = 0;
      for (index j = 0; j < keys; ++j)
        want += double{v[std::size_t(j * channels + d)]} * p[std::size_t(j * sizes::panel + lane)];
      expect_near("accumulate", o[std::size_t(d * sizes::panel + lane)], want,
                  1e-4 * static_cast<double>(keys));
    }
  }
  t.measure({timed("accumulate", run)}, 2.0 * static_cast<double>(keys * channels * sizes::panel),
            quiet);
}

void exp2(trial& t, index count) {
  constexpr index lanes = simd::width<float, arch>;
  auto x = bench::normal_numbers(count, 1), y = zeros(count);
  for (float& one : x) one = -8 * std::abs(one);
  const auto run = [&] {
    for (index i = 0; i + lanes <= count; i += lanes) {
      simd::store(y.data() + i, simd::exp2(simd::load<float, arch>(x.data() + i)));
    }
  };
  run();
  for (index i = 0; i + lanes <= count; ++i) {
    expect_near("exp2", y[std::size_t(i)], std::exp2(double{x[std::size_t(i)]}), 1e-6);
  }
  const auto library = [&] {
    for (index i = 0; i + lanes <= count; i += lanes) {
      simd::store(y.data() + i, xsimd::exp2(simd::load<float, arch>(x.data() + i)));
    }
  };
  t.measure_bytes({timed("exp2", run), timed("xsimd", library)}, 8.0 * static_cast<double>(count));
}

void transpose(trial& t, index rows, index columns) {
  const auto in = bench::normal_numbers(rows * columns, 1);
  auto out = zeros(rows * columns);
  const auto run = [&] {
    simd::transpose<float, arch>(in.data(), columns, rows, columns, 2.0f, out.data(), rows);
  };
  run();
  for (index r = 0; r < rows; ++r) {
    for (index c = 0; c < columns; ++c) {
      expect_near("transpose", out[std::size_t(c * rows + r)],
                  2.0 * in[std::size_t(r * columns + c)], 1e-6);
    }
  }
  t.measure_bytes({timed("transpose", run)}, 8.0 * static_cast<double>(rows * columns));
}

void pack(trial& t, index keys, index channels) {
  const auto v = bench::normal_numbers(keys * channels, 1);
  auto out = zeros(keys * channels);
  const auto run = [&] {
    simd::pack_values(v.data(), channels, keys, channels, 4 * keys, out.data());
  };
  run();
  expect_near("pack", out[std::size_t(4 * keys)], v[4], 0);
  t.measure_bytes({timed("pack", run)}, 8.0 * static_cast<double>(keys * channels));
}

// A tile of stored rows with one scale a row, where it is codes.
struct stored_tile {
  buffer<unsigned char> bytes;
  buffer<float> scales;
  heed::stored_rows rows;

  stored_tile(heed::kv_type type, index keys, index depth, std::uint64_t seed)
      : bytes(static_cast<std::size_t>(keys * heed::bytes_of(type, depth))),
        scales(static_cast<std::size_t>(keys), 1.0f / 32) {
    const auto x = bench::normal_numbers(keys * depth, seed);
    rows.data = bytes.data(), rows.type = type, rows.stride = heed::bytes_of(type, depth);
    rows.scales = scales.data(), rows.group = depth, rows.scale_stride = 1;
    if (type == heed::kv_type::i8)
      for (std::size_t i = 0; i < x.size(); ++i)
        bytes[i] = static_cast<unsigned char>(std::lround(std::clamp(x[i] * 32, -127.0f, 127.0f)));
    else
      simd::store_row(static_cast<heed::element>(type), x.data(), keys * depth, bytes.data(), 1);
  }
};

// S = q Kᵀ for few queries and rows of keys as they lie.
void row_scores(trial& t, heed::kv_type type, index rows, index depth) {
  constexpr index keys = 32;
  const stored_tile k(type, keys, depth, 1);
  const auto q = bench::normal_numbers(rows * depth, 2);
  auto s = zeros(rows * keys), want = s, unit = zeros(rows);
  std::vector<std::int16_t> codes(static_cast<std::size_t>(rows * depth));
  for (index r = 0; r < rows; ++r)
    unit[std::size_t(r)] = simd::quantize_row<arch>(
        q.data() + r * depth, depth, simd::integer_levels(depth), codes.data() + r * depth);
  const auto run = [&] {
    if (type == heed::kv_type::i8)
      simd::integer_scores<arch>(k.rows, keys, codes.data(), depth, unit.data(), rows, depth,
                                 s.data(), keys);
    else
      simd::row_scores<float, arch>(k.rows, keys, q.data(), depth, rows, depth, s.data(), keys);
  };
  run();
  simd::plain::row_scores(k.rows, keys, q.data(), depth, rows, depth, want.data(), keys);
  for (std::size_t i = 0; i < s.size(); ++i)
    expect_near("row scores", s[i], want[i], 1e-4 * static_cast<double>(depth));
  t.measure({timed("row scores", run)}, 2.0 * static_cast<double>(rows * keys * depth), quiet);
}

// O += P V for few queries and rows of values as they lie.
void row_accumulate(trial& t, heed::kv_type type, index rows, index channels) {
  constexpr index keys = 32;
  const stored_tile v(type, keys, channels, 1);
  const auto p = bench::normal_numbers(rows * keys, 2);
  auto o = zeros(rows * channels), want = o;
  const auto run = [&] {
    if (type == heed::kv_type::i8)
      simd::integer_accumulate<arch>(v.rows, keys, p.data(), keys, rows, channels, o.data(),
                                     channels);
    else
      simd::row_accumulate<float, arch>(v.rows, keys, p.data(), keys, rows, channels, o.data(),
                                        channels);
  };
  run();
  simd::plain::row_accumulate(v.rows, keys, p.data(), keys, rows, channels, want.data(), channels);
  for (std::size_t i = 0; i < o.size(); ++i)
    expect_near("row accumulate", o[i], want[i], 1e-4 * static_cast<double>(keys));
  t.measure({timed("row accumulate", run)}, 2.0 * static_cast<double>(rows * keys * channels),
            quiet);
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  const bench::shape one_thread{};
  const std::string tile = std::to_string(sizes::rows) + "x" + std::to_string(sizes::panel);
  const bench::index keys = sizes::key_tile;
  for (const bench::index depth : {64, 128}) {
    const std::string size = tile + "/d" + std::to_string(depth);
    all.add("kernels/scores/" + size, one_thread, [=](trial& t) { scores(t, keys, depth); });
    all.add("kernels/scores/6x" + std::to_string(2 * sizes::lanes) + "/d" + std::to_string(depth),
            one_thread, [=](trial& t) { six_by_two(t, keys / 6, depth); });
    all.add("kernels/accumulate/" + size, one_thread,
            [=](trial& t) { accumulate(t, keys, depth); });
    all.add("kernels/transpose/" + std::to_string(sizes::panel) + "xd" + std::to_string(depth),
            one_thread, [=](trial& t) { transpose(t, sizes::panel, depth); });
    all.add("kernels/pack_values/d" + std::to_string(depth), one_thread,
            [=](trial& t) { pack(t, keys, depth); });
  }
  using heed::kv_type;
  const std::pair<kv_type, const char*> types[] = {
      {kv_type::f32, "f32"}, {kv_type::f16, "f16"}, {kv_type::bf16, "bf16"}, {kv_type::i8, "i8"}};
  for (const auto& [type, name] : types)
    for (const bench::index depth : {64, 128})
      for (const bench::index rows : {1, 4}) {
        const std::string form = "/" + std::to_string(rows) + "/d" + std::to_string(depth);
        all.add(std::string("kernels/row_scores/") + name + form, one_thread,
                [=, type = type](trial& t) { row_scores(t, type, rows, depth); });
        all.add(std::string("kernels/row_accumulate/") + name + form, one_thread,
                [=, type = type](trial& t) { row_accumulate(t, type, rows, depth); });
      }
  all.add("kernels/exp2/n4096", one_thread, [](trial& t) { exp2(t, 4096); });
  return all.run();
}
