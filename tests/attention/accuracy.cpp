// SPDX-License-Identifier: BSL-1.0
// Against double, heed is at least as exact as float attention of three loops with std::exp: its
// RMS error is at most as large, its largest error at most twice as large.
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>

#include "support/exact.hpp"

namespace heed::test {
namespace {

struct errors {
  double squares = 0, largest = 0;
  void add(double got, double exact) {
    const double off = std::abs(got - exact);
    squares += off * off, largest = std::max(largest, off);
  }
};

// One row of softmax attention over the first `keys` keys, sums in order, all in C.
template <class C, class T>
std::vector<C> plain_row(const tensor<T>& q, const tensor<T>& k, const tensor<T>& v, index i,
                         index keys) {
  const index depth = q.extent[3];
  const C scale = C(1) / std::sqrt(C(depth));
  std::vector<C> p;
  for (index j = 0; j < keys; ++j) {
    C s = 0;
    for (index c = 0; c < depth; ++c) s += C(q.in()(0, 0, i, c)) * C(k.in()(0, 0, j, c));
    p.push_back(s * scale);
  }
  const C top = *std::max_element(p.begin(), p.end());
  C sum = 0;
  for (C& x : p) sum += x = std::exp(x - top);
  std::vector<C> out(static_cast<std::size_t>(depth));
  for (index j = 0; j < keys; ++j)
    for (index c = 0; c < depth; ++c)
      out[static_cast<std::size_t>(c)] +=
          p[static_cast<std::size_t>(j)] / sum * C(v.in()(0, 0, j, c));
  return out;
}

template <class T, class Mask>
void add_errors(index keys, index depth, unsigned stream, errors& ours, errors& plain) {
  const index rows = keys == 256 ? 256 : 96;
  const auto q = random<T>({1, 1, rows, depth}, stream),
             k = random<T>({1, 1, keys, depth}, stream + 1),
             v = random<T>({1, 1, keys, depth}, stream + 2);
  auto out = unwritten<float>({1, 1, rows, depth});
  attend(attention<Mask>{}, q.in(), k.in(), v.in(), out.in());
  for (index i = 0; i < rows; ++i) {
    const index seen = std::is_same_v<Mask, causal> ? keys - rows + i + 1 : keys;
    const auto exact = plain_row<double>(q, k, v, i, seen);
    const auto single = plain_row<float>(q, k, v, i, seen);
    for (index c = 0; c < depth; ++c) {
      const double expected = exact[static_cast<std::size_t>(c)];
      ours.add(double(out(0, 0, i, c)), expected);
      plain.add(double(single[static_cast<std::size_t>(c)]), expected);
    }
  }
}

// Over several draws: single rows of few keys weigh too much in one.
template <class T, class Mask> void compare(index keys, index depth) {
  errors ours, plain;
  for (const unsigned stream : {10u, 20u, 30u, 40u})
    add_errors<T, Mask>(keys, depth, stream, ours, plain);
  CAPTURE(keys, depth, seed(), std::sqrt(ours.squares / plain.squares));
  CHECK(ours.squares <= plain.squares);
  CHECK(ours.largest <= 2 * plain.largest);
}

}  // namespace

TEMPLATE_TEST_CASE("float attention is at least as exact as three plain loops", "", float,
                   Eigen::half, Eigen::bfloat16) {
  for (const index keys : {256, 1024})
    for (const index depth : {64, 128}) {
      compare<TestType, full>(keys, depth);
      compare<TestType, causal>(keys, depth);
    }
}

}  // namespace heed::test
