// SPDX-License-Identifier: BSL-1.0
// The bits do not depend on the executor, nor on what a workspace was used for before.
#define EIGEN_USE_THREADS
#include <unsupported/Eigen/CXX11/Tensor>

#include <heed/eigen.hpp>
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/linear.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;

namespace {

template <class Make> void check_threads(Make make) {
  Eigen::ThreadPool pool(4);
  const Eigen::ThreadPoolDevice device(&pool, 4);
  const recurrent_inputs<float> x({.b = 3, .q = 6, .k = 3, .v = 3, .l = 70, .d = 20, .dv = 33});
  const auto spec = make(x);
  const auto initial = random_state(spec, x, 9);
  heed::workspace scratch;
  for (const bool by_step : {false, true}) {
    const auto alone = run(spec, x, by_step, initial);
    for (int n = 0; n < 4; ++n) {
      auto out = unwritten<float>(x.out());
      auto state = initial;
      scratch.for_each_arena([](heed::arena& a) {
        std::fill_n(a.data(), a.capacity(), std::byte{0xff});  // NaN
      });
      if (by_step)
        heed::step(spec, x.q.in(), x.k.in(), x.v.in(), out.in(), state, heed::on(device), scratch);
      else
        heed::scan(spec, x.q.in(), x.k.in(), x.v.in(), out.in(), state, heed::on(device), scratch);
      CHECK(out.data == alone.out.data);
      CHECK(state == alone.state);
    }
    // Once it is large enough a workspace is not enlarged again.
    const std::size_t bytes = scratch.capacity();
    auto out = unwritten<float>(x.out());
    auto state = initial;
    heed::scan(spec, x.q.in(), x.k.in(), x.v.in(), out.in(), state, heed::serial{}, scratch);
    if (!by_step) CHECK(scratch.capacity() == bytes);
  }
}

}  // namespace

TEST_CASE("1 and 4 threads give the same bits") {
  check_threads([](const auto& x) {
    return heed::recurrences::gated_delta(x.log.in(), x.beta.in(), x.shape.d);
  });
  check_threads([](const auto& x) { return heed::recurrences::gla(x.channels.in(), x.shape.d); });
  check_threads([](const auto&) { return heed::recurrences::linear(); });
}
