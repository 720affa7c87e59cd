// SPDX-License-Identifier: BSL-1.0
// attend_backward against its reference: awkward shapes, random strides and element types, within
// what the roundings of the engine explain.
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sink_softmax.hpp>

#include "fuzz/backward.hpp"

using heed::causal;
using heed::full;
using heed::none;

namespace {

struct shape {
  heed::index b, h, kv, lq, lk, d, dv;
};

template <class Mask, class Normalizer = heed::softmax, class Score = none>
void check(const shape& x, heed::fuzz::tally& seen) {
  using spec = heed::attention<Mask, heed::dot, Score, Normalizer>;
  static heed::fuzz::engine random(20240229);
  static heed::workspace scratch;
  heed::fuzz::call c(random);
  c.batch = x.b;
  c.shape = {.batch = x.b,
             .heads = x.h,
             .kv_heads = x.kv,
             .queries = x.lq,
             .keys = x.lk,
             .depth = x.d,
             .value_depth = x.dv,
             .offset = x.lk - x.lq};
  INFO("L " << x.lq << " x " << x.lk << ", D " << x.d << ", Dv " << x.dv);
  heed::fuzz::check_backward<spec>(c, scratch, seen);
}
void check_all(const shape& x, heed::fuzz::tally& seen) {
  check<full>(x, seen);
  check<causal>(x, seen);
  check<causal, heed::sink_softmax, heed::softcap>(x, seen);
}
// All but a few rows were compared, and errors are not far below what is allowed.
void conclude(const heed::fuzz::tally& seen) {
  CHECK(seen.skipped == 0);
  CHECK(seen.worst > 0.03);
}

}  // namespace

TEST_CASE("gradients of shapes of one, primes and tails, shared heads") {
  heed::fuzz::tally seen;
  for (const shape& x :
       {shape{1, 1, 1, 1, 1, 1, 1}, shape{1, 1, 1, 1, 2, 16, 16}, shape{2, 3, 3, 5, 7, 11, 13},
        shape{1, 2, 1, 17, 19, 8, 8}, shape{1, 1, 1, 47, 24, 16, 16},
        shape{1, 1, 1, 48, 24, 16, 16}, shape{1, 1, 1, 49, 24, 16, 16},
        shape{2, 8, 2, 31, 37, 20, 24}, shape{1, 6, 1, 49, 97, 12, 7},
        shape{3, 4, 4, 97, 61, 5, 12}, shape{1, 1, 1, 40, 95, 16, 16},
        shape{1, 1, 1, 40, 96, 16, 16}, shape{1, 1, 1, 40, 97, 16, 16},
        shape{1, 2, 2, 3, 1021, 8, 5}, shape{1, 24, 1, 1, 130, 6, 4}, shape{1, 40, 2, 2, 67, 5, 3},
        shape{1, 1, 1, 211, 139, 5, 3}, shape{1, 1, 1, 53, 3, 7, 9}, shape{1, 1, 1, 300, 1, 4, 4}})
    check_all(x, seen);
  conclude(seen);
}

TEST_CASE("gradients without keys, queries, heads or a batch") {
  heed::fuzz::tally seen;
  for (const shape& x :
       {shape{0, 2, 2, 3, 4, 5, 6}, shape{2, 0, 2, 3, 4, 5, 6}, shape{2, 2, 2, 0, 4, 5, 6},
        shape{2, 2, 2, 3, 0, 5, 6}, shape{2, 2, 2, 3, 4, 5, 0}, shape{0, 0, 0, 0, 0, 1, 0}})
    check<full>(x, seen), check<causal>(x, seen);
}

TEST_CASE("gradients at every depth") {
  heed::fuzz::tally seen;
  for (heed::index d = 1; d <= 300; d += d < 40 ? 1 : 13) {
    check<full>({1, 2, 1, 7, 11, d, 1 + d * 7 % 31}, seen);
    check<causal>({1, 2, 2, 9, 8, 1 + d * 11 % 29, d}, seen);
  }
  conclude(seen);
}

TEST_CASE("gradients of random strides and types") {
  heed::fuzz::tally seen;
  for (int repeat = 0; repeat < 60; ++repeat) check_all({2, 4, 2, 13, 17, 9, 6}, seen);
  conclude(seen);
}
