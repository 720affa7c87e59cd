// SPDX-License-Identifier: BSL-1.0
// What observers keep for each query row, with rows next to each other as they are in panels.
#pragma once

#include <algorithm>
#include <heed/attention/observer.hpp>
#include <heed/core/check.hpp>
#include <heed/simd/convert.hpp>
#include <heed/simd/simd.hpp>
#include <memory>
#include <vector>

namespace heed::detail {

// f(arch, lane) for whole vectors, then for single lanes: no lane from `rows` on is touched.
template <class T, class F> HEED_INLINE void each_lane(index rows, F f) {
  constexpr index W = simd::width<T, simd::best>;
  index lane = 0;
  if constexpr (W > 1)
    for (; lane + W <= rows; lane += W) f(simd::best{}, lane);
  for (; lane < rows; ++lane) f(simd::scalar{}, lane);
}

// `each` numbers of the compute type for a row, as [b][h][number][row]; they belong to the task of
// the row.
class lane_memory {
 public:
  // All zero. Grows, never shrinks.
  void start(const observed_call& call, index each, index rows) {
    batch_ = call.batch, heads_ = call.shape.heads, each_ = each, type_ = call.compute;
    // Numbers of a row must not share a cache set: lengths are often powers of two.
    rows_ = (rows + 15) / 16 * 16 + 16;
    bytes_.assign(static_cast<std::size_t>(batch_ * heads_ * each_ * rows_ * size_of(type_)),
                  std::byte{0});
  }
  template <class T> T* at(index b, index h, index i, index row) {
    return reinterpret_cast<T*>(bytes_.data()) + offset(b, h, i, row);
  }
  double get(index b, index h, index i, index row) const {
    const index at = offset(b, h, i, row);
    return type_ == element::f64 ? reinterpret_cast<const double*>(bytes_.data())[at]
                                 : double(reinterpret_cast<const float*>(bytes_.data())[at]);
  }
  void set(index b, index h, index i, index row, double value) {
    if (type_ == element::f64)
      *at<double>(b, h, i, row) = value;
    else
      *at<float>(b, h, i, row) = static_cast<float>(value);
  }
  // f(T*): all of them.
  template <class F> void whole(F f) {
    const auto count = static_cast<index>(bytes_.size()) / size_of(type_);
    if (type_ == element::f64)
      f(reinterpret_cast<double*>(bytes_.data()), count);
    else
      f(reinterpret_cast<float*>(bytes_.data()), count);
  }
  // Numbers [first, first + count) of a row, times `factor`, kept and written to channels of `to`.
  void finish(const row_position& at, index first, index count, double factor, const result& to) {
    type_ == element::f64 ? finish_as<double>(at, first, count, factor, to)
                          : finish_as<float>(at, first, count, factor, to);
  }
  // As in the tensors: packed sequences share one item.
  index item(index b) const { return batch_ == 1 ? 0 : b; }
  // From one number of a row to the next.
  index step() const { return rows_; }

 private:
  template <class T>
  void finish_as(const row_position& at, index first, index count, double factor,
                 const result& to) {
    T* const kept = this->at<T>(at.b, at.h, first, at.row);
    auto* const row = static_cast<unsigned char*>(to.row(item(at.b), at.h, at.row));
    T some[64];
    for (index i = 0; i < count; i += 64) {
      const index n = std::min<index>(64, count - i);
      for (index c = 0; c < n; ++c)
        some[c] = kept[(i + c) * rows_] = static_cast<T>(factor * double(kept[(i + c) * rows_]));
      simd::store_row(to.type, some, n, row + i * to.stride[3] * size_of(to.type), to.stride[3]);
    }
  }
  index offset(index b, index h, index i, index row) const {
    return ((item(b) * heads_ + h) * each_ + i) * rows_ + row;
  }

  index batch_ = 0, heads_ = 0, each_ = 0, rows_ = 0;
  element type_ = element::f32;
  std::vector<std::byte> bytes_;
};

// x[i][lane] *= factor[lane] for i < each, `step` apart.
template <class T> void rescale_lanes(const T* factor, index rows, index each, T* x, index step) {
  if (!factor) return;
  each_lane<T>(rows, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
    using B = simd::batch<T, A>;
    const B f = simd::load<T, A>(factor + lane);
    for (index i = 0; i < each; ++i)
      simd::store(x + i * step + lane, B(simd::load<T, A>(x + i * step + lane) * f));
  });
}

// to[lane] += the weights of `keys` keys.
template <class T> void add_keys(const T* p, index pitch, index keys, index rows, T* to) {
  each_lane<T>(rows, [&]<class A>(A, index lane) HEED_INLINE_LAMBDA {
    using B = simd::batch<T, A>;
    const T* at = p + lane;
    B s[4] = {simd::load<T, A>(to + lane), B(T(0)), B(T(0)), B(T(0))};
    index i = 0;
    for (; i + 4 <= keys; i += 4)
      HEED_UNROLL for (int c = 0; c < 4; ++c) s[c] = s[c] + simd::load<T, A>(at + (i + c) * pitch);
    for (; i < keys; ++i) s[0] = s[0] + simd::load<T, A>(at + i * pitch);
    simd::store(to + lane, B((s[0] + s[1]) + (s[2] + s[3])));
  });
}

inline void check_observed(const char* who, const char* name, const operand& x,
                           const extents& wanted) {
  if (x.extent != wanted || (!x.present() && wanted[0] * wanted[1] * wanted[2] * wanted[3] > 0))
    check::fail(who, std::string(name) + " must be " + check::print(wanted), {{name, x}});
}

// The gradient of what an observer returned, [B,H,Lq,n], in the order of panels.
class row_gradients {
 public:
  row_gradients(const char* who, const operand& g, const extents& wanted) : extent_(g.extent) {
    check_observed(who, "its gradient", g, wanted);
    of_.resize(static_cast<std::size_t>(g.extent[0] * g.extent[1] * g.extent[2] * g.extent[3]));
    std::vector<double> row(static_cast<std::size_t>(g.extent[3]));
    for (index b = 0; b < g.extent[0]; ++b)
      for (index h = 0; h < g.extent[1]; ++h)
        for (index r = 0; r < g.extent[2]; ++r) {
          simd::load_row(g.type, g.row(b, h, r), g.stride[3], g.extent[3], row.data());
          for (index i = 0; i < g.extent[3]; ++i)
            *const_cast<double*>(lanes(b, h, i, r)) = row[static_cast<std::size_t>(i)];
        }
  }
  const double* lanes(index b, index h, index i, index row) const {
    if (extent_[0] == 1) b = 0;
    return of_.data() + ((b * extent_[1] + h) * extent_[3] + i) * extent_[2] + row;
  }
  // Σ_i g_i kept_i of a row
  double dot(const row_position& at, const lane_memory& kept) const {
    double sum = 0;
    for (index i = 0; i < extent_[3]; ++i)
      sum += *lanes(at.b, at.h, i, at.row) * kept.get(at.b, at.h, i, at.row);
    return sum;
  }
  // dp[lane] += g of number i
  template <class T> void add(const tile& at, index i, T* dp) const {
    const double* const g = lanes(at.b, at.h, i, at.row);
    for (index lane = 0; lane < at.rows; ++lane) dp[lane] += static_cast<T>(g[lane]);
  }

 private:
  extents extent_;
  std::vector<double> of_;
};

}  // namespace heed::detail
