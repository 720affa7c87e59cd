// SPDX-License-Identifier: BSL-1.0
// Rows of cached keys or values as they lie in memory: plain elements, or codes with scales.
//
//   x_c = scale[c / group] · code_c + zero[c / group]
//
// Integer codes are int8, or int4 two a byte, low nibble first, both in two's complement. One set
// of scales a row is "per token"; `scale_stride` 0 with `group` 1 is one scale a channel for all
// rows of the run.
#pragma once

#include <heed/core/storage.hpp>

namespace heed {

enum class kv_type : unsigned char { f32, f64, f16, bf16, i8, i4 };

constexpr kv_type kv_type_of(element e) { return static_cast<kv_type>(e); }
static_assert(kv_type_of(element::bf16) == kv_type::bf16);

constexpr bool is_quantized(kv_type t) { return t == kv_type::i8 || t == kv_type::i4; }

// Bytes of `channels` channels.
constexpr index bytes_of(kv_type t, index channels) {
  return t == kv_type::i4   ? (channels + 1) / 2
         : t == kv_type::i8 ? channels
                            : channels * size_of(static_cast<element>(t));
}

struct stored_rows {
  const unsigned char* data = nullptr;  // the first row
  kv_type type = kv_type::f32;
  index stride = 0;                                // bytes from row to row
  index step = 1;                                  // elements from channel to channel; codes have 1
  const void *scales = nullptr, *zeros = nullptr;  // codes only: of the first row; zeros optional
  element scale_type = element::f32;               // f32 or f16, of zeros too
  index group = 0, scale_stride = 0;               // channels a scale; scales from row to row

  // The rows from `n` on.
  stored_rows from(index n) const {
    stored_rows r = *this;
    r.data += n * stride;
    r.scales = moved(scales, n), r.zeros = moved(zeros, n);
    return r;
  }
  // Whether the rows are elements of this type, channels side by side.
  bool plain(kv_type t) const { return type == t && step == 1; }

 private:
  const void* moved(const void* p, index n) const {
    return p ? static_cast<const unsigned char*>(p) + n * scale_stride * size_of(scale_type) : p;
  }
};

// Tokens of one kv head that lie together.
struct kv_run {
  stored_rows k, v;
  index count = 0;
};

}  // namespace heed
