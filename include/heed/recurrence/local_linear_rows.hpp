// SPDX-License-Identifier: BSL-1.0
// Keys and values of recurrence/local_linear as rows of the compute type: where they lie, or copied
// once a call.
#pragma once

#include <heed/core/broadcast.hpp>
#include <heed/core/executor.hpp>
#include <heed/recurrence/local_linear_fit.hpp>
#include <heed/recurrence/rows.hpp>
#include <heed/recurrence/sequences.hpp>

namespace heed::detail {

template <class T> class local_linear_rows {
 public:
  local_linear_rows(const operand& k, const operand& v, const executor_ref& executor, arena& a)
      : k_(k), v_(v) {
    const index heads = k.extent[0] * k.extent[1], n = heads * k.extent[2];
    const bool copy_k = !simd::stored_as<T>(k), copy_v = !simd::stored_as<T>(v);
    a.reserve(std::size_t((copy_k ? aligned_bytes(n * k.extent[3], sizeof(T)) : 0) +
                          (copy_v ? aligned_bytes(n * v.extent[3], sizeof(T)) : 0) +
                          aligned_bytes(heads, sizeof(bool))));
    copied_k_ = copy_k ? a.take<T>(n * k.extent[3]) : nullptr;
    copied_v_ = copy_v ? a.take<T>(n * v.extent[3]) : nullptr;
    finite_ = a.take<bool>(heads);
    executor.for_each(heads, [&](index task, index) {
      const index b = task / k.extent[1], h = task % k.extent[1];
      const bool keys = copy(k, copied_k_, b, h), values = copy(v, copied_v_, b, h);
      finite_[task] = keys && values;
    });
  }
  local_rows<T> rows(const token_run& at, index h) const {
    const auto of = [&](const operand& x, const T* copied, const T*& data, index& stride) {
      stride = copied ? x.extent[3] : x.stride[2];
      data = copied ? copied + ((at.b * x.extent[1] + h) * x.extent[2] + at.first) * stride
                    : static_cast<const T*>(x.row(at.b, h, at.first));
    };
    local_rows<T> y{};
    of(k_, copied_k_, y.k, y.k_stride);
    of(v_, copied_v_, y.v, y.v_stride);
    y.count = at.length;
    y.finite = finite_[at.b * k_.extent[1] + h];
    return y;
  }

 private:
  // Whether all of a head is finite.
  static bool copy(const operand& x, T* copied, index b, index h) {
    const index depth = x.extent[3];
    T rest = 0;
    for (index l = 0; l < x.extent[2]; ++l) {
      const T* row = static_cast<const T*>(x.row(b, h, l));
      if (copied) {
        T* const to = copied + ((b * x.extent[1] + h) * x.extent[2] + l) * depth;
        load(x, b, h, l, to);
        row = to;
      }
      for (index c = 0; c < depth; ++c) rest += row[c] * T(0);
    }
    return rest == T(0);
  }

  const operand &k_, &v_;
  T *copied_k_, *copied_v_;
  bool* finite_;
};

}  // namespace heed::detail
