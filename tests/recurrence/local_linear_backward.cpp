// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrence/local_linear against differences of the scan, both in double.
#define EIGEN_USE_THREADS
#include <heed/recurrence/local_linear_backward.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/differences.hpp"

using namespace heed::test;
using heed::local_linear;

namespace {

struct shape {
  heed::index b, h, kv, lq, lk, d, dv;
};

template <class T> struct call {
  shape s;
  tensor<T> q = random<T>({s.b, s.h, s.lq, s.d}, 1), k = random<T>({s.b, s.kv, s.lk, s.d}, 2),
            v = random<T>({s.b, s.kv, s.lk, s.dv}, 3), a = random<T>({s.b, s.h, s.lq, s.dv}, 4),
            ridge = uniform<T>({1, s.h, 1, 1}, 5);
  tensor<T> dq = unwritten<T>(q.extent), dk = unwritten<T>(k.extent), dv = unwritten<T>(v.extent),
            d_ridge = unwritten<T>(ridge.extent);

  explicit call(const shape& x) : s(x) {
    for (T& y : ridge.data) y = y / 2 + T(1);
  }
  void backward(local_linear spec, const heed::executor_ref& executor = {}) {
    spec.ridge = ridge.in();
    heed::scan_backward(spec, q.in(), k.in(), v.in(), a.in(),
                        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .d_ridge = d_ridge.in()},
                        executor);
  }
  void check(local_linear spec, const std::string& name) {
    backward(spec);
    spec.ridge = ridge.in();
    const auto loss = [&] {
      auto out = unwritten<double>(a.extent);
      heed::scan(spec, q.in(), k.in(), v.in(), out.in());
      double sum = 0;
      for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * a.data[i];
      return sum;
    };
    check_gradient(dq.data, differences(q.data, loss), name + " dq");
    check_gradient(dk.data, differences(k.data, loss), name + " dk");
    check_gradient(dv.data, differences(v.data, loss), name + " dv");
    check_gradient(d_ridge.data, differences(ridge.data, loss), name + " d_ridge");
  }
  std::vector<T> all() const {
    std::vector<T> x;
    for (const auto* y : {&dq, &dk, &dv, &d_ridge})
      x.insert(x.end(), y->data.begin(), y->data.end());
    return x;
  }
};

}  // namespace

TEST_CASE("gradients of local linear attention are those of differences") {
  for (const shape& x :
       {shape{1, 1, 1, 1, 1, 1, 1}, shape{1, 4, 2, 7, 9, 3, 2}, shape{2, 1, 1, 5, 11, 9, 10},
        shape{1, 1, 1, 29, 27, 2, 3}, shape{1, 2, 2, 3, 0, 2, 2}, shape{1, 1, 1, 0, 3, 2, 2}})
    for (const bool causal : {true, false})
      for (const bool uniform : {true, false}) {
        local_linear spec;
        spec.causal = causal, spec.uniform = uniform;
        call<double>(x).check(spec, std::string(causal ? "causal" : "full") +
                                        (uniform ? " uniform" : "") + " " + std::to_string(x.lq));
      }
}

TEST_CASE("gradients of packed sequences") {
  const std::vector<int> cu{0, 4, 4, 11};
  local_linear spec;
  spec.cu_seqlens = cu;
  call<double>({1, 2, 1, 11, 11, 3, 2}).check(spec, "packed");
}

TEST_CASE("gradients leak nothing of what is masked") {
  call<float> x({1, 1, 1, 60, 60, 5, 3});
  for (heed::index l = 31; l < 60; ++l) {
    for (heed::index c = 0; c < 5; ++c) x.k(0, 0, l, c) = std::numeric_limits<float>::quiet_NaN();
    for (heed::index c = 0; c < 3; ++c) x.a(0, 0, l, c) = 0;
  }
  x.backward({});
  CHECK(x.dq.head(0, 0).topRows(31).allFinite());
}

TEST_CASE("threads change no bit of the gradients, and float is close to double") {
  const shape s{2, 4, 2, 75, 75, 12, 7};
  call<float> x(s);
  x.backward({});
  const auto whole = x.all();
  for (const int threads : {2, 5}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    x.backward({}, heed::on(device));
    CHECK(x.all() == whole);
  }
  call<double> exact(s);
  exact.backward({});
  double worst = 0, size = 1;
  const auto all = exact.all();
  for (std::size_t i = 0; i < all.size(); ++i) {
    worst = std::max(worst, std::abs(double(whole[i]) - all[i]));
    size = std::max(size, std::abs(all[i]));
  }
  // The matrices have condition numbers of up to about 100.
  CHECK(worst <= tolerance<float>(100, 75, size));
}

TEST_CASE("gradients of local linear attention of other shapes are refused") {
  call<float> x({1, 1, 1, 5, 5, 3, 2});
  x.dk = unwritten<float>({1, 1, 4, 3});
  CHECK_THROWS_WITH(x.backward({}), Catch::Matchers::ContainsSubstring("dk must be [1, 1, 5, 3]"));
  CHECK(std::isnan(x.dq.data[0]));
}
