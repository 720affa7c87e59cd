// SPDX-License-Identifier: BSL-1.0
// One binary for many machines: attention compiled for AVX-512, AVX2 and SSE2, the best of which is
// chosen where the program runs. Everything but prefill.cpp is compiled for the oldest machine.
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "prefill.hpp"

int main() {
  const heed::extents shape{1, 4, 256, 64};  // one sequence, four heads, 256 tokens, 64 channels
  const std::size_t numbers = 4 * 256 * 64;
  std::vector<float> q(numbers), k(numbers), v(numbers), out(numbers);
  for (std::size_t i = 0; i < numbers; ++i) {
    const float x = float(i);
    q[i] = std::sin(0.7f * x), k[i] = std::cos(0.3f * x), v[i] = std::sin(0.01f * x);
  }

  // [dispatch]
  const inputs x{{q.data(), shape}, {k.data(), shape}, {v.data(), shape}, {out.data(), shape}};
  heed::dispatch(prefill{}, x);
  // [/dispatch]
  std::printf("%s: first token %g, its value %g\n", heed::dispatch(chosen{}), double(out[1]),
              double(v[1]));

  // Errors cross: shapes are checked behind dispatch, and caught here.
  inputs wrong = x;
  wrong.k = {k.data(), {1, 4, 256, 32}};
  try {
    heed::dispatch(prefill{}, wrong);
  } catch (const std::invalid_argument& error) {
    std::printf("refused: %s\n", error.what());
    return std::abs(out[1] - v[1]) < 1e-6f ? 0 : 1;  // the first token sees itself alone
  }
  return 1;
}
