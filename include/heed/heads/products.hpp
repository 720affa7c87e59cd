// SPDX-License-Identifier: BSL-1.0
// Rows times a small matrix a head, of any layout and element type: what stands before and after
// attention in a compressed form.
//
//   multiply      out[b,h,l,:]  = Σ_terms x[b,h,l,:] W_h     a head axis of 1 in x is shared by all
//                                                            heads; one of 1 in out is summed over
//   multiply_rows dW_h[i,j]     = Σ_{b,l} x[b,h,l,i] y[b,h,l,j]
//   copy          out[b,h,l,:]  = x[b,h,l,:]                 with axes of 1 as in `multiply`
//
// Rows of all sequences stand under each other, so that a decode step reads W once a head. For more
// than a few rows W is copied in strips, once for 128 rows. Sums run in a fixed order: the bits do
// not depend on the threads.
#pragma once

#include <algorithm>
#include <heed/attention/attend.hpp>
#include <initializer_list>

namespace heed::detail {

// x [B,H|1,L,K] times w [1,H,K,N].
struct product_term {
  operand x, w;
};

inline operand transpose_of(operand x) {
  std::swap(x.extent[2], x.extent[3]);
  std::swap(x.stride[2], x.stride[3]);
  return x;
}
// Channels [first, first + count) of an operand or a result.
template <class Void>
basic_operand<Void> channels_of(basic_operand<Void> x, index first, index count) {
  using byte = typename basic_operand<Void>::byte;
  if (x.data) x.data = static_cast<byte*>(x.data) + first * x.stride[3] * size_of(x.type);
  x.extent[3] = count;
  return x;
}

// Rows of all sequences of a head, one number for both axes.
template <class Void> struct stacked {
  const basic_operand<Void>& x;
  index h;

  index count() const { return x.extent[0] * x.extent[2]; }
  Void* at(index i) const {
    return x.row(i / x.extent[2], x.extent[1] == 1 ? 0 : h, i % x.extent[2]);
  }
};

template <class T, class Arch> class products {
  static constexpr index W = simd::width<T, Arch>, pitch = simd::shape<T, Arch>::panel;
  static constexpr index rows = 128;
  // Up to so many rows W is read as it lies: 5 times as fast as strips for one row, slower for 16.
  static constexpr index few = 8;
  static constexpr index depth = simd::shape<T, Arch>::key_tile;  // a strip stays in L1

 public:
  // `n`: columns of the largest result.
  products(const executor_ref& executor, workspace& scratch, index n)
      : executor_(executor), scratch_(scratch), n_((n + pitch - 1) / pitch * pitch) {
    scratch_.crew(executor_.workers());
  }

  void multiply(std::initializer_list<product_term> terms, const result& out) {
    const index heads = out.extent[1], blocks = (out.extent[0] * out.extent[2] + rows - 1) / rows;
    executor_.for_each(heads * blocks, [&](index task, index worker) {
      memory m(*this, worker);
      const index h = task / blocks, first = task % blocks * rows;
      const stacked<void> to{out, h};
      const index count = std::min(rows, to.count() - first), n = out.extent[3];
      std::fill_n(m.c, count * n_, T(0));
      for (const product_term& t : terms)
        for (index i = h; i < (heads == 1 ? t.w.extent[1] : h + 1); ++i)
          for (index k = 0; k < t.w.extent[2]; k += depth) {
            const index some = std::min(depth, t.w.extent[2] - k);
            const operand x = channels_of(t.x, k, some);
            const stacked<const void> from{x, i};
            for (index r = 0; r < count; ++r)
              simd::load_row(x.type, from.at(first + r), x.stride[3], some, m.a + r * depth);
            if (count <= few && n <= depth * pitch)
              each_row(t.w, i, k, some, count, n, m);
            else
              each_strip(
                  n, m,
                  [&](index j, index l, index width, T* b) {
                    const operand w = channels_of(t.w, j, width);
                    simd::load_row(w.type, w.row(0, i, k + l), w.stride[3], width, b);
                  },
                  count, some);
          }
      for (index r = 0; r < count; ++r)
        simd::store_row(out.type, m.c + r * n_, n, to.at(first + r), out.stride[3]);
    });
  }

  void multiply_rows(const operand& x, const operand& y, const result& out) {
    const index blocks = (out.extent[2] + rows - 1) / rows;
    executor_.for_each(out.extent[1] * blocks, [&](index task, index worker) {
      memory m(*this, worker);
      const index h = task / blocks, first = task % blocks * rows;
      const index count = std::min(rows, out.extent[2] - first), n = out.extent[3];
      const operand part = channels_of(x, first, count);
      const stacked<const void> from{part, h}, by{y, h};
      T row[rows];
      std::fill_n(m.c, count * n_, T(0));
      for (index k = 0; k < from.count(); k += depth) {
        const index some = std::min(depth, from.count() - k);
        for (index l = 0; l < some; ++l) {
          simd::load_row(part.type, from.at(k + l), part.stride[3], count, row);
          for (index r = 0; r < count; ++r) m.a[r * depth + l] = row[r];
        }
        each_strip(
            n, m,
            [&](index j, index l, index width, T* b) {
              const auto* const at = static_cast<const unsigned char*>(by.at(k + l));
              simd::load_row(y.type, at + j * y.stride[3] * size_of(y.type), y.stride[3], width, b);
            },
            count, some);
      }
      for (index r = 0; r < count; ++r)
        simd::store_row(out.type, m.c + r * n_, n, out.row(0, h, first + r), out.stride[3]);
    });
  }

  void copy(const operand& x, const result& out) {
    const extents& e = out.extent;
    const index heads = e[1] == 1 ? x.extent[1] : 1;
    if (e[3] == 0) return;
    executor_.for_each(e[0] * e[1], [&](index task, index) {
      const index b = task / e[1], h = task % e[1];
      T sum[pitch], one[pitch];
      for (index l = 0; l < e[2]; ++l)
        for (index c = 0; c < e[3]; c += pitch) {
          const index some = std::min(pitch, e[3] - c);
          const operand from = channels_of(x, c, some);
          const result to = channels_of(out, c, some);
          std::fill_n(sum, some, T(0));
          for (index i = 0; i < heads; ++i) {
            simd::load_row(from.type, from.row(b, x.extent[1] == 1 ? 0 : h + i, l), from.stride[3],
                           some, one);
            for (index d = 0; d < some; ++d) sum[d] += one[d];
          }
          simd::store_row(to.type, sum, some, to.row(b, h, l), to.stride[3]);
        }
    });
  }

 private:
  struct memory {
    T *a, *b, *c;  // [rows][depth], a strip [depth][pitch], [rows][n]

    memory(products& p, index worker) {
      arena& from = p.scratch_.worker(worker);
      from.reserve(arena::rounded(rows * depth * sizeof(T)) +
                   arena::rounded(depth * pitch * sizeof(T)) +
                   arena::rounded(static_cast<std::size_t>(rows * p.n_) * sizeof(T)));
      a = from.take<T>(rows * depth), b = from.take<T>(depth * pitch),
      c = from.take<T>(rows * p.n_);
    }
  };
  // C += A W for few rows: W is read once, as it lies in memory.
  void each_row(const operand& w, index h, index k, index some, index count, index n,
                const memory& m) const {
    for (index l = 0; l < some; ++l) {
      const T* row = static_cast<const T*>(w.row(0, h, k + l));
      if (!simd::stored_as<T>(w)) {
        simd::load_row(w.type, row, w.stride[3], n, m.b);
        row = m.b;
      }
      for (index r = 0; r < count; ++r)
        simd::add_scaled<Arch>(m.a[r * depth + l], row, n, m.c + r * n_);
    }
  }
  // C += A B, strip by strip; load(first column, row of B, columns, to). Lanes past the last column
  // are never stored: they are 0 only so that no product meets what memory held before.
  template <class Load>
  void each_strip(index n, const memory& m, const Load& load, index count, index some) const {
    for (index j = 0; j < n; j += pitch) {
      const index width = std::min(pitch, n - j), vectors = (width + W - 1) / W;
      for (index l = 0; l < some; ++l) {
        T* const b = m.b + l * pitch;
        load(j, l, width, b);
        std::fill(b + width, b + vectors * W, T(0));
      }
      simd::scores<T, Arch>(vectors, m.a, depth, count, m.b, pitch, some, m.c + j, n_, true);
    }
  }

  const executor_ref& executor_;
  workspace& scratch_;
  index n_;
};

}  // namespace heed::detail
