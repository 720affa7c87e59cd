// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/delta.hpp>
#include <heed/recurrence/favor.hpp>
#include <heed/recurrence/feature/l2_norm.hpp>
#include <heed/recurrence/retention.hpp>
#include <heed/recurrence/taylor.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

TEST_CASE("gradients through features of each channel") {
  owned log = logs({1, 2, 1, 1}, 21, 0.2);
  check_scan("silu", recurrences::lightning(log), {.d_log = log.to()}, {&log});
}

TEST_CASE("gradients through keys and queries of length 1") {
  owned beta = betas({2, 2, 37, 1});
  check_scan("delta",
             recurrence{.feature = l2_norm_feature{}, .update = delta_update{beta}, .scale = 0.5},
             {.d_beta = beta.to()}, {&beta});
}

TEST_CASE("gradients through Taylor features") {
  for (const int order : {1, 2}) check_scan("taylor", recurrences::taylor(order, 0.1), {}, {});
}

TEST_CASE("gradients through random features, more and fewer than channels") {
  for (const heed::index features : {3, 12}) {
    const auto omega = random<double>({1, 1, features, 5}, 29);
    const std::vector<double> table(omega.data.begin(), omega.data.end());
    check_scan("favor", recurrences::favor(table, features, 0.1), {}, {}, {.step = 2e-5});
  }
}
