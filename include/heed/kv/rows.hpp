// SPDX-License-Identifier: BSL-1.0
// Pages of rows, [P, Hkv, slots, channels], of keys or of values, in any format; refers to memory.
#pragma once

#include <algorithm>
#include <heed/kv/load.hpp>
#include <heed/kv/quantize.hpp>

namespace heed {

struct kv_rows {
  kv_format format;
  index pages = 0, heads = 0, slots = 0, width = 0;
  unsigned char* data = nullptr;
  index page_stride = 0, head_stride = 0, row_stride = 0;  // bytes
  index step = 1;                                          // elements from channel to channel
  unsigned char *scales = nullptr, *zeros = nullptr;  // [P, Hkv, slots or blocks, scales of one]

  kv_rows() = default;
  // Rows one after another in memory of bytes(); without any, what bytes() needs to know.
  kv_rows(const kv_format& f, index page_count, index head_count, index slot_count, index channels,
          unsigned char* memory)
      : format(f),
        pages(page_count),
        heads(head_count),
        slots(slot_count),
        width(channels),
        data(memory),
        row_stride(bytes_of(f.type, channels)) {
    head_stride = slots * row_stride, page_stride = heads * head_stride;
    if (!memory) return;
    scales = data + rounded(pages * page_stride);
    zeros = f.zero ? scales + rounded(scale_bytes()) : nullptr;
  }
  // The caller's pages k [P,Hkv,slots,D], of any element type and layout.
  explicit kv_rows(const result& x)
      : format{.type = kv_type_of(x.type)},
        pages(x.extent[0]),
        heads(x.extent[1]),
        slots(x.extent[2]),
        width(x.extent[3]),
        data(static_cast<unsigned char*>(x.data)),
        page_stride(x.stride[0] * size_of(x.type)),
        head_stride(x.stride[1] * size_of(x.type)),
        row_stride(x.stride[2] * size_of(x.type)),
        step(x.stride[3]) {}

  index bytes() const {
    return rounded(pages * page_stride) + (format.zero ? 2 : 1) * rounded(scale_bytes());
  }

  // Rows from `slot` on; those of a per-channel format up to the end of its block.
  stored_rows at(index page, index head, index slot) const {
    stored_rows r{
        .data = row(page, head, slot), .type = format.type, .stride = row_stride, .step = step};
    if (!format.quantized()) return r;
    r.scales = scales_at(scales, page, head, slot), r.scale_type = format.scale;
    if (format.zero) r.zeros = scales_at(zeros, page, head, slot);
    r.group = format.group_of(width);
    r.scale_stride = format.channels ? 0 : format.scales_of(width);
    return r;
  }
  // A row of float or double; not for per-channel formats.
  template <class T> void write(index page, index head, index slot, const T* x) const {
    if constexpr (std::is_same_v<T, float>)
      if (format.quantized()) {
        detail::quantize_row(format, x, width, row(page, head, slot),
                             scales_at(scales, page, head, slot),
                             format.zero ? scales_at(zeros, page, head, slot) : nullptr);
        return;
      }
    simd::store_row(static_cast<element>(format.type), x, width, row(page, head, slot), step);
  }
  // kv_block rows from `slot` on, of a per-channel format.
  void write_block(index page, index head, index slot, const float* x) const {
    detail::quantize_block(format, x, width, row(page, head, slot), row_stride,
                           scales_at(scales, page, head, slot),
                           format.zero ? scales_at(zeros, page, head, slot) : nullptr);
  }
  // One row to another place, scales included; not for per-channel formats.
  void copy(index head, index page, index slot, index to_page, index to_slot) const {
    unsigned char *const from = row(page, head, slot), *const to = row(to_page, head, to_slot);
    if (from == to) return;
    if (step == 1)
      std::copy_n(from, bytes_of(format.type, width), to);
    else
      for (index c = 0, size = bytes_of(format.type, 1); c < width; ++c)
        std::copy_n(from + c * step * size, size, to + c * step * size);
    copy_scales(head, page, slot, to_page, to_slot);
  }
  // The first `count` rows of a head, those of a per-channel format by whole blocks.
  void copy_page(index head, index page, index to_page, index count) const {
    if (!format.channels) {
      for (index n = 0; n < count; ++n) copy(head, page, n, to_page, n);
      return;
    }
    std::copy_n(row(page, head, 0), count * row_stride, row(to_page, head, 0));
    for (index n = 0; n < count; n += kv_block) copy_scales(head, page, n, to_page, n);
  }

 private:
  static index rounded(index bytes) { return (bytes + 63) / 64 * 64; }
  index sets() const { return format.channels ? slots / kv_block : slots; }
  index set_bytes() const { return format.scales_of(width) * size_of(format.scale); }
  index scale_bytes() const { return pages * heads * sets() * set_bytes(); }
  unsigned char* row(index page, index head, index slot) const {
    return data + page * page_stride + head * head_stride + slot * row_stride;
  }
  unsigned char* scales_at(unsigned char* of, index page, index head, index slot) const {
    const index set = format.channels ? slot / kv_block : slot;
    return of + ((page * heads + head) * sets() + set) * set_bytes();
  }
  void copy_scales(index head, index page, index slot, index to_page, index to_slot) const {
    for (unsigned char* of : {scales, zeros})
      if (of && format.quantized())
        std::copy_n(scales_at(of, page, head, slot), set_bytes(),
                    scales_at(of, to_page, head, to_slot));
  }
};

}  // namespace heed
