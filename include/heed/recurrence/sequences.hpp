// SPDX-License-Identifier: BSL-1.0
// The sequences of a call: items of a batch, or pieces of a batch of 1 between offsets. What
// recurrences with a driver of their own share.
#pragma once

#include <heed/core/offsets.hpp>
#include <heed/recurrence/state.hpp>
#include <heed/simd/convert.hpp>

namespace heed::detail {

struct sequence_list {
  std::span<const int> cu;
  index batch = 0, length = 0;

  struct one {
    index b, first, length;
  };
  index count() const { return cu.empty() ? batch : index(cu.size()) - 1; }
  one operator[](index i) const {
    if (cu.empty()) return {i, 0, length};
    const index first = cu[std::size_t(i)];
    return {0, first, cu[std::size_t(i + 1)] - first};
  }
  void check(const char* operation) const {
    if (cu.empty()) return;
    if (batch != 1)
      check::fail(operation, "packed sequences have a batch of 1: " + std::to_string(batch));
    check::offsets(operation, "cu_seqlens", cu, length);
  }
  template <class T> void add_tokens(recurrent_state<T>& state) const {
    for (index i = 0; i < count(); ++i) state.tokens(i) += (*this)[i].length;
  }
};

// The gradient of a state has the shape of a state; an empty one is zero.
template <class T>
void claim_state_gradient(const char* operation, recurrent_state<T>& gradient,
                          const state_format& format, index batch) {
  const bool fresh = gradient.empty();
  claim_state(operation, gradient, format, batch);
  if (fresh && format.logarithm)
    for (index b = 0; b < batch; ++b)
      for (index h = 0; h < format.heads; ++h) gradient.side(b, h)[format.side - 1] = 0;
}
template <class T> bool rows_of(const operand& x) {
  return x.type == element_of<T>::value && x.stride[3] == 1;
}
template <class T> void load(const operand& x, index b, index h, index l, T* to) {
  simd::load_row(x.type, x.row(b, h, l), x.stride[3], x.extent[3], to);
}
// The row where it lies, or copied to `room`.
template <class T> const T* row_of(const operand& x, index b, index h, index l, T* room) {
  if (rows_of<T>(x)) return static_cast<const T*>(x.row(b, h, l));
  load(x, b, h, l, room);
  return room;
}
template <class T> void store(const result& x, index b, index h, index l, const T* from) {
  simd::store_row(x.type, from, x.extent[3], x.row(b, h, l), x.stride[3]);
}

}  // namespace heed::detail
