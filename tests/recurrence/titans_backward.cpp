// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrence/titans against differences of the scan, both in double.
#define EIGEN_USE_THREADS
#include <heed/recurrence/titans_backward.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/differences.hpp"
#include "support/titans.hpp"

using namespace heed::test;
using heed::recurrent_state;
using heed::titans;

namespace {

// L = Σ out ⊙ a + Σ (final state) ⊙ c, from a state of random numbers after `seen` tokens.
struct call {
  titans_shape shape;
  heed::index chunk;
  std::vector<int> cu{};
  titans_inputs<double> x{shape};
  tensor<double> a = random<double>(x.v.extent, 7);
  recurrent_state<double> initial{}, c{};

  titans spec() {
    titans s = x.spec(chunk);
    s.cu_seqlens = cu;
    return s;
  }
  void start(heed::index seen) {
    auto out = unwritten<double>(x.v.extent);
    recurrent_state<double> any;
    heed::scan(spec(), x.q.in(), x.k.in(), x.v.in(), out.in(), any);
    initial = c = recurrent_state<double>(any.format(), any.batch());
    const heed::index n = any.format().size();
    const auto from = random<double>({any.batch(), 2, 1, n}, 8, 0.3);
    for (heed::index i = 0; i < any.batch(); ++i) {
      std::copy_n(&from.in()(i, 0, 0), n, initial.head(i, 0));
      std::copy_n(&from.in()(i, 1, 0), n, c.head(i, 0));
      initial.tokens(i) = seen + i;
    }
  }
  double loss() {
    auto out = unwritten<double>(x.v.extent);
    recurrent_state<double> state = initial;
    heed::scan(spec(), x.q.in(), x.k.in(), x.v.in(), out.in(), state);
    double sum = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * a.data[i];
    for (heed::index i = 0; i < c.batch(); ++i)
      for (heed::index n = 0; n < c.format().size(); ++n)
        sum += state.head(i, 0)[n] * c.head(i, 0)[n];
    return sum;
  }
  void check(const std::string& name) {
    const heed::extents e = x.rate.extent;
    auto dq = unwritten<double>(x.q.extent), dk = dq, dv = unwritten<double>(x.v.extent),
         dm = unwritten<double>(e), da = dm, dr = dm;
    recurrent_state<double> d_state = c;
    heed::scan_backward(spec(), x.q.in(), x.k.in(), x.v.in(), initial, a.in(),
                        {.dq = dq.in(),
                         .dk = dk.in(),
                         .dv = dv.in(),
                         .d_log_momentum = dm.in(),
                         .d_log_keep = da.in(),
                         .d_rate = dr.in()},
                        d_state);
    const auto value = [&] { return loss(); };
    check_gradient(dq.data, differences(x.q.data, value), name + " dq");
    check_gradient(dk.data, differences(x.k.data, value), name + " dk");
    check_gradient(dv.data, differences(x.v.data, value), name + " dv");
    check_gradient(dm.data, differences(x.momentum.data, value), name + " momentum");
    check_gradient(da.data, differences(x.keep.data, value), name + " keep");
    check_gradient(dr.data, differences(x.rate.data, value), name + " rate");
    for (heed::index i = 0; i < initial.batch(); ++i) {
      const heed::index n = initial.format().size();
      std::vector<double> got(d_state.head(i, 0), d_state.head(i, 0) + n), expected;
      for (heed::index j = 0; j < n; ++j) {
        double& y = initial.head(i, 0)[j];
        const double at = y, step = 1e-5;
        y = at + step;
        const double up = loss();
        y = at - step;
        expected.push_back((up - loss()) / (2 * step));
        y = at;
      }
      check_gradient(got, expected, name + " initial state");
    }
  }
};

}  // namespace

TEST_CASE("gradients of titans are those of differences") {
  for (const heed::index chunk : {1, 3, 8, 40}) {
    const std::string name = "chunk " + std::to_string(chunk);
    call plain{{2, 2, 11, 3, 2}, chunk};
    plain.check(name);
    call other{{1, 1, 43, 2, 3}, chunk};
    other.check(name + ", L 43");
    call wide{{1, 1, 5, 9, 10}, chunk};
    wide.check(name + ", wide");
    for (const heed::index seen : {0, 2, 7}) {
      call from{{1, 2, 13, 3, 2}, chunk};
      from.start(seen);
      from.check(name + ", from a state after " + std::to_string(seen));
    }
  }
}

TEST_CASE("gradients of no tokens are those of the state") {
  call none{{1, 2, 0, 3, 2}, 4};
  none.start(3);
  none.check("none");
}

TEST_CASE("gradients of packed sequences") {
  call packed{{1, 2, 11, 3, 2}, 4, {0, 5, 5, 11}};
  packed.start(2);
  packed.check("packed");
}

TEST_CASE("gradients at decays of 0 and 1") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  call x{{1, 1, 9, 3, 2}, 4};
  x.x.momentum(0, 0, 2) = x.x.keep(0, 0, 5) = -infinity;
  x.x.momentum(0, 0, 3) = x.x.keep(0, 0, 4) = 0;
  auto dq = unwritten<double>(x.x.q.extent), dk = dq, dm = unwritten<double>(x.x.rate.extent),
       da = dm, dr = dm;
  heed::scan_backward(x.spec(), x.x.q.in(), x.x.k.in(), x.x.v.in(), x.a.in(),
                      {.dq = dq.in(),
                       .dk = dk.in(),
                       .d_log_momentum = dm.in(),
                       .d_log_keep = da.in(),
                       .d_rate = dr.in()});
  const auto value = [&] { return x.loss(); };
  check_gradient(dq.data, differences(x.x.q.data, value), "dq");
  check_gradient(dk.data, differences(x.x.k.data, value), "dk");
  check_gradient(dr.data, differences(x.x.rate.data, value), "rate");
  // log 0 stays log 0 when moved.
  auto expected = differences(x.x.momentum.data, value);
  CHECK(dm(0, 0, 2) == 0);
  expected[2] = 0;
  check_gradient(dm.data, expected, "momentum");
  expected = differences(x.x.keep.data, value);
  expected[5] = 0;
  CHECK(da(0, 0, 5) == 0);
  check_gradient(da.data, expected, "keep");
}

TEST_CASE("threads change no bit of the gradients, and float is close to double") {
  call x{{2, 3, 75, 20, 17}, 16};
  const auto run = [&]<class T>(T, const heed::executor_ref& executor) {
    titans_inputs<T> in(x.shape);
    tensor<T> a(x.a.extent), dq(x.x.q.extent), dk(x.x.q.extent), dv(x.a.extent),
        dm(x.x.rate.extent);
    std::copy(x.a.data.begin(), x.a.data.end(), a.data.begin());
    recurrent_state<T> d_state;
    heed::scan_backward(in.spec(16), in.q.in(), in.k.in(), in.v.in(), {}, a.in(),
                        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .d_log_keep = dm.in()},
                        d_state, executor);
    std::vector<double> all;
    for (const auto* y : {&dq, &dk, &dv, &dm})
      all.insert(all.end(), y->data.begin(), y->data.end());
    return all;
  };
  const auto whole = run(0.f, heed::serial{});
  for (const int threads : {2, 5}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    CHECK(run(0.f, heed::on(device)) == whole);
  }
  const auto exact = run(0.0, heed::serial{});
  double worst = 0, size = 1;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    worst = std::max(worst, std::abs(whole[i] - exact[i]));
    size = std::max(size, std::abs(exact[i]));
  }
  CHECK(worst <= tolerance<float>(8, 75, size));
}

TEST_CASE("gradients of titans of other shapes are refused") {
  call x{{1, 2, 5, 3, 2}, 4};
  auto dk = unwritten<double>({1, 2, 5, 4}), dq = unwritten<double>(x.x.q.extent);
  CHECK_THROWS_WITH(heed::scan_backward(x.spec(), x.x.q.in(), x.x.k.in(), x.x.v.in(), x.a.in(),
                                        {.dq = dq.in(), .dk = dk.in()}),
                    Catch::Matchers::ContainsSubstring("dk must be [1, 2, 5, 3]"));
  CHECK(std::isnan(dq.data[0]));
}
