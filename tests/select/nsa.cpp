// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/dense.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/window.hpp>
#include <heed/reference/select/nsa.hpp>
#include <heed/select/nsa_attend_backward.hpp>

#include "support/backward_call.hpp"
#include "support/block_lists.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

struct nsa_case {
  index b, h, kv, lq, lk, d, dv;
  nsa spec;

  reference::select::nsa_shape shape() const {
    return {spec.block, spec.stride, spec.selected, spec.count,
            spec.sinks, spec.local,  spec.window};
  }
};
const nsa small{
    .block = 8, .stride = 4, .selected = 8, .count = 3, .sinks = 1, .local = 1, .window = 10};
const std::vector<nsa_case>& cases() {
  static const std::vector<nsa_case> all = {
      {1, 1, 1, 1, 1, 3, 2, small},
      {2, 4, 2, 70, 70, 9, 5, small},
      {1, 4, 1, 33, 101, 16, 16, small},
      {1, 2, 2, 60, 50, 5, 4, small},
      {1,
       4,
       1,
       130,
       130,
       8,
       8,
       {.block = 16, .stride = 4, .selected = 12, .count = 4, .sinks = 0, .local = 2, .window = 7}},
      {1,
       2,
       1,
       64,
       64,
       8,
       8,
       {.block = 4, .stride = 4, .selected = 16, .count = 99, .window = 200}}};
  return all;
}

template <class T> struct nsa_call {
  tensor<T> q, k, v, kc, vc, gates, out;
  nsa_state<T> state;

  explicit nsa_call(const nsa_case& x)
      : q(random<T>({x.b, x.h, x.lq, x.d}, 1)),
        k(random<T>({x.b, x.kv, x.lk, x.d}, 2)),
        v(random<T>({x.b, x.kv, x.lk, x.dv}, 3)),
        kc({x.b, x.kv, x.spec.compressed(x.lk), x.d}),
        vc({x.b, x.kv, x.spec.compressed(x.lk), x.dv}),
        gates(random<T>({x.b, x.h, x.lq, 3}, 4)),
        out({x.b, x.h, x.lq, x.dv}) {
    compress_mean(x.spec, k.in(), kc.in());
    compress_mean(x.spec, v.in(), vc.in());
  }
  nsa_operands operands() {
    return {view<const T>(q.in()),  view<const T>(k.in()),  view<const T>(v.in()),
            view<const T>(kc.in()), view<const T>(vc.in()), view<const T>(gates.in())};
  }
};

template <class T> void check_nsa(const nsa_case& x, double allowed_error) {
  namespace r = reference::select;
  nsa_call<T> c(x);
  attend_nsa(x.spec, c.operands(), c.out.in(), c.state, shuffled{});
  const index group = x.h / x.kv;
  const auto past = reference::mask::causal(x.lq, x.lk),
             near = reference::mask::window(x.lq, x.lk, x.spec.window - 1, 0);
  for (index b = 0; b < x.b; ++b)
    for (index kv = 0; kv < x.kv; ++kv) {
      const reference::matrix k = c.k.head(b, kv), v = c.v.head(b, kv),
                              kc = r::compressed(k, x.shape()), vc = r::compressed(v, x.shape());
      const allowed before = r::compressed_past(x.lq, x.lk, kc.rows(), x.shape());
      reference::matrix sum = reference::matrix::Zero(x.lq, kc.rows());
      const double scale = 1 / std::sqrt(double(x.d));
      for (index g = 0; g < group; ++g)
        sum += reference::normalizer::softmax(scale * c.q.head(b, kv * group + g) * kc.transpose(),
                                              before);
      const allowed blocks = r::choose_by_compressed(sum, x.lk, x.shape());
      allowed chosen(x.lq, x.lk);
      for (index i = 0; i < x.lq; ++i) {
        std::vector<int> want;
        for (index j = 0; j < blocks.cols(); ++j)
          if (blocks(i, j)) want.push_back(int(j));
        const auto got = c.state.chosen.lists()(b, kv * group, i);
        CAPTURE(b, kv, i, x.lq, x.lk);
        if (std::is_same_v<T, double>) CHECK(std::vector<int>(got.begin(), got.end()) == want);
        for (index j = 0; j < x.lk; ++j)
          chosen(i, j) = past(i, j) &&
                         std::find(got.begin(), got.end(), int(j / x.spec.selected)) != got.end();
      }
      for (index g = 0; g < group; ++g) {
        const index h = kv * group + g;
        const reference::matrix q = c.q.head(b, h), gate = c.gates.head(b, h);
        const auto branch = [&](const reference::matrix& keys, const reference::matrix& values,
                                const allowed& a) -> reference::matrix {
          return reference::attention(
              reference::normalizer::softmax(scale * q * keys.transpose(), a), values);
        };
        const reference::matrix parts[] = {branch(kc, vc, before), branch(k, v, chosen),
                                           branch(k, v, past && near)};
        reference::matrix want = reference::matrix::Zero(x.lq, x.dv);
        for (index i = 0; i < x.lq; ++i)
          for (index n = 0; n < 3; ++n)
            want.row(i) += parts[n].row(i) / (1 + std::exp(-gate(i, n)));
        check_close(c.out.head(b, h), want, allowed_error);
      }
    }
}

}  // namespace

TEST_CASE("NSA is the gated sum of its branches, and chooses by compressed weights") {
  for (const nsa_case& x : cases()) check_nsa<double>(x, 1e-12);
  for (const nsa_case& x : cases()) check_nsa<float>(x, 2e-5);
}

TEST_CASE("NSA gives equal shares to the lower blocks") {
  const nsa spec{
      .block = 4, .stride = 4, .selected = 4, .count = 3, .sinks = 0, .local = 1, .window = 4};
  nsa_call<float> c({1, 1, 1, 32, 32, 4, 4, spec});
  std::fill(c.q.data.begin(), c.q.data.end(), 0.f);
  attend_nsa(spec, c.operands(), c.out.in(), c.state);
  for (index i = 0; i < 32; ++i) {
    const int own = int(i / 4);
    const auto got = c.state.chosen.lists()(0, 0, i);
    std::vector<int> want{0, 1, own};
    if (own < 2) want.resize(std::size_t(own) + 1);
    CHECK(std::vector<int>(got.begin(), got.end()) == want);
  }
}

TEST_CASE("Gradients of NSA against differences") {
  const nsa_case x{
      1,
      2,
      1,
      21,
      21,
      4,
      3,
      {.block = 4, .stride = 2, .selected = 4, .count = 2, .sinks = 0, .local = 1, .window = 5}};
  nsa_call<double> c(x);
  const auto d_out = random<double>(c.out.extent, 9);
  tensor<double> dq(c.q.extent), dk(c.k.extent), dv(c.v.extent), dkc(c.kc.extent), dvc(c.vc.extent),
      dg(c.gates.extent);
  attend_nsa(x.spec, c.operands(), c.out.in(), c.state);
  attend_nsa_backward(x.spec, c.operands(), c.state, view<const double>(d_out.in()),
                      {dq.in(), dk.in(), dv.in(), dkc.in(), dvc.in(), dg.in()});
  // Those of the means onto k and v.
  compress_mean_backward(x.spec, dkc.in(), dk.in());
  compress_mean_backward(x.spec, dvc.in(), dv.in());
  const auto loss = [&] {
    compress_mean(x.spec, c.k.in(), c.kc.in());
    compress_mean(x.spec, c.v.in(), c.vc.in());
    attend_nsa(x.spec, c.operands(), c.out.in(), c.state);
    double sum = 0;
    for (std::size_t i = 0; i < c.out.data.size(); ++i) sum += c.out.data[i] * d_out.data[i];
    return sum;
  };
  const auto check = [&](const char* name, tensor<double>& at, const tensor<double>& gradient) {
    for (std::size_t i = 0; i < at.data.size(); i += 3) {
      const double kept = at.data[i], step = 1e-6;
      at.data[i] = kept + step;
      const double up = loss();
      at.data[i] = kept - step;
      const double down = loss();
      at.data[i] = kept;
      CAPTURE(name, i);
      CHECK(gradient.data[i] == Approx((up - down) / (2 * step)).epsilon(0).margin(2e-8));
    }
  };
  check("q", c.q, dq), check("k", c.k, dk), check("v", c.v, dv), check("gates", c.gates, dg);
}

TEST_CASE("NSA refuses shapes that do not fit") {
  nsa_call<float> c({1, 2, 1, 20, 20, 4, 3, small});
  const auto refuse = [&](const nsa& spec, const char* what) {
    CHECK_THROWS_WITH(attend_nsa(spec, c.operands(), c.out.in(), c.state), ContainsSubstring(what));
  };
  refuse({.block = 10, .stride = 4}, "multiples of stride");
  refuse({.count = 2}, "local");
  refuse({.window = 0}, "window");
  refuse({.block = 4, .stride = 4, .selected = 8, .count = 3}, "compressed_k");
  const view<const float> absent(nullptr, c.k.extent), unknown(nullptr, {1, 2, 20, 1}),
      none(nullptr, {1, 1, 0, 4});
  tensor<> means({1, 1, small.compressed(20), 4});
  const auto null = ContainsSubstring("must not be null");
  CHECK_THROWS_WITH(select_nsa(small, c.q.in(), means.in(), unknown, 1., 20), null);
  CHECK_THROWS_WITH(select_nsa(small, c.q.in(), none, unknown, 1., -5),
                    ContainsSubstring("negative"));
  CHECK_THROWS_WITH(compress_mean(small, absent, means.in()), null);
}

TEST_CASE("Gradients of NSA refuse shapes that do not fit and leave everything as it was") {
  nsa_call<float> c({1, 2, 1, 20, 20, 4, 3, small});
  const auto d_out = random<float>(c.out.extent, 9);
  tensor<> dq(c.q.extent), dg(c.gates.extent), long_q({1, 2, 21, 4}), short_g({1, 2, 19, 3});
  const auto refuse = [&](const nsa_gradients& to, const char* what) {
    for (auto* x : {&dq, &dg}) std::fill(x->data.begin(), x->data.end(), 7.f);
    CHECK_THROWS_WITH(
        attend_nsa_backward(small, c.operands(), c.state, view<const float>(d_out.in()), to),
        ContainsSubstring("heed::attend_nsa_backward") && ContainsSubstring(what));
    for (auto* x : {&dq, &dg})
      for (const float e : x->data) CHECK(e == 7.f);
  };
  refuse({.dq = dq.in(), .d_gates = dg.in()}, "state");
  attend_nsa(small, c.operands(), c.out.in(), c.state);
  refuse({.dq = long_q.in(), .d_gates = dg.in()}, "dq");
  refuse({.dq = dq.in(), .d_gates = short_g.in()}, "d_gates");
  refuse({.dk = dq.in(), .d_gates = dg.in()}, "dk");
  refuse({.d_compressed_k = dq.in(), .d_gates = dg.in()}, "d_compressed_k");
  nsa_operands other = c.operands();
  const auto refuse_operands = [&](const char* what) {
    CHECK_THROWS_WITH(attend_nsa_backward(small, other, c.state, view<const float>(d_out.in()),
                                          nsa_gradients{.d_gates = dg.in()}),
                      ContainsSubstring("heed::attend_nsa_backward") && ContainsSubstring(what));
    for (const float e : dg.data) CHECK(e == 7.f);
  };
  other.k.data = nullptr, refuse_operands("null");
  other = c.operands(), other.k.extent[3] = other.compressed_k.extent[3] = 3;
  refuse_operands("channels");
  other = c.operands(), other.v.extent[2] = 19, refuse_operands("v must be");
  other = c.operands();
  ++c.state.chosen.blocks.back(), refuse_operands("must ascend");
}

}  // namespace heed::test
