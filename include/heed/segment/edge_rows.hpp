// SPDX-License-Identifier: BSL-1.0
// Rows of nodes and edges one at a time, a head each: of the compute type, channels next to each
// other; read in place where they are that.
#pragma once

#include <heed/simd/convert.hpp>
#include <heed/simd/lanes.hpp>

namespace heed::detail {

template <class T> struct rows_in {
  const operand* x = nullptr;
  T* room = nullptr;  // the last row of each head, where rows are not read in place

  rows_in() = default;
  // Rows without channels may have no data.
  template <class Memory> rows_in(Memory& from, const operand& of) : x(&of) {
    if (!in_place()) room = from.template take<T>(of.extent[1] * of.extent[3]);
  }
  bool present() const { return x != nullptr && x->present(); }
  index width() const { return x->extent[3]; }
  bool in_place() const { return x->type == element_of<T>::value && x->stride[3] == 1; }
  const T* operator()(index head, index row) const {
    if (in_place()) return static_cast<const T*>(x->row(0, head, row));
    T* const to = room + head * x->extent[3];
    simd::load_row(x->type, x->row(0, head, row), x->stride[3], x->extent[3], to);
    return to;
  }
};

// Asks memory for a row of every head.
template <class T> HEED_INLINE void ask_row(const rows_in<T>& of, index row) {
  const operand& x = *of.x;
  const index bytes = size_of(x.type) * x.extent[3];
  if (x.stride[3] != 1) return;
  if (x.stride[1] == x.extent[3]) return simd::prefetch(x.row(0, 0, row), bytes * x.extent[1]);
  for (index h = 0; h < x.extent[1]; ++h) simd::prefetch(x.row(0, h, row), bytes);
}
// How many edges ahead: some 8 KB, of two rows an edge.
inline constexpr index edges_ahead = 4;

// Nothing is written where there is no result.
template <class T>
HEED_INLINE void write_row(const result& to, index head, index row, const T* from) {
  if (!to.present()) return;
  if (to.type == element_of<T>::value && to.stride[3] == 1)
    std::copy_n(from, to.extent[3], static_cast<T*>(to.row(0, head, row)));
  else
    simd::store_row(to.type, from, to.extent[3], to.row(0, head, row), to.stride[3]);
}

// f(channel, lanes) for whole vectors, then for single channels.
template <class T, class Arch, class F> HEED_INLINE void each_channel(index count, const F& f) {
  constexpr index W = simd::width<T, Arch>;
  index c = 0;
  for (; c + W <= count; c += W) f(c, Arch{});
  for (; c < count; ++c) f(c, simd::scalar{});
}

template <class T, class Arch> HEED_INLINE T edge_dot(const T* x, const T* y, index count) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  B sum(T(0));
  index c = 0;
  for (; c + W <= count; c += W)
    sum = simd::fma(simd::load<T, Arch>(x + c), simd::load<T, Arch>(y + c), sum);
  T total = simd::sum_lanes<T, Arch>(sum);
  for (; c < count; ++c) total += x[c] * y[c];
  return total;
}

// y += a x
template <class T, class Arch> HEED_INLINE void add_scaled(T a, const T* x, index count, T* y) {
  each_channel<T, Arch>(count, [&]<class A>(index c, A) {
    using B = simd::batch<T, A>;
    simd::store(y + c, simd::fma(B(a), simd::load<T, A>(x + c), simd::load<T, A>(y + c)));
  });
}

}  // namespace heed::detail
