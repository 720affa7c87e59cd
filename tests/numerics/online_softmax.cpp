// SPDX-License-Identifier: BSL-1.0
#include <heed/numerics/online_softmax.hpp>
#include <heed/reference/mask/where.hpp>
#include <heed/reference/numerics/online_softmax.hpp>

#include "support/exact.hpp"

using namespace heed::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T> void sweep() {
  const auto s = random<T>({1, 1, 20, 33}, 1, 20), v = random<T>({1, 1, 33, 6}, 2);
  heed::reference::allowed a(20, 33);
  for (heed::index i = 0; i < 20; ++i)
    for (heed::index j = 0; j < 33; ++j) a(i, j) = (i * 7 + j * 5) % 20 < i;
  const auto expected = heed::reference::numerics::online_softmax(s.head(0, 0), a, v.head(0, 0));
  auto out = unwritten<T>({1, 1, 20, 6}), halves = out;
  for (heed::index i = 0; i < 20; ++i) {
    // In one go, and as two states that met different keys.
    heed::online_softmax<T> state, part[2];
    T* acc = &out(0, 0, i);
    T* first = &halves(0, 0, i);
    T second[6] = {};
    std::fill_n(acc, 6, T(0));
    std::fill_n(first, 6, T(0));
    for (heed::index j = 0; j < 33; ++j) {
      if (!a(i, j)) continue;
      state.absorb(s.in()(0, 0, i, j), &v.in()(0, 0, j), 6, acc);
      part[j % 2].absorb(s.in()(0, 0, i, j), &v.in()(0, 0, j), 6, j % 2 ? second : first);
    }
    part[0].absorb(part[1], second, 6, first);
    for (heed::index d = 0; d < 6; ++d) acc[d] *= state.finish(), first[d] *= part[0].finish();
    const double lse = expected.lse(i);
    CHECK((lse == -infinity ? double(state.lse()) == lse
                            : double(state.lse()) == Approx(lse).epsilon(tolerance<T>(8, 33))));
    CHECK((lse == -infinity ? double(part[0].lse()) == lse
                            : double(part[0].lse()) == Approx(lse).epsilon(tolerance<T>(8, 33))));
  }
  check_close(out.head(0, 0), expected.o, tolerance<T>(8, 33, 20));
  check_close(halves.head(0, 0), expected.o, tolerance<T>(8, 33, 20));
}

}  // namespace

TEST_CASE("the recurrence is softmax, float") { sweep<float>(); }
TEST_CASE("the recurrence is softmax, double") { sweep<double>(); }

TEST_CASE("keys of minus infinity leave no trace, extreme scores no infinity") {
  heed::online_softmax<float> state;
  const auto nothing = state.absorb(-std::numeric_limits<float>::infinity());
  CHECK(nothing.keep == 1);
  CHECK(nothing.weight == 0);
  CHECK(state.empty());
  CHECK(state.finish() == 0);
  state.absorb(-1e4f);
  CHECK(state.lse() == -1e4f);
  const auto step = state.absorb(1e4f);
  CHECK(step.keep == 0);
  CHECK(step.weight == 1);
  CHECK(state.lse() == 1e4f);
}
