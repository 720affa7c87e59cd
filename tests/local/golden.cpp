// SPDX-License-Identifier: BSL-1.0
// local/ forward and backward against NumPy (tests/golden/local/generate.py names the tensors), and
// so are the references.
#include <heed/local/dynamic_convolution_backward.hpp>
#include <heed/local/dynamic_depthwise_backward.hpp>
#include <heed/local/value_depthwise_backward.hpp>

#include "support/golden_tensors.hpp"
#include "support/local.hpp"

using namespace heed::test;
using heed::dynamic_convolution;
using heed::dynamic_depthwise;
using heed::value_depthwise;

namespace {

std::vector<golden_case> cases(const std::string& family) { return golden_family("local", family); }
// Gradients of weights are sums over up to 25 positions of two items.
template <class T>
void compare(const golden_case& c, const std::string& name, const tensor<T>& got,
             heed::index taps) {
  const golden_tensor& expected = c[name];
  REQUIRE(got.data.size() == expected.data.size());
  const Eigen::Map<const Eigen::VectorXd> exact(expected.data.data(),
                                                Eigen::Index(expected.data.size()));
  Eigen::VectorXd mine(exact.size());
  for (Eigen::Index i = 0; i < exact.size(); ++i) mine(i) = double(got.data[std::size_t(i)]);
  check_close(mine, exact, tolerance<T>(8, std::max<heed::index>(taps, 50), 4),
              c.name + "/" + name);
}

template <class T> struct operands {
  tensor<T> x, weight, out, d_out, dx, dw;
  explicit operands(const golden_case& c)
      : x(tensor_of<T>(c["x"])),
        weight(tensor_of<T>(c["weight"])),
        out(x.extent),
        d_out(tensor_of<T>(c["d_out"])),
        dx(x.extent),
        dw(weight.extent) {}
  void check(const golden_case& c) const {
    compare(c, "out", out, weight.extent[3]);
    compare(c, "dx", dx, weight.extent[3]);
    compare(c, "dweight", dw, weight.extent[3]);
  }
};
std::array<heed::index, 2> size_of(const golden_case& c) {
  const auto size = c["size"].integers();
  return {size.at(0), size.at(1)};
}
local_operands<double> as_local(const golden_case& c, std::array<heed::index, 2> size, bool grid) {
  const tensor<double> x = tensor_of<double>(c["x"]), w = tensor_of<double>(c["weight"]);
  heed::index k = w.extent[3];
  while (grid && k * k > w.extent[3]) --k;
  local_operands<double> o({x.extent[0], size[0], size[1], x.extent[3], w.extent[1], k,
                            w.extent[2] != 1, w.extent[0] != 1},
                           grid);
  o.x = x, o.weight = w;
  if (c.has("lambda")) o.numbers = tensor_of<double>(c["lambda"]);
  return o;
}
template <class Spec>
void check_reference(const golden_case& c, const local_operands<double>& o, const Spec& spec) {
  for (heed::index b = 0; b < o.s.b; ++b)
    check_close(o.exact(spec, b), c["out"].matrix(b), tolerance<double>(8, o.taps, 4), c.name);
}

}  // namespace

TEMPLATE_TEST_CASE("convolutions of tokens are NumPy's", "", float, double) {
  for (const golden_case& c : cases("tokens")) {
    operands<TestType> o(c);
    const dynamic_convolution spec{.weight = o.weight.in(),
                                   .softmax = c["softmax"].scalar() != 0,
                                   .causal = c["causal"].scalar() != 0};
    heed::convolve(spec, o.x.in(), o.out.in());
    heed::convolve_backward(spec, o.x.in(), o.d_out.in(),
                            {.dx = o.dx.in(), .spec = {.weight = o.dw.in()}});
    o.check(c);
    check_reference(c, as_local(c, {1, o.x.extent[2]}, false), spec);
  }
}

TEMPLATE_TEST_CASE("convolutions of grids are NumPy's", "", float, double) {
  for (const golden_case& c : cases("grid")) {
    operands<TestType> o(c);
    dynamic_depthwise spec{size_of(c), o.weight.in()};
    tensor<TestType> lambda({1, 1, 1, 1}), dl = lambda;
    heed::dynamic_depthwise_gradients to{.dx = o.dx.in(), .spec = {.weight = o.dw.in()}};
    if (c.has("lambda")) {
      lambda = dl = tensor_of<TestType>(c["lambda"]);
      spec.lambda = lambda.in(), to.spec.lambda = dl.in();
    }
    heed::convolve(spec, o.x.in(), o.out.in());
    heed::convolve_backward(spec, o.x.in(), o.d_out.in(), to);
    o.check(c);
    if (c.has("lambda")) compare(c, "dlambda", dl, o.weight.extent[3]);
    check_reference(c, as_local(c, spec.size, true), spec);
  }
}

TEMPLATE_TEST_CASE("convolutions of values are NumPy's", "", float, double) {
  for (const golden_case& c : cases("value")) {
    operands<TestType> o(c);
    o.out = tensor_of<TestType>(c["out_before"]);
    const tensor<TestType> bias = tensor_of<TestType>(c["bias"]);
    tensor<TestType> db(bias.extent);
    const value_depthwise spec{size_of(c), o.weight.in(), bias.in()};
    heed::add_convolution(spec, o.x.in(), o.out.in());
    heed::add_convolution_backward(
        spec, o.x.in(), o.d_out.in(),
        {.dv = o.dx.in(), .spec = {.weight = o.dw.in(), .bias = db.in()}});
    o.check(c);
    compare(c, "dbias", db, o.weight.extent[3]);
  }
}
