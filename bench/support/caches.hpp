// SPDX-License-Identifier: BSL-1.0
// Caches as decoding reads them, filled by append with normal numbers, and what attention to them
// must give.
#pragma once

#include "check.hpp"
#include "data.hpp"

#include <heed/eigen.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged_tensors.hpp>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace bench {

// Bytes of a row of keys or of values, with what its codes need.
inline index row_bytes(const heed::kv_format& f, index channels) {
  return heed::bytes_of(f.type, channels) +
         f.scales_of(channels) * heed::size_of(f.scale) * (f.zero ? 2 : 1);
}

// Rows [1, heads, tokens, channels], at most 2^19 numbers, different for each `seed`.
inline heed::view<const float> noise(index seed, index heads, index tokens, index channels) {
  constexpr index period = 1 << 20;
  static const buffer<float> all = normal_numbers(period + (1 << 19), 11);
  return {all.data() + seed * 104729 % period, {1, heads, tokens, channels}};
}

// append(k, v) for `length` tokens of a cache, in chunks.
template <class Cache, class Append>
void fill(const Cache& cache, index length, index seed, const Append& append) {
  constexpr index chunk = 64;
  for (index t = 0; t < length; t += chunk) {
    const index n = std::min(chunk, length - t), at = seed * 1021 + t / chunk;
    append(noise(2 * at, cache.heads(), n, cache.depth()),
           noise(2 * at + 1, cache.heads(), n, cache.value_depth()));
  }
}

inline heed::contiguous_kv contiguous(const heed::kv_shape& form, const heed::kv_format& how,
                                      const std::vector<index>& lengths, index seed = 0) {
  heed::contiguous_kv cache(form, *std::max_element(lengths.begin(), lengths.end()), how);
  for (index b = 0; b < form.batch; ++b)
    fill(cache, lengths[static_cast<std::size_t>(b)], seed + b,
         [&](const auto& k, const auto& v) { cache.append(b, k, v); });
  return cache;
}

// Keys and values of one sequence as plain tensors.
template <class T> struct plain_pair {
  heed::view<const T> k, v;

  plain_pair(const heed::contiguous_kv& cache, index b)
      : k(of(cache, b, cache.run(b, 0, 0).k, cache.depth())),
        v(of(cache, b, cache.run(b, 0, 0).v, cache.value_depth())) {}

 private:
  static heed::view<const T> of(const heed::contiguous_kv& cache, index b,
                                const heed::stored_rows& rows, index channels) {
    const index head = cache.capacity() * channels;
    return {reinterpret_cast<const T*>(rows.data),
            {1, cache.heads(), cache.length(b), channels},
            {cache.heads() * head, head, channels, 1}};
  }
};

// One sequence on pages [page, head, token, dim] of float, in random order.
class shuffled_pages {
 public:
  shuffled_pages(index heads, index dim, index length, index page, index seed)
      : table_(static_cast<std::size_t>((length + page - 1) / page)),
        k_(table_.size() * static_cast<std::size_t>(heads * page * dim)),
        v_(k_.size()) {
    std::iota(table_.begin(), table_.end(), 0);
    std::shuffle(table_.begin(), table_.end(), std::mt19937(5));
    heads_ = heads, page_ = page, dim_ = dim;
    heed::paged_tensors pages = cache();
    fill(pages, length, seed, [&](const auto& k, const auto& v) { pages.append(k, v); });
  }
  heed::paged_tensors cache() {
    const auto count = static_cast<index>(table_.size());
    const heed::extents form{count, heads_, page_, dim_};
    return {.k = heed::view<float>(k_.data(), form),
            .v = heed::view<float>(v_.data(), form),
            .table = {table_.data(), {1, 1, count, 1}},
            .lengths = length_};
  }

 private:
  std::vector<int> table_, length_{0};
  buffer<float> k_, v_;
  index heads_ = 0, page_ = 0, dim_ = 0;
};

// Token t of every sequence is what was appended, k and v [batch, heads, 1, dim], to within half a
// step of the format.
template <class Cache>
void check_appended(const Cache& cache, const heed::kv_format& how, index t,
                    const heed::view<const float>& k, const heed::view<const float>& v) {
  const double step = how.quantized() ? 0.5 / 127 : how.type == heed::kv_type::f16 ? 0x1p-11 : 0;
  const auto compare = [&](const heed::stored_rows& rows, const float* want, index channels) {
    std::vector<float> got(static_cast<std::size_t>(channels));
    heed::load_stored(rows, 0, channels, got.data());
    double top = 0, off = 0;
    for (index c = 0; c < channels; ++c) {
      top = std::max(top, std::abs(double{want[c]}));
      off = std::max(off, std::abs(double{got[static_cast<std::size_t>(c)]} - double{want[c]}));
    }
    if (!(off <= step * (1 + 0x1p-10) * top)) fail("a cache holds other rows than were appended");
  };
  for (index b = 0; b < cache.batch(); ++b)
    for (index h = 0; h < cache.heads(); ++h) {
      const heed::kv_run run = cache.run(b, h, t);
      compare(run.k, &k(b, h, 0), cache.depth());
      compare(run.v, &v(b, h, 0), cache.value_depth());
    }
}

// Compares rows of out [batch, heads, queries, dim] with the definition in double, as `check` does.
// The last query sits at the last token; `sees(query, token)` by position. Scores are divided by
// the root of `divisor`, or of the key channels.
template <class Sees>
void check_decoded(const std::string& who, const shape& form, const float* q,
                   const heed::kv_ref& source, const float* out, double tolerance, const Sees& sees,
                   index divisor = 0) {
  const index rows = form.batch * form.heads * form.queries;
  const index dim = source.depth(), channels = source.value_depth();
  const double root = std::sqrt(static_cast<double>(divisor ? divisor : dim));
  const double work = static_cast<double>(rows) * static_cast<double>(source.longest() * dim);
  const index step = std::max<index>(1, static_cast<index>(work / 3e7)) | 1;
  const auto width = static_cast<std::size_t>(dim),
             value_width = static_cast<std::size_t>(channels);
  std::vector<double> row(std::max(width, value_width)), want(value_width);
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
        s /= root;
        const double shrunk = s > top ? std::exp(top - s) : 1, p = s > top ? 1 : std::exp(s - top);
        top = std::max(top, s);
        sum = sum * shrunk + p;
        heed::load_stored(run.v, n, channels, row.data());
        for (std::size_t c = 0; c < value_width; ++c) want[c] = want[c] * shrunk + p * row[c];
      }
    });
    for (index c = 0; c < channels; ++c) {
      const double exact = want[static_cast<std::size_t>(c)] / sum;
      const double got = double{out[at * channels + c]};
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
