// SPDX-License-Identifier: BSL-1.0
// Same bits of every gradient for any number of workers and any order of tasks.
#define EIGEN_USE_THREADS
#include <heed/attention/attend_backward.hpp>
#include <heed/heads/output_gate.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/key_bias.hpp>
#include <heed/score/temperature.hpp>
#include <heed/similarity/qk_norm.hpp>
#include <numeric>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/exact.hpp"
#include "support/executors.hpp"

using namespace heed::test;
using heed::attention;

namespace {

struct shape {
  heed::index b, h, kv, lq, lk, d, dv;
};

struct learned {
  tensor<float> value, gradient;
  explicit learned(const heed::extents& e) : value(random<float>(e, 9, 0.2)), gradient(e) {
    for (float& x : value.data) x += 1;
  }
};

// All gradients of one call, one after the other.
template <class Spec, class To>
std::vector<float> run(const shape& x, const Spec& spec, const To& to,
                       const std::vector<learned*>& borrowed, const heed::executor_ref& executor,
                       heed::workspace_ref scratch = {}) {
  const auto q = random<float>({x.b, x.h, x.lq, x.d}, 1),
             k = random<float>({x.b, x.kv, x.lk, x.d}, 2),
             v = random<float>({x.b, x.kv, x.lk, x.dv}, 3),
             d_out = random<float>({x.b, x.h, x.lq, x.dv}, 4);
  auto dq = unwritten<float>(q.extent), dk = unwritten<float>(k.extent),
       dv = unwritten<float>(v.extent);
  for (learned* one : borrowed)
    std::fill(one->gradient.data.begin(), one->gradient.data.end(),
              std::numeric_limits<float>::quiet_NaN());
  heed::attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = to}, executor,
                        scratch);
  std::vector<float> all = dq.data;
  const auto append = [&](const std::vector<float>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  append(dk.data), append(dv.data);
  for (const learned* one : borrowed) append(one->gradient.data);
  return all;
}

template <class Spec>
void check_threads(const shape& x, const Spec& spec,
                   const std::type_identity_t<heed::spec_gradients<Spec>>& to = {},
                   const std::vector<learned*>& borrowed = {}) {
  INFO("B " << x.b << ", H " << x.h << "/" << x.kv << ", L " << x.lq << " x " << x.lk);
  const std::vector<float> expected = run(x, spec, to, borrowed, heed::serial{});
  REQUIRE(std::none_of(expected.begin(), expected.end(), [](float y) { return std::isnan(y); }));
  heed::workspace scratch;
  for (const int threads : {1, 2, 16}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    CHECK(run(x, spec, to, borrowed, heed::on(device)) == expected);
    CHECK(run(x, spec, to, borrowed, heed::on(device), scratch) == expected);
  }
  for (const unsigned seed : {0u, 1u, 2u})
    CHECK(run(x, spec, to, borrowed, shuffled{heed::index{1} << (2 * seed), seed}, scratch) ==
          expected);
}

constexpr shape shapes[] = {{2, 8, 2, 301, 290, 20, 12},
                            {1, 1, 1, 5, 700, 64, 64},
                            {3, 4, 4, 7, 90, 5, 130},
                            {1, 1, 1, 700, 40, 8, 8}};

}  // namespace

TEST_CASE("the number of threads changes no bit of dq, dk and dv") {
  for (const shape& x : shapes) {
    check_threads(x, attention{});
    check_threads(x, attention{.mask = heed::causal{}});
  }
}

TEST_CASE("nor of what is summed for policies") {
  for (const shape& x : shapes) {
    learned z({1, 1, 1, x.h}), gain({1, 1, 1, x.d}), tau({1, x.h, 1, 1}), g({1, 1, 1, x.dv});
    check_threads(x,
                  attention{.mask = heed::causal{},
                            .score = heed::temperature{tau.value.in()},
                            .normalizer = heed::sink_softmax{z.value.data},
                            .query = heed::qk_norm{gain.value.data},
                            .output = heed::output_gate{g.value.in()}},
                  {.score = {tau.gradient.in()},
                   .normalizer = {z.gradient.data},
                   .query = {gain.gradient.data},
                   .output = {g.gradient.in()}},
                  {&z, &gain, &tau, &g});
  }
}

TEST_CASE("nor of what is added to where it lies") {
  for (const shape& x : shapes) {
    learned b({1, 1, x.lq, x.lk}), keys({1, x.kv, x.lk, 1}), g({1, 1, x.lq, x.dv});
    check_threads(
        x,
        attention{.score = heed::bias{b.value.in()} | heed::key_bias{keys.value.in(), x.h / x.kv},
                  .output = heed::output_gate{g.value.in()}},
        {.score = {{b.gradient.in()}, {keys.gradient.in()}}, .output = {g.gradient.in()}},
        {&b, &keys, &g});
  }
}

TEST_CASE("nor where few heads share out their keys") {
  check_threads({1, 2, 1, 500, 1100, 16, 16}, attention{.mask = heed::causal{}});
}
