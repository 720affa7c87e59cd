// SPDX-License-Identifier: BSL-1.0
// Pages of keys and values: the memory of a cache, without knowing which token lies where.
//
// One aligned block, allocated by the constructor and never again; or the caller's pages.
#pragma once

#include <heed/core/workspace.hpp>
#include <heed/kv/side.hpp>

namespace heed {

// Where a token lies.
struct kv_place {
  index page = 0, slot = 0;
};

class kv_store {
 public:
  kv_store(const char* policy, const kv_shape& shape, const kv_formats& formats, index pages,
           index slots)
      : shape_(shape) {
    shape.check(policy);
    formats.k.check(policy), formats.v.check(policy);
    if (pages < 1 || slots < 1)
      check::fail(policy, "pages and tokens must be positive, not " + std::to_string(pages) +
                              " and " + std::to_string(slots));
    check_size(policy, formats, pages, slots);
    k_.rows = kv_rows(formats.k, pages, shape.heads, slots, shape.depth, nullptr);
    v_.rows = kv_rows(formats.v, pages, shape.heads, slots, shape.value_depth, nullptr);
    if (blocks() && slots % kv_block != 0)
      check::fail(policy, "scales a channel need pages of a multiple of " +
                              std::to_string(kv_block) + " tokens, not " + std::to_string(slots));
    const index k_bytes = k_.rows.bytes(), v_bytes = v_.rows.bytes();
    reserve(static_cast<std::size_t>(k_bytes + v_bytes) + 2 * arena::alignment);
    k_.rows = kv_rows(formats.k, pages, shape.heads, slots, shape.depth,
                      memory_.take<unsigned char>(k_bytes));
    v_.rows = kv_rows(formats.v, pages, shape.heads, slots, shape.value_depth,
                      memory_.take<unsigned char>(v_bytes));
  }
  // Pages of the caller's: k [P,Hkv,slots,D], v [P,Hkv,slots,Dv], for `batch` sequences.
  kv_store(const char* policy, index batch, const result& k, const result& v)
      : shape_{batch, k.extent[1], k.extent[3], v.extent[3]} {
    const auto fail = [&](const char* rule) {
      check::fail(policy, rule, {{"k", operand(k)}, {"v", operand(v)}});
    };
    if (!k.present() || !v.present()) fail("k and v must have data");
    for (std::size_t axis = 0; axis < 3; ++axis)
      if (k.extent[axis] != v.extent[axis]) fail("k and v must agree in all but their channels");
    if (k.extent[0] < 1 || k.extent[2] < 1) fail("pages and tokens must be positive");
    shape_.check(policy);
    k_.rows = kv_rows(k), v_.rows = kv_rows(v);
    reserve(0);
  }

  const kv_shape& shape() const { return shape_; }
  index pages() const { return k_.rows.pages; }
  index slots() const { return k_.rows.slots; }
  std::size_t bytes() const { return memory_.capacity(); }
  const kv_side& keys() const { return k_; }
  const kv_side& values() const { return v_; }
  // Whether tokens share scales a channel.
  bool blocks() const { return k_.rows.format.channels || v_.rows.format.channels; }

  // k [batch,Hkv,n,D] and v [batch,Hkv,n,Dv] must be rows that can be written.
  void check(const char* operation, index batch, const operand& k, const operand& v) const {
    const auto fits = [&](const operand& x, index channels) {
      return x.extent[0] == batch && x.extent[1] == shape_.heads && x.extent[3] == channels &&
             x.extent[2] >= 0 && x.extent[2] == k.extent[2] &&
             (x.present() || x.extent[2] * channels == 0);
    };
    if (!fits(k, shape_.depth) || !fits(v, shape_.value_depth))
      check::fail(operation,
                  "k must be " + print(batch, "n", shape_.depth) + " and v " +
                      print(batch, "the same n", shape_.value_depth) +
                      (k.present() && v.present() ? "" : ", not without data"),
                  {{"k", k}, {"v", v}});
    k_.check_finite(operation, "k", k), v_.check_finite(operation, "v", v);
  }
  // Row l of sequence `from` of k and v becomes a token of sequence b, all heads.
  void write(index b, kv_place at, const operand& k, const operand& v, index from, index l) {
    for (index h = 0; h < shape_.heads; ++h) {
      k_.write(b, h, at.page, at.slot, k, from, l, buffer_);
      v_.write(b, h, at.page, at.slot, v, from, l, buffer_);
    }
  }
  // At most `count` tokens of sequence b from a place on; `is_open`: it is in the open block.
  kv_run run(index b, index h, kv_place at, index count, bool is_open) const {
    if (blocks()) count = std::min(count, kv_block - at.slot % kv_block);
    return {k_.at(b, h, at.page, at.slot, is_open), v_.at(b, h, at.page, at.slot, is_open), count};
  }
  // The first `count` tokens of a page.
  void copy_page(index page, index to, index count) const {
    for (index h = 0; h < shape_.heads; ++h)
      k_.rows.copy_page(h, page, to, count), v_.rows.copy_page(h, page, to, count);
  }
  // kv_block rows of double, for whoever rewrites tokens.
  double* buffer() const { return buffer_; }

 private:
  void check_size(const char* policy, const kv_formats& formats, index pages, index slots) const {
    const bool open = formats.k.channels || formats.v.channels;
    const double tokens = std::max(double(pages) * double(slots),
                                   open ? double(shape_.batch) * double(kv_block) : 0.0),
                 numbers = tokens * double(shape_.heads) *
                           (double(shape_.depth) + double(shape_.value_depth));
    if (!(numbers < double(kv_limit)))
      check::fail(policy, "keys and values [" + std::to_string(pages) + ", " +
                              std::to_string(shape_.heads) + ", " + std::to_string(slots) + ", " +
                              std::to_string(shape_.depth) + " and " +
                              std::to_string(shape_.value_depth) +
                              "] are too many to be counted in bytes");
  }
  static std::string print(index batch, const char* tokens, index channels) {
    return std::string("[") + std::to_string(batch) + ", Hkv, " + tokens + ", " +
           std::to_string(channels) + "]";
  }
  void reserve(std::size_t rows) {
    const index open_k = k_.open_size(shape_.batch), open_v = v_.open_size(shape_.batch),
                numbers = kv_block * std::max(shape_.depth, shape_.value_depth);
    const auto room = [](index count, std::size_t size) {
      return arena::rounded(static_cast<std::size_t>(count) * size);
    };
    memory_.reserve(rows + room(open_k, sizeof(float)) + room(open_v, sizeof(float)) +
                    room(numbers, sizeof(double)));
    k_.open = memory_.take<float>(open_k), v_.open = memory_.take<float>(open_v);
    buffer_ = memory_.take<double>(numbers);
  }

  kv_shape shape_;
  kv_side k_, v_;
  arena memory_;
  double* buffer_ = nullptr;
};

}  // namespace heed
