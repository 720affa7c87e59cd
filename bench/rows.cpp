// SPDX-License-Identifier: BSL-1.0
// Attention that needs whole rows, or all heads of a row, before any weight is known. Cases:
//   rows/<kind>/<mask>/h<H>/d<D>/n<N>             entmax15, sparsemax, entmax13, topk32, sticks,
//                                                 talking, multi_token (kernel 6 x 11)
//   rows/backward/<kind>/…                        its gradients by q, k and v
// `share` counts the products of queries, keys and values alone; vs_softmax: the same call with a
// softmax. One thread, 8 heads.
#define EIGEN_USE_THREADS
#include "support/oracle.hpp"

#include <heed/attention/attend_backward.hpp>
#include <heed/heads/multi_token.hpp>
#include <heed/heads/talking.hpp>
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/normalizer/topk.hpp>
#include <heed/reference/heads/multi_token.hpp>
#include <heed/reference/mask/causal.hpp>

namespace {

using bench::buffer;
using bench::heads_outside;
using bench::index;
using bench::normal_numbers;
using bench::shape;
using bench::timed;
using bench::trial;
using heed::reference::matrix;

constexpr index kernel_rows = 6, kernel_keys = 11;

struct operands {
  const shape& form;
  buffer<float> q, k, v, out, d_out, dq, dk, dv, before, after, kernel;

  explicit operands(const shape& f)
      : form(f),
        q(normal_numbers(f.query_size(), 1)),
        k(normal_numbers(f.key_size(), 2)),
        v(normal_numbers(f.key_size(), 3)),
        out(q.size()),
        d_out(normal_numbers(f.query_size(), 4)),
        dq(q.size()),
        dk(k.size()),
        dv(v.size()),
        before(normal_numbers(f.heads * f.heads, 5)),
        after(normal_numbers(f.heads * f.heads, 6)),
        kernel(normal_numbers(f.heads * kernel_rows * kernel_keys, 7)) {
    for (float& x : kernel) x *= 0.2f;
  }
  template <class T> heed::view<T> rows(T* x) const {
    return heads_outside(x, 1, form.heads, form.keys, form.dim);
  }
  heed::view<const float> of(const buffer<float>& x) const { return rows(x.data()); }
  heed::view<const float> square(const buffer<float>& x) const {
    return {x.data(), {1, 1, form.heads, form.heads}};
  }
  heed::view<const float> kernels() const {
    return {kernel.data(), {1, form.heads, kernel_rows, kernel_keys}};
  }
};

// `check` looks at `out` after a call.
template <class Spec, class Check>
void measure(trial& t, operands& x, const Spec& spec, bool backward, const Check& check) {
  const heed::attention softmax{.mask = heed::causal{}};
  heed::workspace scratch;
  const auto forward_of = [&](const auto& s) {
    attend(s, x.of(x.q), x.of(x.k), x.of(x.v), x.rows(x.out.data()), {}, scratch);
  };
  const auto backward_of = [&](const auto& s) {
    attend_backward(
        s, x.of(x.q), x.of(x.k), x.of(x.v), {}, x.of(x.d_out),
        {.dq = x.rows(x.dq.data()), .dk = x.rows(x.dk.data()), .dv = x.rows(x.dv.data())}, {},
        scratch);
  };
  forward_of(spec);
  check();
  const double products = bench::pairs(x.form) * static_cast<double>(x.form.dim);
  if (backward)
    t.measure({timed("heed", [&] { backward_of(spec); }),
               timed("softmax", [&] { backward_of(softmax); })},
              10 * products, {.least_rounds = 7});
  else
    t.measure(
        {timed("heed", [&] { forward_of(spec); }), timed("softmax", [&] { forward_of(softmax); })},
        4 * products, {.least_rounds = 9});
}

template <class N> void add_normalizer(bench::suite& all, const char* kind, const N& normalizer) {
  for (const bool backward : {false, true})
    for (const index length : {512, 2048}) {
      const shape form = bench::square(bench::masking::causal, 8, 8, 64, length, 1);
      const std::string name = std::string(backward ? "rows/backward/" : "rows/") + kind + "/" +
                               bench::mask_name(form) + "/" + bench::size_name(form);
      all.add(name, form, [normalizer, backward](trial& t) {
        operands x(t.form());
        const heed::attention spec{.mask = heed::causal{}, .normalizer = normalizer};
        measure(t, x, spec, backward, [&] {
          bench::compare_last_rows("a row", x.rows(x.out.data()),
                                   bench::last_rows(spec, x.of(x.q), x.of(x.k), x.of(x.v)));
        });
      });
    }
}

matrix table(const heed::view<const float>& x, index h) {
  matrix m(x.extent[2], x.extent[3]);
  for (index i = 0; i < m.rows(); ++i)
    for (index j = 0; j < m.cols(); ++j) m(i, j) = double{x(0, h, i, j)};
  return m;
}

// `weights(scores, allowed)` of the last rows, of which the last `checked_rows` are looked at.
template <class Weights> void check_mixed(const operands& x, const Weights& weights) {
  const index rows = std::min(bench::checked_rows + kernel_rows, x.form.queries);
  const index n = x.form.queries, d = x.form.dim;
  const auto allowed = heed::reference::mask::causal(rows, n);
  std::vector<matrix> scores;
  for (index h = 0; h < x.form.heads; ++h)
    scores.push_back(table(x.of(x.q), h).bottomRows(rows) * table(x.of(x.k), h).transpose() /
                     std::sqrt(static_cast<double>(d)));
  const auto p = weights(scores, allowed);
  for (index h = 0; h < x.form.heads; ++h) {
    const matrix want = p[static_cast<std::size_t>(h)] * table(x.of(x.v), h);
    for (index i = rows - std::min(bench::checked_rows, rows); i < rows; ++i)
      for (index c = 0; c < d; ++c)
        bench::compare("a mixed row", x.of(x.out)(0, h, n - rows + i, c), want(i, c));
  }
}

void talking(trial& t, bool backward) {
  operands x(t.form());
  const heed::attention spec{.mask = heed::causal{},
                             .weights = heed::talking{x.square(x.before), x.square(x.after)}};
  measure(t, x, spec, backward, [&] {
    check_mixed(x, [&](const auto& s, const auto& a) {
      return heed::reference::heads::talking(s, a, table(x.square(x.before), 0),
                                             table(x.square(x.after), 0));
    });
  });
}

void multi_token(trial& t, bool backward) {
  operands x(t.form());
  const heed::attention spec{.mask = heed::causal{},
                             .weights = heed::multi_token{.kernel = x.kernels()}};
  measure(t, x, spec, backward, [&] {
    check_mixed(x, [&](const auto& s, const auto& a) {
      std::vector<matrix> theta;
      for (index h = 0; h < x.form.heads; ++h) theta.push_back(table(x.kernels(), h));
      const std::vector<matrix> ones(theta.size(), matrix::Identity(1, 1));
      return heed::reference::heads::multi_token(s, a, theta, ones,
                                                 matrix::Identity(x.form.heads, x.form.heads));
    });
  });
}

void add_all(bench::suite& all) {
  add_normalizer(all, "entmax15", heed::entmax{});
  add_normalizer(all, "sparsemax", heed::sparsemax());
  add_normalizer(all, "entmax13", heed::entmax{1.3});
  add_normalizer(all, "topk32", heed::topk{32});
  add_normalizer(all, "sticks", heed::stick_breaking{});
  for (const bool backward : {false, true})
    for (const index length : {512, 2048}) {
      const shape form = bench::square(bench::masking::causal, 8, 8, 64, length, 1);
      const std::string size = bench::mask_name(form) + "/" + bench::size_name(form),
                        family = backward ? "rows/backward/" : "rows/";
      all.add(family + "talking/" + size, form, [backward](trial& t) { talking(t, backward); });
      all.add(family + "multi_token/" + size, form,
              [backward](trial& t) { multi_token(t, backward); });
    }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  add_all(all);
  return all.run();
}
