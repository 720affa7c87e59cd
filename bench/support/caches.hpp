// SPDX-License-Identifier: BSL-1.0
// Caches as decoding reads them: filled once, of any element type, in one piece or in pages.
#pragma once

#include "check.hpp"
#include "data.hpp"

#include <heed/eigen.hpp>
#include <heed/kv/load.hpp>
#include <heed/kv/source.hpp>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace bench {

// How keys and values are stored. `group` channels of codes have a scale, and a zero point where
// scales are of 16 bits; 0 is one float scale a row.
struct format {
  std::string name;
  heed::kv_type type = heed::kv_type::f32;
  index group = 0;

  bool codes() const { return heed::is_quantized(type); }
  index groups(index dim) const { return group ? (dim + group - 1) / group : 1; }
  index row_bytes(index dim) const { return heed::bytes_of(type, dim); }
  index scale_bytes() const { return group ? 2 : 4; }
  // Of a row, with what its codes need.
  index bytes(index dim) const {
    return row_bytes(dim) + (codes() ? groups(dim) * scale_bytes() * (group ? 2 : 1) : 0);
  }
};

// Rows of keys or of values.
class stored_tensor {
 public:
  stored_tensor(const format& how, index rows, index dim, index seed)
      : how_(how), dim_(dim), bytes_(size(rows * how.row_bytes(dim))) {
    if (how.codes()) {
      scales_.resize(size(rows * how.groups(dim) * how.scale_bytes()));
      if (how.group) zeros_.resize(scales_.size());
    }
    static const buffer<float> noise = normal_numbers((1 << 20) + 4096, 11);
    for (index r = 0; r < rows; ++r)
      put(r, noise.data() + (r * 7919 + seed * 104729) % (index{1} << 20));
  }

  heed::stored_rows rows(index r) const {
    heed::stored_rows x{.data = bytes_.data() + r * how_.row_bytes(dim_),
                        .type = how_.type,
                        .stride = how_.row_bytes(dim_)};
    if (how_.codes()) {
      const index groups = how_.groups(dim_);
      x.scales = scales_.data() + r * groups * how_.scale_bytes();
      x.zeros = how_.group ? zeros_.data() + r * groups * how_.scale_bytes() : nullptr;
      x.scale_type = how_.group ? heed::element::f16 : heed::element::f32;
      x.group = how_.group ? how_.group : dim_;
      x.scale_stride = groups;
    }
    return x;
  }
  template <class T> const T* data() const { return reinterpret_cast<const T*>(bytes_.data()); }
  index bytes() const { return static_cast<index>(bytes_.size()); }

 private:
  static std::size_t size(index n) { return static_cast<std::size_t>(n); }

  void put(index r, const float* x) {
    unsigned char* const to = bytes_.data() + r * how_.row_bytes(dim_);
    if (!how_.codes())
      return heed::simd::store_row(static_cast<heed::element>(how_.type), x, dim_, to, 1);
    const index width = how_.group ? how_.group : dim_;
    const float top = how_.type == heed::kv_type::i8 ? 127 : 7;
    for (index g = 0; g < how_.groups(dim_); ++g) {
      const float* const part = x + g * width;
      const index count = std::min(width, dim_ - g * width);
      const auto [low, high] = std::minmax_element(part, part + count);
      float zero = how_.group ? (*low + *high) / 2 : 0;
      float scale = (how_.group ? (*high - *low) / 2 : std::max(*high, -*low)) / top;
      const auto keep = [&](auto& where, float& number) {
        const auto type = how_.group ? heed::element::f16 : heed::element::f32;
        unsigned char* const p = where.data() + (r * how_.groups(dim_) + g) * how_.scale_bytes();
        heed::simd::store_row(type, &number, 1, p, 1);
        heed::simd::load_row(type, p, 1, 1, &number);
      };
      keep(scales_, scale);
      if (how_.group) keep(zeros_, zero);
      for (index c = 0; c < count; ++c) {
        const int code =
            static_cast<int>(std::clamp(std::nearbyint((part[c] - zero) / scale), -top - 1, top));
        const index at = g * width + c;
        if (how_.type == heed::kv_type::i8)
          to[at] = static_cast<unsigned char>(code);
        else
          to[at / 2] =
              static_cast<unsigned char>(at % 2 ? (to[at / 2] & 15) | (code & 15) << 4 : code & 15);
      }
    }
  }

  format how_;
  index dim_;
  buffer<unsigned char> bytes_, scales_, zeros_;
};

// Sequences of the given lengths, [sequence, head, token, dim], or [page, head, token, dim] with
// the pages in random order. A source of tokens for heed::attend.
class stored_cache {
 public:
  stored_cache(const format& how, std::vector<index> lengths, index heads, index dim,
               index page = 0, index seed = 0)
      : lengths_(std::move(lengths)),
        heads_(heads),
        dim_(dim),
        page_(page),
        how_(how),
        first_{0},
        order_(places()),
        k_(how, rows(), dim, 2 * seed),
        v_(how, rows(), dim, 2 * seed + 1) {}

  index batch() const { return static_cast<index>(lengths_.size()); }
  index heads() const { return heads_; }
  index depth() const { return dim_; }
  index value_depth() const { return dim_; }
  index length(index b) const { return lengths_[static_cast<std::size_t>(b)]; }
  index end(index b) const { return length(b); }
  heed::kv_run run(index b, index h, index t) const {
    const index first = first_[static_cast<std::size_t>(b)];
    if (!page_) {
      const index row = first * heads_ + h * length(b) + t;
      return {k_.rows(row), v_.rows(row), length(b) - t};
    }
    const index place = order_[static_cast<std::size_t>(first + t / page_)];
    const index row = (place * heads_ + h) * page_ + t % page_;
    return {k_.rows(row), v_.rows(row), std::min(page_ - t % page_, length(b) - t)};
  }

  // Keys and values of a cache in one piece, whose sequences are all as long.
  template <class T> heed::view<const T> keys() const { return flat<T>(k_); }
  template <class T> heed::view<const T> values() const { return flat<T>(v_); }
  // Bytes that a call reads.
  double bytes() const {
    const auto tokens = std::accumulate(lengths_.begin(), lengths_.end(), index{0});
    return 2.0 * static_cast<double>(tokens * heads_ * how_.bytes(dim_));
  }

 private:
  template <class T> heed::view<const T> flat(const stored_tensor& x) const {
    return {x.data<T>(), {batch(), heads_, length(0), dim_}};
  }
  index rows() const { return first_.back() * heads_ * std::max<index>(page_, 1); }
  // Fills first_: where a sequence begins, in tokens or in pages.
  std::vector<index> places() {
    for (const index n : lengths_)
      first_.push_back(first_.back() + (page_ ? (n + page_ - 1) / page_ : n));
    std::vector<index> order(page_ ? static_cast<std::size_t>(first_.back()) : 0);
    std::iota(order.begin(), order.end(), index{0});
    std::shuffle(order.begin(), order.end(), std::mt19937(5));
    return order;
  }

  std::vector<index> lengths_;
  index heads_, dim_, page_;
  format how_;
  std::vector<index> first_, order_;
  stored_tensor k_, v_;
};

// Compares rows of out [batch, heads, queries, dim] with the definition in double, as `check` does.
// The last query sits at the last token; `sees(query, token)` by position.
template <class Sees>
void check_decoded(const std::string& who, const shape& form, const float* q,
                   const heed::kv_ref& source, const float* out, double tolerance,
                   const Sees& sees) {
  const index rows = form.batch * form.heads * form.queries, dim = form.dim;
  const double work = static_cast<double>(rows) * static_cast<double>(source.longest() * dim);
  const index step = std::max<index>(1, static_cast<index>(work / 3e7)) | 1;
  const auto width = static_cast<std::size_t>(dim);
  std::vector<double> row(width), want(width);
  for (index at = 0; at < rows; at += step) {
    const index b = at / (form.heads * form.queries), h = at / form.queries % form.heads;
    const index kv = h / (form.heads / form.kv_heads), length = source.length(b);
    const index place = length - form.queries + at % form.queries;
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    std::fill(want.begin(), want.end(), 0.0);
    heed::for_each_run(source, b, kv, {0, length}, [&](const heed::kv_run& run, index first) {
      for (index n = 0; n < run.count; ++n) {
        if (!sees(place, first + n)) continue;
        heed::load_stored(run.k, n, dim, row.data());
        double s = 0;
        for (std::size_t c = 0; c < width; ++c) s += double{q[at * dim + index(c)]} * row[c];
        s /= std::sqrt(static_cast<double>(dim));
        const double shrunk = s > top ? std::exp(top - s) : 1, p = s > top ? 1 : std::exp(s - top);
        top = std::max(top, s);
        sum = sum * shrunk + p;
        heed::load_stored(run.v, n, dim, row.data());
        for (std::size_t c = 0; c < width; ++c) want[c] = want[c] * shrunk + p * row[c];
      }
    });
    for (index c = 0; c < dim; ++c) {
      const double exact = want[static_cast<std::size_t>(c)] / sum, got = double{out[at * dim + c]};
      if (!(std::abs(got - exact) <= tolerance * (1 + std::abs(exact))))
        fail(who + " is wrong at batch " + std::to_string(b) + ", head " + std::to_string(h) +
             ", channel " + std::to_string(c) + ": " + std::to_string(got) + " instead of " +
             std::to_string(exact));
    }
  }
}

inline double float_tolerance(index dim) {
  return 64 * std::numeric_limits<float>::epsilon() * (1 + std::sqrt(static_cast<double>(dim)));
}

}  // namespace bench
