// SPDX-License-Identifier: BSL-1.0
// Gradients of local/ against central differences, in double.
#define EIGEN_USE_THREADS
#include <heed/core/executor.hpp>
#include <heed/local/dynamic_convolution_backward.hpp>
#include <heed/local/dynamic_depthwise_backward.hpp>
#include <heed/local/value_depthwise_backward.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/differences.hpp"
#include "support/local.hpp"
#include "support/operands.hpp"

using namespace heed::test;
using heed::dynamic_convolution;
using heed::dynamic_depthwise;
using heed::value_depthwise;

namespace {

using operands = local_operands<double>;

double product(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

// L = Σ out ⊙ d_out.
template <class Arch = heed::simd::best, class Spec> void check(operands& o, const Spec& spec) {
  const auto d_out = random<double>(o.x.extent, 21);
  const auto loss = [&] {
    auto out = unwritten<double>(o.x.extent);
    heed::convolve<Arch>(spec, o.x.in(), out.in());
    return product(out.data, d_out.data);
  };
  auto dx = unwritten<double>(o.x.extent), dw = unwritten<double>(o.weight.extent),
       dl = unwritten<double>(o.numbers.extent);
  INFO(o.s.name());
  if constexpr (std::is_same_v<Spec, dynamic_depthwise>) {
    heed::dynamic_depthwise_gradients to{.dx = dx.in(), .spec = {.weight = dw.in()}};
    if (spec.lambda.present()) to.spec.lambda = dl.in();
    heed::convolve_backward<Arch>(spec, o.x.in(), d_out.in(), to);
    if (spec.lambda.present())
      check_gradient(dl.data, differences(o.numbers.data, loss), "dlambda");
  } else {
    heed::convolve_backward<Arch>(spec, o.x.in(), d_out.in(),
                                  {.dx = dx.in(), .spec = {.weight = dw.in()}});
  }
  check_gradient(dx.data, differences(o.x.data, loss), "dx");
  check_gradient(dw.data, differences(o.weight.data, loss), "dweight");
}

}  // namespace

TEST_CASE("gradients of convolutions of tokens") {
  for (const local_shape& s : {local_shape{1, 1, 1, 1, 1, 3},
                               {2, 1, 7, 6, 3, 2},
                               {2, 1, 9, 6, 2, 4, true, true},
                               {2, 1, 9, 6, 2, 5, true},
                               {2, 1, 5, 4, 4, 3, false, true},
                               {1, 1, 4, 3, 1, 9},
                               {2, 1, 0, 4, 2, 3, true},
                               {0, 1, 3, 4, 2, 3},
                               {1, 1, 5, 3, 3, 1}}) {
    operands o(s);
    for (const bool causal : {false, true}) {
      check(o, dynamic_convolution{.weight = o.weight.in(), .causal = causal});
      check(o, dynamic_convolution{.weight = o.weight.in(), .softmax = false, .causal = causal});
    }
    check<heed::simd::scalar>(o, dynamic_convolution{.weight = o.weight.in()});
  }
}

TEST_CASE("gradients of convolutions of grids") {
  for (const local_shape& s : {local_shape{1, 1, 1, 1, 1, 3},
                               {2, 3, 4, 4, 2, 3, false, true},
                               {2, 4, 3, 4, 4, 5},
                               {2, 3, 5, 4, 2, 3, true, true},
                               {1, 2, 6, 6, 3, 5, true},
                               {2, 2, 3, 2, 1, 3, true}}) {
    operands o(s, true);
    dynamic_depthwise spec{{s.height, s.width}, o.weight.in()};
    check(o, spec);
    spec.lambda = o.numbers.in();
    check(o, spec);
    check<heed::simd::scalar>(o, spec);
  }
}

TEST_CASE("gradients of many positions, and of many channels") {
  operands line({1, 1, 290, 2, 1, 3, true}), wide({1, 1, 3, 133, 1, 3, true}),
      all({1, 1, 3, 141, 3, 3}), far({1, 1, 300, 2, 1, 6});
  for (operands* o : {&line, &wide, &all, &far})
    check(*o, dynamic_convolution{.weight = o->weight.in()});
  operands grid({1, 10, 67, 1, 1, 3}, true), each({1, 10, 67, 1, 1, 3, true}, true);
  for (operands* o : {&grid, &each})
    check(*o, dynamic_depthwise{{10, 67}, o->weight.in(), o->numbers.in()});
}

TEST_CASE("gradients of a convolution of the values") {
  for (const heed::index k : {1, 3, 5}) {
    auto v = random<double>({2, 2, 12, 3}, 1), w = random<double>({1, 6, 1, k * k}, 3),
         bias = random<double>({1, 6, 1, 1}, 4);
    const auto before = random<double>(v.extent, 2), d_out = random<double>(v.extent, 5);
    const value_depthwise spec{{3, 4}, w.in(), bias.in()};
    const auto loss = [&] {
      auto out = before;
      heed::add_convolution(spec, v.in(), out.in());
      return product(out.data, d_out.data);
    };
    auto dv = unwritten<double>(v.extent), dw = unwritten<double>(w.extent),
         db = unwritten<double>(bias.extent);
    heed::add_convolution_backward(spec, v.in(), d_out.in(),
                                   {.dv = dv.in(), .spec = {.weight = dw.in(), .bias = db.in()}});
    check_gradient(dv.data, differences(v.data, loss), "dv");
    check_gradient(dw.data, differences(w.data, loss), "dweight");
    check_gradient(db.data, differences(bias.data, loss), "dbias");
  }
}

TEST_CASE("the number of threads changes no bit of the gradients") {
  for (const bool each : {false, true}) {
    const local_operands<float> o({3, 30, 70, 150, 3, 3, each, each}, true);
    const dynamic_depthwise spec{{30, 70}, o.weight.in(), o.numbers.in()};
    const auto run = [&](const heed::executor_ref& executor) {
      auto dx = unwritten<float>(o.x.extent), dw = unwritten<float>(o.weight.extent),
           dl = unwritten<float>(o.numbers.extent);
      heed::convolve_backward(spec, o.x.in(), o.x.in(),
                              {.dx = dx.in(), .spec = {.weight = dw.in(), .lambda = dl.in()}},
                              executor);
      std::vector<float> all = dx.data;
      all.insert(all.end(), dw.data.begin(), dw.data.end());
      all.insert(all.end(), dl.data.begin(), dl.data.end());
      return all;
    };
    const auto expected = run(heed::serial{});
    CHECK(std::all_of(expected.begin(), expected.end(), [](float x) { return std::isfinite(x); }));
    for (const int threads : {2, 16}) {
      Eigen::ThreadPool pool(threads);
      const Eigen::ThreadPoolDevice device(&pool, threads);
      CHECK(run(heed::on(device)) == expected);
    }
  }
}

TEST_CASE("gradients of any stride") {
  engine bits(seed());
  const layout how{.permuted = true, .strided_channels = true, .reversed = true};
  for (const bool each : {false, true}) {
    const heed::extents e{2, 1, 35, 38}, f{1, 2, each ? 35 : 1, 9};
    auto x = input<double>(e, how, bits), d_out = input<double>(e, how, bits),
         w = input<double>(f, how, bits), dx = output<double>(e, how, bits),
         dw = output<double>(f, how, bits);
    operands dense({2, 5, 7, 38, 2, 3, each}, true);
    auto dy = dense.x, by_x = unwritten<double>(e), by_w = unwritten<double>(f);
    std::size_t i = 0, j = 0, n = 0, m = 0, l = 0;
    x.each([&](double y) { dense.x.data[i++] = y; });
    w.each([&](double y) { dense.weight.data[j++] = y; });
    d_out.each([&](double y) { dy.data[l++] = y; });
    heed::convolve_backward(dynamic_depthwise{{5, 7}, w.read()}, x.read(), d_out.read(),
                            {.dx = dx.mutable_view(), .spec = {.weight = dw.mutable_view()}});
    heed::convolve_backward(dynamic_depthwise{{5, 7}, dense.weight.in()}, dense.x.in(), dy.in(),
                            {.dx = by_x.in(), .spec = {.weight = by_w.in()}});
    dx.each([&](double y) { CHECK(y == by_x.data[n++]); });
    dw.each([&](double y) { CHECK(y == by_w.data[m++]); });
    CHECK(rest_untouched(dx));
    CHECK(rest_untouched(dw));
  }
}

TEST_CASE("gradients that do not fit are refused, and nothing is written") {
  using Catch::Matchers::ContainsSubstring;
  const operands o({2, 2, 3, 6, 3, 3}, true);
  auto dx = unwritten<double>(o.x.extent), dw = unwritten<double>(o.weight.extent);
  const dynamic_depthwise spec{{2, 3}, o.weight.in()};
  const auto refused = [&](const heed::operand& d_out, const heed::dynamic_depthwise_gradients& to,
                           const char* text) {
    CHECK_THROWS_WITH(heed::convolve_backward(spec, o.x.in(), d_out, to),
                      ContainsSubstring("heed::convolve_backward: ") && ContainsSubstring(text));
  };
  refused(o.x.in().slice_rows(0, 2), {.dx = dx.in()}, "d_out must have the shape of x");
  refused({}, {.dx = dx.in()}, "d_out must have the shape of x");
  refused(o.x.in(), {.dx = dx.in().slice_rows(0, 1)}, "dx must have the shape of x");
  refused(o.x.in(), {.dx = dx.in(), .spec = {.weight = dw.in().slice_channels(0, 4)}},
          "dweight must have the shape of weight");
  refused(o.x.in(), {.dx = dx.in(), .spec = {.lambda = dw.in()}}, "dlambda must have the shape");
  for (const double y : dx.data) CHECK(std::isnan(y));
  for (const double y : dw.data) CHECK(std::isnan(y));
}

TEST_CASE("kernels of positions have a gradient of 0 where there are no channels") {
  for (const heed::extents& e : {heed::extents{1, 1, 4, 0}, {1, 0, 4, 8}, {0, 1, 4, 8}}) {
    const tensor<double> x(e);
    const auto w = random<double>({1, 1, 4, 3}, 1);
    auto dw = unwritten<double>(w.extent);
    heed::convolve_backward(dynamic_convolution{.weight = w.in()}, x.in(), x.in(),
                            {.spec = {.weight = dw.in()}});
    for (const double y : dw.data) CHECK(y == 0);
    dw = unwritten<double>(w.extent);
    const heed::view<const double> none(nullptr, w.extent);
    CHECK_THROWS_AS(heed::convolve_backward(dynamic_convolution{.weight = none}, x.in(), x.in(),
                                            {.spec = {.weight = dw.in()}}),
                    std::invalid_argument);
    for (const double y : dw.data) CHECK(std::isnan(y));
  }
}
