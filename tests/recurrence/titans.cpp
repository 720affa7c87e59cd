// SPDX-License-Identifier: BSL-1.0
// recurrence/titans against its reference, token by token, and what a state promises.
#define EIGEN_USE_THREADS
#include <heed/eigen.hpp>
#include <heed/recurrence/titans.hpp>
#include <heed/reference/recurrence/titans.hpp>

#include "support/titans.hpp"

using namespace heed::test;
using heed::recurrent_state;
using heed::titans;

namespace {

template <class T> struct held {
  tensor<T> out;
  recurrent_state<T> state;
  friend bool operator==(const held& a, const held& b) {
    return a.out.data == b.out.data && a.state == b.state;
  }
};

template <class T, class Arch = heed::simd::best>
held<T> scanned(titans_inputs<T>& x, heed::index chunk, const heed::executor_ref& executor = {}) {
  held<T> y{unwritten<T>(x.v.extent), {}};
  heed::scan<Arch>(x.spec(chunk), x.q.in(), x.k.in(), x.v.in(), y.out.in(), y.state, executor);
  return y;
}

// Rows [first, first + count) onto `to`.
template <class T>
void scan_rows(titans_inputs<T>& x, heed::index chunk, heed::index first, heed::index count,
               held<T>& to, bool stepwise = false) {
  titans part = x.spec(chunk);
  part.log_momentum = x.momentum.in().slice_rows(first, count);
  part.log_keep = x.keep.in().slice_rows(first, count);
  part.rate = x.rate.in().slice_rows(first, count);
  const auto q = x.q.in().slice_rows(first, count), k = x.k.in().slice_rows(first, count),
             v = x.v.in().slice_rows(first, count), out = to.out.in().slice_rows(first, count);
  stepwise ? heed::step(part, q, k, v, out, to.state) : heed::scan(part, q, k, v, out, to.state);
}

template <class T> void check_same(const held<T>& got, const held<T>& expected, double allowed) {
  const auto& a = got.state.format();
  REQUIRE(a == expected.state.format());
  for (heed::index b = 0; b < got.state.batch(); ++b) {
    CHECK(got.state.tokens(b) == expected.state.tokens(b));
    for (heed::index h = 0; h < a.heads; ++h) {
      const Eigen::Map<const Eigen::Matrix<T, -1, 1>> x(got.state.head(b, h), a.head_size()),
          y(expected.state.head(b, h), a.head_size());
      check_close(x, y, allowed, "state");
    }
  }
  for (heed::index b = 0; b < got.out.extent[0]; ++b)
    for (heed::index h = 0; h < a.heads; ++h)
      check_close(got.out.head(b, h), expected.out.head(b, h), allowed, "out");
}

template <class T, class Arch = heed::simd::best> void agree() {
  for (const titans_shape& shape : titans_shapes)
    for (const heed::index chunk : {1, 2, 5, 16, 32, 47, 1000}) {
      titans_inputs<T> x(shape);
      const held<T> got = scanned<T, Arch>(x, chunk);
      for (heed::index b = 0; b < shape.b; ++b)
        for (heed::index h = 0; h < shape.h; ++h) {
          heed::reference::recurrence::titans_memory memory;
          const auto expected = heed::reference::recurrence::titans(
              x.q.head(b, h), x.k.head(b, h), x.v.head(b, h), x.momentum.head(b, h).col(0),
              x.keep.head(b, h).col(0), x.rate.head(b, h).col(0), chunk, memory);
          // Outputs of order 1 to 10, of sums over the channels and the tokens that are not yet
          // forgotten.
          const double size =
              memory.m.size() == 0 ? 1 : std::max(1.0, memory.m.cwiseAbs().maxCoeff());
          const double allowed =
              tolerance<T>(16, shape.d * std::max<heed::index>(1, shape.l), size);
          const std::string where = "L " + std::to_string(shape.l) + ", chunk " +
                                    std::to_string(chunk) + ", D " + std::to_string(shape.d);
          check_close(got.out.head(b, h), expected, allowed, where);
          const heed::index n = got.state.format().rows;
          using matrix = Eigen::Matrix<T, -1, -1, Eigen::RowMajor>;
          const Eigen::Map<const matrix> end(got.state.head(b, h), n, shape.dv);
          Eigen::MatrixXd wanted(3 * shape.d, shape.dv);
          wanted << memory.m, memory.s, memory.start;
          check_close(end, wanted.topRows(n), allowed, where + ", state");
        }
    }
}

}  // namespace

TEST_CASE("titans in blocks is titans token by token") {
  agree<float>();
  agree<double>();
}

TEST_CASE("titans in plain loops") { agree<double, heed::simd::scalar>(); }

TEST_CASE("a sequence may be split anywhere, inside a chunk too") {
  for (const heed::index chunk : {1, 7, 40}) {
    titans_inputs<double> x({2, 2, 71, 9, 11});
    const auto whole = scanned(x, chunk);
    for (const heed::index at : {0, 1, 35, 40, 71}) {
      held<double> parts{unwritten<double>(x.v.extent), {}};
      scan_rows(x, chunk, 0, at, parts);
      scan_rows(x, chunk, at, 71 - at, parts);
      check_same(parts, whole, 1e-12);
    }
    held<double> steps{unwritten<double>(x.v.extent), {}};
    for (heed::index l = 0; l < 71; ++l) scan_rows(x, chunk, l, 1, steps, true);
    check_same(steps, whole, 1e-12);
    held<double> tokens{unwritten<double>(x.v.extent), {}};
    scan_rows(x, chunk, 0, 71, tokens, true);
    CHECK(tokens == steps);
  }
}

TEST_CASE("decays of 0 and 1 are like any") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const heed::index chunk : {1, 16}) {
    titans_inputs<float> x({1, 1, 37, 8, 8});
    for (const heed::index l : {3, 4, 20}) x.momentum(0, 0, l) = -infinity;
    for (const heed::index l : {4, 9, 36}) x.keep(0, 0, l) = -infinity;
    for (const heed::index l : {5, 20, 35}) x.keep(0, 0, l) = x.momentum(0, 0, l) = 0;
    const auto got = scanned(x, chunk);
    heed::reference::recurrence::titans_memory memory;
    const auto expected = heed::reference::recurrence::titans(
        x.q.head(0, 0), x.k.head(0, 0), x.v.head(0, 0), x.momentum.head(0, 0).col(0),
        x.keep.head(0, 0).col(0), x.rate.head(0, 0).col(0), chunk, memory);
    check_close(got.out.head(0, 0), expected, tolerance<float>(16, 8 * 37));
  }
}

TEST_CASE("packed sequences are sequences") {
  titans_inputs<float> x({1, 2, 71, 6, 5});
  const std::vector<int> cu{0, 5, 5, 70, 71};
  titans spec = x.spec(8);
  spec.cu_seqlens = cu;
  held<float> packed{unwritten<float>(x.v.extent), {}};
  heed::scan(spec, x.q.in(), x.k.in(), x.v.in(), packed.out.in(), packed.state);
  for (heed::index i = 0; i < 4; ++i) {
    const heed::index first = cu[std::size_t(i)], count = cu[std::size_t(i + 1)] - first;
    held<float> one{unwritten<float>(x.v.extent), {}};
    scan_rows(x, 8, first, count, one);
    CHECK(packed.state.sequence(i) == one.state);
    for (heed::index h = 0; h < 2; ++h)
      CHECK(packed.out.head(0, h).middleRows(first, count) ==
            one.out.head(0, h).middleRows(first, count));
  }
}

TEST_CASE("threads change no bit of titans") {
  titans_inputs<float> x({2, 3, 70, 20, 33});
  const auto whole = scanned(x, 16);
  for (const int threads : {2, 5}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    CHECK(scanned(x, 16, heed::on(device)) == whole);
  }
}

TEST_CASE("titans takes any layout and gates for many tokens at once") {
  engine bits(seed());
  for (int n = 0; n < 8; ++n) {
    const layout how{n % 2 == 0, n % 3 == 0, n % 4 == 0, n % 5 == 0};
    const heed::extents e{2, 2, 19, 5}, ev{2, 2, 19, 7};
    auto q = input<float>(e, how, bits), k = input<float>(e, how, bits),
         v = input<float>(ev, how, bits), rate = input<float>({2, 2, 1, 1}, how, bits);
    auto out = output<float>(ev, how, bits);
    const float momentum = -0.5f, keep = -0.25f;
    const heed::view<const float> one(&momentum, {1, 1, 1, 1}), other(&keep, {1, 1, 1, 1});
    heed::scan(titans{one, other, rate.read(), 4}, q.read(), k.read(), v.read(),
               out.mutable_view());
    CHECK(rest_untouched(out));
    titans_inputs<float> x({2, 2, 19, 5, 7});
    for (heed::index b = 0; b < 2; ++b)
      for (heed::index h = 0; h < 2; ++h)
        for (heed::index l = 0; l < 19; ++l) {
          for (heed::index c = 0; c < 5; ++c)
            x.q(b, h, l, c) = q.read()(b, h, l, c), x.k(b, h, l, c) = k.read()(b, h, l, c);
          for (heed::index c = 0; c < 7; ++c) x.v(b, h, l, c) = v.read()(b, h, l, c);
          x.momentum(b, h, l) = momentum, x.keep(b, h, l) = keep;
          x.rate(b, h, l) = rate.read()(b, h, 0);
        }
    const auto expected = scanned(x, 4);
    bool same = true;
    for (heed::index b = 0; b < 2; ++b)
      for (heed::index h = 0; h < 2; ++h)
        for (heed::index l = 0; l < 19; ++l)
          for (heed::index c = 0; c < 7; ++c)
            same = same && out.read()(b, h, l, c) == expected.out.in()(b, h, l, c);
    CHECK(same);
  }
}

TEST_CASE("titans takes 16-bit numbers") {
  titans_inputs<float> x({1, 2, 37, 12, 20});
  tensor<Eigen::half> q(x.q.extent), k(x.k.extent), v(x.v.extent);
  for (const auto& [from, to] : {std::pair{&x.q, &q}, std::pair{&x.k, &k}, std::pair{&x.v, &v}})
    for (std::size_t i = 0; i < from->data.size(); ++i)
      from->data[i] = float(to->data[i] = Eigen::half(from->data[i]));
  auto out = unwritten<Eigen::half>(v.extent);
  heed::scan(x.spec(16), q.in(), k.in(), v.in(), out.in());
  const auto expected = scanned(x, 16);
  bool same = true;
  for (std::size_t i = 0; i < out.data.size(); ++i)
    same = same && out.data[i] == Eigen::half(expected.out.data[i]);
  CHECK(same);
}

TEST_CASE("titans refuses other shapes before it writes") {
  titans_inputs<float> x({1, 2, 5, 3, 4});
  auto out = unwritten<float>(x.v.extent);
  const auto refused = [&](const titans& spec, const heed::view<const float>& q,
                           const std::string& text) {
    CHECK_THROWS_WITH(heed::scan(spec, q, x.k.in(), x.v.in(), out.in()),
                      Catch::Matchers::ContainsSubstring(text));
  };
  const tensor<float> other({1, 2, 4, 3});
  refused(x.spec(1), other.in(), "q and k must have the same extents");
  refused(x.spec(0), x.q.in(), "the chunk must be positive");
  titans spec = x.spec(1);
  spec.rate = other.in();
  refused(spec, x.q.in(), "rate is [1, 2, 4, 3]");
  recurrent_state<float> state;
  heed::scan(x.spec(4), x.q.in(), x.k.in(), x.v.in(), out.in(), state);
  CHECK_THROWS_WITH(heed::scan(x.spec(8), x.q.in(), x.k.in(), x.v.in(), out.in(), state),
                    Catch::Matchers::ContainsSubstring("titans, chunk 8"));
}
