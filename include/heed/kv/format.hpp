// SPDX-License-Identifier: BSL-1.0
// What a cache keeps of keys and of values: elements, or codes with scales.
#pragma once

#include <heed/core/check.hpp>
#include <heed/kv/stored.hpp>

namespace heed {

// Fewer numbers than these are in one cache, or kept by one policy: their bytes can be counted.
inline constexpr index kv_limit = index{1} << 58;

// Tokens that share a scale a channel in a per-channel format.
inline constexpr index kv_block = 32;

struct kv_format {
  kv_type type = kv_type::f32;
  // The rest is for codes.
  index group = 0;               // channels a scale; 0, or more than there are: the whole row
  bool zero = false;             // x = scale · code + zero, else x = scale · code
  bool channels = false;         // one scale a channel and kv_block tokens, instead of one a token
  element scale = element::f32;  // what scales and zeros are kept as: f32 or f16

  constexpr kv_format with_zero() const {
    kv_format f = *this;
    f.zero = true;
    return f;
  }
  constexpr kv_format per_channel() const {
    kv_format f = *this;
    f.channels = true, f.group = 0;
    return f;
  }
  constexpr bool quantized() const { return is_quantized(type); }
  constexpr index group_of(index width) const {
    return channels ? 1 : group == 0 || group > width ? width : group;
  }
  // Scales of one row, or of one block of a per-channel format.
  constexpr index scales_of(index width) const {
    return !quantized() || width == 0 ? 0 : (width + group_of(width) - 1) / group_of(width);
  }
  void check(const char* policy) const {
    if (type > kv_type::i4) check::fail(policy, "unknown storage type");
    if (!quantized() && (group != 0 || zero || channels))
      check::fail(policy, "only codes have groups, zeros and scales a channel");
    if (group < 0)
      check::fail(policy, "channels a scale must not be negative: " + std::to_string(group));
    if (channels && group != 0)
      check::fail(policy, "a format has scales a channel or groups of channels, not both");
    if (scale != element::f32 && scale != element::f16)
      check::fail(policy, "scales are kept as float or half");
  }
};

// One format for keys, one for values; a single one is for both.
struct kv_formats {
  kv_format k, v;

  constexpr kv_formats() = default;
  constexpr kv_formats(const kv_format& both) : k(both), v(both) {}  // NOLINT: one is both
  constexpr kv_formats(const kv_format& keys, const kv_format& values) : k(keys), v(values) {}
};

struct kv_shape {
  index batch = 0, heads = 0, depth = 0, value_depth = 0;  // sequences, kv heads, channels

  void check(const char* policy) const {
    if (batch < 1 || heads < 1 || depth < 1 || value_depth < 0)
      check::fail(policy, "sequences, kv heads and key channels must be positive, not " +
                              std::to_string(batch) + ", " + std::to_string(heads) + " and " +
                              std::to_string(depth) +
                              ", value channels not negative: " + std::to_string(value_depth));
  }
};

}  // namespace heed
