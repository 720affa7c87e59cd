// SPDX-License-Identifier: BSL-1.0
// Gradients by driver `patches`: against differences, and against the generic loop, which is given
// the same mask without its plan.
#include <heed/attention/attend_backward.hpp>
#include <heed/mask/any_mask.hpp>
#include <heed/neighborhood/natten.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/position/rope.hpp>
#include <heed/score/alibi.hpp>

#include "support/backward_call.hpp"
#include "support/remainders.hpp"

namespace heed::test {

namespace {

// make(mask) gives a specification.
template <class T, class M, class Make>
void check(const M& m, index tokens, const Make& make,
           backward_shape x = {.b = 2, .h = 2, .kv = 1}) {
  static_assert(detail::patches_backward<T, simd::best, decltype(make(m))>::possible);
  x.lq = x.lk = tokens;
  backward_call<T> got(x), want(x);
  want.run(make(any_mask(m)));
  got.run(make(m));
  // Sums of up to a window's terms.
  check_same(got, want, tolerance<T>(32, 16, 8));
  const auto dq = got.dq.data, dk = got.dk.data, dv = got.dv.data;
  got.run(make(m), shuffled{});
  CHECK((got.dq.data == dq && got.dk.data == dk && got.dv.data == dv));
}
template <class M> auto plain(const M& m) { return attention<M>{.mask = m}; }

}  // namespace

TEST_CASE("Gradients of patches are those of the generic loop") {
  const auto spec = [](const auto& m) { return plain(m); };
  const auto grid = [&](const auto& m) { check<double>(m, m.tokens(), spec); };
  grid(neighborhood<2>{{1, 37}, {1, 5}, {1, 2}, {1, 3}});
  grid(neighborhood<2>{{1, 61}, {1, 8}, {1, 8}, {1, 1}, {false, true}});
  grid(neighborhood<2>{{9, 11}, {4, 5}, {2, 3}, {2, 1}, {false, true}});
  grid(neighborhood<2>{{14, 21}, {7, 7}, {7, 7}});
  grid(neighborhood<2>{{30, 20}, {27, 19}, {3, 2}});
  grid(neighborhood<3>{{5, 6, 7}, {2, 3, 3}, {2, 1, 2}, {1, 2, 1}, {true, false, false}});
  check<double>(remainders{7, 120}, 120, spec);
  check<double>(remainders{2, 300}, 300, spec, {.b = 1, .h = 2, .kv = 2, .d = 65, .dv = 33});
  check<float>(neighborhood<2>{{12, 13}, {5, 5}, {2, 2}}, 156, spec, {.b = 1, .h = 4, .kv = 2});
}

TEST_CASE("Gradients of patches through every policy they take") {
  const std::vector<float> slopes = alibi_slopes(2), logits{0.5f, -1};
  const neighborhood<2> m{{9, 8}, {4, 5}, {2, 3}};
  check<double>(m, m.tokens(),
                [&](const auto& mask) {
                  return attention{.mask = mask,
                                   .score = alibi{slopes},
                                   .normalizer = sink_softmax{.logits = logits},
                                   .query = rope{rotations::plain(8)},
                                   .key = rope{rotations::plain(8)},
                                   .value = rope{rotations::plain(6)},
                                   .output = rope{rotations::plain(6)}};
                },
                {.b = 2, .h = 2, .kv = 1, .d = 8, .dv = 6});
}

TEST_CASE("Gradients of patches are derivatives") {
  const neighborhood<2> m{{6, 7}, {3, 4}, {2, 3}, {2, 1}, {false, true}};
  check_gradients("image", attention{.mask = m}, {}, {},
                  {.b = 1, .h = 2, .kv = 1, .lq = 42, .lk = 42, .d = 5, .dv = 3});
}

TEST_CASE("Nothing that a query does not see leaks into gradients") {
  const neighborhood<2> m{{10, 10}, {3, 4}, {2, 2}};
  const backward_shape x{.b = 1, .h = 1, .kv = 1, .lq = 100, .lk = 100};
  backward_call<float> clean(x);
  clean.run(plain(m));
  for (const index bad : {index{0}, index{47}, index{99}})
    for (const int which : {0, 1, 2, 3}) {
      backward_call<float> dirty(x);
      tensor<float>* const of[] = {&dirty.k, &dirty.v, &dirty.q, &dirty.d_out};
      (*of[which])(0, 0, bad, 1) = std::numeric_limits<float>::quiet_NaN();
      dirty.run(plain(m));
      const bool key = which < 2;
      // Rows that meet `bad` by at most one query or key in between may change.
      const auto near = [&](index query) { return key ? m({.q = query, .k = bad}) : query == bad; };
      for (index i = 0; i < 100; ++i) {
        if (!near(i)) CHECK(dirty.dq(0, 0, i) == clean.dq(0, 0, i));
        bool touched = false;
        for (index j = 0; j < 100; ++j) touched |= near(j) && m({.q = j, .k = i});
        if (touched) continue;
        CHECK(dirty.dk(0, 0, i) == Approx(clean.dk(0, 0, i)).margin(1e-5));
        CHECK(dirty.dv(0, 0, i) == Approx(clean.dv(0, 0, i)).margin(1e-5));
      }
    }
}

}  // namespace heed::test
