// SPDX-License-Identifier: BSL-1.0
// Rows in memory as awkward as kv/stored.hpp allows, of any format.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <heed/kv/load.hpp>
#include <random>
#include <utility>
#include <vector>

namespace heed::test {

struct scattered_form {
  std::vector<index> lengths{1};  // tokens of each sequence, 0 included
  index heads = 1, depth = 8, value_depth = 8;
  kv_type k = kv_type::f32, v = kv_type::f32;
  index group = 0;  // channels a scale; 0 is the whole row
  element scales = element::f32;
  bool zeros = false;
  bool channel_scales = false;  // one scale a channel for all rows of a run
  index longest_run = 7;        // runs have 1 … longest_run tokens
  index forgotten = 0;          // positions before the oldest token
  bool places = false;          // gaps between positions, of each head its own
  bool strided = false;         // plain channels lie apart
  bool reversed = false;        // some runs lie newest row first
};

// The rows of one run. Scales and zeros lie in `numbers`, zeros behind all scales.
struct stored_block {
  stored_rows form;
  index first_row = 0, zeros_at = -1;
  std::vector<unsigned char> bytes, numbers;

  stored_rows rows() const {
    stored_rows r = form;
    r.data = bytes.data() + first_row;
    if (is_quantized(r.type)) {
      r.scales = numbers.data();
      r.zeros = zeros_at < 0 ? nullptr : numbers.data() + zeros_at * size_of(r.scale_type);
    }
    return r;
  }
};

inline index between(std::mt19937& random, index low, index high) {
  return std::uniform_int_distribution<index>(low, high)(random);
}
// The number as it was rounded.
inline double put_number(stored_block& to, index place, double x) {
  unsigned char* const p = to.numbers.data() + place * size_of(to.form.scale_type);
  simd::store_row(to.form.scale_type, &x, 1, p, 1);
  simd::load_row(to.form.scale_type, p, 1, 1, &x);
  return x;
}
inline void put_code(stored_block& to, index row, index c, int code) {
  unsigned char* const p = to.bytes.data() + to.first_row + row * to.form.stride;
  if (to.form.type == kv_type::i8) {
    p[c] = static_cast<unsigned char>(code);
  } else {
    const int bits = (code & 15) << (c % 2 * 4), others = 0xf0 >> (c % 2 * 4);
    p[c / 2] = static_cast<unsigned char>((p[c / 2] & others) | bits);
  }
}

inline stored_block store_codes(stored_block to, const Eigen::MatrixXd& x,
                                const scattered_form& how, std::mt19937& random) {
  stored_rows& form = to.form;
  form.scale_type = how.scales;
  form.group = how.channel_scales ? 1 : how.group ? how.group : x.cols();
  const index groups = (x.cols() + form.group - 1) / form.group;
  form.scale_stride = how.channel_scales ? 0 : groups + between(random, 0, 2);
  const index all = (x.rows() - 1) * form.scale_stride + groups;
  if (how.zeros) to.zeros_at = all;
  to.numbers.assign(static_cast<std::size_t>((how.zeros ? 2 : 1) * all * size_of(form.scale_type)),
                    0xff);
  const double top = form.type == kv_type::i8 ? 127 : 7;
  for (index r = 0; r < x.rows(); ++r)
    for (index g = 0; g < groups; ++g) {
      const index c = g * form.group, width = std::min(form.group, x.cols() - c);
      const index from = how.channel_scales ? 0 : r;
      const auto seen = x.block(from, c, how.channel_scales ? x.rows() : 1, width);
      const double low = seen.minCoeff(), high = seen.maxCoeff();
      const double zero = how.zeros ? (low + high) / 2 : 0;
      const double range = how.zeros ? (high - low) / 2 : seen.cwiseAbs().maxCoeff();
      const index number = r * form.scale_stride + g;
      const double scale = put_number(to, number, range > 0 ? range / top : 1);
      const double shift = how.zeros ? put_number(to, to.zeros_at + number, zero) : 0;
      for (index i = 0; i < width; ++i) {
        const double code = std::nearbyint((x(r, c + i) - shift) / scale);
        put_code(to, r, c + i, static_cast<int>(std::clamp(code, -top - 1, top)));
      }
    }
  return to;
}

// What lies before the first row and between rows is NaN, or code -1 with a scale of NaN; the
// memory ends with the last row.
inline stored_block store(kv_type type, const Eigen::MatrixXd& x, const scattered_form& how,
                          std::mt19937& random) {
  const bool codes = is_quantized(type);
  const index size = codes ? 1 : size_of(static_cast<element>(type));
  stored_block to;
  to.form.type = type;
  to.form.step = !codes && how.strided ? between(random, 1, 3) : 1;
  const index row = codes ? bytes_of(type, x.cols()) : ((x.cols() - 1) * to.form.step + 1) * size;
  const index stride = row + size * between(random, 0, 3);
  const bool back = how.reversed && between(random, 0, 1) == 1;
  to.form.stride = back ? -stride : stride;
  const index lead = size * between(random, 0, 3);
  to.first_row = lead + (back ? (x.rows() - 1) * stride : 0);
  to.bytes.assign(static_cast<std::size_t>(lead + (x.rows() - 1) * stride + row), 0xff);
  if (codes) return store_codes(std::move(to), x, how, random);
  for (index r = 0; r < x.rows(); ++r) {
    const Eigen::VectorXd values = x.row(r);
    simd::store_row(static_cast<element>(type), values.data(), x.cols(),
                    to.bytes.data() + to.first_row + r * to.form.stride, to.form.step);
  }
  return to;
}

}  // namespace heed::test
