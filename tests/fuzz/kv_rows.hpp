// SPDX-License-Identifier: BSL-1.0
// What random rows become in a cache of any format.
#pragma once

#include <heed/kv/quantized.hpp>
#include <heed/reference/kv/quantized.hpp>

#include "fuzz/memory.hpp"
#include "support/kv_model.hpp"

namespace heed::fuzz {

// k and v of a chunk, of any element type in any layout, some of them not finite.
struct kv_chunk {
  memory k, v;

  kv_chunk(const kv_shape& s, index batch, index n, bool finite, engine& random)
      : k(any(random), {batch, s.heads, n, s.depth}, use::read, random),
        v(any(random), {batch, s.heads, n, s.value_depth}, use::read, random) {
    for (memory* x : {&k, &v})
      x->each([&](index b, index h, index l, index d) {
        x->set(b, h, l, d, uniform(random, -1, 1));
        const double bad[] = {std::nan(""), std::numeric_limits<double>::infinity(), 1e300};
        if (!finite && one_in(random, 300)) x->set(b, h, l, d, bad[between(random, 0, 2)]);
      });
  }
  static element any(engine& random) { return static_cast<element>(between(random, 0, 3)); }
};

// One sequence of x in double, as a format without codes keeps it.
inline std::vector<Eigen::MatrixXd> kept_rows(const memory& x, index b, kv_type type) {
  std::vector<Eigen::MatrixXd> rows;
  for (index h = 0; h < x.extent[1]; ++h) {
    Eigen::MatrixXd m(x.extent[2], x.extent[3]);
    for (index l = 0; l < m.rows(); ++l)
      for (index d = 0; d < m.cols(); ++d) {
        const double y = x.get(b, h, l, d);
        m(l, d) = type == kv_type::f64    ? y
                  : type == kv_type::f16  ? double(Eigen::half(float(y)))
                  : type == kv_type::bf16 ? double(Eigen::bfloat16(float(y)))
                                          : double(float(y));
      }
    rows.push_back(m);
  }
  return rows;
}

// Whether rows read back are codes of `want`, one token a row: half a scale, and the rounding of
// scale and zero as they are kept.
inline bool coded_as(const kv_format& f, const Eigen::MatrixXd& got, const Eigen::MatrixXd& want) {
  const int bits = f.type == kv_type::i8 ? 8 : 4;
  const index group = f.group_of(want.cols());
  for (index l = 0; l < want.rows(); ++l)
    for (index first = 0; first < want.cols(); first += group) {
      const index n = std::min(group, want.cols() - first);
      const Eigen::VectorXd x = want.row(l).segment(first, n), y = got.row(l).segment(first, n);
      if (!x.allFinite()) {
        if (!y.array().isNaN().all()) return false;
        continue;
      }
      const double scale =
          f.zero ? reference::kv::affine(x, bits).scale : reference::kv::symmetric(x, bits).scale;
      const double rounding = f.scale == element::f16 ? 0x1p-10 : 0x1p-20;
      if (!((y - x).cwiseAbs().maxCoeff() <= scale / 2 + rounding * x.cwiseAbs().maxCoeff() + 1e-7))
        return false;
    }
  return true;
}

// Whether a number is beyond float, or not one.
inline bool has_bad(const memory& x) {
  bool bad = false;
  x.each([&](index b, index h, index l, index d) {
    bad = bad || !std::isfinite(float(x.get(b, h, l, d)));
  });
  return bad;
}

inline kv_format draw_format(engine& random, bool blocks) {
  const index group = one_in(random, 2) ? 0 : between(random, 1, 40);
  kv_format f;
  switch (between(random, 0, blocks ? 7 : 5)) {
    case 0:
      return kv_as::single();
    case 1:
      return kv_as::whole_double();
    case 2:
      return kv_as::half();
    case 3:
      return kv_as::bfloat();
    case 4:
      f = kv_as::int8(group);
      break;
    case 5:
      f = kv_as::int4(group);
      break;
    case 6:
      f = kv_as::int8().per_channel();
      break;
    default:
      f = kv_as::int4().per_channel();
  }
  f.zero = one_in(random, 2);
  f.scale = one_in(random, 2) ? element::f16 : element::f32;
  return f;
}

// k, v of a kv head against the rows that were appended, or that codes were found to be.
inline bool same_rows(const kv_format& f, const Eigen::MatrixXd& got, const Eigen::MatrixXd& want,
                      double allowed) {
  return test::near(got, want, f.channels ? allowed : 0);
}

}  // namespace heed::fuzz
