// SPDX-License-Identifier: BSL-1.0
// Latent attention: absorbed, expanded and from the definition; what is learned through each.
#include <heed/heads/mla.hpp>
#include <heed/mask/causal.hpp>
#include <heed/reference/heads/mla.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/position/rope.hpp>

#include "support/differences.hpp"
#include "support/executors.hpp"

using namespace heed::test;
namespace mla = heed::mla;
namespace position = heed::reference::position;

namespace {

struct sizes {
  heed::index b, h, lq, lk, dc, dr, r, dv;
};
// Rows and matrices beyond one block, strip and vector; one query; no rotated channels; no keys.
const std::vector<sizes>& all_sizes() {
  static const std::vector<sizes> all{
      {1, 1, 1, 1, 1, 0, 1, 1},       {2, 3, 5, 9, 6, 4, 7, 5},
      {3, 4, 1, 70, 16, 8, 50, 13},   {2, 2, 150, 140, 9, 2, 3, 60},
      {1, 2, 3, 5, 270, 0, 150, 300}, {1, 1, 12, 20, 270, 2, 150, 300},
      {1, 2, 4, 0, 3, 2, 4, 2}};
  return all;
}

Eigen::MatrixXd rotated(const Eigen::MatrixXd& x, heed::index first) {
  if (x.cols() == 0) return x;
  return position::rope(
      x, Eigen::VectorXd::LinSpaced(x.rows(), double(first), double(first + x.rows() - 1)),
      position::unscaled(x.cols(), 100), position::pairing::interleaved);
}
template <class T>
void put(const Eigen::MatrixXd& x, heed::index first, tensor<T>& to, heed::index b, heed::index h) {
  for (heed::index l = 0; l < x.rows(); ++l)
    for (heed::index c = 0; c < x.cols(); ++c) to(b, h, l, first + c) = static_cast<T>(x(l, c));
}

template <class T> struct model {
  sizes x;
  tensor<T> q, rows, w_uk, w_uv;

  explicit model(const sizes& s)
      : x(s),
        q(test_q(s)),
        rows(test_rows(s)),
        w_uk(random<T>({1, s.h, s.dc, s.r}, 3, 1 / std::sqrt(double(s.r)))),
        w_uv(random<T>({1, s.h, s.r, s.dv}, 4, 1 / std::sqrt(double(s.r)))) {}
  static tensor<T> test_q(const sizes& s) {
    auto q = random<T>({s.b, s.h, s.lq, s.dc + s.dr}, 1);
    for (heed::index b = 0; b < s.b; ++b)
      for (heed::index h = 0; h < s.h; ++h)
        put(rotated(q.head(b, h).rightCols(s.dr), s.lk - s.lq), s.dc, q, b, h);
    return q;
  }
  static tensor<T> test_rows(const sizes& s) {
    auto rows = random<T>({s.b, 1, s.lk, s.r + s.dr}, 2);
    for (heed::index b = 0; b < s.b; ++b)
      put(rotated(rows.head(b, 0).rightCols(s.dr), 0), s.r, rows, b, 0);
    return rows;
  }
  heed::extents out() const { return {x.b, x.h, x.lq, x.dv}; }
  double scale() const { return mla::scale(x.dc, x.dr); }

  tensor<T> absorbed(heed::executor_ref threads = {}) const {
    auto a = unwritten<T>({x.b, x.h, x.lq, x.r + x.dr}), o = unwritten<T>({x.b, x.h, x.lq, x.r}),
         result = unwritten<T>(out());
    mla::absorb(q.in(), w_uk.in(), a.in(), threads);
    heed::attend(heed::attention{.mask = heed::causal{}, .scale = scale()}, a.in(), rows.in(),
                 rows.in().slice_channels(0, x.r), o.in(), threads);
    mla::expand(o.in(), w_uv.in(), result.in(), threads);
    return result;
  }
  tensor<T> expanded(heed::executor_ref threads = {}) const {
    auto k = unwritten<T>({x.b, x.h, x.lk, x.dc + x.dr}), v = unwritten<T>({x.b, x.h, x.lk, x.dv}),
         result = unwritten<T>(out());
    mla::expand_rows(rows.in(), w_uk.in(), w_uv.in(), k.in(), v.in(), threads);
    heed::attend(heed::attention{.mask = heed::causal{}}, q.in(), k.in(), v.in(), result.in(),
                 threads);
    return result;
  }
  Eigen::MatrixXd expected(heed::index b, heed::index h) const {
    const Eigen::MatrixXd query = q.head(b, h), c = rows.head(b, 0);
    return heed::reference::heads::mla(query.leftCols(x.dc), query.rightCols(x.dr), c.leftCols(x.r),
                                       c.rightCols(x.dr), w_uk.head(0, h), w_uv.head(0, h),
                                       heed::reference::mask::causal(x.lq, x.lk));
  }
};

// L = Σ x ⊙ y
double dot(const tensor<double>& x, const tensor<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i) sum += x.data[i] * y.data[i];
  return sum;
}

}  // namespace

TEMPLATE_TEST_CASE("absorbed and expanded are the definition", "", float, double) {
  using T = TestType;
  for (const sizes& x : all_sizes()) {
    const model<T> m(x);
    const auto absorbed = m.absorbed(), expanded = m.expanded();
    for (heed::index b = 0; b < x.b; ++b)
      for (heed::index h = 0; h < x.h; ++h) {
        const Eigen::MatrixXd want = m.expected(b, h);
        // Scores are sums of Dc products of numbers of order 1, divided by √Dc; outputs, of r.
        const double allowed = tolerance<T>(8, x.dc + x.r, 1 + std::sqrt(double(x.dc)) / 4);
        check_close(absorbed.head(b, h), want, allowed, "absorbed");
        check_close(expanded.head(b, h), want, allowed, "expanded");
      }
  }
}

TEST_CASE("a latent compressed from rotated inputs: PreRoPE") {
  const sizes x{1, 2, 6, 6, 5, 0, 4, 3};
  model<double> m(x);
  const auto input = random<double>({1, 1, 6, 8}, 7), down = random<double>({1, 1, 8, 4}, 8);
  const Eigen::MatrixXd c = rotated(input.head(0, 0), 0) * down.head(0, 0);
  put(c, 0, m.rows, 0, 0);
  for (heed::index h = 0; h < 2; ++h) {
    const Eigen::MatrixXd none(6, 0),
        want = heed::reference::heads::mla(m.q.head(0, h), none, c, none, m.w_uk.head(0, h),
                                           m.w_uv.head(0, h), heed::reference::mask::causal(6, 6));
    check_close(m.absorbed().head(0, h), want, 1e-13);
    check_close(m.expanded().head(0, h), want, 1e-13);
  }
}

TEST_CASE("operands of latent attention may lie in any order and be of any type") {
  const sizes x{2, 3, 5, 9, 6, 4, 7, 5};
  const model<double> m(x);
  model<float> f(x);
  for (auto [to, from] : {std::pair{&f.q, &m.q}, {&f.w_uk, &m.w_uk}})
    std::transform(from->data.begin(), from->data.end(), to->data.begin(),
                   [](double v) { return float(v); });
  // [B,L,H,D] queries, W_UK as [H,r,Dc], results as [L,B,D,H]
  std::vector<float> turned_q(f.q.data.size()), turned_w(f.w_uk.data.size());
  const heed::view<float> q(turned_q.data(), f.q.extent, {150, 10, 30, 1}),
      w(turned_w.data(), f.w_uk.extent, {0, 42, 1, 6});
  const auto copy = [](const tensor<float>& from, const heed::view<float>& to) {
    for (heed::index b = 0; b < to.extent[0]; ++b)
      for (heed::index h = 0; h < to.extent[1]; ++h)
        for (heed::index l = 0; l < to.extent[2]; ++l)
          for (heed::index d = 0; d < to.extent[3]; ++d) to(b, h, l, d) = from.in()(b, h, l, d);
  };
  copy(f.q, q), copy(f.w_uk, w);
  auto plain = unwritten<float>({2, 3, 5, 11}), turned = plain;
  const heed::view<float> to(turned.data.data(), {2, 3, 5, 11}, {33, 1, 66, 3});
  mla::absorb(f.q.in(), f.w_uk.in(), plain.in());
  mla::absorb(q, w, to);
  auto mixed = unwritten<float>({2, 3, 5, 11});
  mla::absorb(m.q.in(), f.w_uk.in(), mixed.in());
  for (heed::index b = 0; b < 2; ++b)
    for (heed::index h = 0; h < 3; ++h)
      for (heed::index l = 0; l < 5; ++l)
        for (heed::index d = 0; d < 11; ++d) {
          CHECK(to(b, h, l, d) == plain(b, h, l, d));
          CHECK(mixed(b, h, l, d) == plain(b, h, l, d));
        }
}

TEST_CASE("gradients of absorbing and expanding are those of differences") {
  for (const sizes& x : {sizes{2, 3, 5, 9, 6, 4, 7, 5}, sizes{1, 2, 3, 4, 3, 0, 2, 4}}) {
    model<double> m(x);
    const auto by_a = random<double>({x.b, x.h, x.lq, x.r + x.dr}, 5),
               by_o = random<double>(m.out(), 6),
               by_k = random<double>({x.b, x.h, x.lk, x.dc + x.dr}, 7),
               by_v = random<double>({x.b, x.h, x.lk, x.dv}, 8);
    auto latent = random<double>({x.b, x.h, x.lq, x.r}, 9);
    auto a = by_a, o = by_o, k = by_k, v = by_v;
    auto dq = unwritten<double>(m.q.extent), d_latent = unwritten<double>(latent.extent),
         d_rows = unwritten<double>(m.rows.extent), dw_uk = unwritten<double>(m.w_uk.extent),
         dw_uv = unwritten<double>(m.w_uv.extent);

    const auto absorb = [&] {
      mla::absorb(m.q.in(), m.w_uk.in(), a.in());
      return dot(a, by_a);
    };
    mla::absorb_backward(m.q.in(), m.w_uk.in(), by_a.in(), {dq.in(), dw_uk.in()});
    check_gradient(dq.data, differences(m.q.data, absorb), "dq");
    check_gradient(dw_uk.data, differences(m.w_uk.data, absorb), "dw_uk");

    const auto expand = [&] {
      mla::expand(latent.in(), m.w_uv.in(), o.in());
      return dot(o, by_o);
    };
    mla::expand_backward(latent.in(), m.w_uv.in(), by_o.in(), {d_latent.in(), dw_uv.in()});
    check_gradient(d_latent.data, differences(latent.data, expand), "d_latent");
    check_gradient(dw_uv.data, differences(m.w_uv.data, expand), "dw_uv");

    const auto rows = [&] {
      mla::expand_rows(m.rows.in(), m.w_uk.in(), m.w_uv.in(), k.in(), v.in());
      return dot(k, by_k) + dot(v, by_v);
    };
    mla::expand_rows_backward(m.rows.in(), m.w_uk.in(), m.w_uv.in(), by_k.in(), by_v.in(),
                              {d_rows.in(), dw_uk.in(), dw_uv.in()});
    check_gradient(d_rows.data, differences(m.rows.data, rows), "d_rows");
    check_gradient(dw_uk.data, differences(m.w_uk.data, rows), "dw_uk of rows");
    check_gradient(dw_uv.data, differences(m.w_uv.data, rows), "dw_uv of rows");
  }
}

TEST_CASE("both forms learn the same") {
  const sizes x{2, 3, 140, 140, 6, 4, 7, 5};
  const model<double> m(x);
  const auto d_out = random<double>(m.out(), 5);
  const auto like = [](const tensor<double>& t) { return unwritten<double>(t.extent); };
  const heed::attention causal{.mask = heed::causal{}};

  auto k = unwritten<double>({x.b, x.h, x.lk, x.dc + x.dr}),
       v = unwritten<double>({x.b, x.h, x.lk, x.dv}), dk = k, dv = v, dq = like(m.q),
       d_rows = like(m.rows), dw_uk = like(m.w_uk), dw_uv = like(m.w_uv);
  mla::expand_rows(m.rows.in(), m.w_uk.in(), m.w_uv.in(), k.in(), v.in());
  heed::attend_backward(causal, m.q.in(), k.in(), v.in(), {}, d_out.in(),
                        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()});
  mla::expand_rows_backward(m.rows.in(), m.w_uk.in(), m.w_uv.in(), dk.in(), dv.in(),
                            {d_rows.in(), dw_uk.in(), dw_uv.in()});

  auto a = unwritten<double>({x.b, x.h, x.lq, x.r + x.dr}),
       o = unwritten<double>({x.b, x.h, x.lq, x.r}), da = a, d_latent = o, dq2 = like(m.q),
       d_rows2 = like(m.rows), d_values = unwritten<double>({x.b, 1, x.lk, x.r}),
       dw_uk2 = like(m.w_uk), dw_uv2 = like(m.w_uv);
  heed::attention spec = causal;
  spec.scale = m.scale();
  const auto values = m.rows.in().slice_channels(0, x.r);
  mla::absorb(m.q.in(), m.w_uk.in(), a.in());
  heed::attend(spec, a.in(), m.rows.in(), values, o.in());
  mla::expand_backward(o.in(), m.w_uv.in(), d_out.in(), {d_latent.in(), dw_uv2.in()});
  heed::attend_backward(spec, a.in(), m.rows.in(), values, {}, d_latent.in(),
                        {.dq = da.in(), .dk = d_rows2.in(), .dv = d_values.in()});
  mla::absorb_backward(m.q.in(), m.w_uk.in(), da.in(), {dq2.in(), dw_uk2.in()});
  for (heed::index b = 0; b < x.b; ++b) {
    Eigen::MatrixXd both = d_rows2.head(b, 0);
    both.leftCols(x.r) += d_values.head(b, 0);
    check_close(both, d_rows.head(b, 0), 1e-11, "rows");
    for (heed::index h = 0; h < x.h; ++h) check_close(dq2.head(b, h), dq.head(b, h), 1e-12, "q");
  }
  for (heed::index h = 0; h < x.h; ++h) {
    check_close(dw_uk2.head(0, h), dw_uk.head(0, h), 1e-11, "w_uk");
    check_close(dw_uv2.head(0, h), dw_uv.head(0, h), 1e-11, "w_uv");
  }
}

TEST_CASE("latent attention gives the same bits in any order of its tasks") {
  const model<float> m({2, 2, 150, 140, 9, 2, 3, 60});
  CHECK(m.absorbed().data == m.absorbed(backwards{}).data);
  CHECK(m.expanded().data == m.expanded(backwards{}).data);
}

TEST_CASE("latent attention refuses shapes that do not fit, and writes nothing") {
  const sizes x{2, 3, 5, 9, 6, 4, 7, 5};
  const model<float> m(x);
  auto a = unwritten<float>({2, 3, 5, 11}), wrong = unwritten<float>({2, 3, 5, 10}),
       latent = unwritten<float>({2, 3, 5, 7}), out = unwritten<float>(m.out()),
       k = unwritten<float>({2, 3, 9, 10}), v = unwritten<float>({2, 3, 9, 5});
  using Catch::Matchers::ContainsSubstring;
  CHECK_THROWS_WITH(mla::absorb(m.q.in(), m.w_uk.in(), wrong.in()),
                    ContainsSubstring("heed::mla::absorb") && ContainsSubstring("[B,H,L,r+Dr]"));
  CHECK_THROWS_WITH(mla::absorb(m.q.in(), m.w_uv.in(), a.in()), ContainsSubstring("w_uk"));
  CHECK_THROWS_WITH(mla::absorb(m.q.in(), m.w_uk.in(), heed::view<float>(nullptr, a.extent)),
                    ContainsSubstring("absorbed must not be null"));
  CHECK_THROWS_WITH(mla::expand(latent.in(), m.w_uk.in(), out.in()), ContainsSubstring("[H,r,Dv]"));
  CHECK_THROWS_WITH(mla::expand_rows(m.rows.in(), m.w_uk.in(), m.w_uv.in(), k.in(), wrong.in()),
                    ContainsSubstring("heed::mla::expand_rows"));
  CHECK_THROWS_WITH(mla::expand_rows(m.q.in(), m.w_uk.in(), m.w_uv.in(), k.in(), v.in()),
                    ContainsSubstring("rows must be [B,1,N,r+Dr]"));
  CHECK_THROWS_WITH(mla::absorb_backward(m.q.in(), m.w_uk.in(), a.in(), {.dq = a.in()}),
                    ContainsSubstring("dq must have the extents"));
  for (const auto* t : {&a, &latent, &out, &k, &v})
    CHECK(std::all_of(t->data.begin(), t->data.end(), [](float f) { return std::isnan(f); }));
}
