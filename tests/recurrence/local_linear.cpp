// SPDX-License-Identifier: BSL-1.0
// recurrence/local_linear against its reference, its two limits, and calls cut differently.
#define EIGEN_USE_THREADS
#include <heed/attention/attend.hpp>
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>
#include <heed/recurrence/local_linear.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/recurrence/local_linear.hpp>

#include "support/exact.hpp"
#include "support/operands.hpp"

using namespace heed::test;
using heed::local_linear;

namespace {

struct shape {
  heed::index b, h, kv, lq, lk, d, dv;
};
constexpr shape shapes[] = {{1, 1, 1, 1, 1, 1, 1},      {2, 3, 3, 7, 5, 3, 2},
                            {1, 4, 2, 25, 33, 8, 7},    {1, 1, 1, 3, 300, 17, 5},
                            {1, 2, 1, 131, 131, 5, 33}, {1, 2, 2, 4, 0, 6, 3},
                            {1, 1, 1, 0, 4, 2, 2},      {1, 1, 1, 5, 9, 4, 0}};

template <class T> struct inputs {
  tensor<T> q, k, v, ridge;
  explicit inputs(const shape& x)
      : q(random<T>({x.b, x.h, x.lq, x.d}, 1)),
        k(random<T>({x.b, x.kv, x.lk, x.d}, 2)),
        v(random<T>({x.b, x.kv, x.lk, x.dv}, 3)),
        ridge(uniform<T>({1, x.h, 1, 1}, 4)) {
    for (T& y : ridge.data) y = y / 2 + T(1);
  }
  tensor<T> out() const {
    return unwritten<T>({q.extent[0], q.extent[1], q.extent[2], v.extent[3]});
  }
  template <class Arch = heed::simd::best>
  tensor<T> run(local_linear spec, const heed::executor_ref& executor = {}) const {
    if (!spec.ridge.present()) spec.ridge = ridge.in();
    auto y = out();
    heed::scan<Arch>(spec, q.in(), k.in(), v.in(), y.in(), executor);
    return y;
  }
};

template <class T, class Arch = heed::simd::best> void agree(const local_linear& spec) {
  for (const shape& x : shapes) {
    const inputs<T> in(x);
    const auto got = in.template run<Arch>(spec);
    heed::reference::allowed a = heed::reference::mask::causal(x.lq, x.lk);
    if (!spec.causal) a.setConstant(true);
    for (heed::index b = 0; b < x.b; ++b)
      for (heed::index h = 0; h < x.h; ++h) {
        const heed::index kv = h / (x.h / x.kv);
        const auto fit = heed::reference::recurrence::local_linear(
            in.q.head(b, h), in.k.head(b, kv), in.v.head(b, kv), a, double(in.ridge.in()(0, h, 0)),
            1 / std::sqrt(double(x.d)), spec.uniform);
        check_close(got.head(b, h), fit.out, tolerance<T>(8, x.d, fit.condition),
                    std::to_string(x.lq) + " x " + std::to_string(x.lk));
      }
  }
}

}  // namespace

TEST_CASE("local linear attention is the linear fit at every query") {
  for (const bool causal : {true, false})
    for (const bool uniform : {true, false}) {
      agree<float>({.causal = causal, .uniform = uniform});
      agree<double>({.causal = causal, .uniform = uniform});
    }
  agree<double, heed::simd::scalar>({});
}

TEST_CASE("a large ridge makes it softmax attention") {
  for (const shape& x : shapes) {
    const inputs<double> in(x);
    const auto ridge = tensor<double>({1, 1, 1, 1}, 1e12);
    auto expected = in.out();
    heed::attend(heed::attention{.mask = heed::causal{}}, in.q.in(), in.k.in(), in.v.in(),
                 expected.in());
    const auto got = in.run({.ridge = ridge.in()});
    double worst = 0;
    for (std::size_t i = 0; i < got.data.size(); ++i)
      worst = std::max(worst, std::abs(got.data[i] - expected.data[i]));
    CHECK(worst < 1e-9);
  }
}

TEST_CASE("values that are linear in the keys are continued to the query") {
  const shape x{1, 1, 1, 20, 60, 5, 3};
  inputs<double> in(x);
  const Eigen::MatrixXd a = random<double>({1, 1, 5, 3}, 9).head(0, 0);
  const Eigen::MatrixXd v = (in.k.head(0, 0) * a).array() + 0.7;
  for (heed::index l = 0; l < x.lk; ++l)
    for (heed::index c = 0; c < x.dv; ++c) in.v(0, 0, l, c) = v(l, c);
  const auto ridge = tensor<double>({1, 1, 1, 1}, 1e-9);
  const Eigen::MatrixXd expected = (in.q.head(0, 0) * a).array() + 0.7;
  check_close(in.run({.ridge = ridge.in(), .uniform = true}).head(0, 0), expected, 1e-7);
  check_close(in.run({.ridge = ridge.in()}).head(0, 0), expected, 1e-6);
}

TEST_CASE("what is masked leaks nothing") {
  const shape x{1, 1, 1, 70, 70, 9, 5};
  inputs<float> in(x);
  const auto expected = in.run({});
  for (heed::index l = 37; l < 70; ++l) {
    for (heed::index c = 0; c < x.d; ++c)
      in.k(0, 0, l, c) = std::numeric_limits<float>::quiet_NaN();
    for (heed::index c = 0; c < x.dv; ++c)
      in.v(0, 0, l, c) = std::numeric_limits<float>::infinity();
  }
  CHECK(in.run({}).head(0, 0).topRows(37).allFinite());
  check_close(in.run({}).head(0, 0).topRows(37), expected.head(0, 0).topRows(37),
              tolerance<float>(64, 70));
}

TEST_CASE("a step is the last row, packed sequences are sequences") {
  const shape x{1, 4, 2, 71, 71, 6, 5};
  const inputs<float> in(x);
  const auto whole = in.run({});
  for (const heed::index l : {0, 1, 30, 70}) {
    auto out = unwritten<float>({1, 4, 1, 5});
    heed::step(local_linear{.ridge = in.ridge.in()}, in.q.in().slice_rows(l, 1),
               in.k.in().slice_rows(0, l + 1), in.v.in().slice_rows(0, l + 1), out.in());
    for (heed::index h = 0; h < 4; ++h)
      check_close(out.head(0, h), whole.head(0, h).row(l), tolerance<float>(64, 71));
  }
  const std::vector<int> cu{0, 5, 5, 70, 71};
  const auto packed = in.run({.cu_seqlens = cu});
  for (heed::index i = 0; i < 4; ++i) {
    const heed::index first = cu[std::size_t(i)], count = cu[std::size_t(i + 1)] - first;
    auto out = unwritten<float>(whole.extent);
    heed::scan(local_linear{.ridge = in.ridge.in()}, in.q.in().slice_rows(first, count),
               in.k.in().slice_rows(first, count), in.v.in().slice_rows(first, count),
               out.in().slice_rows(first, count));
    for (heed::index h = 0; h < 4; ++h)
      CHECK(packed.head(0, h).middleRows(first, count) == out.head(0, h).middleRows(first, count));
  }
}

TEST_CASE("threads change no bit of local linear attention") {
  const inputs<float> in({2, 2, 1, 131, 131, 20, 7});
  const auto whole = in.run({});
  for (const int threads : {2, 5}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    CHECK(in.run({}, heed::on(device)).data == whole.data);
  }
}

TEST_CASE("local linear attention takes any layout and 16-bit numbers") {
  engine bits(seed());
  inputs<float> in({2, 2, 1, 13, 17, 5, 7});
  for (int n = 0; n < 8; ++n) {
    const layout how{n % 2 == 0, n % 3 == 0, n % 4 == 0, false};
    auto q = input<float>(in.q.extent, how, bits), k = input<float>(in.k.extent, how, bits),
         v = input<float>(in.v.extent, how, bits);
    auto out = output<float>(in.out().extent, how, bits);
    heed::scan(local_linear{.ridge = in.ridge.in()}, q.read(), k.read(), v.read(),
               out.mutable_view());
    CHECK(rest_untouched(out));
    const auto copy = [](const auto& from, tensor<float>& to) {
      for (heed::index b = 0; b < to.extent[0]; ++b)
        for (heed::index h = 0; h < to.extent[1]; ++h)
          for (heed::index l = 0; l < to.extent[2]; ++l)
            for (heed::index c = 0; c < to.extent[3]; ++c) to(b, h, l, c) = from(b, h, l, c);
    };
    copy(q.read(), in.q), copy(k.read(), in.k), copy(v.read(), in.v);
    auto got = in.out();
    copy(out.read(), got);
    CHECK(got.data == in.run({}).data);
  }
  tensor<Eigen::half> q(in.q.extent), k(in.k.extent), v(in.v.extent), out(in.out().extent);
  for (const auto& [from, to] : {std::pair{&in.q, &q}, std::pair{&in.k, &k}, std::pair{&in.v, &v}})
    for (std::size_t i = 0; i < from->data.size(); ++i)
      from->data[i] = float(to->data[i] = Eigen::half(from->data[i]));
  heed::scan(local_linear{.ridge = in.ridge.in()}, q.in(), k.in(), v.in(), out.in());
  const auto expected = in.run({});
  bool same = true;
  for (std::size_t i = 0; i < out.data.size(); ++i)
    same = same && out.data[i] == Eigen::half(expected.data[i]);
  CHECK(same);
}

TEST_CASE("local linear attention refuses other shapes and ridges") {
  const inputs<float> in({1, 2, 1, 5, 5, 3, 4});
  const auto refused = [&](const local_linear& spec, const inputs<float>& x,
                           const std::string& text) {
    CHECK_THROWS_WITH(x.run(spec), Catch::Matchers::ContainsSubstring(text));
  };
  const auto zero = tensor<float>({1, 1, 1, 1}, 0), wrong = tensor<float>({1, 3, 1, 1}, 1);
  refused({.ridge = zero.in()}, in, "ridge must be positive");
  refused({.ridge = wrong.in()}, in, "ridge is [1, 3, 1, 1]");
  refused({.iterations = -1}, in, "must not be negative");
  refused({}, inputs<float>({1, 3, 2, 5, 5, 3, 4}), "multiple of key heads");
  const std::vector<int> cu{0, 5};
  refused({.cu_seqlens = cu}, inputs<float>({1, 1, 1, 5, 6, 3, 4}), "as many keys as queries");
}
