// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <vector>

/// The references: each operator once more, naive and in double, straight from its paper.
///
/// They work on one head of one batch item: q [Lq×D], k [Lk×D], v [Lk×Dv], scores and weights
/// [Lq×Lk], rows are queries or keys and columns are channels. They share no code with the engines.
namespace heed::reference {

using index = std::ptrdiff_t;
using matrix = Eigen::MatrixXd;
using vector = Eigen::VectorXd;
using indices = std::vector<index>;

/// allowed(r, j): query row r may attend key j.
using allowed = Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic>;

}  // namespace heed::reference
