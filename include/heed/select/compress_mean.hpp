// SPDX-License-Identifier: BSL-1.0
// The simplest compressed rows of native sparse attention (Yuan et al., NSA, 2025): the means of
// their tokens.
//
//   x̃_c = 1 / block Σ_j x_j,   dx_j += 1 / block Σ_c dx̃_c,   c·stride ≤ j < c·stride + block
//
// O(L · C · block / stride). Both throw std::invalid_argument, before anything is written, on rows
// of other shapes and without data.
#pragma once

#include <heed/select/data.hpp>
#include <heed/select/nsa.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

// Means of the tokens of each compressed key; x [B,H,L,C], to [B,H,Nc,C].
template <class Arch = simd::best, storable X>
void compress_mean(const nsa& spec, const view<X>& x, const result& to,
                   const executor_ref& executor = {}) {
  using T = compute_type<X>;
  constexpr const char* operation = "heed::compress_mean";
  spec.check(operation);
  const operand from = view<const X>(x);
  const index rows = spec.compressed(x.extent[2]), channels = x.extent[3], heads = x.extent[1];
  if (to.extent != extents{x.extent[0], heads, rows, channels})
    check::fail(operation, "the means must be [B,H,Nc,C]", {{"x", from}, {"to", operand(to)}});
  detail::check_data(operation, {{"x", from}, {"to", operand(to)}});
  std::vector<T> memory(static_cast<std::size_t>(2 * executor.workers() * channels));
  executor.for_each(x.extent[0] * heads * rows, [&](index i, index worker) {
    T* const sum = memory.data() + 2 * worker * channels;
    T* const row = sum + channels;
    const index head = i / rows, b = head / heads, h = head % heads;
    std::fill_n(sum, channels, T(0));
    for (index j = 0; j < spec.block; ++j) {
      simd::load_row(from.type, from.row(b, h, i % rows * spec.stride + j), from.stride[3],
                     channels, row);
      simd::add_scaled<Arch>(T(1), row, channels, sum);
    }
    for (index c = 0; c < channels; ++c) sum[c] /= static_cast<T>(spec.block);
    simd::store_row(to.type, sum, channels, to.row(b, h, i % rows), to.stride[3]);
  });
}

// dx += the gradient of the means.
template <class Arch = simd::best, storable X>
void compress_mean_backward(const nsa& spec, const view<X>& d_means, const result& dx,
                            const executor_ref& executor = {}) {
  using T = compute_type<X>;
  constexpr const char* operation = "heed::compress_mean_backward";
  spec.check(operation);
  const operand from = view<const X>(d_means);
  const index length = dx.extent[2], rows = spec.compressed(length), channels = dx.extent[3],
              heads = dx.extent[1];
  if (from.extent != extents{dx.extent[0], heads, rows, channels})
    check::fail(operation, "the gradient of the means must be [B,H,Nc,C]",
                {{"d_means", from}, {"dx", operand(dx)}});
  detail::check_data(operation, {{"d_means", from}, {"dx", operand(dx)}});
  std::vector<T> memory(static_cast<std::size_t>(2 * executor.workers() * channels));
  executor.for_each(dx.extent[0] * heads * length, [&](index i, index worker) {
    T* const sum = memory.data() + 2 * worker * channels;
    T* const row = sum + channels;
    const index head = i / length, b = head / heads, h = head % heads, token = i % length;
    simd::load_row(dx.type, dx.row(b, h, token), dx.stride[3], channels, sum);
    const index first = token < spec.block ? 0 : (token - spec.block) / spec.stride + 1;
    for (index c = first; c < rows && c * spec.stride <= token; ++c) {
      simd::load_row(from.type, from.row(b, h, c), from.stride[3], channels, row);
      simd::add_scaled<Arch>(T(1) / static_cast<T>(spec.block), row, channels, sum);
    }
    simd::store_row(dx.type, sum, channels, dx.row(b, h, token), dx.stride[3]);
  });
}

}  // namespace heed
