// SPDX-License-Identifier: BSL-1.0
// How far each path of the engine is from attention in double, with unfused float loops beside it.
//
//   --smoke     up to 1024 keys, and only whether the rule holds
//   --mean=M    mean of the values (default 0)
//
// A row of the table: path, element type of q, k, v, keys of a tile (one for each width of vectors
// that this build has), number of keys; RMS, 99.9 percentile and largest error, RMS relative to the
// output; what unfused loops have as RMS and largest; the quotients of the two. Outputs are float:
// rounding them to 16 bits hides the rest.
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>
#include <heed/numerics/deviation.hpp>
#include <heed/numerics/merge.hpp>
#include <heed/simd/shape.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "support/data.hpp"

namespace {

using heed::index;
using heed::view;

constexpr index depth = 96;  // 1/√96 is no power of two
int failures = 0;

void print(const char* path, const char* type, index tile, index keys,
           const heed::deviation_pair& d, bool smoke) {
  const double rms = d.fused.rms / d.unfused.rms, largest = d.fused.largest / d.unfused.largest;
  const bool kept = rms <= 1 && largest <= 2;
  failures += !kept;
  if (smoke && kept) return;
  std::printf("%-8s %-9s %5td %6td  %8.2e %8.2e %8.2e %8.2e  %8.2e %8.2e  %5.2f %5.2f%s\n", path,
              type, tile, keys, d.fused.rms, d.fused.p999, d.fused.largest, d.fused.relative,
              d.unfused.rms, d.unfused.largest, rms, largest, kept ? "" : "  !");
}

template <class T> struct operands {
  bench::buffer<T> q, k, v;
  heed::extents queries, keys;

  operands(index rows, index length, double mean)
      : q(bench::converted<T>(bench::normal_numbers(2 * rows * depth, 1))),
        k(bench::converted<T>(bench::normal_numbers(length * depth, 2))),
        queries{1, 2, rows, depth},
        keys{1, 1, length, depth} {
    auto values = bench::normal_numbers(length * depth, 3);
    for (float& x : values) x += static_cast<float>(mean);
    v = bench::converted<T>(values);
  }
  view<const T> query() const { return {q.data(), queries}; }
  view<const T> key() const { return {k.data(), keys}; }
  view<const T> value() const { return {v.data(), keys}; }
};

// f(Arch) for one architecture of each width that this build has, widest first, then one lane.
template <class F> void each_width(F f) {
  std::size_t seen = 0;
  xsimd::supported_architectures::for_each([&](auto arch) {
    using Arch = decltype(arch);
    constexpr std::size_t width = xsimd::batch<float, Arch>::size;
    if (seen == 0 || width < seen) f(arch);
    seen = seen == 0 ? width : std::min(seen, width);
  });
  f(heed::simd::scalar{});
}

template <class T> void lengths(const char* type, double mean, bool smoke) {
  for (index keys = 256; keys <= (smoke ? 1024 : 65536); keys *= 4) {
    const index rows = keys <= 1024 ? 128 : 32;
    const operands<T> x(rows, keys, mean);
    const auto q = x.query(), k = x.key(), v = x.value();
    const heed::exact_attention exact(heed::full{}, q, k, v);
    each_width([&](auto arch) {
      using Arch = decltype(arch);
      const auto found = exact.template of<float>(
          [&](view<float> out) { heed::attend<Arch>(heed::attention{}, q, k, v, out); });
      print("full", type, heed::simd::shape<float, Arch>::key_tile, keys, found, smoke);
    });
  }
}

void paths(index keys, double mean, bool smoke) {
  const operands<float> x(128, keys, mean);
  const auto q = x.query(), k = x.key(), v = x.value();
  const index tile = heed::simd::shape<float, heed::simd::best>::key_tile;
  const heed::exact_attention all(heed::full{}, q, k, v);
  const heed::exact_attention below(heed::causal{}, q, k, v);
  const auto row = [&](const char* path, const auto& exact, const auto& run) {
    print(path, "float", tile, keys, exact.template of<float>(run), smoke);
  };
  row("causal", below, [&](view<float> out) {
    heed::attend(heed::attention{.mask = heed::causal{}}, q, k, v, out);
  });
  row("score", all, [&](view<float> out) {
    heed::attend(heed::attention{.score = [](auto s, auto) { return s; }}, q, k, v, out);
  });
  row("decode", all, [&](view<float> out) {
    for (index i = 0; i < q.extent[2]; ++i)
      heed::attend(heed::attention{}, q.slice_rows(i, 1), k, v, out.slice_rows(i, 1));
  });
  row("merge", all, [&](view<float> out) {
    const index count = q.extent[1] * q.extent[2];
    bench::buffer<float> outs(std::size_t(4 * count * depth)), sums(std::size_t(4 * count));
    std::vector<heed::part> parts;
    for (index i = 0; i < 4; ++i) {
      const view<float> o(outs.data() + i * count * depth, q.extent);
      const view<float> lse(sums.data() + i * count, {1, q.extent[1], q.extent[2], 1});
      const index size = keys / 4;
      heed::attend(heed::attention{}, q, k.slice_rows(i * size, size), v.slice_rows(i * size, size),
                   {.out = o, .lse = lse});
      parts.push_back({o, lse});
    }
    heed::merge(parts, {.out = out});
  });
}

}  // namespace

int main(int argc, char** argv) {
  bool smoke = false;
  double mean = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) smoke = true;
    if (std::strncmp(argv[i], "--mean=", 7) == 0) mean = std::atof(argv[i] + 7);
  }
  if (!smoke)
    std::printf("%-8s %-9s %5s %6s  %8s %8s %8s %8s  %8s %8s  %5s %5s\n", "path", "element", "tile",
                "keys", "rms", "p99.9", "largest", "relative", "unf. rms", "largest", "rms",
                "larg.");
  lengths<float>("float", mean, smoke);
  lengths<Eigen::half>("half", mean, smoke);
  lengths<Eigen::bfloat16>("bfloat16", mean, smoke);
  for (const heed::index keys : {1024, 4096})
    if (!smoke || keys <= 1024) paths(keys, mean, smoke);
  if (smoke) std::printf("%d rows break the rule\n", failures);
  return smoke && failures > 0;
}
