// SPDX-License-Identifier: BSL-1.0
// Gradients of short convolutions against central differences, in double.
#define EIGEN_USE_THREADS
#include <heed/recurrence/short_conv_backward.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/differences.hpp"
#include "support/short_conv.hpp"

using namespace heed::test;
using heed::recurrent_state;
using heed::short_conv;

namespace {

using operands = conv_operands<double>;
using state = recurrent_state<double>;

std::vector<double> numbers(const state& s) {
  const auto all = s.matrices();
  return {all.data, all.data + all.size()};
}

// L = Σ out ⊙ weights + Σ last state ⊙ weights.
template <class Arch = heed::simd::best> void check(operands& o, const short_conv& spec) {
  const heed::index sequences =
      spec.cu_seqlens.empty() ? o.s.b : heed::index(spec.cu_seqlens.size()) - 1;
  const auto d_out = random<double>(o.x.extent, 21);
  const heed::extents rows{sequences, o.s.h, o.s.k - 1, o.s.d};
  auto first = random<double>(rows, 22), d_last = random<double>(rows, 23);
  const auto given = [&](const tensor<double>& from) {
    state s(o.format(), sequences);
    if (!from.data.empty()) std::copy(from.data.begin(), from.data.end(), s.head(0, 0));
    return s;
  };
  const auto loss = [&] {
    auto out = unwritten<double>(o.x.extent);
    state s = given(first);
    heed::scan<Arch>(spec, o.x.in(), out.in(), s);
    double sum = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * d_out.data[i];
    const auto last = numbers(s);
    for (std::size_t i = 0; i < last.size(); ++i) sum += last[i] * d_last.data[i];
    return sum;
  };
  auto dx = unwritten<double>(o.x.extent), dw = unwritten<double>(o.weight.extent),
       db = unwritten<double>(o.bias.extent);
  state d_state = given(d_last);
  heed::short_conv_gradients to{.dx = dx.in(), .spec = {.weight = dw.in()}};
  if (spec.bias.present()) to.spec.bias = db.in();
  heed::scan_backward<Arch>(spec, o.x.in(), given(first), d_out.in(), d_state, to);
  INFO(o.s.name());
  check_gradient(dx.data, differences(o.x.data, loss), "dx");
  check_gradient(dw.data, differences(o.weight.data, loss), "dweight");
  if (spec.bias.present()) check_gradient(db.data, differences(o.bias.data, loss), "dbias");
  check_gradient(numbers(d_state), differences(first.data, loss), "first state");
}

}  // namespace

TEST_CASE("gradients of a short convolution") {
  for (const conv_shape& s : {conv_shape{1, 1, 1, 1, 4},
                              {2, 1, 7, 3, 2},
                              {1, 2, 9, 6, 8},
                              {2, 2, 5, 3, 4, true},
                              {1, 1, 70, 2, 4},
                              {1, 2, 6, 3, 1},
                              {2, 1, 0, 3, 4},
                              {0, 1, 3, 2, 4}}) {
    operands o(s);
    check(o, o.full());
    check(o, o.plain());
    check<heed::simd::scalar>(o, o.full());
  }
}

TEST_CASE("gradients of a long one, and of many channels") {
  operands tall({1, 1, 523, 1, 4}), wide({1, 1, 3, 131, 4});
  check(tall, tall.full());
  check(wide, wide.full());
}

TEST_CASE("gradients of packed sequences") {
  const std::vector<int> cu{0, 0, 1, 3, 34, 34, 40};
  operands o({1, 1, 40, 3, 4});
  short_conv spec = o.full();
  spec.cu_seqlens = cu;
  check(o, spec);
}

TEST_CASE("the number of threads changes no bit of the gradients") {
  const conv_operands<float> o({3, 2, 700, 150, 4});
  const auto run = [&](const heed::executor_ref& executor) {
    auto dx = unwritten<float>(o.x.extent), dw = unwritten<float>(o.weight.extent),
         db = unwritten<float>(o.bias.extent);
    recurrent_state<float> d_state(o.format(), 3);
    std::fill_n(d_state.head(0, 0), 3 * 2 * 3 * 150, 0.5f);
    heed::scan_backward(o.full(), o.x.in(), {}, o.x.in(), d_state,
                        {.dx = dx.in(), .spec = {.weight = dw.in(), .bias = db.in()}}, executor);
    std::vector<float> all = dx.data;
    all.insert(all.end(), dw.data.begin(), dw.data.end());
    all.insert(all.end(), db.data.begin(), db.data.end());
    all.insert(all.end(), d_state.head(0, 0), d_state.head(0, 0) + 3 * 2 * 3 * 150);
    return all;
  };
  const auto expected = run(heed::serial{});
  for (const float y : expected) REQUIRE(std::isfinite(y));
  for (const int threads : {2, 16}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    CHECK(run(heed::on(device)) == expected);
  }
}

TEST_CASE("gradients that do not fit are refused, and nothing is written") {
  using Catch::Matchers::ContainsSubstring;
  const operands o({2, 1, 4, 6, 3});
  auto dx = unwritten<double>(o.x.extent), dw = unwritten<double>(o.weight.extent);
  const auto refused = [&](const heed::operand& d, const state& before,
                           const heed::short_conv_gradients& to, const char* text) {
    state last;
    CHECK_THROWS_WITH(heed::scan_backward(o.plain(), o.x.in(), before, d, last, to),
                      ContainsSubstring("heed::scan_backward: ") && ContainsSubstring(text));
  };
  refused(o.x.in().slice_rows(0, 2), {}, {.dx = dx.in()}, "d_out must have the shape of x");
  refused(o.x.in(), state({.kind = "short_conv", .heads = 2}, 2), {.dx = dx.in()},
          "the call needs");
  refused(o.x.in(), {}, {.dx = dx.in().slice_rows(0, 1)}, "dx must have the shape of x");
  refused(o.x.in(), {}, {.dx = dx.in(), .spec = {.weight = dw.in().slice_rows(0, 1)}},
          "dweight must have the shape of weight");
  refused(o.x.in(), {}, {.dx = dx.in(), .spec = {.bias = dw.in()}}, "dbias must have the shape");
  for (const double y : dx.data) CHECK(std::isnan(y));
}
