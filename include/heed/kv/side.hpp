// SPDX-License-Identifier: BSL-1.0
// The keys or the values of a cache: pages, and for formats with scales a channel the block of each
// sequence that is not full yet, [B, Hkv, kv_block, width] of float.
//
// Slots and tokens are equal modulo kv_block where a format has scales a channel.
#pragma once

#include <heed/kv/rows.hpp>

namespace heed {

struct kv_side {
  kv_rows rows;
  float* open = nullptr;

  index open_size(index batch) const {
    return rows.format.channels ? batch * rows.heads * kv_block * rows.width : 0;
  }
  float* open_row(index b, index h, index slot) const {
    return open + ((b * rows.heads + h) * kv_block + slot % kv_block) * rows.width;
  }
  // Rows from `slot` on, those of the open block if `is_open`.
  stored_rows at(index b, index h, index page, index slot, bool is_open) const {
    if (!rows.format.channels || !is_open) return rows.at(page, h, slot);
    return {.data = reinterpret_cast<const unsigned char*>(open_row(b, h, slot)),
            .type = kv_type::f32,
            .stride = rows.width * size_of(element::f32)};
  }
  void write(index b, index h, index page, index slot, const operand& x, index from, index l,
             double* buffer) const {
    const void* const row = x.row(from, h, l);
    if (!rows.format.quantized() && (x.type == element::f64 || rows.format.type == kv_type::f64)) {
      simd::load_row(x.type, row, x.stride[3], rows.width, buffer);
      return rows.write(page, h, slot, buffer);
    }
    float* const numbers = reinterpret_cast<float*>(buffer);
    simd::load_row(x.type, row, x.stride[3], rows.width, numbers);
    if (!rows.format.channels) return rows.write(page, h, slot, numbers);
    std::copy_n(numbers, rows.width, open_row(b, h, slot));
    if (slot % kv_block == kv_block - 1)
      rows.write_block(page, h, slot - slot % kv_block, open_row(b, h, 0));
  }
  // Decodes the rows before `slot` in its block, which becomes the open one again.
  void reopen(index b, index page, index slot) const {
    if (!rows.format.channels) return;
    const index first = slot - slot % kv_block;
    for (index h = 0; h < rows.heads; ++h) {
      const stored_rows from = rows.at(page, h, first);
      for (index n = 0; n < slot - first; ++n) load_stored(from, n, rows.width, open_row(b, h, n));
    }
  }
  void copy_open(index from, index to) const {
    if (rows.format.channels)
      std::copy_n(open_row(from, 0, 0), rows.heads * kv_block * rows.width, open_row(to, 0, 0));
  }
  // Every number must be finite in float where one that is not would reach other tokens.
  void check_finite(const char* operation, const char* name, const operand& x) const {
    if (!rows.format.channels) return;
    for (index b = 0; b < x.extent[0]; ++b)
      for (index h = 0; h < x.extent[1]; ++h)
        for (index l = 0; l < x.extent[2]; ++l)
          for (index c = 0; c < rows.width; ++c) {
            float number;
            simd::load_row(x.type,
                           static_cast<const unsigned char*>(x.row(b, h, l)) +
                               c * x.stride[3] * size_of(x.type),
                           1, 1, &number);
            if (!(std::abs(number) <= std::numeric_limits<float>::max()))
              check::fail(operation, std::string(name) +
                                         " has a number that is not finite in float: tokens that "
                                         "share a scale a channel would be lost with it");
          }
  }
};

}  // namespace heed
