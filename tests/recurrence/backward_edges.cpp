// SPDX-License-Identifier: BSL-1.0
// Decays and rates at their ends, values that are not finite, threads, chunks, float.
#include <heed/recurrence/kda.hpp>
#include <heed/recurrence/rwkv7.hpp>
#include <heed/recurrence/scan_backward.hpp>
#include <heed/recurrence/ssd.hpp>
#include <thread>

#include "support/catch.hpp"
#include "support/tensor.hpp"

using namespace heed;
using namespace heed::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct backwards_pool {
  heed::index workers() const { return 3; }
  template <class F> void for_each(heed::index n, F&& f) const {
    std::vector<std::thread> crew;
    for (heed::index w = 0; w < 3; ++w)
      crew.emplace_back([&, w] {
        for (heed::index i = n - 1 - w; i >= 0; i -= 3) f(i, w);
      });
    for (std::thread& t : crew) t.join();
  }
};

/// q [1,H,L,D] and what a delta rule with decays takes, and all gradients.
template <class T> struct gradients_of {
  static constexpr heed::index h = 4, l = 70, d = 9, dv = 17;
  tensor<T> q = random<T>({1, h, l, d}, 1), k = random<T>({1, 2, l, d}, 2, 0.3),
            v = random<T>({1, h, l, dv}, 3), d_out = random<T>({1, h, l, dv}, 4), log{{1, h, l, d}},
            one{{1, h, l, 1}}, beta{{1, h, l, 1}};
  tensor<T> dq = unwritten<T>(q.extent), dk = unwritten<T>(k.extent), dv_ = unwritten<T>(v.extent),
            d_log = unwritten<T>(log.extent), d_one = unwritten<T>(one.extent),
            d_beta = unwritten<T>(beta.extent);
  recurrent_state<T> d_state;

  gradients_of() {
    for (tensor<T>* x : {&log, &one}) {
      *x = random<T>(x->extent, 5);
      for (T& y : x->data) y = -std::abs(y);
    }
    beta = uniform<T>(beta.extent, 6);
    for (T& y : beta.data) y += 1;
  }
  template <class U> gradients_of(const gradients_of<U>& o) {
    const auto copy = [](const auto& from, tensor<T>& to) {
      std::copy(from.data.begin(), from.data.end(), to.data.begin());
    };
    copy(o.q, q), copy(o.k, k), copy(o.v, v), copy(o.d_out, d_out), copy(o.log, log);
    copy(o.one, one), copy(o.beta, beta);
  }
  void kda(heed::index chunk = 0, executor_ref executor = {}) {
    auto spec = recurrences::kda(view<const T>(log.in()), view<const T>(beta.in()), d);
    spec.chunk = chunk;
    d_state = {};
    scan_backward(spec, q.in(), k.in(), v.in(), nullptr, view<const T>(d_out.in()), nullptr,
                  {.dq = dq.in(),
                   .dk = dk.in(),
                   .dv = dv_.in(),
                   .d_log = d_log.in(),
                   .d_beta = d_beta.in(),
                   .d_initial_state = &d_state},
                  executor);
    d_one = tensor<T>(one.extent, T(0));
  }
  void ssd(heed::index chunk = 0, executor_ref executor = {}) {
    auto spec = recurrences::ssd(view<const T>(one.in()));
    spec.chunk = chunk;
    d_state = {};
    scan_backward(spec, q.in(), k.in(), v.in(), nullptr, view<const T>(d_out.in()), nullptr,
                  {.dq = dq.in(),
                   .dk = dk.in(),
                   .dv = dv_.in(),
                   .d_log = d_one.in(),
                   .d_initial_state = &d_state},
                  executor);
    d_log = tensor<T>(log.extent, T(0)), d_beta = tensor<T>(beta.extent, T(0));
  }
  std::vector<std::vector<T>> all() const {
    std::vector<T> s;
    for (heed::index i = 0; i < h; ++i)
      s.insert(s.end(), d_state.head(0, i), d_state.head(0, i) + d * dv);
    return {dq.data, dk.data, dv_.data, d_log.data, d_one.data, d_beta.data, s};
  }
};

template <class T> bool finite(const std::vector<T>& x) {
  return std::all_of(x.begin(), x.end(), [](T y) { return std::isfinite(y); });
}
/// Largest difference as a share of the largest number, worst of all gradients.
template <class T, class U> double apart(const gradients_of<T>& x, const gradients_of<U>& y) {
  const auto a = x.all();
  const auto b = y.all();
  double worst = 0;
  for (std::size_t n = 0; n < a.size(); ++n) {
    double off = 0, size = 1e-30;
    for (std::size_t i = 0; i < a[n].size(); ++i) {
      off = std::max(off, std::abs(double(a[n][i]) - double(b[n][i])));
      size = std::max(size, std::abs(double(b[n][i])));
      if (!std::isfinite(a[n][i])) off = infinity;
    }
    worst = std::max(worst, off / size);
  }
  return worst;
}

}  // namespace

TEST_CASE("gradients do not depend on chunks or threads") {
  gradients_of<double> x, y;
  for (const heed::index chunk : {1, 3, 8, 32, 100}) {
    x.kda(), y.kda(chunk);
    CHECK(apart(x, y) < 1e-13);
    x.ssd(), y.ssd(chunk);
    CHECK(apart(x, y) < 1e-13);
  }
  x.kda(), y.kda(0, backwards_pool{});
  CHECK(x.all() == y.all());
  x.ssd(), y.ssd(0, backwards_pool{});
  CHECK(x.all() == y.all());
}

TEST_CASE("gradients in float are those in double") {
  gradients_of<float> x;
  gradients_of<double> y(x);
  x.kda(), y.kda();
  CHECK(apart(x, y) < 3e-6);
  x.ssd(), y.ssd();
  CHECK(apart(x, y) < 3e-6);
}

TEST_CASE("gradients at decays of 0 and 1 and rates of 0 and 1") {
  gradients_of<double> x;
  gradients_of<float> f;
  for (const int all : {0, 1})
    for (const double edge : {0.0, -infinity}) {
      for (std::size_t i = 0; i < x.log.data.size(); ++i)
        if (all || i % 3 == 0) x.log.data[i] = edge;
      for (std::size_t i = 0; i < x.one.data.size(); ++i)
        if (all || i % 3 == 0) x.one.data[i] = edge;
      for (std::size_t i = 0; i < x.beta.data.size(); ++i)
        if (all || i % 2 == 0) x.beta.data[i] = double(i / 2 % 2);
      f = gradients_of<float>(x);
      x.kda(), f.kda();
      for (const auto& g : x.all()) CHECK(finite(g));
      CHECK(apart(f, x) < 2e-5);
      for (std::size_t i = 0; i < x.log.data.size(); ++i)
        if (x.log.data[i] == -infinity) CHECK(x.d_log.data[i] == 0);
      x.ssd(), f.ssd();
      for (const auto& g : x.all()) CHECK(finite(g));
      CHECK(apart(f, x) < 2e-5);
      for (std::size_t i = 0; i < x.one.data.size(); ++i)
        if (x.one.data[i] == -infinity) CHECK(x.d_one.data[i] == 0);
    }
}

TEST_CASE("what a later token holds never reaches dq of an earlier one") {
  gradients_of<double> x, y;
  constexpr heed::index bad = 41;
  const auto spoil = [&](tensor<double>& t) {
    for (heed::index h = 0; h < t.extent[1]; ++h) t(0, h, bad, 1) = infinity;
  };
  for (tensor<double>* t : {&x.q, &x.k, &x.v, &x.d_out, &x.log}) {
    const auto kept = *t;
    if (t != &x.log) spoil(*t);
    if (t == &x.log) x.log(0, 0, bad, 1) = std::numeric_limits<double>::quiet_NaN();
    const auto same = [&] {
      for (heed::index h = 0; h < 4; ++h)
        for (heed::index i = 0; i < bad; ++i)
          for (heed::index c = 0; c < 9; ++c)
            CHECK(std::abs(x.dq(0, h, i, c) - y.dq(0, h, i, c)) < 1e-12);
    };
    x.kda(), y.kda(), same();
    x.ssd(), y.ssd(), same();
    *t = kept;
  }
}
