// SPDX-License-Identifier: BSL-1.0
// Whole rows in double, random shapes, layouts, masks and parameters: normalisers against the
// oracle, mixed heads against their reference, gradients along a random direction.
#include <heed/attention/attend_backward.hpp>
#include <heed/heads/multi_token.hpp>
#include <heed/heads/talking.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/where.hpp>
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/normalizer/topk.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/heads/multi_token.hpp>

#include "fuzz/kv_run.hpp"
#include "support/executors.hpp"
#include "support/operands.hpp"

namespace heed::fuzz {

using block_of = test::operand_block<double>;
namespace heads = heed::reference::heads;

test::layout any_layout(engine& random, bool broadcast) {
  return {.permuted = one_in(random, 2),
          .strided_channels = one_in(random, 4),
          .reversed = one_in(random, 4),
          .broadcast = broadcast && one_in(random, 6)};
}
block_of drawn(const extents& e, engine& random) {
  return test::input<double>(e, any_layout(random, true), random);
}
block_of result_of(const extents& e, engine& random) {
  return test::output<double>(e, any_layout(random, false), random);
}

struct drawn_call {
  index b, h, kv, lq, lk, d, dv;
  block_of q, k, v, d_out;

  explicit drawn_call(engine& random)
      : b(between(random, 1, 2)),
        h(0),
        kv(between(random, 1, 3)),
        lq(one_in(random, 3) ? between(random, 40, 160) : between(random, 1, 30)),
        lk(one_in(random, 2) ? lq : between(random, 0, 200)),
        d(between(random, 1, one_in(random, 3) ? 40 : 9)),
        dv(between(random, 1, one_in(random, 3) ? 40 : 9)) {
    h = kv * between(random, 1, 3);
    q = drawn({b, h, lq, d}, random), k = drawn({b, kv, lk, d}, random);
    v = drawn({b, kv, lk, dv}, random), d_out = drawn({b, h, lq, dv}, random);
  }
  extents out() const { return {b, h, lq, dv}; }
};

// Sums of at most 200 products of numbers of order 1; entmax with α = 2.5 takes a root.
constexpr double allowed = 1e-10;

template <class Spec, class Want>
void check_forward(const drawn_call& c, const Spec& spec, engine& random, const Want& want) {
  block_of out = result_of(c.out(), random), other = out;
  attend(spec, c.q.read(), c.k.read(), c.v.read(), out.mutable_view());
  const test::shuffled crew{between(random, 1, 7)};
  attend(spec, c.q.read(), c.k.read(), c.v.read(), other.mutable_view(), crew);
  index differs = 0;
  for (std::size_t i = 0; i < out.memory.size(); ++i)
    differs += !(out.memory[i] == other.memory[i] || std::isnan(out.memory[i]));
  REQUIRE(differs == 0);
  double worst = 0;
  const auto got = out.mutable_view();
  for (index b = 0; b < c.b; ++b)
    for (index h = 0; h < c.h; ++h)
      for (index i = 0; i < c.lq; ++i)
        for (index x = 0; x < c.dv; ++x) {
          const double off = std::abs(got(b, h, i, x) - want(b, h, i, x));
          worst = std::max(worst, std::isnan(off) ? INFINITY : off);
        }
  CAPTURE(c.b, c.h, c.kv, c.lq, c.lk, c.d, c.dv);
  REQUIRE(worst <= allowed);
  REQUIRE(test::rest_untouched(out));
}

// Σ d_out · out along a direction of q, k and v.
template <class Spec>
void check_slope(const drawn_call& c, const Spec& spec, engine& random, double far) {
  const auto fresh = [](const extents& e) { return test::tensor<double>(e); };
  auto dq = fresh({c.b, c.h, c.lq, c.d}), dk = fresh({c.b, c.kv, c.lk, c.d}),
       dv = fresh({c.b, c.kv, c.lk, c.dv});
  const test::shuffled crew{between(random, 1, 7)};
  attend_backward(spec, c.q.read(), c.k.read(), c.v.read(), {}, c.d_out.read(),
                  {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()}, crew);
  double slope = 0;
  std::vector<test::tensor<double>> ways;
  for (const auto* x : {&dq, &dk, &dv}) {
    ways.push_back(test::uniform<double>(x->extent, static_cast<unsigned>(random() % 1000)));
    for (std::size_t i = 0; i < x->data.size(); ++i) slope += x->data[i] * ways.back().data[i];
  }
  const auto loss = [&](double t) {
    const auto moved = [&](const block_of& x, const test::tensor<double>& way) {
      auto y = fresh(x.extent);
      for (index b = 0; b < x.extent[0]; ++b)
        for (index h = 0; h < x.extent[1]; ++h)
          for (index l = 0; l < x.extent[2]; ++l)
            for (index n = 0; n < x.extent[3]; ++n)
              y(b, h, l, n) = x.read()(b, h, l, n) + t * way.in()(b, h, l, n);
      return y;
    };
    const auto q = moved(c.q, ways[0]), k = moved(c.k, ways[1]), v = moved(c.v, ways[2]);
    auto out = fresh(c.out());
    attend(spec, q.in(), k.in(), v.in(), out.in());
    double sum = 0;
    for (index b = 0; b < c.b; ++b)
      for (index h = 0; h < c.h; ++h)
        for (index l = 0; l < c.lq; ++l)
          for (index n = 0; n < c.dv; ++n) sum += out(b, h, l, n) * c.d_out.read()(b, h, l, n);
    return sum;
  };
  const double step = 1e-5, differences = (loss(step) - loss(-step)) / (2 * step);
  CAPTURE(c.b, c.h, c.kv, c.lq, c.lk, c.d, c.dv, slope, differences);
  REQUIRE(std::abs(slope - differences) <= far * (1 + std::abs(slope)));
}

template <class Mask, class N>
void check_rows(const drawn_call& c, const Mask& mask, const N& normalizer, engine& random,
                bool smooth) {
  const attention spec{.mask = mask, .normalizer = normalizer, .scale = 2.0};
  auto expected = test::tensor<double>(c.out());
  reference::attend(spec, c.q.read(), c.k.read(), c.v.read(), expected.in());
  check_forward(c, spec, random,
                [&](index b, index h, index i, index x) { return expected(b, h, i, x); });
  if (smooth) check_slope(c, spec, random, 1e-6);
}

template <class Weights, class Reference>
void check_mixed(const drawn_call& c, const Weights& mixer, engine& random, const Reference& of) {
  const attention spec{.mask = causal{}, .weights = mixer};
  std::vector<std::vector<reference::matrix>> weights;
  reference::allowed seen(c.lq, c.lk);
  for (index i = 0; i < c.lq; ++i)
    for (index j = 0; j < c.lk; ++j) seen(i, j) = j <= i + c.lk - c.lq;
  const auto matrix = [](const block_of& x, index b, index h) {
    reference::matrix m(x.extent[2], x.extent[3]);
    for (index i = 0; i < m.rows(); ++i)
      for (index j = 0; j < m.cols(); ++j) m(i, j) = x.read()(b, h, i, j);
    return m;
  };
  std::vector<reference::matrix> outs;
  for (index b = 0; b < c.b; ++b) {
    std::vector<reference::matrix> s;
    for (index h = 0; h < c.h; ++h)
      s.push_back(matrix(c.q, b, h) * matrix(c.k, b, h / (c.h / c.kv)).transpose() /
                  std::sqrt(double(c.d)));
    const auto p = of(s, seen);
    for (index h = 0; h < c.h; ++h)
      outs.push_back(p[static_cast<std::size_t>(h)] * matrix(c.v, b, h / (c.h / c.kv)));
  }
  check_forward(c, spec, random, [&](index b, index h, index i, index x) {
    return outs[static_cast<std::size_t>(b * c.h + h)](i, x);
  });
  check_slope(c, spec, random, 1e-6);
}

reference::matrix table(const test::tensor<double>& x, index h) {
  reference::matrix m(x.extent[2], x.extent[3]);
  for (index i = 0; i < m.rows(); ++i)
    for (index j = 0; j < m.cols(); ++j) m(i, j) = x.in()(0, h, i, j);
  return m;
}

void one_round(engine& random) {
  const drawn_call c(random);
  const index every = between(random, 2, 9);
  const auto some = where([every](position p) { return (p.q * 7 + p.k * 3) % every != 0; });
  const auto each_mask = [&](const auto& normalizer, bool smooth) {
    if (one_in(random, 3))
      check_rows(c, full{}, normalizer, random, smooth);
    else if (one_in(random, 2))
      check_rows(c, causal{}, normalizer, random, smooth);
    else
      check_rows(c, causal{} && some, normalizer, random, smooth);
  };
  constexpr double alphas[] = {1.2, 1.5, 2, 2.5};
  each_mask(entmax{alphas[random() % 4]}, false);
  each_mask(topk{between(random, 1, 40)}, false);
  each_mask(stick_breaking{one_in(random, 2), one_in(random, 2)}, true);

  const auto seed = [&] { return static_cast<unsigned>(random() % 1000); };
  const auto l = test::uniform<double>({1, 1, c.h, c.h}, seed()),
             w = test::uniform<double>({1, 1, c.h, c.h}, seed());
  check_mixed(c, talking{l.in(), w.in()}, random, [&](const auto& s, const auto& a) {
    return heads::talking(s, a, table(l, 0), table(w, 0));
  });
  const auto theta = test::uniform<double>({1, c.h, between(random, 1, 9), between(random, 1, 13)},
                                           seed()),
             later = test::uniform<double>({1, c.h, between(random, 1, 5), between(random, 1, 5)},
                                           seed());
  check_mixed(c, multi_token{.kernel = theta.in(), .after_kernel = later.in()}, random,
              [&](const auto& s, const auto& a) {
                std::vector<reference::matrix> t, u;
                for (index h = 0; h < c.h; ++h)
                  t.push_back(table(theta, h)), u.push_back(table(later, h));
                return heads::multi_token(s, a, t, u, reference::matrix::Identity(c.h, c.h));
              });
}

TEST_CASE("whole rows") { fuzz_rounds("whole rows", one_round); }

}  // namespace heed::fuzz
