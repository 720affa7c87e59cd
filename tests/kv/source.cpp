// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/source.hpp>
#include <heed/kv/tensors.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/window.hpp>

#include "support/cached_reference.hpp"
#include "support/exact.hpp"

namespace heed::test {
namespace {

static_assert(kv_source<scattered_source> && kv_source<kv_tensors> && kv_source<kv_ref>);

// Half a step of what numbers of magnitude `largest` are stored in.
double half_step(const scattered_form& form, kv_type type, double largest) {
  if (type == kv_type::f64) return 0;
  if (type == kv_type::f32) return largest * 0x1p-24;
  if (type == kv_type::f16) return largest * 0x1p-11;
  if (type == kv_type::bf16) return largest * 0x1p-8;
  // A scale and a zero point that were rounded move the ends of the range.
  const double rounded = form.scales == element::f16 ? largest * 0x1p-10 : largest * 0x1p-23;
  const double range = (form.zeros ? 2 : 1) * largest;
  return range / (type == kv_type::i8 ? 127 : 7) / 2 + rounded;
}

void check_source(const scattered_form& form, unsigned stream) {
  const scattered_source source(form, stream);
  for (index b = 0; b < source.batch(); ++b)
    for (index h = 0; h < source.heads(); ++h) {
      const dense_kv x = dense_of(source, b, h);
      index next = 0;
      for_each_run(source, b, h, {0, source.length(b)}, [&](const kv_run& run, index first) {
        CHECK(first == next);
        CHECK(run.count >= 1);
        next = first + run.count;
      });
      CHECK(next == source.length(b));
      CHECK(std::is_sorted(x.positions.begin(), x.positions.end(), std::less_equal<index>()));
      if (next == 0) continue;
      CHECK(x.positions.front() >= 0);
      CHECK(x.positions.back() == source.end(b) - 1);
      const auto close = [&](const Eigen::MatrixXd& got, const Eigen::MatrixXd& exact, kv_type t) {
        check_close(got, exact, half_step(form, t, exact.cwiseAbs().maxCoeff()));
      };
      close(x.k, source.exact_k(b, h), form.k);
      close(x.v, source.exact_v(b, h), form.v);
    }
}

}  // namespace

TEST_CASE("scattered sources hold what was put into them, in every format") {
  unsigned stream = 0;
  for (const kv_type type :
       {kv_type::f32, kv_type::f64, kv_type::f16, kv_type::bf16, kv_type::i8, kv_type::i4})
    for (const bool odd : {false, true}) {
      scattered_form form{.lengths = {40, 0, 1, 17},
                          .heads = 2,
                          .depth = odd ? 13 : 64,
                          .value_depth = odd ? 7 : 40,
                          .k = type,
                          .v = type};
      check_source(form, ++stream);
      form.places = form.strided = form.reversed = true;
      form.forgotten = 5;
      check_source(form, ++stream);
      if (!is_quantized(type)) continue;
      for (const element scales : {element::f32, element::f16}) {
        form.scales = scales;
        form.zeros = !form.zeros;
        form.group = 0;
        check_source(form, ++stream);
        form.group = odd ? 3 : 32;
        check_source(form, ++stream);
        form.channel_scales = true;
        check_source(form, ++stream);
        form.channel_scales = false;
      }
    }
}

TEST_CASE("plain tensors are a source") {
  const auto k = random<float>({2, 3, 5, 8}, 1), v = random<float>({2, 3, 5, 6}, 2);
  const operand keys = k.in(), values = v.in();
  const kv_tensors source{keys, values};
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 3; ++h) {
      const dense_kv x = dense_of(source, b, h);
      check_close(x.k, k.head(b, h), 0);
      check_close(x.v, v.head(b, h), 0);
      CHECK(x.positions == std::vector<index>{0, 1, 2, 3, 4});
    }
}

// One query against rows picked by hand.
TEST_CASE("the reference on a source sees its tokens at their positions") {
  const scattered_source source({.lengths = {9, 4, 0},
                                 .heads = 2,
                                 .k = kv_type::f64,
                                 .v = kv_type::f64,
                                 .forgotten = 6,
                                 .places = true},
                                3);
  const auto q = random<double>({3, 4, 1, 8}, 4);
  const index left = 8;
  const auto got =
      reference_on(attention{.mask = causal{} && window{.left = left}}, q.in(), source);
  for (index b = 0; b < 3; ++b)
    for (index h = 0; h < 4; ++h) {
      const dense_kv x = dense_of(source, b, h / 2);
      Eigen::RowVectorXd sum = Eigen::RowVectorXd::Zero(8);
      double mass = 0;
      for (index t = 0; t < source.length(b); ++t) {
        if (x.positions[static_cast<std::size_t>(t)] < source.end(b) - 1 - left) continue;
        const double p = std::exp(x.k.row(t).dot(q.head(b, h).row(0)) / std::sqrt(8.0));
        mass += p;
        sum += p * x.v.row(t);
      }
      if (mass > 0) sum /= mass;
      check_close(got.out.head(b, h), sum, tolerance<double>(8, 8, 4));
      CHECK(got.lse.in()(b, h, 0) == Approx(std::log(mass)));
    }
}

}  // namespace heed::test
