// SPDX-License-Identifier: BSL-1.0
// Gradients of attend_lists against central differences, in double.
#include <heed/select/attend_lists_backward.hpp>
#include <heed/similarity/qk_norm.hpp>

#include "support/differences.hpp"
#include "support/lists.hpp"

using namespace heed::test;
using heed::attention;
using heed::causal;
using heed::gathered;
using heed::overlap;

namespace {

template <class Spec> void check_lists(const Spec& spec, overlap merge, const list_shape& s) {
  auto q = random<double>({s.b, s.h, s.lq, s.d}, 1), k = random<double>({s.b, s.kv, s.lk, s.d}, 2),
       v = random<double>({s.b, s.kv, s.lk, s.dv}, 3), r = random<double>({s.b, s.h, s.lq, 1}, 4);
  const auto a = random<double>({s.b, s.h, s.lq, s.dv}, 5);
  const auto chosen = random_lists(s, 6);
  const gathered g{chosen.lists(), merge, r.in()};
  const auto loss = [&] {
    auto out = unwritten<double>(a.extent);
    attend_lists(g, spec, q.in(), k.in(), v.in(), out.in());
    double sum = 0;
    for (std::size_t i = 0; i < a.data.size(); ++i) sum += out.data[i] * a.data[i];
    return sum;
  };
  auto dq = unwritten<double>(q.extent), dk = unwritten<double>(k.extent),
       dv = unwritten<double>(v.extent), dr = unwritten<double>(r.extent);
  heed::list_workspace scratch;
  attend_lists_backward(g, spec, q.in(), k.in(), v.in(), a.in(),
                        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .gate = dr.in()}, {},
                        &scratch);
  check_gradient(dq.data, differences(q.data, loss), "dq");
  check_gradient(dk.data, differences(k.data, loss), "dk");
  check_gradient(dv.data, differences(v.data, loss), "dv");
  check_gradient(dr.data, differences(r.data, loss), "the gradient of the gate");
  auto again = unwritten<double>(k.extent);
  attend_lists_backward(g, spec, q.in(), k.in(), v.in(), a.in(), {.dk = again.in()}, backwards{});
  CHECK(again.data == dk.data);
}

}  // namespace

TEST_CASE("gradients go through rows of lists and their gates") {
  for (const list_shape& s :
       {list_shape{1, 2, 1, 5, 9, 3, 2, 3}, list_shape{2, 2, 2, 7, 7, 4, 5, 2},
        list_shape{2, 2, 2, 4, 4, 3, 2, 2, true}, list_shape{1, 1, 1, 3, 0, 3, 2, 2},
        list_shape{1, 2, 2, 3, 4, 3, 2, 0}}) {
    check_lists(attention{.mask = causal{}}, overlap::mean, s);
    check_lists(attention{}, overlap::sum, s);
  }
}

TEST_CASE("gradients go through transforms at the positions of the text") {
  const std::vector<double> gain{1.5, -0.5, 2, 1};
  const attention spec{.mask = causal{},
                       .query = heed::layer_norm{},
                       .key = heed::layer_norm{} | heed::qk_norm{gain}};
  check_lists(spec, overlap::mean, {1, 2, 1, 6, 6, 4, 3, 3});
}

TEST_CASE("layer_norm has the derivative of what it does") {
  gradient_case x{.d = 5};
  x.check(attention{.query = heed::layer_norm{}, .key = heed::layer_norm{0.5}});
}

TEST_CASE("gradients that do not fit are refused") {
  const auto x = random<double>({1, 1, 2, 3}, 1);
  auto dx = unwritten<double>(x.extent);
  const std::vector<int> both{0, 1};
  const std::vector<heed::index> ends{0, 2};
  const gathered g{.lists = {ends, both, ends, both}};
  const auto refused = [&](const heed::operand& d_out, const heed::list_gradients& to,
                           const std::string& text) {
    CHECK_THROWS_WITH(attend_lists_backward(g, attention{}, x.in(), x.in(), x.in(), d_out, to),
                      Catch::Contains(text));
    CHECK(std::isnan(dx.data[0]));
  };
  refused(x.in().slice_rows(0, 1), {.dq = dx.in()}, "d_out must be [1, 1, 2, 3]");
  refused(x.in(), {.dq = dx.in(), .dk = dx.in().slice_rows(0, 1)}, "dk must be");
  refused(heed::view<const double>(nullptr, x.extent), {.dq = dx.in()}, "d_out must not be null");
  refused(x.in(), {.dq = dx.in(), .gate = dx.in().slice_channels(0, 1)}, "no gate");
}
