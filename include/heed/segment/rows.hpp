// SPDX-License-Identifier: BSL-1.0
// Rows of nodes or edges, all heads of one, as the segment loop reads them: where they lie if they
// are of the compute type with channels side by side, else from a converted copy. Memory is asked
// for some edges ahead, since the sources of edges are known long before they are read.
#pragma once

#include <heed/core/workspace.hpp>
#include <heed/segment/csr.hpp>
#include <heed/simd/convert.hpp>

namespace heed::detail {

// Edges of one destination that the loop works on at once, and the pitch of scores [H][block].
inline constexpr index segment_block = 16;

template <class T> struct segment_rows {
  const T* row[segment_block];  // of head 0; what fills up the last group of four repeats
  index pitch;                  // from head to head
};

template <class T> class row_source {
 public:
  row_source() = default;
  explicit row_source(const operand& x)
      : x_(x),
        direct_(x.type == element_of<T>::value && (x.stride[3] == 1 || x.extent[3] <= 1)),
        head_(x.extent[3] * size_of(x.type)) {}

  bool present() const { return x_.present(); }
  index width() const { return x_.extent[1] * x_.extent[3]; }
  index staged() const { return direct_ ? 0 : segment_block * width(); }

  // Rows which(0) … which(n - 1), n of 1 to `segment_block`; `stage` has staged() elements.
  template <class F> HEED_INLINE segment_rows<T> gather(index n, T* stage, const F& which) const {
    segment_rows<T> rows;
    rows.pitch = direct_ ? x_.stride[1] : x_.extent[3];
    for (index i = 0; i < n; ++i)
      rows.row[i] = direct_ ? static_cast<const T*>(x_.row(0, 0, which(i)))
                            : copy(which(i), stage + i * width());
    for (index i = n; i % 4 != 0; ++i) rows.row[i] = rows.row[n - 1];
    return rows;
  }
  // All heads of a row to `to`, heads side by side.
  const T* copy(index row, T* to) const {
    for (index h = 0; h < x_.extent[1]; ++h)
      simd::load_row(x_.type, x_.row(0, h, row), x_.stride[3], x_.extent[3], to + h * x_.extent[3]);
    return to;
  }

  const operand& view() const { return x_; }
  // Heads side by side are one piece of memory.
  bool joined() const { return x_.stride[3] == 1 && x_.stride[1] == x_.extent[3]; }

 private:
  operand x_{};
  bool direct_ = false;
  index head_ = 0;
};

// Asks for the rows of a list of edges line by line, as fast as the caller consumes them.
class row_asker {
 public:
  row_asker() = default;
  template <class T>
  row_asker(const row_source<T>& rows, std::span<const int> list) : x_(&rows.view()), list_(list) {
    const bool joined = rows.joined();
    heads_ = joined ? 1 : x_->extent[1];
    const index piece = size_of(x_->type) * x_->extent[3] * (joined ? x_->extent[1] : 1);
    lines_ = (piece + 63) / 64;
    each_ = x_->extent[1] > 0 ? (lines_ * heads_ + x_->extent[1] - 1) / x_->extent[1] : 0;
    ahead_ = std::clamp<index>(ahead_bytes / std::max<index>(1, piece * heads_), 4, 64);
  }
  // From here on edges [first, last) come.
  void start(index first, index last) {
    if (lines_ == 0) return;
    edge_ = first, last_ = last, head_ = line_ = 0;
    step(std::min(ahead_, last - first) * lines_ * heads_);
  }
  // One head of one edge was read, or `times` of them.
  HEED_INLINE void read(index times = 1) { step(each_ * times); }

 private:
  static constexpr index ahead_bytes = 8192;

  HEED_INLINE void step(index lines) {
    for (; lines > 0 && edge_ < last_; --lines) {
      if (line_ == 0)
        at_ = static_cast<const unsigned char*>(
            x_->row(0, head_, list_[static_cast<std::size_t>(edge_)]));
      __builtin_prefetch(at_ + line_ * 64);
      if (++line_ == lines_) {
        line_ = 0;
        if (++head_ == heads_) head_ = 0, ++edge_;
      }
    }
  }

  const operand* x_ = nullptr;
  std::span<const int> list_{};
  const unsigned char* at_ = nullptr;
  index heads_ = 0, lines_ = 0, each_ = 0, ahead_ = 0;
  index edge_ = 0, last_ = 0, head_ = 0, line_ = 0;
};

}  // namespace heed::detail
