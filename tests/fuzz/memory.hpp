// SPDX-License-Identifier: BSL-1.0
// Operands of any element type in any layout, NaN wherever no index leads.
#pragma once

#include <algorithm>
#include <heed/eigen.hpp>
#include <random>
#include <type_traits>
#include <vector>

namespace heed::fuzz {

using engine = std::mt19937;

inline index between(engine& random, index low, index high) {
  return std::uniform_int_distribution<index>(low, high)(random);
}
inline double uniform(engine& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}
inline bool one_in(engine& random, index n) { return between(random, 1, n) == 1; }

// Calls f(std::type_identity<T>{}) for the type of an element.
template <class F> auto with_type(element type, F f) {
  switch (type) {
    case element::f32:
      return f(std::type_identity<float>{});
    case element::f64:
      return f(std::type_identity<double>{});
    case element::f16:
      return f(std::type_identity<Eigen::half>{});
    default:
      return f(std::type_identity<Eigen::bfloat16>{});
  }
}

template <element E>
using stored = std::conditional_t<
    E == element::f32, float,
    std::conditional_t<E == element::f64, double,
                       std::conditional_t<E == element::f16, Eigen::half, Eigen::bfloat16>>>;

enum class use { read, written };

// Strides of every sign, gaps, any order of the axes, and 0 in what is read only.
struct memory {
  element type = element::f64;
  extents extent{}, stride{};
  index origin = 0;
  std::vector<unsigned char> bytes;

  memory(element of, const extents& e) : memory(of, e, row_major(e), 0) {}
  memory(element of, const extents& e, use how, engine& random) : type(of), extent(e) {
    std::array<std::size_t, 4> order{3, 2, 1, 0};
    const index kind = between(random, 0, 4);
    if (kind == 1) std::swap(order[1], order[2]);
    if (kind == 2) std::shuffle(order.begin() + 1, order.end(), random);
    if (kind > 2) std::shuffle(order.begin(), order.end(), random);
    index step = kind == 4 ? 2 : 1, last = 0;
    origin = between(random, 0, 3);
    for (const std::size_t axis : order) {
      const index n = std::max<index>(e[axis], 1);
      const bool zero = how == use::read && one_in(random, axis == 3 ? 40 : 12);
      const bool back = kind > 1 && one_in(random, 4);
      stride[axis] = zero ? 0 : back ? -step : step;
      if (zero) continue;
      if (back) origin += (n - 1) * step;
      last += (n - 1) * step;
      step *= n;
      if (kind > 0 && one_in(random, 2)) step += between(random, 1, 9);
    }
    last += 4;
    bytes.assign(static_cast<std::size_t>(last * size_of(type)), 0xff);
  }

  operand read() const {
    operand x;
    x.data = place(0, 0, 0, 0), x.type = type, x.extent = extent, x.stride = stride;
    return x;
  }
  result write() {
    result x;
    x.data = const_cast<unsigned char*>(place(0, 0, 0, 0));
    x.type = type, x.extent = extent, x.stride = stride;
    return x;
  }
  // T must be the type of the elements.
  template <class T> view<const T> as() const {
    return {reinterpret_cast<const T*>(place(0, 0, 0, 0)), extent, stride};
  }

  double get(index b, index h, index l, index d) const {
    double x;
    simd::load_row(type, place(b, h, l, d), 1, 1, &x);
    return x;
  }
  void set(index b, index h, index l, index d, double x) {
    simd::store_row(type, &x, 1, const_cast<unsigned char*>(place(b, h, l, d)), 1);
  }
  template <class F> void each(F f) const {
    for (index b = 0; b < extent[0]; ++b)
      for (index h = 0; h < extent[1]; ++h)
        for (index l = 0; l < extent[2]; ++l)
          for (index d = 0; d < extent[3]; ++d) f(b, h, l, d);
  }
  // The same numbers, dense and in double.
  memory dense() const {
    memory x(element::f64, extent);
    each([&](index b, index h, index l, index d) { x.set(b, h, l, d, get(b, h, l, d)); });
    return x;
  }
  bool rest_untouched() const {
    memory x = *this;
    each([&](index b, index h, index l, index d) {
      std::fill_n(const_cast<unsigned char*>(x.place(b, h, l, d)), size_of(type),
                  static_cast<unsigned char>(0xff));
    });
    return std::all_of(x.bytes.begin(), x.bytes.end(), [](unsigned char c) { return c == 0xff; });
  }

 private:
  memory(element of, const extents& e, const extents& s, index first)
      : type(of),
        extent(e),
        stride(s),
        origin(first),
        bytes(static_cast<std::size_t>(std::max<index>(1, e[0] * e[1] * e[2] * e[3]) * size_of(of)),
              0xff) {}
  const unsigned char* place(index b, index h, index l, index d) const {
    return bytes.data() +
           size_of(type) * (origin + b * stride[0] + h * stride[1] + l * stride[2] + d * stride[3]);
  }
};

}  // namespace heed::fuzz
