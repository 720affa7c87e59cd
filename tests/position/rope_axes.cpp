// SPDX-License-Identifier: BSL-1.0
#include <heed/position/rope_axes.hpp>
#include <heed/reference/position/rope_axes.hpp>
#include <heed/reference/position/rope_scaling.hpp>

#include "support/scores.hpp"

using namespace heed::test;
namespace reference = heed::reference::position;

namespace {

const std::vector<lengths>& shapes() {
  static const std::vector<lengths> all{
      {1, 1, 1, 1, 1, 14, 1}, {2, 4, 2, 7, 12, 15, 3}, {1, 2, 1, 30, 29, 96, 4}};
  return all;
}
// t, y, x of a token.
heed::index id(heed::index axis, heed::index b, heed::index row) {
  return axis == 0 ? row / 6 + 50 * b : axis == 1 ? row % 6 / 3 : row % 3 + 1;
}
std::vector<heed::index> sections(heed::index depth) { return {depth / 2 - 4, 3, 1}; }
std::vector<heed::index> ids(heed::index batch, heed::index rows) {
  std::vector<heed::index> all;
  for (heed::index b = 0; b < batch; ++b)
    for (heed::index axis = 0; axis < 3; ++axis)
      for (heed::index row = 0; row < rows; ++row) all.push_back(id(axis, b, row));
  return all;
}
heed::reference::matrix ids_of(heed::index b, heed::index rows) {
  heed::reference::matrix m(rows, 3);
  for (heed::index row = 0; row < rows; ++row)
    for (heed::index axis = 0; axis < 3; ++axis) m(row, axis) = double(id(axis, b, row));
  return m;
}
heed::reference::vector theta(const heed::rotation& r) {
  return Eigen::Map<const Eigen::VectorXd>(r.theta.data(), r.pairs());
}

template <class T, class Arch = heed::simd::best>
void agree_axes(heed::rope_pairs pairs, bool axial) {
  std::vector<heed::index> q_ids, k_ids;
  const auto rotation = [&](heed::index depth) {
    return axial ? heed::rotations::axial(sections(depth), 100)
                 : heed::rotations::plain(depth / 2 * 2, 100);
  };
  agree_by_head<T, Arch>(
      [&](const lengths& x) {
        q_ids = ids(x.b, x.lq), k_ids = ids(x.b, x.lk);
        const auto by = rotation(x.d);
        return heed::attention{
            .query = heed::rope_axes{by, sections(x.d), {q_ids.data(), {x.b, 3, x.lq, 1}}, pairs},
            .key = heed::rope_axes{by, sections(x.d), {k_ids.data(), {x.b, 3, x.lk, 1}}, pairs}};
      },
      [&](one_head head) {
        const auto how = pairs == heed::rope_pairs::neox ? reference::pairing::neox
                                                         : reference::pairing::interleaved;
        const auto t = theta(rotation(head.x.d));
        head.q = reference::rotate(
            head.q, reference::axis_angles(ids_of(head.b, head.x.lq), sections(head.x.d), t), how);
        head.k = reference::rotate(
            head.k, reference::axis_angles(ids_of(head.b, head.x.lk), sections(head.x.d), t), how);
        return head.attended(head.dot());
      },
      8, 16, shapes());
}

}  // namespace

TEST_CASE("sections of channels turn by the ids of their axis") {
  for (const bool axial : {false, true}) {
    agree_axes<float>(heed::rope_pairs::neox, axial);
    agree_axes<float>(heed::rope_pairs::interleaved, axial);
    agree_axes<double>(heed::rope_pairs::neox, axial);
    agree_axes<float, heed::simd::scalar>(heed::rope_pairs::neox, axial);
  }
}

TEST_CASE("axial frequencies begin anew in each section") {
  const auto r = heed::rotations::axial({3, 2}, 100);
  const auto first = reference::unscaled(6, 100), second = reference::unscaled(4, 100);
  heed::reference::vector both(5);
  both << first.theta, second.theta;
  CHECK((theta(r) - both).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("rows turn by a table of angles") {
  tensor<double> q_angles({0, 0, 0, 0});
  tensor<float> k_angles({0, 0, 0, 0});
  agree_by_head<float>(
      [&](const lengths& x) {
        q_angles = random<double>({x.b, 1, x.lq, x.d / 2 - 1}, 7, 30);
        k_angles = random<float>({1, x.kv, x.lk, x.d / 2 - 1}, 8, 3);
        return heed::attention{.query = heed::rope_angles{q_angles.in()},
                               .key = heed::rope_angles{k_angles.in()}};
      },
      [&](one_head head) {
        head.q = reference::rotate(head.q, q_angles.head(head.b, 0), reference::pairing::neox);
        head.k = reference::rotate(head.k, k_angles.head(0, head.h / head.x.group()),
                                   reference::pairing::neox);
        return head.attended(head.dot());
      },
      8, 16, shapes());
}

TEST_CASE("rope_axes refuses what does not fit") {
  const std::vector<heed::index> some(60);
  const auto by = heed::rotations::plain(6);
  check_refused(heed::attention{.query = heed::rope_axes{by, {1, 1}, {some.data(), {1, 2, 3, 1}}}},
                "the sections hold 2 pairs of 3");
  check_refused(heed::attention{.query = heed::rope_axes{by, {4, -1}, {some.data(), {1, 2, 3, 1}}}},
                "must not have -1 pairs");
  check_refused(heed::attention{.query = heed::rope_axes{by, {2, 1}, {some.data(), {1, 3, 3, 1}}}},
                "ids are [1, 3, 3, 1]");
  check_refused(
      heed::attention{
          .query = heed::rope_axes{heed::rotations::plain(8), {4}, {some.data(), {1, 1, 3, 1}}}},
      "do not fit in 6 channels");
  const auto angles = random<float>({1, 1, 3, 4}, 1);
  check_refused(heed::attention{.query = heed::rope_angles{angles.in()}},
                "the table is [1, 1, 3, 4] for 3 rows of 6 channels");
}
