// SPDX-License-Identifier: BSL-1.0
// Heads that share q, k or v, packed sequences, and gradients summed over axes of extent 1.
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/kda.hpp>
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/ssd.hpp>

#include "support/scan_gradients.hpp"

using namespace heed;
using namespace heed::test;

namespace {

/// Heads of q, k and v; the state has the larger number of the last two.
struct heads_case {
  heed::index q, k, v;
};
constexpr heads_case every_sharing[] = {{1, 1, 4}, {4, 4, 1}, {4, 1, 1}, {2, 1, 4},
                                        {2, 4, 2}, {6, 3, 1}, {1, 1, 3}};

}  // namespace

TEST_CASE("gradients of shared heads, one decay a token") {
  for (const auto& h : every_sharing) {
    const scan_shape x{.hq = h.q, .hk = h.k, .hv = h.v};
    owned log = logs({2, x.heads(), x.l, 1});
    check_scan("ssd", recurrences::ssd(log), {.d_log = log.to()}, {&log}, x);
  }
}

TEST_CASE("gradients of shared heads, a rule that corrects, one decay a channel") {
  for (const auto& h : every_sharing) {
    const scan_shape x{.hq = h.q, .hk = h.k, .hv = h.v};
    owned log = logs({1, 1, x.l, 5}), beta = betas({1, x.heads(), x.l, 1});
    check_scan("kda", recurrences::kda(log, beta, 5), {.d_log = log.to(), .d_beta = beta.to()},
               {&log, &beta}, x);
  }
}

TEST_CASE("gradients of packed sequences") {
  const scan_shape x{.b = 1, .hq = 4, .l = 61, .cu = {0, 1, 1, 20, 61}};
  owned log = logs({1, 2, 61, 1}), gain(random<double>({1, 2, 61, 1}, 28));
  owned each = logs({1, 2, 1, 5}, 21, 0.2);
  auto sharp = x;
  sharp.step = 2e-5;
  check_scan("mlstm", recurrences::mlstm(log, gain, 5), {.d_log = log.to(), .d_gain = gain.to()},
             {&log, &gain}, sharp);
  check_scan("gla", recurrences::gla(each, 5), {.d_log = each.to()}, {&each}, x);
}

TEST_CASE("gradients of nothing at all") {
  owned log = logs({2, 2, 0, 1}), all = logs({1, 2, 1, 1});
  check_scan("no tokens", recurrences::ssd(log), {.d_log = log.to()}, {}, {.l = 0});
  check_scan("no tokens", recurrences::ssd(all), {.d_log = all.to()}, {&all}, {.l = 0});
  CHECK(all.gradient.data == std::vector<double>{0, 0});
  owned one = logs({1, 1, 9, 1});
  check_scan("no value channels", recurrences::ssd(one), {.d_log = one.to()}, {},
             {.l = 9, .dv = 0});
}
