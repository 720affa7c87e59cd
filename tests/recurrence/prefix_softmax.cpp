// SPDX-License-Identifier: BSL-1.0
// recurrence/prefix_softmax against its reference, and what a state promises.
#define EIGEN_USE_THREADS
#include <heed/eigen.hpp>
#include <heed/recurrence/prefix_softmax.hpp>
#include <heed/reference/recurrence/prefix_softmax.hpp>

#include "support/exact.hpp"
#include "support/operands.hpp"

using namespace heed::test;
using heed::prefix_softmax;
using heed::recurrent_state;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct shape {
  heed::index b, h, l, d;
};
constexpr shape shapes[] = {{1, 1, 1, 1}, {2, 3, 7, 5},  {1, 2, 64, 64},  {1, 1, 131, 33},
                            {2, 1, 0, 3}, {1, 2, 65, 0}, {1, 1, 67, 300}, {3, 1, 129, 48}};

// Logits that rise and fall by far more than exp can hold, some of them hidden.
template <class T> tensor<T> logits(const shape& x) {
  auto s = random<T>({x.b, x.h, x.l, 1}, 1, 3);
  for (std::size_t i = 0; i < s.data.size(); ++i) {
    if (i % 11 == 3) s.data[i] += T(300);
    if (i % 5 == 0) s.data[i] = T(-infinity);
    if (i % 13 == 4) s.data[i] -= T(5000);
  }
  return s;
}

template <class T> Eigen::VectorXd channel(const tensor<T>& s, heed::index b, heed::index h) {
  return s.head(b, h).col(0);
}

template <class T> struct held {
  tensor<T> out;
  recurrent_state<T> state;
  friend bool operator==(const held& a, const held& b) {
    return a.out.data == b.out.data && a.state == b.state;
  }
};

template <class T, class Arch = heed::simd::best>
held<T> scanned(const tensor<T>& s, const tensor<T>& v, const heed::executor_ref& executor = {}) {
  held<T> x{unwritten<T>(v.extent), {}};
  heed::scan<Arch>(prefix_softmax{}, s.in(), v.in(), x.out.in(), x.state, executor);
  return x;
}

template <class T, class Arch = heed::simd::best> void agree() {
  for (const shape& x : shapes) {
    const auto s = logits<T>(x), v = random<T>({x.b, x.h, x.l, x.d}, 2);
    const held<T> got = scanned<T, Arch>(s, v);
    for (heed::index b = 0; b < x.b; ++b)
      for (heed::index h = 0; h < x.h; ++h) {
        heed::reference::recurrence::prefix state;
        const auto expected =
            heed::reference::recurrence::prefix_softmax(channel(s, b, h), v.head(b, h), state);
        // Differences of logits of 300 are off by 300 ulp.
        const double allowed = tolerance<T>(8, x.l, 300);
        check_close(got.out.head(b, h), expected, allowed);
        Eigen::RowVectorXd end(x.d + 2), wanted(x.d + 2);
        for (heed::index c = 0; c < x.d + 2; ++c) end(c) = double(got.state.head(b, h)[c]);
        wanted << state.w.transpose(), state.u, state.m;
        check_close(end, wanted, allowed * double(x.l + 1));
        CHECK(got.state.tokens(b) == x.l);
      }
  }
}

}  // namespace

TEST_CASE("prefix softmax is attention of one query over every prefix") {
  agree<float>();
  agree<double>();
  agree<float, heed::simd::scalar>();
}

TEST_CASE("a hidden token leaks nothing, and a row that saw nothing is zero") {
  const shape x{1, 2, 9, 19};
  auto s = random<float>({x.b, x.h, x.l, 1}, 1), v = random<float>({x.b, x.h, x.l, x.d}, 2);
  for (heed::index h = 0; h < x.h; ++h)
    for (const heed::index l : {0, 1, 4}) {
      s(0, h, l) = -std::numeric_limits<float>::infinity();
      for (heed::index c = 0; c < x.d; ++c) v(0, h, l, c) = std::numeric_limits<float>::quiet_NaN();
    }
  const auto got = scanned(s, v);
  for (heed::index h = 0; h < x.h; ++h) {
    CHECK(got.out.head(0, h).topRows(2).isZero(0));
    CHECK(got.out.head(0, h).row(3) == got.out.head(0, h).row(4));
    CHECK(got.out.head(0, h).allFinite());
  }
}

TEST_CASE("a sequence may be split anywhere, to single tokens too") {
  const shape x{2, 2, 71, 21};
  const auto s = logits<float>(x), v = random<float>({x.b, x.h, x.l, x.d}, 2);
  const auto whole = scanned(s, v);
  for (const heed::index at : {0, 1, 30, 64, 71}) {
    held<float> x2{unwritten<float>(v.extent), {}};
    for (const auto& [first, count] : {std::pair{heed::index{0}, at}, std::pair{at, x.l - at}})
      heed::scan(prefix_softmax{}, s.in().slice_rows(first, count), v.in().slice_rows(first, count),
                 x2.out.in().slice_rows(first, count), x2.state);
    CHECK(x2 == whole);
  }
  held<float> stepped{unwritten<float>(v.extent), {}};
  for (heed::index l = 0; l < x.l; ++l)
    heed::step(prefix_softmax{}, s.in().slice_rows(l, 1), v.in().slice_rows(l, 1),
               stepped.out.in().slice_rows(l, 1), stepped.state);
  CHECK(stepped == whole);
}

TEST_CASE("packed sequences are sequences") {
  const shape x{1, 2, 71, 21};
  const auto s = logits<float>(x), v = random<float>({x.b, x.h, x.l, x.d}, 2);
  const std::vector<int> cu{0, 5, 5, 70, 71};
  held<float> packed{unwritten<float>(v.extent), {}};
  heed::scan(prefix_softmax{cu}, s.in(), v.in(), packed.out.in(), packed.state);
  for (heed::index i = 0; i < 4; ++i) {
    const heed::index first = cu[std::size_t(i)], count = cu[std::size_t(i + 1)] - first;
    auto out = unwritten<float>(v.extent);
    recurrent_state<float> state;
    heed::scan(prefix_softmax{}, s.in().slice_rows(first, count), v.in().slice_rows(first, count),
               out.in().slice_rows(first, count), state);
    CHECK(packed.state.sequence(i) == state);
    for (heed::index h = 0; h < x.h; ++h)
      CHECK(packed.out.head(0, h).middleRows(first, count) ==
            out.head(0, h).middleRows(first, count));
  }
}

TEST_CASE("threads change no bit of prefix softmax") {
  const shape x{2, 3, 70, 600};
  const auto s = logits<float>(x), v = random<float>({x.b, x.h, x.l, x.d}, 2);
  const auto whole = scanned(s, v);
  for (const int threads : {2, 5}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    CHECK(scanned(s, v, heed::on(device)) == whole);
  }
}

namespace {

// The same numbers as plain floats.
template <class X> tensor<float> plain_floats(const X& x) {
  tensor<float> y(x.extent);
  for (heed::index b = 0; b < x.extent[0]; ++b)
    for (heed::index h = 0; h < x.extent[1]; ++h)
      for (heed::index l = 0; l < x.extent[2]; ++l)
        for (heed::index c = 0; c < x.extent[3]; ++c) y(b, h, l, c) = float(x(b, h, l, c));
  return y;
}

template <class T> void check_elements() {
  const auto s = random<T>({1, 2, 70, 1}, 1), v = random<T>({1, 2, 70, 300}, 2);
  auto out = unwritten<T>(v.extent);
  heed::scan(prefix_softmax{}, s.in(), v.in(), out.in());
  auto expected = scanned(plain_floats(s.in()), plain_floats(v.in())).out;
  for (float& x : expected.data) x = float(T(x));
  CHECK(plain_floats(out.in()).data == expected.data);
}

}  // namespace

TEST_CASE("prefix softmax takes any layout") {
  engine bits(seed());
  for (int n = 0; n < 12; ++n) {
    const layout how{n % 2 == 0, n % 3 == 0, n % 4 == 0, n % 5 == 0};
    auto s = input<float>({2, 3, 13, 1}, how, bits), v = input<float>({2, 3, 13, 7}, how, bits);
    auto out = output<float>({2, 3, 13, 7}, how, bits);
    heed::scan(prefix_softmax{}, s.read(), v.read(), out.mutable_view());
    CHECK(rest_untouched(out));
    CHECK(plain_floats(out.read()).data ==
          scanned(plain_floats(s.read()), plain_floats(v.read())).out.data);
  }
}

TEST_CASE("prefix softmax takes 16-bit numbers") {
  check_elements<Eigen::half>();
  check_elements<Eigen::bfloat16>();
}

TEST_CASE("prefix softmax refuses other shapes before it writes") {
  const auto s = random<float>({1, 2, 5, 1}, 1), v = random<float>({1, 2, 5, 3}, 2);
  auto out = random<float>({1, 2, 5, 3}, 3);
  const auto kept = out.data;
  const auto refused = [&](const heed::extents& es, const heed::extents& ev,
                           const std::string& text) {
    const auto s2 = random<float>(es, 1), v2 = random<float>(ev, 2);
    CHECK_THROWS_WITH(heed::scan(prefix_softmax{}, s2.in(), v2.in(), out.in()),
                      Catch::Matchers::ContainsSubstring(text));
  };
  refused({1, 2, 4, 1}, {1, 2, 5, 3}, "s must be [B,H,L]");
  refused({1, 1, 5, 1}, {1, 2, 5, 3}, "s must be [B,H,L]");
  refused({1, 2, 5, 1}, {1, 2, 5, 4}, "v and the output");
  const std::vector<int> cu{0, 4};
  CHECK_THROWS_WITH(heed::scan(prefix_softmax{cu}, s.in(), v.in(), out.in()),
                    Catch::Matchers::ContainsSubstring("cu_seqlens"));
  recurrent_state<float> other({"linear", 2, 1, 3, 2, true}, 1);
  CHECK_THROWS_WITH(heed::scan(prefix_softmax{}, s.in(), v.in(), out.in(), other),
                    Catch::Matchers::ContainsSubstring("prefix_softmax [2 heads of 1 x 3 + 2]"));
  CHECK(out.data == kept);
}
