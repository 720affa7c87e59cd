// SPDX-License-Identifier: BSL-1.0
// Attention on codes, within the bounds that kv/quantized.hpp states.
#include <heed/attention/attend_source.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/mask/causal.hpp>

#include "support/exact.hpp"
#include "support/kv_model.hpp"

namespace heed::test {
namespace {

constexpr attention<causal> spec{};

struct problem {
  index queries, keys, depth, value_depth;
};

// Rows that the cache was given, and the scales that it chose, spread over the channels.
struct coded {
  Eigen::MatrixXd k, v, k_scale, v_scale;  // dequantised
};

Eigen::MatrixXd scales_of(const stored_rows& rows, index n, index channels) {
  const stored_rows at = rows.from(n);
  Eigen::MatrixXd s(1, channels);
  for (index c = 0; c < channels; ++c)
    s(0, c) = is_quantized(at.type) ? scale_of<double>(at.scales, at.scale_type, c / at.group)
                                    : 0;  // of a block that is open yet
  return s;
}
template <class Cache> coded read(const Cache& cache, index b, index h) {
  const auto rows = read_back(cache, b, h);
  coded x{rows.k, rows.v, rows.k, rows.v};
  for_each_run(cache, b, h, span{0, cache.length(b)}, [&](const kv_run& run, index first) {
    for (index n = 0; n < run.count; ++n) {
      x.k_scale.row(first + n) = scales_of(run.k, n, cache.depth());
      x.v_scale.row(first + n) = scales_of(run.v, n, cache.value_depth());
    }
  });
  return x;
}

// One query row against keys and values [n × ·]: weights, and what comes out.
struct attended {
  Eigen::VectorXd p, o;
  double lse;
  attended(const Eigen::VectorXd& q, const Eigen::MatrixXd& k, const Eigen::MatrixXd& v) {
    const Eigen::VectorXd s = k * q / std::sqrt(double(q.size()));
    p = (s.array() - s.maxCoeff()).exp();
    lse = s.maxCoeff() + std::log(p.sum());
    p /= p.sum(), o = v.transpose() * p;
  }
  // Scores off by up to ds_j: e^δ Σ p_j (e^{ds_j} - 1) |v_j - o|, δ the largest; and o stays
  // between the values.
  Eigen::VectorXd moved_by(const Eigen::VectorXd& ds, const Eigen::MatrixXd& v) const {
    const Eigen::VectorXd by = p.array() * (ds.array().exp() - 1) * std::exp(ds.maxCoeff());
    const Eigen::MatrixXd apart = (v.rowwise() - o.transpose()).cwiseAbs();
    const Eigen::VectorXd farthest = apart.colwise().maxCoeff();
    return (apart.transpose() * by).cwiseMin(farthest);
  }
};

struct worst {
  double error = 0, bound = 0;
  void add(double off, double allowed) {
    CHECK(off <= allowed);
    error = std::max(error, off), bound = std::max(bound, allowed);
  }
  void check_tight() const {
    INFO("error " << error << ", bound " << bound);
    CHECK(bound <= 100 * error);
  }
};

struct compared {
  worst integers, integer_lse, numbers, number_lse;
};

// `integers`: whether decoding multiplies codes. Everything else reads numbers of float.
template <class Cache>
void compare(Cache cache, const problem& x, bool integers, compared& all, unsigned stream) {
  const index heads = 4, kv = 2;
  const auto q = random<float>({1, heads, x.queries, x.depth}, 3 * stream),
             k = random<float>({1, kv, x.keys, x.depth}, 3 * stream + 1),
             v = random<float>({1, kv, x.keys, x.value_depth}, 3 * stream + 2);
  cache.append(k.in(), v.in());
  auto out = unwritten<float>({1, heads, x.queries, x.value_depth}),
       lse = unwritten<float>({1, heads, x.queries, 1});
  attend(spec, q.in(), cache, {.out = out.in(), .lse = lse.in()});
  const double rounding = tolerance<float>(2, std::max(x.keys, x.depth), 1);
  for (index h = 0; h < heads; ++h) {
    const coded c = read(cache, 0, h / 2);
    const Eigen::MatrixXd whole_k = k.head(0, h / 2), whole_v = v.head(0, h / 2);
    for (index r = 0; r < x.queries; ++r) {
      const index n = x.keys - x.queries + r + 1;
      const Eigen::VectorXd one = q.head(0, h).row(r), got = out.head(0, h).row(r);
      const attended codes(one, c.k.topRows(n), c.v.topRows(n)),
          numbers(one, whole_k.topRows(n), whole_v.topRows(n));
      const double root = std::sqrt(double(x.depth));
      // Against the numbers that the codes stand for.
      Eigen::VectorXd ds = Eigen::VectorXd::Constant(n, 0),
                      dv = Eigen::VectorXd::Constant(x.value_depth, 0);
      if (integers) {
        const double step = 0x1p-16 * (1 + 0x1p-7);
        ds = c.k.topRows(n).cwiseAbs().rowwise().sum() * (step * one.cwiseAbs().maxCoeff() / root);
        for (index first = 0; first < n; first += 64) {
          const index some = std::min<index>(64, n - first);
          const Eigen::VectorXd scale = c.v_scale.col(0).segment(first, some);
          const double most = codes.p.segment(first, some).cwiseProduct(scale).maxCoeff();
          for (index j = 0; j < some; ++j)
            dv += c.v.row(first + j).cwiseAbs().transpose() * (step * most / scale(j));
        }
      }
      const Eigen::VectorXd allowed = codes.moved_by(ds, c.v.topRows(n)) + dv;
      for (index d = 0; d < x.value_depth; ++d)
        all.integers.add(std::abs(got(d) - codes.o(d)), allowed(d) + rounding);
      all.integer_lse.add(std::abs(double(lse(0, h, r)) - codes.lse), ds.maxCoeff() + rounding);
      // Against the numbers that were appended.
      const double half = 0.5 + 0x1p-14;
      const Eigen::VectorXd dk = c.k_scale.topRows(n) * one.cwiseAbs() * (half / root) + ds;
      const Eigen::VectorXd off = numbers.moved_by(dk, whole_v.topRows(n)) +
                                  half * c.v_scale.topRows(n).transpose() * codes.p + dv;
      for (index d = 0; d < x.value_depth; ++d)
        all.numbers.add(std::abs(got(d) - numbers.o(d)), off(d) + rounding);
      all.number_lse.add(std::abs(double(lse(0, h, r)) - numbers.lse), dk.maxCoeff() + rounding);
    }
  }
}

// Few queries for driver `split`, many for `stream`.
void compare(const kv_formats& formats, bool integers) {
  unsigned stream = 0;
  for (const index queries : {1, 3, 8, 20}) {
    compared all;
    for (const problem& x : {problem{queries, 40, 16, 16}, problem{queries, 90, 8, 5},
                             problem{queries, 33, 37, 21}, problem{queries, 700, 64, 40},
                             problem{queries, queries, 9, 30}}) {  // few keys are for `stream`
      const kv_shape shape{1, 2, x.depth, x.value_depth};
      const bool codes = integers && queries <= 8 && x.keys > queries;
      compare(contiguous_kv(shape, 704, formats), x, codes, all, ++stream);
      compare(paged_kv(shape, {.pages = 40, .page = 32}, formats), x, codes, all, ++stream);
    }
    INFO(queries << " queries");
    all.integers.check_tight(), all.integer_lse.check_tight();
    all.numbers.check_tight(), all.number_lse.check_tight();
  }
}

}  // namespace

TEST_CASE("decoding multiplies codes of int8, prefill the numbers they stand for") {
  compare(kv_as::int8(), true);
}
TEST_CASE("codes that no kernel multiplies are numbers for both") {
  compare(kv_as::int4(), false);
  compare(kv_as::int4(0), false);
  compare(kv_as::int8(4), false);
  compare(kv_as::int8().with_zero(), false);
  compare(kv_as::kivi4(), false);
  compare(kv_as::kivi8(), false);
}

}  // namespace heed::test
