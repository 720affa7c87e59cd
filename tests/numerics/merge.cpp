// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/numerics/merge.hpp>
#include <heed/reference/numerics/merge.hpp>
#include <thread>

#include "support/exact.hpp"
#include "support/executors.hpp"

using namespace heed;
using namespace heed::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEMPLATE_TEST_CASE("merging attention over pieces of the keys is attention over all", "", float,
                   double) {
  using T = TestType;
  const auto q = test::random<T>({2, 3, 9, 8}, 1), k = test::random<T>({2, 3, 40, 8}, 2),
             v = test::random<T>({2, 3, 40, 5}, 3);
  const extents out{2, 3, 9, 5}, row{2, 3, 9, 1};
  auto whole = unwritten<T>(out), lse = unwritten<T>(row), merged = whole, merged_lse = lse,
       again = whole;
  attend(attention{}, q.in(), k.in(), v.in(), {.out = whole.in(), .lse = lse.in()});
  std::vector<tensor<T>> o, l;
  std::vector<part> parts;
  const heed::index cut[] = {0, 13, 13, 39, 40};
  for (std::size_t i = 0; i < 4; ++i)
    o.push_back(unwritten<T>(out)), l.push_back(unwritten<T>(row));
  for (std::size_t i = 0; i < 4; ++i) {
    attend(attention{}, q.in(), k.in().slice_rows(cut[i], cut[i + 1] - cut[i]),
           v.in().slice_rows(cut[i], cut[i + 1] - cut[i]), {.out = o[i].in(), .lse = l[i].in()});
    parts.push_back({view<const T>(o[i].in()), view<const T>(l[i].in())});
  }
  heed::merge(parts, {.out = merged.in(), .lse = merged_lse.in()});
  for (heed::index b = 0; b < 2; ++b)
    for (heed::index h = 0; h < 3; ++h) {
      check_close(merged.head(b, h), whole.head(b, h), tolerance<T>(8, 8, 4));
      check_close(merged_lse.head(b, h), lse.head(b, h), tolerance<T>(8, 8, 4));
    }
  heed::merge(parts, {.out = again.in()}, backwards{});
  CHECK(again.data == merged.data);
}

TEST_CASE("merge agrees with its reference for any mix of empty parts, types and strides") {
  constexpr heed::index L = 70, D = 600;
  auto o1 = test::random<float>({1, 1, L, D}, 1), l1 = test::random<float>({1, 1, L, 1}, 2, 50);
  auto o2 = test::random<double>({1, 1, L, D}, 3), l2 = test::random<double>({1, 1, L, 1}, 4, 50);
  for (heed::index i = 0; i < L; ++i) {
    // An empty part is not read.
    if (i % 3 == 0)
      l1(0, 0, i) = -std::numeric_limits<float>::infinity(),
               o1(0, 0, i, 2) = std::numeric_limits<float>::quiet_NaN();
    if (i % 5 == 0) l2(0, 0, i) = -infinity, o2(0, 0, i, 1) = infinity;
  }
  using heed::reference::numerics::merge;
  const auto expected = merge({{o1.head(0, 0), l1.head(0, 0)}, {o2.head(0, 0), l2.head(0, 0)}});
  // Channels outermost in memory.
  auto out = unwritten<double>({1, 1, D, L}), lse = unwritten<double>({1, 1, L, 1});
  const view<double> turned(out.data.data(), {1, 1, L, D}, {L * D, L * D, 1, L});
  heed::merge({{o1.in(), l1.in()}, {o2.in(), l2.in()}}, {.out = turned, .lse = lse.in()});
  check_close(Eigen::MatrixXd(out.head(0, 0).transpose()), expected.o, 1e-12);
  check_close(lse.head(0, 0), Eigen::MatrixXd(expected.lse), 1e-12);
  CHECK(lse(0, 0, 0) == -infinity);
  CHECK(turned(0, 0, 0, 7) == 0);
}

TEST_CASE("merge may write over a part; no parts give zeros") {
  auto o1 = test::random<float>({1, 2, 3, 4}, 1), l1 = test::random<float>({1, 2, 3, 1}, 2);
  const auto o2 = test::random<float>({1, 2, 3, 4}, 3), l2 = test::random<float>({1, 2, 3, 1}, 4);
  auto out = unwritten<float>({1, 2, 3, 4}), lse = unwritten<float>({1, 2, 3, 1});
  heed::merge({{o1.in(), l1.in()}, {o2.in(), l2.in()}}, {.out = out.in(), .lse = lse.in()});
  heed::merge({{o1.in(), l1.in()}, {o2.in(), l2.in()}}, {.out = o1.in(), .lse = l1.in()});
  CHECK(o1.data == out.data);
  CHECK(l1.data == lse.data);
  heed::merge({}, {.out = out.in(), .lse = lse.in()});
  CHECK(out(0, 1, 2, 3) == 0);
  CHECK(lse(0, 1, 2) == -std::numeric_limits<float>::infinity());
}

TEST_CASE("merge refuses shapes that do not fit") {
  auto o = unwritten<float>({1, 2, 3, 4}), l = unwritten<float>({1, 2, 3, 1}),
       wrong = unwritten<float>({1, 2, 2, 4});
  CHECK_THROWS_WITH(heed::merge({{wrong.in(), l.in()}}, {.out = o.in()}),
                    Catch::Matchers::ContainsSubstring("extents of out"));
  CHECK_THROWS_AS(heed::merge({{o.in(), wrong.in()}}, {.out = o.in()}), std::invalid_argument);
  CHECK_THROWS_AS(heed::merge({{o.in(), l.in()}}, {.out = o.in(), .lse = wrong.in()}),
                  std::invalid_argument);
  CHECK_THROWS_AS(heed::merge({{operand{}, operand{}}}, {.out = o.in()}), std::invalid_argument);
}
