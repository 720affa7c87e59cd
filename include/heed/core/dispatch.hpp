// SPDX-License-Identifier: BSL-1.0
// One binary for many machines: sources compiled once per instruction set by the CMake function
// `heed_add_isa_sources`, and the choice of one at run time. docs/design.md shows the pattern.
#pragma once

#include <heed/simd/runs_here.hpp>
#include <stdexcept>
#include <utility>

namespace heed {

// The instruction set that this translation unit is compiled for, the tag of an entry point:
//   template void prefill::operator()(heed::isa, inputs) const;
using isa = simd::best;

// Those that heed_add_isa_sources builds for the target, best first.
#if defined(HEED_ISAS)
using isas = xsimd::arch_list<HEED_ISAS>;
#else
using isas = xsimd::arch_list<isa>;
#endif

namespace detail {
template <class Arch, class... Rest, class F, class... Args>
decltype(auto) dispatch(xsimd::arch_list<Arch, Rest...>, F& f, Args&&... args) {
  if (simd::runs_here<Arch>()) return f(Arch{}, std::forward<Args>(args)...);
  if constexpr (sizeof...(Rest) > 0)
    return detail::dispatch(xsimd::arch_list<Rest...>{}, f, std::forward<Args>(args)...);
  throw std::runtime_error("heed::dispatch: this machine runs none of the instruction sets built");
}
}  // namespace detail

// f(arch, args...) for the first of Isas, an xsimd::arch_list, that this machine runs; simd::scalar
// runs everywhere. What f throws passes through (xsimd::dispatch would end the program). Throws
// std::runtime_error where none runs. A few loads and tests a call.
template <class Isas = isas, class F, class... Args>
decltype(auto) dispatch(F&& f, Args&&... args) {
  return detail::dispatch(Isas{}, f, std::forward<Args>(args)...);
}

}  // namespace heed
