// SPDX-License-Identifier: BSL-1.0
// The only file that knows xsimd: batches, the 1-lane `scalar` arch, and the few operations that
// the kernels need, spelled the same for batches and for plain numbers (8.1 and later).
#pragma once

#include <cmath>
#include <cstdint>
#include <heed/core/position.hpp>
#include <heed/simd/compiler.hpp>
#include <type_traits>
#include <xsimd/xsimd.hpp>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

// Names that xsimd leaves out where it has no backend; templates below mention them.
#if defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
namespace xsimd {
template <class C, class B> B select(const C&, const B&, const B&) = delete;
template <class C> bool any(const C&) = delete;
template <class B> B nearbyint_as_int(const B&) = delete;
template <class B> B to_float(const B&) = delete;
template <class To, class B> To bitwise_cast(const B&) = delete;
}  // namespace xsimd
#endif

namespace heed::simd {

// One lane, plain loops: separates engine bugs from SIMD bugs and runs where xsimd has no backend.
struct scalar {
  // As xsimd's; last in a list of architectures.
  static constexpr unsigned version() noexcept { return 0; }
  static constexpr const char* name() noexcept { return "scalar"; }
};
// What the flags of this compilation allow.
using best = std::conditional_t<xsimd::types::has_simd_register<float, xsimd::default_arch>::value,
                                xsimd::default_arch, scalar>;

template <class T, class Arch> struct traits {
  using batch = xsimd::batch<T, Arch>;
  using mask = typename batch::batch_bool_type;
  static constexpr index lanes = static_cast<index>(batch::size);
};
template <class T> struct traits<T, scalar> {
  using batch = T;
  using mask = bool;
  static constexpr index lanes = 1;
};

template <class T, class Arch> using batch = typename traits<T, Arch>::batch;
template <class T, class Arch> using mask = typename traits<T, Arch>::mask;
template <class T, class Arch> inline constexpr index width = traits<T, Arch>::lanes;

template <class T>
concept number = std::is_floating_point_v<T>;

template <class B> struct value_of {
  using type = typename B::value_type;
};
template <number T> struct value_of<T> {
  using type = T;
};
template <class B> using value = typename value_of<B>::type;
// A batch whose comparisons convert to no bool, as those of AVX-512 do in some xsimd: what tells
// that a function branches on one, which would decide for all lanes at once.
template <class B> struct strict {
  using type = B;
};
#if defined(__AVX512F__)
template <class T, class A> struct strict<xsimd::batch<T, A>> {
  using type = xsimd::batch<T, xsimd::avx2>;
};
#endif
// Always true, and an error within f where it branches on such a comparison: there is `select`.
template <class F, class B, class... Args>
concept branchless = std::is_invocable_v<const F&, typename strict<B>::type, Args...> || true;
// A constant in every lane.
template <class B> B constant(double x) { return B(static_cast<value<B>>(x)); }

template <class T, class Arch> batch<T, Arch> load(const T* p) {
  if constexpr (std::is_same_v<Arch, scalar>)
    return *p;
  else
    return xsimd::batch<T, Arch>::load_unaligned(p);
}
template <number T> void store(T* p, T x) { *p = x; }
template <class T, class A> void store(T* p, const xsimd::batch<T, A>& x) { x.store_unaligned(p); }
// 0, 1, 2, …
template <class T, class Arch> batch<T, Arch> iota() {
  T values[static_cast<std::size_t>(width<T, Arch>)];
  for (index i = 0; i < width<T, Arch>; ++i) values[i] = static_cast<T>(i);
  return load<T, Arch>(values);
}

template <number T> T fma(T a, T b, T c) { return a * b + c; }
// Whether `fma` of a batch rounds once.
#if defined(__FMA__) || defined(__AVX512F__) || defined(__ARM_FEATURE_FMA)
inline constexpr bool fused = true;
#else
inline constexpr bool fused = false;
#endif

// xsimd 8.1 has no fused form for AVX-512 and would round twice.
template <class T, class A>
HEED_INLINE xsimd::batch<T, A> fma(const xsimd::batch<T, A>& a, const xsimd::batch<T, A>& b,
                                   const xsimd::batch<T, A>& c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(a) == 64 && std::is_same_v<T, float>) return _mm512_fmadd_ps(a, b, c);
  if constexpr (sizeof(a) == 64 && std::is_same_v<T, double>) return _mm512_fmadd_pd(a, b, c);
#endif
  return xsimd::fma(a, b, c);
}
// A NaN in the second argument survives, as in x86's instructions; xsimd 14 swaps the arguments.
inline constexpr bool swapped = XSIMD_VERSION_MAJOR >= 14;
template <number T> T max(T a, T b) { return a > b ? a : b; }
template <class T, class A>
xsimd::batch<T, A> max(const xsimd::batch<T, A>& a, const xsimd::batch<T, A>& b) {
  return swapped ? xsimd::max(b, a) : xsimd::max(a, b);
}
template <number T> T min(T a, T b) { return a < b ? a : b; }
template <class T, class A>
xsimd::batch<T, A> min(const xsimd::batch<T, A>& a, const xsimd::batch<T, A>& b) {
  return swapped ? xsimd::min(b, a) : xsimd::min(a, b);
}
template <number T> T select(bool c, T a, T b) { return c ? a : b; }
// A choice that is the same for all lanes.
template <class T, class A>
xsimd::batch<T, A> select(bool c, const xsimd::batch<T, A>& a, const xsimd::batch<T, A>& b) {
  return c ? a : b;
}
template <class T, class A>
xsimd::batch<T, A> select(const xsimd::batch_bool<T, A>& c, const xsimd::batch<T, A>& a,
                          const xsimd::batch<T, A>& b) {
  return xsimd::select(c, a, b);
}
inline bool any(bool c) { return c; }
template <class T, class A> bool any(const xsimd::batch_bool<T, A>& c) { return xsimd::any(c); }
inline bool both(bool a, bool b) { return a && b; }
template <class T, class A>
xsimd::batch_bool<T, A> both(const xsimd::batch_bool<T, A>& a, const xsimd::batch_bool<T, A>& b) {
  return a & b;
}
inline bool either(bool a, bool b) { return a || b; }
template <class T, class A>
xsimd::batch_bool<T, A> either(const xsimd::batch_bool<T, A>& a, const xsimd::batch_bool<T, A>& b) {
  return a | b;
}

#define HEED_UNARY(name)                                                             \
  template <number T> T name(T x) { return std::name(x); }                           \
  template <class T, class A> xsimd::batch<T, A> name(const xsimd::batch<T, A>& x) { \
    return xsimd::name(x);                                                           \
  }
HEED_UNARY(sqrt)
HEED_UNARY(erf)
HEED_UNARY(nearbyint)
#undef HEED_UNARY

template <number T> T abs(T x) { return std::abs(x); }
template <class T, class A> xsimd::batch<T, A> abs(const xsimd::batch<T, A>& x) {
  return xsimd::abs(x);
}

// 2^n for the integer nearest to x, and the rest x - n; x within the exponent range.
struct power_of_two {
  template <class A>
  static xsimd::batch<float, A> split(const xsimd::batch<float, A>& x,
                                      xsimd::batch<float, A>& rest) {
    using ints = xsimd::batch<std::int32_t, A>;
    // Before xsimd 11 a bit cast names the batch, since then its element.
    using to = std::conditional_t<(XSIMD_VERSION_MAJOR < 11), xsimd::batch<float, A>, float>;
    const ints n = xsimd::nearbyint_as_int(x);
    rest = x - xsimd::to_float(n);
    return xsimd::bitwise_cast<to>((n + ints(127)) << 23);
  }
};

}  // namespace heed::simd
