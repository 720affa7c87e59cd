// SPDX-License-Identifier: BSL-1.0
// attend and scan once per instruction set that this machine runs, against the references; and what
// they throw passes through dispatch.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <heed/attention/spec.hpp>
#include <heed/mask/causal.hpp>
#include <heed/reference/attend.hpp>
#include <stdexcept>
#include <vector>

#include "probe.hpp"

namespace {

using namespace heed::test;
using tensor = std::vector<float>;

constexpr heed::extents shape{1, 2, 37, 19};
int failures = 0;
heed::index widest = 0;

heed::view<float> all(tensor& x) { return {x.data(), shape}; }
heed::view<const float> all(const tensor& x) { return {x.data(), shape}; }

tensor numbers(unsigned seed) {
  tensor x(2 * 37 * 19);
  for (float& y : x) {
    seed = seed * 1664525u + 1013904223u;
    y = float(seed >> 8) / float(1u << 23) - 1;
  }
  return x;
}

void check(const char* isa, const char* what, bool right) {
  std::printf("%-10s %-24s %s\n", isa, what, right ? "ok" : "WRONG");
  failures += !right;
}

// S += k vᵀ, o = S q, in double; how far rounding can take a float sum of these terms.
void sums(const tensor& q, const tensor& k, const tensor& v, tensor& out, tensor& bound) {
  const std::size_t L = 37, D = 19;
  for (std::size_t row = 0; row < 2 * L; ++row)
    for (std::size_t c = 0; c < D; ++c) {
      double sum = 0, terms = 0;
      for (std::size_t s = row / L * L; s <= row; ++s)
        for (std::size_t d = 0; d < D; ++d) {
          const double term = double(q[row * D + d]) * double(k[s * D + d]) * double(v[s * D + c]);
          sum += term, terms += std::abs(term);
        }
      out[row * D + c] = float(sum);
      bound[row * D + c] = float((L + D) * terms * 0x1p-24);
    }
}

bool close(const tensor& a, const tensor& b, const tensor& bound) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) <= bound[i])) return false;
  return true;
}

template <class Arch> void run() {
  const char* const name = Arch::name();
  if (!heed::simd::runs_here<Arch>()) {
    std::printf("%-10s not on this machine\n", name);
    return;
  }
  using one = xsimd::arch_list<Arch>;
  const tensor q = numbers(1), k = numbers(2), v = numbers(3);
  tensor out(q.size()), expected(q.size()), bound(q.size(), 2e-6f);
  const inputs x{all(q), all(k), all(v), all(out)};

  heed::dispatch<one>(attend_probe{}, x);
  heed::reference::attend(heed::attention{.mask = heed::causal{}}, x.q, x.k, x.v, all(expected));
  check(name, "attend", close(out, expected, bound));

  heed::dispatch<one>(scan_probe{}, x);
  sums(q, k, v, expected, bound);
  check(name, "scan", close(out, expected, bound));

  inputs wrong = x;
  wrong.k = heed::view<const float>(k.data(), {1, 2, 37, 18});
  bool caught = false;
  try {
    heed::dispatch<one>(attend_probe{}, wrong);
  } catch (const std::invalid_argument&) {
    caught = true;
  }
  check(name, "exceptions pass", caught);
  widest = std::max(widest, heed::dispatch<one>(width_probe{}));
}

template <class... Archs> void run_each(xsimd::arch_list<Archs...>) { (run<Archs>(), ...); }

}  // namespace

int main() {
  run_each(heed::isas{});
  check("all", "dispatch takes the best", heed::dispatch(width_probe{}) == widest);
  return failures > 0;
}
