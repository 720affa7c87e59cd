// SPDX-License-Identifier: BSL-1.0
// Operands stored as half, bfloat16, float or double, each its own; computed in float, or in double
// if q, k and v are.
#include <heed/eigen.hpp>
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/gla.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

template <class T> tensor<T> stored(const tensor<double>& x) {
  tensor<T> y(x.extent, T(0));
  for (std::size_t i = 0; i < x.data.size(); ++i) y.data[i] = T(float(x.data[i]));
  return y;
}

template <class Q, class K, class V, class Gate, class Out> void check_types(const char* name) {
  const recurrent_inputs<double> x({.b = 2, .q = 2, .k = 2, .v = 2, .l = 37, .d = 9, .dv = 20});
  const auto q = stored<Q>(x.q);
  const auto k = stored<K>(x.k);
  const auto v = stored<V>(x.v);
  const auto log = stored<Gate>(x.log), channels = stored<Gate>(x.channels),
             beta = stored<Gate>(x.beta);
  using T = heed::compute_type<Q, K, V>;
  const auto check = [&](const auto& spec) {
    recurrent_expectation expected(spec, q.in(), k.in(), v.in(), heed::recurrent_state<T>{});
    for (const bool by_step : {false, true}) {
      tensor<Out> out(x.out(), Out(float(NAN)));
      heed::recurrent_state<T> state;
      by_step ? heed::step(spec, q.in(), k.in(), v.in(), out.in(), state)
              : heed::scan(spec, q.in(), k.in(), v.in(), out.in(), state);
      expected.check_out(std::as_const(out).in(), name);
      expected.check_state(state, name);
    }
  };
  check(heed::recurrences::gated_delta(log.in(), beta.in(), 9));
  check(heed::recurrences::gla(channels.in(), 9));
}

}  // namespace

using heed::element_of;
using half = Eigen::half;
using bfloat = Eigen::bfloat16;

TEST_CASE("sixteen bits") {
  check_types<half, half, half, float, half>("half");
  check_types<bfloat, bfloat, bfloat, float, bfloat>("bfloat16");
  check_types<half, bfloat, float, half, float>("mixed");
  check_types<float, float, float, bfloat, bfloat>("bfloat16 gates");
}
TEST_CASE("double") {
  check_types<double, double, double, float, double>("double, float gates");
  check_types<double, double, double, half, float>("double, to float");
  check_types<double, double, float, double, double>("in float, to double");
}
