// SPDX-License-Identifier: BSL-1.0
// Contextual positions: panels of scores against the reference, calls against the oracle, NumPy and
// differences.
#include <heed/attention/attend_source.hpp>
#include <heed/kv/tensors.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/query_axis.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/normalizer/query_axis.hpp>
#include <heed/reference/score/contextual.hpp>
#include <heed/score/contextual.hpp>
#include <heed/score/softcap.hpp>

#include "support/executors.hpp"
#include "support/golden_tensors.hpp"
#include "support/gradients.hpp"

using namespace heed::test;
using Catch::Matchers::ContainsSubstring;
namespace reference = heed::reference;
namespace simd = heed::simd;

namespace {

struct sizes {
  heed::index heads, rows, keys, d, places;
  bool shared;
};
// Rows around vectors, a table of one place, places that all rows reach and that none does.
const std::vector<sizes>& all_sizes() {
  static const std::vector<sizes> all{{1, 1, 1, 1, 1, true},     {2, 3, 9, 3, 3, false},
                                      {1, 17, 60, 8, 5, true},   {2, 20, 33, 19, 40, false},
                                      {1, 40, 300, 16, 9, true}, {3, 5, 0, 4, 3, true}};
  return all;
}

// Panels as the driver has them; lane r sees keys up to r + keys - rows, but not every fifth.
template <class T, class Arch> struct block {
  static constexpr heed::index W = simd::width<T, Arch>;
  sizes x;
  heed::index pitch;
  reference::allowed seen;
  tensor<T> scores, q, table;

  explicit block(const sizes& n)
      : x(n),
        pitch((n.rows + W - 1) / W * W),
        seen(n.rows, n.keys),
        scores(random<T>({1, n.heads, n.keys, pitch + W}, 1, 2)),
        q(random<T>({1, n.heads, n.d, pitch}, 2)),
        table(random<T>({1, n.shared ? 1 : n.heads, n.places, n.d}, 3)) {
    for (heed::index r = 0; r < pitch; ++r)
      for (heed::index j = 0; j < n.keys; ++j) {
        const bool yes = j <= r + n.keys - n.rows && j % 5 != 1;
        if (r < n.rows) seen(r, j) = yes;
        if (r >= n.rows || !yes)
          for (heed::index h = 0; h < n.heads; ++h) scores(0, h, j, r) = heed::masked<T>;
      }
  }
  // Three vectors of lanes at a time: f(head, first lane, panel, queries).
  template <class F> void each_panel(std::vector<T>& s, const F& f) const {
    const heed::index wide = scores.extent[3];
    for (heed::index h = 0; h < x.heads; ++h)
      for (heed::index lane = 0; lane < x.rows; lane += 3 * W) {
        heed::row_scores<T> y{.s = s.data() + h * x.keys * wide + lane,
                              .heads = 1,
                              .keys = x.keys,
                              .rows = std::min(x.rows - lane, 3 * W),
                              .pitch = wide};
        y.h = h;
        const heed::index lanes = (y.rows + W - 1) / W * W;
        std::vector<T> some;
        for (heed::index c = 0; c < x.d; ++c)
          for (heed::index r = 0; r < lanes; ++r) some.push_back(q.in()(0, h, c, lane + r));
        f(h, lane, y, heed::row_queries<T>{some.data(), lanes, T(0.5)});
      }
  }
  heed::contextual policy() const { return {table.in()}; }
  std::vector<T> scratch() const {
    return std::vector<T>(static_cast<std::size_t>(policy().scratch(3 * W, x.keys)),
                          std::numeric_limits<T>::quiet_NaN());
  }
  tensor<T> modified() const {
    tensor<T> s = scores;
    auto memory = scratch();
    each_panel(s.data, [&](heed::index, heed::index, const auto& y, const auto& queries) {
      policy().template modify_rows<Arch>(y, queries, memory.data());
    });
    return s;
  }
};

// A mixer of heads that mixes nothing: all heads of a row are one block.
struct unmixed {
  using mixes_heads = void;
  heed::index rows_before() const { return 0; }
  heed::index scratch(heed::index, heed::index) const { return 0; }
  template <class Arch, class T> void before(const heed::row_scores<T>& x, T* to, T*) const {
    std::copy_n(x.s, x.heads * x.head_pitch, to);
  }
  template <class Arch, class T> void after(const heed::row_scores<T>& x, T* to, T*) const {
    std::copy_n(x.s, x.heads * x.head_pitch, to);
  }
  template <class Arch, class T>
  void after_backward(const heed::row_scores<T>& x, const T* d, T* to, T*, heed::none,
                      double*) const {
    std::copy_n(d, x.heads * x.head_pitch, to);
  }
  template <class Arch, class T>
  void before_backward(const heed::row_scores<T>& x, const T* d, T* to, T*, heed::none,
                       double*) const {
    std::copy_n(d, x.heads * x.head_pitch, to);
  }
};

template <class T, class Arch> void agree() {
  for (const sizes& n : all_sizes()) {
    const block<T, Arch> b(n);
    const auto got = b.modified();
    for (heed::index h = 0; h < n.heads; ++h) {
      const Eigen::MatrixXd want =
          reference::score::contextual(b.scores.head(0, h).transpose().topRows(n.rows),
                                       0.5 * b.q.head(0, h).transpose().topRows(n.rows),
                                       b.table.head(0, n.shared ? 0 : h), b.seen);
      // A place is a sum of gates, and what follows from it is as steep as the table.
      const double allowed = tolerance<T>(16, n.places * n.places + n.d, 4);
      Eigen::MatrixXd mine = got.head(0, h).transpose().topRows(n.rows), shown = want;
      for (heed::index r = 0; r < n.rows; ++r)
        for (heed::index j = 0; j < n.keys; ++j)
          if (!b.seen(r, j)) {
            CHECK(mine(r, j) == double(heed::masked<T>));
            mine(r, j) = shown(r, j) = 0;
          }
      check_close(mine, shown, allowed, std::to_string(n.keys) + " keys");
    }
  }
}

}  // namespace

TEST_CASE("contextual positions are the definition") {
  agree<double, simd::best>();
  agree<float, simd::best>();
  agree<float, simd::scalar>();
}

TEST_CASE("contextual attention is what the oracle gives") {
  for (const auto& [lq, lk] : {std::pair{1, 1}, {7, 5}, {33, 70}, {200, 300}, {3, 0}}) {
    const auto agree = [&, rows = lq, keys = lk]<class T>(T, const auto& spec_of) {
      const auto q = random<T>({2, 4, rows, 8}, 1), k = random<T>({2, 2, keys, 8}, 2),
                 v = random<T>({2, 2, keys, 6}, 3), table = random<T>({1, 4, 20, 8}, 4);
      const auto spec = spec_of(heed::contextual{table.in()});
      auto out = unwritten<T>({2, 4, rows, 6}), want = out, again = out,
           lse = unwritten<T>({2, 4, rows, 1}), want_lse = lse;
      attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
      attend(spec, q.in(), k.in(), v.in(), again.in(), backwards{});
      auto cached = out;
      const heed::operand keys_in = k.in(), values_in = v.in();
      attend(spec, q.in(), heed::kv_tensors{keys_in, values_in}, cached.in());
      CHECK(cached.data == out.data);
      reference::attend(spec, q.in(), k.in(), v.in(), {.out = want.in(), .lse = want_lse.in()});
      CHECK(out.data == again.data);
      for (heed::index b = 0; b < 2; ++b)
        for (heed::index h = 0; h < 4; ++h) {
          check_close(out.head(b, h), want.head(b, h), tolerance<T>(32, 20 * 20, 8));
          check_close(lse.head(b, h), want_lse.head(b, h), tolerance<T>(32, 20 * 20, 8));
        }
    };
    const auto causal = [](const auto& f) {
      return heed::attention{.mask = heed::causal{}, .score = f};
    };
    agree(double{}, causal);
    agree(float{}, causal);
    agree(double{}, [](const auto& f) {
      return heed::attention{.score = heed::softcap{3} | f, .scale = 0.7};
    });
  }
}

TEST_CASE("gradients of contextual attention are those of differences") {
  for (const bool shared : {true, false}) {
    learned table(heed::extents{1, shared ? 1 : 4, 6, 9});
    const heed::contextual f{table.table()};
    check_gradients("causal", heed::attention{.mask = heed::causal{}, .score = f},
                    {.score = {table.to()}}, {&table}, {}, curve::kinked);
    check_gradients("softcap", heed::attention{.score = heed::softcap{2} | f},
                    {.score = {{}, {table.to()}}}, {&table}, {}, curve::kinked);
  }
}

TEST_CASE("contextual positions of all heads and of all queries in one block") {
  learned table(heed::extents{1, 4, 6, 9});
  const heed::contextual f{table.table()};
  check_gradients("heads in one block",
                  heed::attention{.mask = heed::causal{}, .score = f, .weights = unmixed{}},
                  {.score = {table.to()}}, {&table}, {}, curve::kinked);
  const backward_shape many{.b = 1, .h = 2, .kv = 2, .lq = 3 * 3 * 16 + 5, .lk = 20};
  learned shared(heed::extents{1, 1, 6, 9});
  const heed::attention slots{.score = heed::contextual{shared.table()},
                              .normalizer = heed::query_axis{}};
  check_gradients("queries in one block", slots, {.score = {shared.to()}}, {&shared}, many,
                  curve::kinked);
  const auto q = random<double>(many.q(), 1), k = random<double>(many.k(), 2),
             v = random<double>(many.v(), 3);
  auto out = unwritten<double>(many.out());
  attend(slots, q.in(), k.in(), v.in(), out.in());
  for (heed::index h = 0; h < 2; ++h) {
    const reference::allowed all = reference::allowed::Constant(many.lq, many.lk, true);
    const Eigen::MatrixXd s = q.head(0, h) * k.head(0, h).transpose() / 3,
                          placed = reference::score::contextual(s, q.head(0, h),
                                                                shared.value.head(0, 0), all),
                          p = reference::normalizer::query_axis(placed, all,
                                                                heed::query_axis{}.epsilon);
    check_close(out.head(0, h), p * v.head(0, h), 1e-12);
  }
}

TEST_CASE("contextual attention is what NumPy gives") {
  const auto check = []<class T>(const golden_case& c, T) {
    const auto of = [&](const char* name) { return tensor_of<T>(c[name]); };
    const auto q = of("q"), k = of("k"), v = of("v"), e = of("e"), g = of("d_out");
    tensor<T> out(g.extent), dq(q.extent), dk(k.extent), dv(v.extent), de(e.extent);
    const heed::attention spec{.mask = heed::causal{}, .score = heed::contextual{e.in()}};
    attend(spec, q.in(), k.in(), v.in(), out.in());
    attend_backward(spec, q.in(), k.in(), v.in(), {}, g.in(),
                    {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = {.score = {de.in()}}});
    for (const auto& [name, x] :
         {std::pair{"out", &out}, {"dq", &dq}, {"dk", &dk}, {"dv", &dv}, {"de", &de}})
      check_golden(c, name, *x, std::max(1e-8, tolerance<T>(32, 16, 8)));
  };
  for (const golden_case& c : golden_family("streams", "contextual"))
    check(c, double{}), check(c, float{});
}

TEST_CASE("hidden keys and blind queries do not count, nor leak") {
  auto q = random<double>({1, 1, 5, 3}, 1), k = random<double>({1, 1, 4, 3}, 2),
       v = random<double>({1, 1, 4, 2}, 3);
  const auto table = random<double>({1, 1, 3, 3}, 4), g = random<double>({1, 1, 5, 2}, 5);
  const heed::attention spec{.mask = heed::causal{}, .score = heed::contextual{table.in()}};
  auto out = unwritten<double>(g.extent), hurt = out, de = unwritten<double>(table.extent),
       de_hurt = de, dq = unwritten<double>(q.extent);
  const auto call = [&](auto& to, auto& d) {
    attend(spec, q.in(), k.in(), v.in(), to.in());
    auto by = g;
    by(0, 0, 4, 0) = by(0, 0, 4, 1) = 0;
    attend_backward(spec, q.in(), k.in(), v.in(), {}, by.in(),
                    {.dq = dq.in(), .spec = {.score = {d.in()}}});
  };
  call(out, de);
  // The first query sees nothing, only the last one the last key.
  for (heed::index c = 0; c < 3; ++c) q(0, 0, 0, c) = std::nan("");
  call(hurt, de_hurt);
  CHECK(out.data == hurt.data);
  CHECK(de.data == de_hurt.data);
  CHECK(hurt.head(0, 0).row(0).isZero(0));
  for (heed::index c = 0; c < 3; ++c) k(0, 0, 3, c) = std::nan("");
  attend(spec, q.in(), k.in(), v.in(), hurt.in());
  CHECK(hurt.head(0, 0).topRows(4) == out.head(0, 0).topRows(4));
  CHECK(std::isnan(hurt(0, 0, 4, 0)));
}

TEST_CASE("tables of contextual positions must fit") {
  const auto table = random<float>({1, 2, 4, 3}, 1);
  const heed::problem_shape shape{.batch = 1, .heads = 4, .depth = 3};
  CHECK_THROWS_WITH(heed::contextual{table.in()}.check(shape), ContainsSubstring("the table is"));
  auto wrong = table.in();
  wrong.extent[1] = 1, wrong.extent[3] = 2;
  CHECK_THROWS_WITH(heed::contextual{wrong}.check(shape), ContainsSubstring("p_max+1,3"));
  auto to = random<float>({1, 1, 4, 3}, 1);
  CHECK_THROWS_WITH(heed::contextual{table.in()}.check({.table = to.in()}),
                    ContainsSubstring("the gradient is"));
  const auto q = random<float>({1, 2, 5, 3}, 1);
  auto out = unwritten<float>(q.extent);
  const heed::attention flat{.score = heed::contextual{table.in()}, .scale = 0};
  CHECK_THROWS_WITH(attend(flat, q.in(), q.in(), q.in(), out.in()),
                    ContainsSubstring("needs a scale"));
  CHECK(std::isnan(out.data[0]));
}
