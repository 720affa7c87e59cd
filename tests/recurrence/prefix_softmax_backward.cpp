// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrence/prefix_softmax against differences of the scan, both in double.
#define EIGEN_USE_THREADS
#include <heed/recurrence/prefix_softmax_backward.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/differences.hpp"

using namespace heed::test;
using heed::prefix_softmax;
using heed::recurrent_state;

namespace {

// L = Σ out ⊙ a + Σ (final state) ⊙ c, from an initial state of an earlier scan.
struct call {
  heed::index b, h, l, d;
  std::vector<int> cu{};
  tensor<double> s = random<double>({b, h, l, 1}, 1, 2), v = random<double>({b, h, l, d}, 2),
                 a = random<double>({b, h, l, d}, 3);
  recurrent_state<double> initial{}, c{};

  heed::index sequences() const { return cu.empty() ? b : heed::index(cu.size()) - 1; }
  heed::index numbers() const { return h * (d + 2); }
  void start(double shift) {
    const auto s0 = random<double>({sequences(), h, 3, 1}, 4),
               v0 = random<double>({sequences(), h, 3, d}, 5);
    auto out = unwritten<double>(v0.extent);
    initial = {}, c = {};
    heed::scan(prefix_softmax{}, s0.in(), v0.in(), out.in(), initial);
    c = initial;
    const auto by = random<double>({sequences(), 1, 1, numbers()}, 6);
    for (heed::index i = 0; i < sequences(); ++i) {
      std::copy_n(&by.in()(i, 0, 0), numbers(), c.head(i, 0));
      for (heed::index n = 0; n < h; ++n) initial.side(i, n)[1] += shift;
    }
  }
  double loss() const {
    auto out = unwritten<double>(v.extent);
    recurrent_state<double> state = initial;
    heed::scan(prefix_softmax{cu}, s.in(), v.in(), out.in(), state);
    double sum = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) sum += out.data[i] * a.data[i];
    for (heed::index i = 0; i < sequences() && !c.empty(); ++i)
      for (heed::index n = 0; n < numbers(); ++n) sum += state.head(i, 0)[n] * c.head(i, 0)[n];
    return sum;
  }
  void check(const std::string& name) {
    auto ds = unwritten<double>(s.extent), dv = unwritten<double>(v.extent);
    recurrent_state<double> d_state = c;
    heed::scan_backward(prefix_softmax{cu}, s.in(), v.in(), initial, a.in(),
                        {.ds = ds.in(), .dv = dv.in()}, d_state);
    check_gradient(ds.data, differences(s.data, [&] { return loss(); }), name + " ds");
    check_gradient(dv.data, differences(v.data, [&] { return loss(); }), name + " dv");
    if (initial.empty()) return;
    for (heed::index i = 0; i < sequences(); ++i) {
      std::vector<double> got(d_state.head(i, 0), d_state.head(i, 0) + numbers()), expected;
      for (heed::index n = 0; n < numbers(); ++n) {
        double& x = initial.head(i, 0)[n];
        const double at = x, step = 1e-5;
        x = at + step;
        const double up = loss();
        x = at - step;
        expected.push_back((up - loss()) / (2 * step));
        x = at;
      }
      check_gradient(got, expected, name + " of the initial state");
    }
  }
};

}  // namespace

TEST_CASE("gradients of prefix softmax are those of differences") {
  for (const auto& [l, d] :
       {std::pair{1, 1}, std::pair{7, 5}, std::pair{70, 3}, std::pair{13, 19}, std::pair{0, 2}}) {
    call plain{2, 2, l, d};
    plain.check("no state,");
    for (const double shift : {0.0, -4.0, 4.0}) {
      call from{1, 2, l, d};
      from.start(shift);
      from.check("from a state,");
    }
  }
}

TEST_CASE("gradients of packed sequences") {
  call x{1, 2, 11, 3, {0, 4, 4, 11}};
  x.start(0);
  x.check("packed");
}

TEST_CASE("hidden tokens get no gradient, and give none") {
  call x{1, 1, 9, 4};
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const heed::index l : {0, 1, 5}) {
    x.s(0, 0, l) = -infinity;
    for (heed::index c = 0; c < 4; ++c) x.v(0, 0, l, c) = std::numeric_limits<double>::quiet_NaN();
  }
  auto ds = unwritten<double>(x.s.extent), dv = unwritten<double>(x.v.extent);
  heed::scan_backward(prefix_softmax{}, x.s.in(), x.v.in(), x.a.in(),
                      {.ds = ds.in(), .dv = dv.in()});
  for (const heed::index l : {0, 1, 5}) {
    CHECK(ds(0, 0, l) == 0);
    CHECK(dv.head(0, 0).row(l).isZero(0));
  }
  CHECK(ds.head(0, 0).allFinite());
  const auto rows = dv.head(0, 0);
  CHECK(rows.allFinite());
  CHECK(!rows.row(4).isZero(1e-9));
}

TEST_CASE("gradients in pieces, from the last to the first") {
  call x{2, 2, 75, 6};
  x.start(0);
  auto ds = unwritten<double>(x.s.extent), dv = unwritten<double>(x.v.extent), ds2 = ds, dv2 = dv;
  recurrent_state<double> whole = x.c, pieces = x.c, middle = x.initial;
  heed::scan_backward(prefix_softmax{}, x.s.in(), x.v.in(), x.initial, x.a.in(),
                      {.ds = ds.in(), .dv = dv.in()}, whole);
  auto out = unwritten<double>(x.v.extent);
  heed::scan(prefix_softmax{}, x.s.in().slice_rows(0, 31), x.v.in().slice_rows(0, 31),
             out.in().slice_rows(0, 31), middle);
  const auto piece = [&](const recurrent_state<double>& from, heed::index first,
                         heed::index count) {
    heed::scan_backward(
        prefix_softmax{}, x.s.in().slice_rows(first, count), x.v.in().slice_rows(first, count),
        from, x.a.in().slice_rows(first, count),
        {.ds = ds2.in().slice_rows(first, count), .dv = dv2.in().slice_rows(first, count)}, pieces);
  };
  piece(middle, 31, 44);
  piece(x.initial, 0, 31);
  // The gradient of a maximum cancels to rounding where it is that of an earlier piece.
  check_gradient(ds2.data, ds.data, "ds in pieces");
  check_gradient(dv2.data, dv.data, "dv in pieces");
}

TEST_CASE("threads change no bit of the gradients, and float is close to double") {
  const call x{2, 3, 70, 40};
  const auto run = [&](const heed::executor_ref& executor) {
    tensor<float> s(x.s.extent), v(x.v.extent), a(x.a.extent);
    for (const auto& [from, to] : {std::pair{&x.s, &s}, std::pair{&x.v, &v}, std::pair{&x.a, &a}})
      std::copy(from->data.begin(), from->data.end(), to->data.begin());
    auto ds = unwritten<float>(x.s.extent), dv = unwritten<float>(x.v.extent);
    recurrent_state<float> d_state;
    heed::scan_backward(prefix_softmax{}, s.in(), v.in(), {}, a.in(),
                        {.ds = ds.in(), .dv = dv.in()}, d_state, executor);
    std::vector<double> all(ds.data.begin(), ds.data.end());
    all.insert(all.end(), dv.data.begin(), dv.data.end());
    return all;
  };
  const auto whole = run(heed::serial{});
  for (const int threads : {2, 5}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    CHECK(run(heed::on(device)) == whole);
  }
  auto ds = unwritten<double>(x.s.extent), dv = unwritten<double>(x.v.extent);
  heed::scan_backward(prefix_softmax{}, x.s.in(), x.v.in(), x.a.in(),
                      {.ds = ds.in(), .dv = dv.in()});
  ds.data.insert(ds.data.end(), dv.data.begin(), dv.data.end());
  double worst = 0;
  for (std::size_t i = 0; i < whole.size(); ++i)
    worst = std::max(worst, std::abs(whole[i] - ds.data[i]));
  CHECK(worst <= tolerance<float>(8, 70, 16));
}

TEST_CASE("gradients of other shapes are refused") {
  const call x{1, 2, 5, 3};
  auto ds = unwritten<double>({1, 2, 4, 1}), dv = unwritten<double>(x.v.extent);
  CHECK_THROWS_WITH(heed::scan_backward(prefix_softmax{}, x.s.in(), x.v.in(), x.a.in(),
                                        {.ds = ds.in(), .dv = dv.in()}),
                    Catch::Matchers::ContainsSubstring("ds must have the extents"));
  const recurrent_state<double> other({"prefix_softmax", 2, 1, 4, 2, true}, 1);
  recurrent_state<double> d_state;
  CHECK_THROWS_WITH(heed::scan_backward(prefix_softmax{}, x.s.in(), x.v.in(), other, x.a.in(),
                                        {.dv = dv.in()}, d_state),
                    Catch::Matchers::ContainsSubstring("but the call needs"));
  CHECK(std::isnan(dv.data[0]));
}
