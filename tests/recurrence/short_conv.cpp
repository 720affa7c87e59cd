// SPDX-License-Identifier: BSL-1.0
// Short convolutions against the definition: any shape, state, packing, stride and type.
#define EIGEN_USE_THREADS
#include "support/short_conv.hpp"

#include <heed/core/executor.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/operands.hpp"

namespace heed {
template <> struct element_of<Eigen::half> {
  static constexpr element value = element::f16;
};
}  // namespace heed

using namespace heed::test;
using heed::recurrent_state;
using heed::short_conv;

namespace {

template <class T, class Arch = heed::simd::best>
void check_scan(const conv_operands<T>& o, const short_conv& spec) {
  recurrent_state<T> state;
  auto out = unwritten<T>(o.x.extent);
  heed::scan<Arch>(spec, o.x.in(), out.in(), state);
  for (heed::index b = 0; b < o.s.b; ++b)
    for (heed::index h = 0; h < o.s.h; ++h) {
      Eigen::MatrixXd before = Eigen::MatrixXd::Zero(o.s.k - 1, o.s.d);
      const Eigen::MatrixXd y = o.expected(spec, b, h, 0, o.s.l, before);
      check_close(out.head(b, h), y, tolerance<T>(4, o.s.k, 4), o.s.name());
      check_close(state_matrix(state, b, h), before, 0, o.s.name() + ", state");
      CHECK(state.tokens(b) == o.s.l);
    }
  auto again = unwritten<T>(o.x.extent);
  heed::scan<Arch>(spec, o.x.in(), again.in());
  CHECK(again.data == out.data);
}

}  // namespace

TEMPLATE_TEST_CASE("a short convolution is its definition", "", float, double) {
  for (const conv_shape& s : conv_shapes()) {
    const conv_operands<TestType> o(s);
    check_scan(o, o.full());
    check_scan(o, o.plain());
    check_scan<TestType, heed::simd::scalar>(o, o.full());
  }
}

TEST_CASE("a sequence may be split anywhere") {
  for (const heed::index d : {16, 19}) {
    const conv_operands<float> o({2, 2, 75, d, 4});
    recurrent_state<float> whole;
    auto expected = unwritten<float>(o.x.extent), out = expected;
    heed::scan(o.full(), o.x.in(), expected.in(), whole);
    for (const heed::index size : {1, 2, 3, 32, 74}) {
      recurrent_state<float> state;
      std::fill(out.data.begin(), out.data.end(), NAN);
      for (heed::index at = 0; at < o.s.l; at += size) {
        const heed::index n = std::min(size, o.s.l - at);
        const auto x = o.x.in().slice_rows(at, n);
        const auto y = out.in().slice_rows(at, n);
        if (size == 1)
          heed::step(o.full(), x, y, state);
        else
          heed::scan(o.full(), x, y, state);
      }
      CHECK(out.data == expected.data);
      CHECK(state == whole);
    }
  }
}

TEST_CASE("packed sequences are sequences") {
  const conv_operands<double> o({1, 2, 390, 21, 4});
  const std::vector<int> cu{0, 0, 1, 3, 40, 40, 377, 390};
  short_conv spec = o.full();
  spec.cu_seqlens = cu;
  recurrent_state<double> state(o.format(), 7);
  const auto first = random<double>({7, 2, 3, 21}, 9);
  std::copy(first.data.begin(), first.data.end(), state.head(0, 0));
  auto out = unwritten<double>(o.x.extent);
  heed::scan(spec, o.x.in(), out.in(), state);
  for (heed::index i = 0; i < 7; ++i)
    for (heed::index h = 0; h < 2; ++h) {
      const int at = cu[std::size_t(i)], n = cu[std::size_t(i) + 1] - at;
      Eigen::MatrixXd before = first.head(i, h);
      const Eigen::MatrixXd y = o.expected(spec, 0, h, at, n, before);
      check_close(out.head(0, h).middleRows(at, n), y, tolerance<double>(4, 4, 4));
      check_close(state_matrix(state, i, h), before, 0);
      CHECK(state.tokens(i) == n);
    }
}

TEST_CASE("the number of threads changes no bit") {
  const conv_operands<float> o({2, 3, 700, 150, 4});
  auto expected = unwritten<float>(o.x.extent), out = expected;
  recurrent_state<float> whole;
  heed::scan(o.full(), o.x.in(), expected.in(), whole);
  heed::workspace scratch;
  for (const int threads : {2, 16}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    recurrent_state<float> state;
    std::fill(out.data.begin(), out.data.end(), NAN);
    heed::scan(o.full(), o.x.in(), out.in(), state, heed::on(device), scratch);
    CHECK(out.data == expected.data);
    CHECK(state == whole);
  }
}

TEST_CASE("any stride and element type") {
  engine bits(seed());
  for (const layout how : {layout{.permuted = true},
                           {.permuted = true, .strided_channels = true, .reversed = true},
                           {.broadcast = true}})
    for (const heed::index d : {16, 19}) {
      const heed::extents e{2, 2, 41, d};
      auto x = input<float>(e, how, bits), out = output<float>(e, how, bits);
      auto weight = input<double>({1, 2, d, 4}, how, bits);
      auto bias = input<float>({1, 2, 1, d}, how, bits);
      conv_operands<float> dense({2, 2, 41, d, 4});
      std::size_t i = 0, j = 0, k = 0, n = 0;
      x.each([&](float y) { dense.x.data[i++] = y; });
      weight.each([&](double y) { dense.weight.data[j++] = static_cast<float>(y); });
      bias.each([&](float y) { dense.bias.data[k++] = y; });
      auto expected = unwritten<float>(e);
      heed::scan({.weight = weight.read(), .bias = bias.read()}, x.read(), out.mutable_view());
      heed::scan({.weight = dense.weight.in(), .bias = dense.bias.in()}, dense.x.in(),
                 expected.in());
      out.each([&](float y) { CHECK(y == expected.data[n++]); });
      CHECK(rest_untouched(out));
    }
  using half = Eigen::half;
  const auto x = random<half>({1, 1, 50, 40}, 1), weight = random<half>({1, 1, 40, 3}, 2);
  auto out = unwritten<half>(x.extent);
  heed::scan({.weight = weight.in(), .silu = true}, x.in(), out.in());
  const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
  const Eigen::MatrixXd y =
      heed::reference::recurrence::short_conv(
          x.head(0, 0), weight.head(0, 0), Eigen::VectorXd::Zero(40), Eigen::MatrixXd::Zero(2, 40))
          .unaryExpr(silu);
  check_close(out.head(0, 0), y, 0x1p-11 * y.cwiseAbs().maxCoeff());
}

TEST_CASE("what does not fit is refused, and nothing is written") {
  using Catch::Matchers::ContainsSubstring;
  const conv_operands<float> o({2, 2, 4, 6, 3});
  auto out = unwritten<float>(o.x.extent);
  recurrent_state<float> state;
  const auto refused = [&](const short_conv& spec, const heed::result& to, const char* text) {
    CHECK_THROWS_WITH(heed::scan(spec, o.x.in(), to, state),
                      ContainsSubstring("heed::scan: ") && ContainsSubstring(text));
  };
  refused({.weight = o.weight.in().slice_rows(0, 5)}, out.in(), "weight must be [1,H|1,D,K]");
  refused({.weight = o.weight.in().slice_channels(0, 0)}, out.in(), "K at least 1");
  refused({.weight = o.weight.in(), .bias = o.weight.in()}, out.in(), "bias must be [1,H|1,1,D]");
  refused(o.full(), out.in().slice_rows(0, 1), "out must have the shape of x");
  short_conv spec = o.full();
  const std::vector<int> cu{0, 4};
  spec.cu_seqlens = cu;
  refused(spec, out.in(), "a batch of 1");
  state = recurrent_state<float>(o.format(), 3);
  refused(o.full(), out.in(), "but the call needs short_conv [2 heads of 2 x 6");
  CHECK_THROWS_WITH(heed::step(o.full(), o.x.in(), out.in(), state),
                    ContainsSubstring("heed::step: a step takes one token"));
  for (const float y : out.data) CHECK(std::isnan(y));
}
