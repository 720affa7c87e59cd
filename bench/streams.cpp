// SPDX-License-Identifier: BSL-1.0
// Attention of more than one stream of scores. Cases:
//   streams/differential/<mask>/h<H>/d<D>/n<N>   H heads of two maps, values of 2D; vs_two: the two
//                                                calls alone, vs_dense: one call of 2H heads
//   streams/relational/<mask>/…/r<R>             R relations of D; vs_dense: values of D,
//   vs_values:
//                                                the rows of the relations as values
//   streams/contextual/<mask>/…/p<p_max>         positions by gates; vs_dense: the call without
//   streams/contextual/backward/…                its gradients, those of the table among them
// `share` counts the products of pairs that the mask leaves. One thread, 8 heads.
#define EIGEN_USE_THREADS
#include "support/oracle.hpp"

#include <heed/attention/attend_backward.hpp>
#include <heed/heads/differential.hpp>
#include <heed/score/contextual.hpp>
#include <heed/value/relational.hpp>

namespace {

using bench::buffer;
using bench::checked_rows;
using bench::compare;
using bench::compare_last_rows;
using bench::heads_outside;
using bench::index;
using bench::last_rows;
using bench::normal_numbers;
using bench::pairs;
using bench::shape;
using bench::timed;
using bench::trial;
using bench::with_mask;

constexpr index relations = 8, last_place = 64;

void differential(trial& t) {
  const shape& form = t.form();
  const index h = form.heads, n = form.queries, d = form.dim, wide = 2 * d;
  const auto q = normal_numbers(2 * h * n * d, 1), k = normal_numbers(2 * h * n * d, 2),
             v = normal_numbers(h * n * wide, 3), twice = normal_numbers(2 * h * n * wide, 4);
  buffer<float> out(v.size()), other(v.size()), whole(twice.size());
  const auto of = [&](const buffer<float>& x, index half) {
    return heads_outside(x.data() + half * h * n * d, 1, h, n, d);
  };
  const heed::twin queries{of(q, 0), of(q, 1)}, keys{of(k, 0), of(k, 1)};
  const auto values = heads_outside(v.data(), 1, h, n, wide);
  const auto to = heads_outside(out.data(), 1, h, n, wide);
  with_mask(form, [&](auto mask) {
    const heed::attention spec{.mask = mask};
    const heed::differential both{.first = spec, .heads = {.init = 0.5}};
    heed::differential_workspace<float> scratch;
    heed::workspace plain;
    const auto ours = [&] { attend_differential(both, queries, keys, values, to, {}, &scratch); };
    ours();
    const auto one = last_rows(spec, queries.first, keys.first, values),
               two = last_rows(spec, queries.second, keys.second, values);
    const index rows = std::min(checked_rows, n);
    for (index i = 0; i < h * rows; ++i) {
      double square = 0;
      const auto row = [&](index c) {
        const auto at = static_cast<std::size_t>(i * wide + c);
        return double{one[at]} - 0.5 * double{two[at]};
      };
      for (index c = 0; c < wide; ++c) square += row(c) * row(c);
      const double root = std::sqrt(square / static_cast<double>(wide) + 1e-5);
      for (index c = 0; c < wide; ++c)
        compare("differential", to(0, i / rows, n - rows + i % rows, c), 0.5 * row(c) / root);
    }
    const auto calls = [&] {
      attend(spec, queries.first, keys.first, values, to, {}, plain);
      attend(spec, queries.second, keys.second, values, heads_outside(other.data(), 1, h, n, wide),
             {}, plain);
    };
    const auto dense = [&] {
      attend(spec, heads_outside(q.data(), 1, 2 * h, n, d), heads_outside(k.data(), 1, 2 * h, n, d),
             heads_outside(twice.data(), 1, 2 * h, n, wide),
             heads_outside(whole.data(), 1, 2 * h, n, wide), {}, plain);
    };
    t.measure({timed("heed", ours), timed("two", calls), timed("dense", dense)},
              2 * pairs(form) * static_cast<double>(2 * d + 2 * wide), {.least_rounds = 15});
  });
}

void relational(trial& t) {
  const shape& form = t.form();
  const index h = form.heads, n = form.queries, d = form.dim, r = relations, wide = d + r * d;
  const auto q = normal_numbers(h * n * d, 1), k = normal_numbers(h * n * d, 2),
             v = normal_numbers(h * n * d, 3), qr = normal_numbers(r * n * d, 4),
             kr = normal_numbers(r * n * d, 5), w_r = normal_numbers(h * r * d, 6),
             s = normal_numbers(n * d, 7), w_s = normal_numbers(h * d * d, 8);
  buffer<float> out(v.size()), sums(static_cast<std::size_t>(h * n * wide));
  const auto queries = heads_outside(q.data(), 1, h, n, d),
             keys = heads_outside(k.data(), 1, h, n, d);
  const auto related = heads_outside(qr.data(), 1, r, n, d),
             by = heads_outside(kr.data(), 1, r, n, d),
             weight = heads_outside(w_r.data(), 1, h, r, d),
             symbols = heads_outside(s.data(), 1, 1, n, d),
             symbol_weight = heads_outside(w_s.data(), 1, h, d, d);
  const heed::relation_operands x{.q = related,
                                  .k = by,
                                  .weight = weight,
                                  .symbols = symbols,
                                  .symbol_weight = symbol_weight,
                                  .scale = 1 / std::sqrt(static_cast<double>(d))};
  const auto to = heads_outside(out.data(), 1, h, n, d);
  with_mask(form, [&](auto mask) {
    const heed::attention spec{.mask = mask};
    heed::workspace scratch;
    const auto ours = [&] { attend_relational(spec, queries, keys, x, to, {}, scratch); };
    ours();
    // Relations as values, and the products with the queries afterwards.
    const index rows = std::min(checked_rows, n);
    buffer<float> rows_of(static_cast<std::size_t>(n * wide));
    for (index j = 0; j < n; ++j) {
      std::copy_n(&symbols(0, 0, j), d, rows_of.data() + j * wide);
      for (index l = 0; l < r; ++l)
        std::copy_n(&by(0, l, j), d, rows_of.data() + j * wide + d + l * d);
    }
    const heed::view<const float> all(rows_of.data(), {1, h, n, wide}, {0, 0, wide, 1});
    const auto want = last_rows(spec, queries, keys, all);
    for (index i = 0; i < h * rows; ++i)
      for (index c = 0; c < d; ++c) {
        const index head = i / rows, row = n - rows + i % rows;
        const float* const at = want.data() + i * wide;
        double sum = 0;
        for (index e = 0; e < d; ++e) sum += double{at[e]} * double{symbol_weight(0, head, e, c)};
        for (index l = 0; l < r; ++l) {
          double dot = 0;
          for (index e = 0; e < d; ++e)
            dot += double{at[d + l * d + e]} * double{related(0, l, row, e)};
          sum += x.scale * dot * double{weight(0, head, l, c)};
        }
        compare("relational", to(0, head, row, c), sum);
      }
    const auto dense = [&] {
      attend(spec, queries, keys, heads_outside(v.data(), 1, h, n, d), to, {}, scratch);
    };
    const auto as_values = [&] {
      attend(spec, queries, keys, all, heads_outside(sums.data(), 1, h, n, wide), {}, scratch);
    };
    const double each = static_cast<double>(2 * (3 * d + r)) +
                        static_cast<double>(2 * r * d) / static_cast<double>(h);
    t.measure({timed("heed", ours), timed("dense", dense), timed("values", as_values)},
              pairs(form) * each, {.least_rounds = 9});
  });
}

// Operands of contextual attention, and what a call of it writes.
struct contextual_call {
  const shape& form;
  buffer<float> q, k, v, e, out, d_out, dq, dk, dv, de;

  explicit contextual_call(const shape& f)
      : form(f),
        q(normal_numbers(f.query_size(), 1)),
        k(normal_numbers(f.key_size(), 2)),
        v(normal_numbers(f.key_size(), 3)),
        e(normal_numbers((last_place + 1) * f.dim, 4)),
        out(q.size()),
        d_out(normal_numbers(f.query_size(), 5)),
        dq(q.size()),
        dk(k.size()),
        dv(v.size()),
        de(e.size()) {
    for (float& x : e) x *= 0.1f;
  }
  template <class T> heed::view<T> rows(T* x) const {
    return heads_outside(x, 1, form.heads, form.keys, form.dim);
  }
  heed::view<const float> of(const buffer<float>& x) const { return rows(x.data()); }
  heed::contextual score() const {
    return {heads_outside(e.data(), 1, 1, last_place + 1, form.dim)};
  }
};

void contextual(trial& t) {
  contextual_call x(t.form());
  with_mask(t.form(), [&](auto mask) {
    const heed::attention spec{.mask = mask, .score = x.score()}, plain{.mask = mask};
    heed::workspace scratch;
    const auto to = x.rows(x.out.data());
    const auto ours = [&] { attend(spec, x.of(x.q), x.of(x.k), x.of(x.v), to, {}, scratch); };
    ours();
    const auto want = last_rows(spec, x.of(x.q), x.of(x.k), x.of(x.v));
    compare_last_rows("contextual", to, want);
    const index d = x.form.dim;
    const auto dense = [&] { attend(plain, x.of(x.q), x.of(x.k), x.of(x.v), to, {}, scratch); };
    t.measure({timed("heed", ours), timed("dense", dense)},
              4 * pairs(x.form) * static_cast<double>(d), {.least_rounds = 9});
  });
}

void contextual_backward(trial& t) {
  contextual_call x(t.form());
  with_mask(t.form(), [&](auto mask) {
    const heed::attention spec{.mask = mask, .score = x.score()}, plain{.mask = mask};
    heed::workspace scratch;
    const auto call = [&](const auto& s, const auto& more) {
      attend_backward(s, x.of(x.q), x.of(x.k), x.of(x.v), {}, x.of(x.d_out),
                      {.dq = x.rows(x.dq.data()),
                       .dk = x.rows(x.dk.data()),
                       .dv = x.rows(x.dv.data()),
                       .spec = {.score = more}},
                      {}, scratch);
    };
    const heed::contextual::gradient table{
        heads_outside(x.de.data(), 1, 1, last_place + 1, x.form.dim)};
    const auto ours = [&] { call(spec, table); };
    ours();
    const auto dense = [&] { call(plain, heed::none{}); };
    t.measure({timed("heed", ours), timed("dense", dense)},
              10 * pairs(x.form) * static_cast<double>(x.form.dim), {.least_rounds = 9});
  });
}

void add_all(bench::suite& all) {
  for (const bench::masking mask : {bench::masking::full, bench::masking::causal})
    for (const index dim : {64, 128})
      for (const index length : {512, 2048}) {
        const shape form = bench::square(mask, 8, 8, dim, length, 1);
        const std::string name = bench::mask_name(form) + "/" + bench::size_name(form);
        all.add("streams/differential/" + name, form, differential);
        if (dim != 64) continue;
        all.add("streams/relational/" + name + "/r8", form, relational);
        all.add("streams/contextual/" + name + "/p64", form, contextual);
        all.add("streams/contextual/backward/" + name + "/p64", form, contextual_backward);
      }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  add_all(all);
  return all.run();
}
