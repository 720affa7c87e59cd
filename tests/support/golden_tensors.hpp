// SPDX-License-Identifier: BSL-1.0
// Golden cases as tensors of tests.
#pragma once

#include "support/exact.hpp"
#include "support/golden.hpp"

namespace heed::test {

/// The cases `family/…` of tests/golden/<folder>; there must be some.
inline std::vector<golden_case> golden_family(const std::string& folder,
                                              const std::string& family) {
  std::vector<golden_case> some;
  for (golden_case& c : golden_cases(golden_folder(folder)))
    if (c.name.starts_with(family + "/")) some.push_back(std::move(c));
  REQUIRE(!some.empty());
  return some;
}

/// [B,H,L,D], whose absent leading axes are 1.
template <class T> tensor<T> tensor_of(const golden_tensor& x) {
  extents e{1, 1, 1, 1};
  std::copy(x.shape.rbegin(), x.shape.rend(), e.rbegin());
  tensor<T> t(e);
  std::transform(x.data.begin(), x.data.end(), t.data.begin(), [](double y) { return T(y); });
  return t;
}

/// Every number of `got` within `error` of those of the tensor `name`.
template <class T>
void check_golden(const golden_case& c, const std::string& name, const tensor<T>& got,
                  double error) {
  const golden_tensor& expected = c[name];
  REQUIRE(got.data.size() == expected.data.size());
  Eigen::VectorXd mine(Eigen::Index(got.data.size()));
  for (std::size_t i = 0; i < got.data.size(); ++i) mine(Eigen::Index(i)) = double(got.data[i]);
  check_close(mine, expected.vector(), error, c.name + "/" + name);
}

}  // namespace heed::test
