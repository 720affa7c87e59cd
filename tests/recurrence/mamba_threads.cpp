// SPDX-License-Identifier: BSL-1.0
// The number of threads changes no bit of a selective scan or of its gradients; nor do element
// types and strides change what is computed.
#define EIGEN_USE_THREADS
#include <heed/core/axes.hpp>
#include <heed/recurrence/mamba_backward.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/operands.hpp"
#include "support/selective.hpp"

namespace heed {
template <> struct element_of<Eigen::half> {
  static constexpr element value = element::f16;
};
}  // namespace heed

using namespace heed::test;
using heed::recurrent_state;
using heed::selective_scan;

namespace {

// Everything a call and its gradients write, one after the other.
std::vector<float> run(const selective_operands<float>& o, const selective_scan& spec,
                       const heed::executor_ref& executor, heed::workspace_ref scratch) {
  auto out = unwritten<float>(o.u.extent), du = out, ddelta = out, dz = out;
  auto db = unwritten<float>(o.b.extent), dc = db, da = unwritten<float>(o.a.extent),
       dd = unwritten<float>(o.d.extent), dbias = dd;
  recurrent_state<float> state, d_state;
  heed::scan(spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), out.in(), state, executor, scratch);
  d_state = state;
  const auto d_out = random<float>(o.u.extent, 20);
  heed::scan_backward(
      spec, o.u.in(), o.delta.in(), o.b.in(), o.c.in(), state, d_out.in(), d_state,
      {.du = du.in(),
       .ddelta = ddelta.in(),
       .db = db.in(),
       .dc = dc.in(),
       .spec = {.a = da.in(), .d = dd.in(), .delta_bias = dbias.in(), .gate = dz.in()}},
      executor, scratch);
  std::vector<float> all;
  const auto append = [&](const float* from, std::size_t n) {
    all.insert(all.end(), from, from + n);
  };
  for (const auto* x : {&out, &du, &ddelta, &dz, &db, &dc, &da, &dd, &dbias})
    append(x->data.data(), x->data.size());
  for (const auto* s : {&state, &d_state})
    append(s->matrices().data, std::size_t(s->matrices().size()));
  return all;
}

}  // namespace

TEST_CASE("the number of threads changes no bit") {
  const std::vector<int> cu{0, 3, 90, 90, 200};
  for (const selective_shape& x :
       {selective_shape{3, 70, 300, 5, 2}, {1, 200, 150, 16, 1}, {40, 9, 20, 4, 1}}) {
    const selective_operands<float> o(x);
    selective_scan spec = o.full();
    if (x.l == 200) spec.cu_seqlens = cu;
    const auto expected = run(o, spec, heed::serial{}, {});
    for (const float y : expected) REQUIRE(std::isfinite(y));
    heed::workspace scratch;
    for (const int threads : {2, 5, 16}) {
      Eigen::ThreadPool pool(threads);
      const Eigen::ThreadPoolDevice device(&pool, threads);
      CHECK(run(o, spec, heed::on(device), scratch) == expected);
    }
  }
}

TEST_CASE("a workspace is used again without an allocation") {
  const selective_operands<float> o({2, 50, 40, 6, 1});
  heed::workspace scratch;
  run(o, o.full(), heed::serial{}, scratch);
  const std::size_t size = scratch.capacity();
  scratch.for_each_arena(
      [](heed::arena& a) { std::fill_n(a.data(), a.capacity(), std::byte{255}); });
  const auto again = run(o, o.full(), heed::serial{}, scratch);
  CHECK(scratch.capacity() == size);
  CHECK(again == run(o, o.full(), heed::serial{}, {}));
}

TEST_CASE("any element type and stride") {
  engine bits(seed());
  for (const layout how : {layout{.permuted = true},
                           {.permuted = true, .strided_channels = true, .reversed = true},
                           {.broadcast = true}}) {
    const heed::extents e{2, 1, 41, 19}, s{2, 1, 41, 6};
    auto u = input<double>(e, how, bits), b = input<double>(s, how, bits);
    auto delta = input<float>(e, how, bits), c = input<float>(s, how, bits);
    auto a = input<float>({1, 1, 19, 6}, how, bits);
    auto d = input<double>({1, 1, 1, 19}, how, bits);
    auto out = output<double>(e, how, bits), du = output<double>(e, how, bits),
         db = output<double>(s, how, bits), dd = output<double>(d.extent, how, bits);
    auto da = output<float>(a.extent, how, bits);
    const selective_scan spec{.a = a.read(), .d = d.read(), .softplus = true};

    // The same as dense floats.
    const auto dense = [](auto& x) {
      tensor<float> t(x.extent);
      std::size_t i = 0;
      x.each([&](auto& value) { t.data[i++] = static_cast<float>(value); });
      return t;
    };
    const auto u2 = dense(u), delta2 = dense(delta), b2 = dense(b), c2 = dense(c), a2 = dense(a),
               d2 = dense(d);
    auto out2 = unwritten<float>(e), du2 = out2, db2 = unwritten<float>(s),
         da2 = unwritten<float>(a.extent), dd2 = unwritten<float>(d.extent);
    const selective_scan spec2{.a = a2.in(), .d = d2.in(), .softplus = true};
    heed::scan(spec, u.read(), delta.read(), b.read(), c.read(), out.mutable_view());
    heed::scan(spec2, u2.in(), delta2.in(), b2.in(), c2.in(), out2.in());
    heed::scan_backward(spec, u.read(), delta.read(), b.read(), c.read(), u.read(),
                        {.du = du.mutable_view(),
                         .db = db.mutable_view(),
                         .spec = {.a = da.mutable_view(), .d = dd.mutable_view()}});
    heed::scan_backward(spec2, u2.in(), delta2.in(), b2.in(), c2.in(), u2.in(),
                        {.du = du2.in(), .db = db2.in(), .spec = {.a = da2.in(), .d = dd2.in()}});
    const auto same = [&](auto& got, const tensor<float>& expected) {
      std::size_t i = 0;
      using type = std::decay_t<decltype(got.memory[0])>;
      got.each([&](auto& value) { CHECK(float(value) == float(type(expected.data[i++]))); });
      CHECK(rest_untouched(got));
    };
    same(out, out2), same(du, du2), same(db, db2), same(da, da2), same(dd, dd2);
  }
}

TEST_CASE("halves are floats once they are read") {
  using half = Eigen::half;
  const heed::extents e{1, 1, 33, 21}, s{1, 1, 33, 4};
  const auto u = random<half>(e, 1), delta = random<half>(e, 2), b = random<half>(s, 3),
             c = random<half>(s, 4), a = random<half>({1, 1, 21, 4}, 5);
  const auto wide = [](const tensor<half>& x) {
    tensor<float> t(x.extent);
    std::transform(x.data.begin(), x.data.end(), t.data.begin(),
                   [](half y) { return static_cast<float>(y); });
    return t;
  };
  auto out = unwritten<half>(e);
  auto expected = unwritten<float>(e);
  heed::scan({.a = a.in(), .softplus = true}, u.in(), delta.in(), b.in(), c.in(), out.in());
  const auto a2 = wide(a);
  heed::scan({.a = a2.in(), .softplus = true}, wide(u).in(), wide(delta).in(), wide(b).in(),
             wide(c).in(), expected.in());
  for (std::size_t i = 0; i < out.data.size(); ++i)
    CHECK(float(out.data[i]) == float(half(expected.data[i])));
}
