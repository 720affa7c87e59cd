// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/delta.hpp>
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/kda.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

namespace {

/// The gradients by what a delta rule is given, in shapes that need one segment and several.
template <class Spec>
void check_lengths(const char* name, const Spec& of, const scan_gradients<double>& to,
                   const std::vector<owned*>& given, scan_shape x) {
  check_scan(name, of, to, given, x);
  auto spec = of;
  spec.chunk = 8;
  x.segment = 2;
  check_scan(name, spec, to, given, x);
}

}  // namespace

TEST_CASE("gradients of the delta rule") {
  for (const heed::index l : {1, 5, 17, 37, 70}) {
    owned beta = betas({2, 2, l, 1});
    check_lengths("delta", recurrences::delta(beta), {.d_beta = beta.to()}, {&beta}, {.l = l});
  }
}

TEST_CASE("gradients of the delta rule with one decay a token") {
  for (const heed::index l : {1, 5, 17, 37, 70}) {
    owned log = logs({2, 2, l, 1}), beta = betas({2, 2, l, 1});
    check_lengths("gated delta", recurrences::gated_delta(log, beta, 5),
                  {.d_log = log.to(), .d_beta = beta.to()}, {&log, &beta}, {.l = l, .dv = 19});
  }
}

TEST_CASE("gradients of the delta rule with one decay a channel") {
  for (const heed::index l : {1, 5, 17, 37, 70}) {
    owned log = logs({2, 2, l, 5}), beta = betas({2, 2, l, 1});
    check_lengths("kda", recurrences::kda(log, beta, 5), {.d_log = log.to(), .d_beta = beta.to()},
                  {&log, &beta}, {.l = l});
  }
}

TEST_CASE("gradients by a beta that all tokens share") {
  owned log = logs({1, 2, 1, 5}, 21, 0.1), beta = betas({1, 1, 1, 1});
  check_lengths("kda", recurrences::kda(log, beta, 5), {.d_log = log.to(), .d_beta = beta.to()},
                {&log, &beta}, {.l = 70});
}
