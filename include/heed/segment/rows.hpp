// SPDX-License-Identifier: BSL-1.0
// Rows of nodes or edges, all heads of one, as the segment loop reads them: where they lie if they
// are of the compute type with channels side by side, else from a converted copy. Memory is asked
// for some edges ahead, since the sources of edges are known long before they are read: without
// that a row of 1 KB would wait for memory at its start.
#pragma once

#include <heed/core/workspace.hpp>
#include <heed/segment/csr.hpp>
#include <heed/simd/convert.hpp>

namespace heed::detail {

// Edges of one destination that the loop works on at once, and the pitch of scores [H][block].
inline constexpr index segment_block = 16;

template <class T> struct segment_rows {
  const T* row[segment_block];   // of head 0; what fills up 8 or 16 repeats
  const T* next[segment_block];  // what to ask for while that row is read
  index pitch;                   // from head to head
};

// Where the rows of the edges from `first` on lie, of which `left` are still to come in this task.
struct listed_rows {
  const int* first;
  index left;
  index operator()(index j) const { return first[j]; }
};
// Tensors of edges: one row after the other.
struct edge_rows {
  index first, left;
  index operator()(index j) const { return first + j; }
};

template <class T> class row_source {
 public:
  row_source() = default;
  explicit row_source(const operand& x)
      : x_(x),
        direct_(x.type == element_of<T>::value && (x.stride[3] == 1 || x.extent[3] <= 1)),
        bytes_(x.stride[3] == 1 ? x.extent[3] * size_of(x.type) : 0),
        ahead_(std::clamp<index>(ahead_bytes / std::max<index>(1, bytes_ * x.extent[1]), 4, 64)) {}

  bool present() const { return x_.present(); }
  index width() const { return x_.extent[1] * x_.extent[3]; }
  index depth() const { return x_.extent[3]; }
  index staged() const { return direct_ ? 0 : segment_block * width(); }

  // The next n rows, 1 to `segment_block`; `stage` has staged() elements.
  template <class Rows>
  HEED_INLINE void gather(index n, const Rows& rows, T* stage, segment_rows<T>& to) const {
    if (!direct_) return copy(n, rows, stage, to);
    to.pitch = x_.stride[1];
    const auto at = [&](index j) {
      return static_cast<const T*>(x_.data) + rows(j) * x_.stride[2];
    };
    for (index j = 0; j < n; ++j)
      to.row[j] = at(j), to.next[j] = at(std::min(j + ahead_, rows.left - 1));
    fill(n, to);
  }
  // All heads of a row to `to`, heads side by side.
  const T* copy(index row, T* to, T scale = 1) const {
    if (direct_ && x_.stride[1] == x_.extent[3]) {
      const T* const from = static_cast<const T*>(x_.data) + row * x_.stride[2];
      for (index c = 0; c < width(); ++c) to[c] = from[c] * scale;
      return to;
    }
    for (index h = 0; h < x_.extent[1]; ++h)
      simd::load_row(x_.type, x_.row(0, h, row), x_.stride[3], x_.extent[3], to + h * x_.extent[3]);
    if (scale != T(1))
      for (index c = 0; c < width(); ++c) to[c] *= scale;
    return to;
  }

 private:
  static constexpr index ahead_bytes = 12288;

  static void fill(index n, segment_rows<T>& to) {
    for (index j = n; j % (n > 8 ? segment_block : 8) != 0; ++j)
      to.row[j] = to.row[n - 1], to.next[j] = to.next[n - 1];
  }
  template <class Rows>
  HEED_NOINLINE void copy(index n, const Rows& rows, T* stage, segment_rows<T>& to) const {
    to.pitch = x_.extent[3];
    for (index j = 0; j < n; ++j) {
      for (index h = 0; h < x_.extent[1]; ++h)
        simd::prefetch(x_.row(0, h, rows(std::min(j + ahead_, rows.left - 1))), bytes_);
      to.row[j] = to.next[j] = copy(rows(j), stage + j * width());
    }
    fill(n, to);
  }

  operand x_{};
  bool direct_ = false;
  index bytes_ = 0, ahead_ = 0;
};

}  // namespace heed::detail
