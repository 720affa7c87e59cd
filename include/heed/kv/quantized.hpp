// SPDX-License-Identifier: BSL-1.0
// kv/quantized: formats of caches by name.
//
//   heed::contiguous_kv cache(shape, 4096, heed::kv_as::int8());
//   heed::paged_kv kivi(shape, {.pages = 256, .page = 32}, heed::kv_as::kivi4());
//   heed::kv_formats mixed{heed::kv_as::int8(), heed::kv_as::half()};      // keys, values
//
// Codes are off by half a scale at most; kv/quantize.hpp has the bound, and what becomes of numbers
// that are not finite.
//
// What that means for attention: scores s_j off by up to d_j, δ the largest of them, move the row
// o = Σ p_j v_j, in each channel, by at most
//   M(d) = e^δ Σ_j p_j (e^{d_j} - 1) |v_j - o|     and by max_j |v_j - o|,     lse by δ.
// Against the numbers that were appended, k and v with scales σ, values within half of one:
//   d_j = scale · Σ_c |q_c| σ(k_j)_c / 2           M(d) + Σ_j p_j σ(v_j) / 2
// Against the numbers that the codes stand for: nothing but float's roundings, except where a few
// queries (decoding) meet int8 without zeros and one scale a token. Those are multiplied as
// integers, q and p rounded to 16 bits (simd/integer_tile.hpp), for up to 512 channels:
//   d_j = u · scale · max_c |q_c| · Σ_c |k_jc|
//   M(d) + u · Σ_B max_{j ∈ B} (p_j σ_j) · Σ_{j ∈ B} |v_j| / σ_j
// u = 2^-16 · (1 + 2^-7), B blocks of 64 tokens. For 128 channels of normal
// numbers d_j is about 5e-4.
// Prefill, whole or in chunks, and decoding thus agree to within the latter.
// Bytes a token and head at D channels: int8 D + 4, int4 D/2 + D/16.
#pragma once

#include <heed/kv/format.hpp>

namespace heed::kv_as {

constexpr kv_format single() { return {}; }
constexpr kv_format whole_double() { return {.type = kv_type::f64}; }
constexpr kv_format half() { return {.type = kv_type::f16}; }
constexpr kv_format bfloat() { return {.type = kv_type::bf16}; }
// One float scale a token, or one for every `group` channels of it.
constexpr kv_format int8(index group = 0) { return {.type = kv_type::i8, .group = group}; }
// Two codes a byte, a half scale for every `group` channels; 0: one a token.
constexpr kv_format int4(index group = 32) {
  return {.type = kv_type::i4, .group = group, .scale = element::f16};
}
// Keys with a scale and a zero a channel and block of kv_block tokens, values a token: keys have
// channels that are large for every token. The newest tokens, until they fill a block, are float.
// Liu et al., KIVI, 2024.
constexpr kv_formats kivi4() { return {int4().with_zero().per_channel(), int4().with_zero()}; }
constexpr kv_formats kivi8() { return {int8().with_zero().per_channel(), int8().with_zero()}; }

}  // namespace heed::kv_as
