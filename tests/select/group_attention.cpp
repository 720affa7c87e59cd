// SPDX-License-Identifier: BSL-1.0
#include <heed/eigen.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <heed/reference/select/group_attention.hpp>
#include <heed/select/group_attention.hpp>

#include "support/differences.hpp"
#include "support/lists.hpp"

using namespace heed::test;
using heed::group_attention;
namespace oracle = heed::reference::select;

namespace {

struct group_shape {
  heed::index b, h, kv, lq, lk, d, dv, count, rounds;
};
const std::vector<group_shape> shapes{
    {1, 1, 1, 1, 1, 1, 1, 1, 2},    {2, 4, 2, 7, 13, 5, 3, 4, 0},   {1, 2, 2, 25, 61, 8, 7, 9, 1},
    {1, 2, 1, 50, 40, 17, 5, 6, 3}, {1, 1, 1, 9, 20, 33, 4, 40, 2}, {1, 1, 1, 3, 0, 4, 4, 2, 2},
    {2, 1, 1, 5, 200, 5, 3, 3, 0},  {1, 1, 1, 5, 333, 7, 3, 4, 2}};

template <class T>
heed::reference::indices labels(const heed::grouped_keys<T>& groups, heed::index b, heed::index h,
                                heed::index keys) {
  heed::reference::indices of;
  for (heed::index j = 0; j < keys; ++j) of.push_back(groups.group_of(b, h, j));
  return of;
}

template <class T> void agree_groups() {
  for (const group_shape& s : shapes) {
    const auto q = random<T>({s.b, s.h, s.lq, s.d}, 1), k = random<T>({s.b, s.kv, s.lk, s.d}, 2),
               v = random<T>({s.b, s.kv, s.lk, s.dv}, 3);
    auto out = unwritten<T>({s.b, s.h, s.lq, s.dv});
    auto groups = group_keys(group_attention{s.count, s.rounds}, k.in(), backwards{});
    groups.take_values(v.in(), backwards{});
    attend(groups.attention(s.h), q.in(), groups.keys(), groups.values(), out.in());
    const heed::index count = std::min(s.count, s.lk);
    for (heed::index b = 0; b < s.b; ++b)
      for (heed::index h = 0; h < s.h; ++h) {
        const heed::index kv = h / (s.h / s.kv);
        const auto of = labels(groups, b, kv, s.lk);
        CHECK(of == oracle::key_groups(k.head(b, kv), count, s.rounds, 0,
                                       group_attention{s.count}.step(s.lk)));
        check_close(out.head(b, h),
                    oracle::group_attention(q.head(b, h), k.head(b, kv), v.head(b, kv), of, count),
                    tolerance<T>(16, std::max(s.lk, s.d)));
      }
  }
}

}  // namespace

TEST_CASE("groups of keys stand for their keys") {
  agree_groups<double>();
  agree_groups<float>();
}

TEST_CASE("a group a key is dense attention") {
  const auto q = random<float>({1, 2, 11, 6}, 1), k = random<float>({1, 2, 23, 6}, 2);
  auto out = unwritten<float>(q.extent), dense = out;
  auto groups = group_keys(group_attention{.count = 23}, k.in());
  groups.take_values(k.in());
  attend(groups.attention(2), q.in(), groups.keys(), groups.values(), out.in());
  attend(heed::attention{}, q.in(), k.in(), k.in(), dense.in());
  for (heed::index h = 0; h < 2; ++h)
    check_close(out.head(0, h), dense.head(0, h), tolerance<float>(8, 23));
  CHECK(groups.radius(0, 1) == 0);
}

TEST_CASE("weights stay within the bound of the radius") {
  const auto q = random<double>({1, 1, 30, 4}, 1), k = random<double>({1, 1, 300, 4}, 2, 0.5);
  double norm = 0;
  for (heed::index i = 0; i < 30; ++i) norm = std::max(norm, q.head(0, 0).row(i).norm());
  for (const double ratio : {4.0, 16.0, 64.0}) {
    const double radius = heed::allowed_radius(ratio, norm, 0.5);
    const auto groups = group_keys(group_attention{.count = 300, .radius = radius}, k.in());
    CHECK(groups.radius(0, 0) <= radius);
    CHECK(heed::weight_ratio(groups.radius(0, 0), norm, 0.5) <= ratio);
    CHECK(groups.members(0, 0, 299) == 0);  // fewer groups than keys
    CHECK(oracle::key_groups(k.head(0, 0), 300, 0, radius / 2) == labels(groups, 0, 0, 300));
    const heed::reference::allowed all = heed::reference::allowed::Constant(30, 300, true);
    const auto of = labels(groups, 0, 0, 300);
    const Eigen::MatrixXd means = oracle::group_means(k.head(0, 0), of, 300);
    Eigen::MatrixXd near(300, 4);
    for (heed::index j = 0; j < 300; ++j) near.row(j) = means.row(groups.group_of(0, 0, j));
    const Eigen::ArrayXXd exact = heed::reference::normalizer::softmax(
                              q.head(0, 0) * k.head(0, 0).transpose() / 2, all),
                          grouped = heed::reference::normalizer::softmax(
                              q.head(0, 0) * near.transpose() / 2, all);
    CHECK((grouped / exact).maxCoeff() <= ratio);
    CHECK((exact / grouped).maxCoeff() <= ratio);
  }
}

TEST_CASE("equal keys make one group, and empty groups have no weight") {
  const auto k = tensor<float>({1, 1, 5, 3}, 2), v = random<float>({1, 1, 5, 2}, 1);
  auto groups = group_keys(group_attention{.count = 4}, k.in());
  groups.take_values(v.in());
  CHECK(groups.members(0, 0, 0) == 5);
  CHECK(groups.members(0, 0, 1) == 0);
  auto out = unwritten<float>({1, 1, 5, 2});
  attend(groups.attention(1), k.in(), groups.keys(), groups.values(), out.in());
  const Eigen::MatrixXd mean = v.head(0, 0).colwise().mean().replicate(5, 1);
  check_close(out.head(0, 0), mean, tolerance<float>(4, 5));
}

TEST_CASE("gradients of groups go to their keys") {
  auto q = random<double>({1, 2, 5, 3}, 1), k = random<double>({1, 1, 9, 3}, 2),
       v = random<double>({1, 1, 9, 2}, 3);
  const auto a = random<double>({1, 2, 5, 2}, 4);
  const group_attention spec{.count = 3};
  const auto loss = [&] {
    auto groups = group_keys(spec, k.in());
    groups.take_values(v.in());
    auto out = unwritten<double>(a.extent);
    attend(groups.attention(2), q.in(), groups.keys(), groups.values(), out.in());
    double sum = 0;
    for (std::size_t i = 0; i < a.data.size(); ++i) sum += out.data[i] * a.data[i];
    return sum;
  };
  auto groups = group_keys(spec, k.in());
  groups.take_values(v.in());
  auto dq = unwritten<double>(q.extent), dk = unwritten<double>(k.extent),
       dv = unwritten<double>(v.extent), dr = unwritten<double>({1, 1, 3, 3}),
       du = unwritten<double>({1, 1, 3, 2});
  attend_backward(groups.attention(2), q.in(), groups.keys(), groups.values(), {}, a.in(),
                  {.dq = dq.in(), .dk = dr.in(), .dv = du.in()});
  groups.spread(dr.in(), dk.in());
  groups.spread(du.in(), dv.in());
  check_gradient(dq.data, differences(q.data, loss), "dq");
  check_gradient(dk.data, differences(k.data, loss), "dk");
  check_gradient(dv.data, differences(v.data, loss), "dv");
}

TEST_CASE("groups that do not fit are refused") {
  const auto k = random<Eigen::half>({1, 1, 5, 3}, 1);
  CHECK_THROWS_WITH(group_keys(group_attention{0}, k.in()), Catch::Contains("count"));
  CHECK_THROWS_WITH(group_keys(group_attention{1, -1}, k.in()), Catch::Contains("rounds"));
  CHECK_THROWS_WITH(group_keys(group_attention{.sample = 0}, k.in()), Catch::Contains("sample"));
  auto groups = group_keys(group_attention{2}, k.in());
  CHECK_THROWS_WITH(groups.take_values(k.in().slice_rows(0, 4)), Catch::Contains("v must have"));
  auto dx = unwritten<float>({1, 1, 5, 2});
  CHECK_THROWS_WITH(groups.spread(groups.keys(), dx.in()), Catch::Contains("channels"));
  CHECK_THROWS_WITH(groups.spread(k.in(), dx.in()), Catch::Contains("dx must have"));
  CHECK(std::isnan(dx.data[0]));
  const heed::view<const Eigen::half> absent(nullptr, k.extent);
  CHECK_THROWS_WITH(group_keys(group_attention{2}, absent), Catch::Contains("must not be null"));
  CHECK_THROWS_WITH(groups.take_values(absent), Catch::Contains("must not be null"));
}

TEST_CASE("more groups than any number of keys are a group a key") {
  const auto k = random<float>({1, 1, 9, 4}, 1);
  for (const heed::index count : {heed::index(1) << 59, std::numeric_limits<heed::index>::max()}) {
    const auto groups = group_keys(group_attention{.count = count}, k.in());
    for (heed::index g = 0; g < 9; ++g) CHECK(groups.members(0, 0, g) == 1);
  }
}
