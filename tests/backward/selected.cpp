// SPDX-License-Identifier: BSL-1.0
// Gradients through lists of blocks: against differences, and against the generic loop, which is
// given the same mask without its lists.
#include <heed/mask/any_mask.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/where.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/plan/selected.hpp>
#include <heed/position/rope.hpp>
#include <heed/score/alibi.hpp>

#include "support/backward_call.hpp"
#include "support/block_lists.hpp"

namespace heed::test {

namespace {

const std::vector<listing>& listings() {
  static const std::vector<listing> all = {
      {1, 1, 1, 64, 64}, {2, 4, 1, 40, 17}, {2, 2, 2, 1, 16}, {1, 2, 2, 3, 150}, {1, 4, 1, 1, 1}};
  return all;
}

// make(mask) gives a specification.
template <class T, class M, class Make> void check(const M& inside, const Make& make) {
  for (const listing& x : listings())
    for (const index percent : {20, 100}) {
      const backward_shape shape{.lq = 70, .lk = 171, .d = 17, .dv = 20};
      const auto made = random_lists(x, shape.lq, shape.lk, percent, 3);
      const selected mask{made.lists(), inside};
      static_assert(detail::turned_backward<T, simd::best, decltype(make(mask))>::possible);
      CAPTURE(x.rows, x.keys, x.heads, percent);
      backward_call<T> got(shape), want(shape);
      want.run(make(any_mask(mask)));
      got.run(make(mask));
      check_same(got, want, sizeof(T) == 4 ? 2e-5 : 1e-12);
      backward_call<T> threads(shape);
      threads.run(make(mask), shuffled{});
      CHECK(threads.dq.data == got.dq.data);
      CHECK(threads.dk.data == got.dk.data);
      CHECK(threads.dv.data == got.dv.data);
    }
}
const auto plain = [](const auto& mask) { return attention{.mask = mask}; };

}  // namespace

TEST_CASE("Gradients through lists are those of the generic loop") {
  check<double>(full{}, plain);
  check<float>(full{}, plain);
  check<double>(causal{}, plain);
  check<float>(where{[](const position& p) { return (p.q * 7 + p.k * 5) % 3 != 0; }}, plain);
}

TEST_CASE("Gradients through lists with scores and row transforms") {
  const auto slopes = alibi_slopes(4);
  const auto turns = rotations::plain(16);
  check<double>(causal{}, [&](const auto& mask) {
    return attention{
        .mask = mask, .score = alibi{slopes}, .query = rope{turns}, .key = rope{turns}};
  });
}

TEST_CASE("Gradients through lists against differences") {
  const backward_shape shape{.b = 1, .h = 4, .kv = 2, .lq = 19, .lk = 23, .d = 5, .dv = 4};
  for (const listing& x : {listing{1, 2, 2, 1, 4}, listing{1, 1, 1, 8, 8}}) {
    const auto made = random_lists(x, shape.lq, shape.lk, 50, 5);
    check_gradients("selected", attention{.mask = selected{made.lists(), causal{}}}, {}, {}, shape);
  }
}

TEST_CASE("A hidden NaN does not reach gradients through lists") {
  const backward_shape shape{.b = 1, .h = 2, .kv = 1, .lq = 40, .lk = 40, .d = 8, .dv = 8};
  const auto made = random_lists({1, 1, 1, 1, 10}, 40, 40, 60, 7);
  const attention spec{.mask = selected{made.lists(), causal{}}};
  backward_call<float> clean(shape), soiled(shape);
  clean.run(spec);
  // The last key is seen by the last query at most; drop that from the loss.
  for (index c = 0; c < 8; ++c)
    soiled.k(0, 0, 39, c) = soiled.v(0, 0, 39, c) = std::numeric_limits<float>::quiet_NaN();
  soiled.run(spec);
  for (index h = 0; h < 2; ++h)
    for (index i = 0; i < 39; ++i)
      for (index c = 0; c < 8; ++c) {
        CHECK(soiled.dq(0, h, i, c) == clean.dq(0, h, i, c));
        CHECK(std::isfinite(soiled.out(0, h, i, c)));
      }
}

}  // namespace heed::test
