// SPDX-License-Identifier: BSL-1.0
// What every mask is held to: a drawing, its spans and covers, a reference, and the engine.
#pragma once

#include "support/catch.hpp"
#include "support/tensor.hpp"

#include <heed/attention/attend.hpp>
#include <heed/reference/dense.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace heed::test {

using drawing = std::vector<std::string>;
using reference::allowed;

struct lengths_of {
  index queries, keys;
};
// Both sides of every tile and panel edge, more queries than keys, no keys, no queries.
inline const std::vector<lengths_of>& awkward() {
  static const std::vector<lengths_of> all = {{1, 1},   {1, 7},   {7, 1},   {5, 0},    {0, 5},
                                              {24, 24}, {25, 23}, {63, 31}, {33, 300}, {130, 257}};
  return all;
}

inline position at(index queries, index keys, index row, index key, index b = 0) {
  return {.b = b, .h = 0, .q = row + keys - queries, .k = key, .row = row, .slot = key};
}

// One line a query, x where a key is seen.
template <class M> drawing drawn(const M& m, index queries, index keys, index b = 0) {
  drawing rows;
  for (index r = 0; r < queries; ++r) {
    rows.emplace_back();
    for (index k = 0; k < keys; ++k) rows.back() += m(at(queries, keys, r, k, b)) ? 'x' : '.';
  }
  return rows;
}

inline drawing drawn(const allowed& a) {
  drawing rows;
  for (index r = 0; r < a.rows(); ++r) {
    rows.emplace_back();
    for (index k = 0; k < a.cols(); ++k) rows.back() += a(r, k) ? 'x' : '.';
  }
  return rows;
}

// Spans sorted, disjoint, a superset of what is allowed and equal to it where the mask is exact.
template <class M> void check_spans(const M& m, index queries, index keys, index b = 0) {
  const drawing truth = drawn(m, queries, keys, b);
  for (index r = 0; r < queries; ++r) {
    position p = at(queries, keys, r, 0, b);
    std::string spans(static_cast<std::size_t>(keys), '.');
    index last = -1;
    bool good = true;
    intervals(m, p, keys, [&](span s) {
      good = good && s.begin > last && s.begin < s.end && s.end <= keys;
      last = s.end;
      for (index k = std::max<index>(s.begin, 0); k < std::min(s.end, keys); ++k)
        spans[static_cast<std::size_t>(k)] = 'x';
    });
    const std::string& row = truth[static_cast<std::size_t>(r)];
    for (std::size_t k = 0; k < row.size(); ++k) good = good && (spans[k] == 'x' || row[k] == '.');
    if (is_exact(m)) good = good && spans == row;
    if (!good) {
      CAPTURE(queries, keys, r, b, row, spans);
      FAIL("spans do not fit the mask");
    }
  }
}

// `all` means every pair, `none` means no pair.
template <class M> void check_covers(const M& m, index queries, index keys, index b = 0) {
  const drawing truth = drawn(m, queries, keys, b);
  const index offset = keys - queries;
  for (const index rows : {1, 3, 24})
    for (const index columns : {1, 5, 64})
      for (index r = 0; r < queries; r += rows)
        for (index k = 0; k < keys; k += columns) {
          const index last_row = std::min(r + rows, queries), last = std::min(k + columns, keys);
          const block x{b, 0, {r + offset, last_row + offset}, {k, last}};
          index seen = 0;
          for (index i = r; i < last_row; ++i)
            for (index j = k; j < last; ++j)
              seen += truth[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] == 'x';
          for (const cover known : {covers(m, x, keys, offset), detail::known(m, x)})
            if ((known == cover::all && seen != (last_row - r) * (last - k)) ||
                (known == cover::none && seen != 0)) {
              CAPTURE(queries, keys, r, k, rows, columns, seen, b);
              FAIL("cover does not fit the mask");
            }
        }
}

template <class M> void check_properties(const M& m, index queries, index keys, index b = 0) {
  check_spans(m, queries, keys, b);
  check_covers(m, queries, keys, b);
}

// Indices from a fixed seed, the same with any standard library.
class numbers {
 public:
  explicit numbers(unsigned seed) : engine_(seed) {}
  index below(index n) { return static_cast<index>(engine_() % static_cast<unsigned>(n)); }

 private:
  std::mt19937 engine_;
};

inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// One call, NaN in every output and in every byte of scratch before it.
template <class Spec> struct attended {
  tensor<> out, lse;

  attended(const Spec& spec, const tensor<>& q, const tensor<>& k, const tensor<>& v)
      : out({q.extent[0], q.extent[1], q.extent[2], v.extent[3]}, not_a_number),
        lse({q.extent[0], q.extent[1], q.extent[2], 1}, not_a_number) {
    workspace scratch;
    const auto call = [&] {
      attend(spec, q.in(), k.in(), v.in(), outputs{.out = out.in(), .lse = lse.in()}, {}, scratch);
    };
    call();
    scratch.for_each_arena([](arena& a) {
      for (std::size_t i = 0; i < a.capacity(); ++i) a.data()[i] = std::byte{0xff};
    });
    for (tensor<>* x : {&out, &lse}) std::fill(x->data.begin(), x->data.end(), not_a_number);
    call();
  }
};
template <class Spec>
attended(const Spec&, const tensor<>&, const tensor<>&, const tensor<>&) -> attended<Spec>;

// Output and lse against softmax over `truth(b)`, the allowed pairs of batch item b.
template <class Result, class Truth>
void check_result(const Result& x, const tensor<>& q, const tensor<>& k, const tensor<>& v,
                  Truth truth) {
  const index group = k.extent[1] > 0 ? q.extent[1] / k.extent[1] : 1;
  const double scale = 1 / std::sqrt(double(q.extent[3]));
  for (index b = 0; b < q.extent[0]; ++b)
    for (index h = 0; h < q.extent[1]; ++h) {
      const allowed a = truth(b);
      const reference::matrix s = q.head(b, h) * k.head(b, h / group).transpose() * scale;
      const reference::matrix o =
          reference::attention(reference::normalizer::softmax(s, a), v.head(b, h / group));
      const reference::vector lse = reference::normalizer::lse(s, a);
      for (index i = 0; i < q.extent[2]; ++i) {
        const double got = double(x.lse.in()(b, h, i)), want = lse(i);
        bool good =
            std::isinf(want) ? got == want : std::abs(got - want) <= 2e-6 * (1 + std::abs(want));
        for (index c = 0; c < v.extent[3]; ++c) {
          const double value = double(x.out.in()(b, h, i, c));
          good = good &&
                 (a.cols() > 0 && a.row(i).any() ? std::abs(value - o(i, c)) <= 4e-6 : value == 0);
        }
        if (!good) {
          CAPTURE(q.extent, k.extent, b, h, i, got, want, x.out.in()(b, h, i, 0), o(i, 0),
                  drawn(a)[static_cast<std::size_t>(i)]);
          FAIL("attend differs from the reference");
        }
      }
    }
}

// attend() with the mask against the reference.
template <class M, class Truth>
void check_engine(const M& m, index batch, index queries, index keys, Truth truth) {
  const auto q = uniform({batch, 2, queries, 5}, 1), k = uniform({batch, 1, keys, 5}, 2),
             v = uniform({batch, 1, keys, 3}, 3);
  const attended x(attention{.mask = m}, q, k, v);
  check_result(x, q, k, v, truth);
}

// All of it: `truth(b)` gives the allowed pairs of batch item b.
template <class M, class Truth>
void check_mask(const M& m, index batch, index queries, index keys, Truth truth) {
  for (index b = 0; b < batch; ++b) {
    if (drawn(m, queries, keys, b) != drawn(truth(b))) {
      CAPTURE(queries, keys, b, drawn(m, queries, keys, b), drawn(truth(b)));
      FAIL("mask differs from its reference");
    }
    check_properties(m, queries, keys, b);
  }
  check_engine(m, batch, queries, keys, truth);
}

// What the vector form says, lane by lane, is what the definition says.
template <class M> void check_vector(const M& m, index queries, index keys) {
  using arch = simd::best;
  constexpr index W = simd::width<float, arch>;
  using batch = simd::batch<float, arch>;
  for (index r = 0; r < queries; r += W)
    for (index k = 0; k < keys; ++k) {
      const position first = at(queries, keys, r, k);
      const lanes<batch, float> x{.b = 0,
                                  .h = 0,
                                  .q = batch(batch(float(first.q)) + simd::iota<float, arch>()),
                                  .k = float(k),
                                  .row = r,
                                  .slot = k,
                                  .lane = 0,
                                  .key = k};
      float flags[static_cast<std::size_t>(W)];
      simd::store(flags, batch(simd::select(m.vector(x), batch(1.f), batch(0.f))));
      for (index i = 0; i < W && r + i < queries; ++i)
        if ((flags[i] != 0.f) != m(at(queries, keys, r + i, k))) {
          CAPTURE(queries, keys, r + i, k);
          FAIL("vector form differs from the definition");
        }
    }
}

}  // namespace heed::test
