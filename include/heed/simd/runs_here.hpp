// SPDX-License-Identifier: BSL-1.0
// What the machine runs, not what the compiler was told.
#pragma once

#include <heed/simd/simd.hpp>

namespace heed::simd {

// The later form asks for one architecture, 8.1's for the best of an ordered list.
template <class Arch, class Machine> bool has(const Machine& machine) {
  if constexpr (requires { machine.has(Arch{}); })
    return static_cast<bool>(machine.has(Arch{}));
  else
    return Arch::version() <= machine.best;
}

// Whether this machine, its operating system included, runs code compiled for Arch.
template <class Arch> bool runs_here() {
  if constexpr (std::is_same_v<Arch, scalar>) {
    return true;
  } else {
#if defined(__x86_64__) && defined(__GNUC__)
    // xsimd asks the processor alone: registers that the system does not save are no use.
    if (Arch::alignment() >= 32 && !__builtin_cpu_supports("avx")) return false;
    if (Arch::alignment() >= 64 &&
        !(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")))
      return false;
    // xsimd 8.1 takes the bit of SSE2 from the wrong register; x86-64 always has it.
    if constexpr (std::is_same_v<Arch, xsimd::sse2>) return true;
#endif
    return simd::has<Arch>(xsimd::available_architectures());
  }
}

}  // namespace heed::simd
