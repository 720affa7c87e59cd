// SPDX-License-Identifier: BSL-1.0
// local/ against its definitions: any shape, kernel, stride, type and number of threads.
#define EIGEN_USE_THREADS
#include <heed/core/executor.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/local.hpp"
#include "support/operands.hpp"

namespace heed {
template <> struct element_of<Eigen::half> {
  static constexpr element value = element::f16;
};
template <> struct element_of<Eigen::bfloat16> {
  static constexpr element value = element::bf16;
};
}  // namespace heed

using namespace heed::test;
using heed::dynamic_convolution;
using heed::dynamic_depthwise;
using heed::value_depthwise;

namespace {

/// All of a grid or line, of sums of `taps` products of numbers of order 1 that weights of a
/// softmax, or numbers less their mean, keep so.
template <class T, class Arch = heed::simd::best, class Spec>
void check(const local_operands<T>& o, const Spec& spec) {
  auto out = unwritten<T>(o.x.extent);
  heed::convolve<Arch>(spec, o.x.in(), out.in());
  for (heed::index b = 0; b < o.s.b; ++b)
    check_close(out.head(b, 0), o.exact(spec, b), tolerance<T>(8, o.taps, 8), o.s.name());
}

std::vector<local_shape> lines() {
  return {{1, 1, 1, 1, 1, 3},
          {2, 1, 7, 6, 3, 2},
          {1, 1, 37, 17, 17, 4},
          {2, 1, 300, 48, 3, 7, true, true},
          {1, 1, 29, 150, 1, 3, true},
          {1, 1, 5, 12, 2, 31},
          {3, 1, 0, 5, 5, 4, true},
          {0, 1, 3, 4, 1, 4},
          {2, 1, 270, 160, 2, 5, false, true},
          {1, 1, 40, 64, 1, 1}};
}
std::vector<local_shape> grids() {
  return {{1, 1, 1, 1, 1, 3},          {2, 3, 5, 6, 3, 3, false, true},
          {1, 7, 70, 19, 19, 5},       {2, 5, 9, 32, 2, 3, true, true},
          {1, 13, 67, 20, 4, 7, true}, {1, 2, 2, 16, 1, 7, true},
          {2, 19, 33, 64, 64, 3},      {1, 0, 5, 4, 2, 3},
          {1, 6, 40, 144, 1, 3, true}, {2, 4, 3, 5, 5, 1, false, true}};
}

}  // namespace

TEMPLATE_TEST_CASE("convolutions of tokens are their definition", "", float, double) {
  for (const local_shape& s : lines()) {
    const local_operands<TestType> o(s);
    for (const bool causal : {false, true}) {
      check(o, dynamic_convolution{.weight = o.weight.in(), .causal = causal});
      check(o, dynamic_convolution{.weight = o.weight.in(), .softmax = false, .causal = causal});
    }
    check<TestType, heed::simd::scalar>(o, dynamic_convolution{.weight = o.weight.in()});
  }
}

TEMPLATE_TEST_CASE("convolutions of grids are their definition", "", float, double) {
  for (const local_shape& s : grids()) {
    const local_operands<TestType> o(s, true);
    const dynamic_depthwise plain{{s.height, s.width}, o.weight.in()};
    dynamic_depthwise less = plain;
    less.lambda = o.numbers.in();
    check(o, plain);
    check(o, less);
    check<TestType, heed::simd::scalar>(o, less);
  }
}

TEMPLATE_TEST_CASE("a convolution of the values is added", "", float, double) {
  using T = TestType;
  for (const heed::index k : {1, 3, 5})
    for (const heed::index d : {1, 16, 37}) {
      const auto v = random<T>({2, 3, 35, d}, 1), before = random<T>(v.extent, 2);
      const auto w = random<T>({1, 3 * d, 1, k * k}, 3), bias = random<T>({1, 3 * d, 1, 1}, 4);
      for (const bool with : {false, true}) {
        auto out = before;
        value_depthwise spec{{5, 7}, w.in()};
        if (with) spec.bias = bias.in();
        heed::add_convolution(spec, v.in(), out.in());
        for (heed::index b = 0; b < 2; ++b)
          for (heed::index h = 0; h < 3; ++h) {
            Eigen::MatrixXd kernels(d, k * k);
            Eigen::VectorXd shift = Eigen::VectorXd::Zero(d);
            for (heed::index c = 0; c < d; ++c) {
              kernels.row(c) = w.head(0, h * d + c);
              if (with) shift(c) = double(bias.in()(0, h * d + c, 0));
            }
            check_close(out.head(b, h),
                        heed::reference::local::value_depthwise(before.head(b, h), v.head(b, h), 5,
                                                                7, k, kernels, shift),
                        tolerance<T>(8, k * k + 2, 4));
          }
      }
    }
}

TEST_CASE("a causal sequence may be split anywhere") {
  for (const bool each : {false, true}) {
    const local_operands<float> o({2, 1, 75, 38, 2, 4, each, each});
    const dynamic_convolution all{.weight = o.weight.in(), .causal = true};
    auto whole = unwritten<float>(o.x.extent), out = whole, plain = whole;
    heed::recurrent_state<float> last;
    heed::convolve(all, o.x.in(), plain.in());
    heed::convolve(all, o.x.in(), whole.in(), last);
    CHECK(whole.data == plain.data);
    for (const heed::index size : {1, 2, 3, 32, 74}) {
      heed::recurrent_state<float> state;
      std::fill(out.data.begin(), out.data.end(), NAN);
      for (heed::index at = 0; at < 75; at += size) {
        const heed::index n = std::min<heed::index>(size, 75 - at);
        dynamic_convolution some = all;
        if (each) some.weight = o.weight.in().slice_rows(at, n);
        const auto x = o.x.in().slice_rows(at, n);
        const auto y = out.in().slice_rows(at, n);
        if (size == 1)
          heed::step(some, x, y, state);
        else
          heed::convolve(some, x, y, state);
      }
      CHECK(out.data == whole.data);
      CHECK(state == last);
    }
  }
}

TEST_CASE("heads may be apart") {
  const local_operands<float> o({2, 1, 21, 48, 4, 3, true, true});
  auto together = unwritten<float>(o.x.extent), apart = together;
  const dynamic_convolution spec{.weight = o.weight.in()};
  heed::convolve(spec, o.x.in(), together.in());
  for (const heed::index heads : {2, 4}) {
    std::fill(apart.data.begin(), apart.data.end(), NAN);
    heed::convolve(spec, heed::as<"BLHD">(o.x.data.data(), {2, 21, heads, 48 / heads}),
                   heed::as<"BLHD">(apart.data.data(), {2, 21, heads, 48 / heads}));
    CHECK(apart.data == together.data);
  }
}

TEST_CASE("the number of threads changes no bit") {
  const local_operands<float> o({2, 30, 70, 150, 3, 3, true, true}, true);
  const dynamic_depthwise spec{{30, 70}, o.weight.in(), o.numbers.in()};
  auto expected = unwritten<float>(o.x.extent), out = expected;
  heed::convolve(spec, o.x.in(), expected.in());
  heed::workspace scratch;
  for (const int threads : {2, 16}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    std::fill(out.data.begin(), out.data.end(), NAN);
    heed::convolve(spec, o.x.in(), out.in(), heed::on(device), scratch);
    CHECK(out.data == expected.data);
  }
}

TEST_CASE("any stride") {
  engine bits(seed());
  for (const layout how : {layout{.permuted = true},
                           {.permuted = true, .strided_channels = true, .reversed = true},
                           {.broadcast = true}})
    for (const bool each : {false, true})
      for (const heed::index c : {32, 38}) {
        const heed::extents e{2, 1, 35, c};
        auto x = input<float>(e, how, bits), out = output<float>(e, how, bits);
        auto weight = input<double>({2, 2, each ? 35 : 1, 9}, how, bits);
        local_operands<float> dense({2, 5, 7, c, 2, 3, each, true}, true);
        std::size_t i = 0, j = 0, n = 0;
        x.each([&](float y) { dense.x.data[i++] = y; });
        weight.each([&](double y) { dense.weight.data[j++] = static_cast<float>(y); });
        auto expected = unwritten<float>(e);
        heed::convolve(dynamic_depthwise{{5, 7}, weight.read()}, x.read(), out.mutable_view());
        heed::convolve(dynamic_depthwise{{5, 7}, dense.weight.in()}, dense.x.in(), expected.in());
        out.each([&](float y) { CHECK(y == expected.data[n++]); });
        CHECK(rest_untouched(out));
      }
}

TEMPLATE_TEST_CASE("sixteen bits in storage, float in sums", "", Eigen::half, Eigen::bfloat16) {
  using T = TestType;
  const local_operands<T> o({2, 1, 50, 40, 2, 3, true});
  const dynamic_convolution spec{.weight = o.weight.in(), .softmax = false, .causal = true};
  auto out = unwritten<T>(o.x.extent);
  heed::convolve(spec, o.x.in(), out.in());
  for (heed::index b = 0; b < 2; ++b) {
    const Eigen::MatrixXd y = o.exact(spec, b);
    const double half_ulp = std::is_same_v<T, Eigen::half> ? 0x1p-11 : 0x1p-8;
    check_close(out.head(b, 0), y, 1.001 * half_ulp * y.cwiseAbs().maxCoeff());
  }
}

TEST_CASE("what does not fit is refused, and nothing is written") {
  using Catch::Matchers::ContainsSubstring;
  const local_operands<float> line({2, 1, 4, 6, 3, 3}), grid({2, 2, 3, 6, 3, 3}, true);
  auto out = unwritten<float>(line.x.extent), map = unwritten<float>(grid.x.extent);
  heed::recurrent_state<float> state;
  const auto refused = [](const auto& call, const char* operation, const char* text) {
    CHECK_THROWS_WITH(call(), ContainsSubstring(operation) && ContainsSubstring(text));
  };
  const auto of_line = [&](const dynamic_convolution& spec, const heed::result& to) {
    return [&, spec, to] { heed::convolve(spec, line.x.in(), to); };
  };
  const auto of_grid = [&](const dynamic_depthwise& spec) {
    return [&, spec] { heed::convolve(spec, grid.x.in(), map.in()); };
  };
  const dynamic_convolution good{.weight = line.weight.in()};
  refused(of_line(good, out.in().slice_rows(0, 1)), "heed::convolve: ", "out must have the shape");
  refused(of_line({}, out.in()), "heed::convolve: ", "weights must be [B|1,kernels,1|tokens,K]");
  const auto three = random<float>({3, 3, 1, 3}, 5), four = random<float>({1, 4, 1, 3}, 5);
  refused(of_line({.weight = three.in()}, out.in()), "heed::convolve: ", "weights must be");
  refused(of_line({.weight = four.in()}, out.in()), "heed::convolve: ", "divide the channels");
  refused([&] { heed::convolve(good, line.x.in(), out.in(), state); },
          "heed::convolve: ", "only a causal convolution has a state");
  dynamic_convolution causal = good;
  causal.causal = true;
  refused([&] { heed::step(causal, line.x.in(), out.in(), state); }, "heed::step: ", "one token");
  state = heed::recurrent_state<float>({.kind = "short_conv", .heads = 1}, 2);
  refused([&] { heed::convolve(causal, line.x.in(), out.in(), state); },
          "heed::convolve: ", "but the call needs dynamic_convolution");
  refused(of_grid({{2, 2}, grid.weight.in()}), "heed::convolve: ", "a grid of 2 x 2 needs");
  refused(of_grid({{2, 3}, line.weight.in()}), "heed::convolve: ", "k x k weights, k odd");
  refused(of_grid({{2, 3}, grid.weight.in(), four.in()}), "heed::convolve: ", "lambda must be");
  const heed::view<const float> no_data(nullptr, {1, grid.weight.extent[1], 1, 1});
  refused(of_grid({{2, 3}, grid.weight.in(), no_data}), "heed::convolve: ", "lambda must be");
  const heed::index half = heed::index{1} << 32;  // a product of 2^64
  tensor<float> nothing({1, 1, 0, 4});
  refused(
      [&] {
        heed::convolve(dynamic_depthwise{{half, half}, grid.weight.in()}, nothing.in(),
                       nothing.in());
      },
      "heed::convolve: ", "a grid of 4294967296 x 4294967296 needs");
  refused([&] { heed::add_convolution({{2, 3}, grid.weight.in()}, grid.x.in(), map.in()); },
          "heed::add_convolution: ", "weights must be [1,H*D,1,k*k]");
  for (const float y : out.data) CHECK(std::isnan(y));
  for (const float y : map.data) CHECK(std::isnan(y));
}
