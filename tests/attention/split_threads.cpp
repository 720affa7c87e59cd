// SPDX-License-Identifier: BSL-1.0
// Same bits of driver `split` for any number of workers and any order of tasks.
#define EIGEN_USE_THREADS
#include <heed/attention/attend_source.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/observe/rows.hpp>
#include <numeric>
#include <unsupported/Eigen/CXX11/Tensor>

#include "support/catch.hpp"
#include "support/executors.hpp"
#include "support/tensor.hpp"

namespace heed::test {
namespace {

// Sequences of very different lengths: some heads have many ranges, some one, some none.
paged_kv filled(const kv_formats& formats) {
  paged_kv cache({5, 2, 32, 24}, {.pages = 300, .page = 32}, formats);
  const index lengths[] = {3, 3700, 0, 600, 1};
  for (index b = 0; b < 5; ++b) {
    const auto k = random<float>({1, 2, lengths[b], 32}, unsigned(b) + 1),
               v = random<float>({1, 2, lengths[b], 24}, unsigned(b) + 9);
    cache.append(b, k.in(), v.in());
  }
  return cache;
}

template <class Spec> void same_bits(const Spec& spec, const kv_formats& formats, bool watch) {
  const paged_kv cache = filled(formats);
  for (const index queries : {1, 5}) {
    const auto q = random<float>({5, 6, queries, 32}, 20);
    const index all[] = {0};
    const auto run = [&](const executor_ref& executor, const workspace_ref& scratch = {}) {
      auto out = unwritten<float>({5, 6, queries, 24}), lse = unwritten<float>({5, 6, queries, 1});
      tensor<float> maps({5, 6, 1, watch ? 3700 : 0});
      rows seen(all, maps.in());
      outputs to{.out = out.in(), .lse = lse.in()};
      if (watch) to.observe = &seen;
      attend(spec, q.in(), cache, to, executor, scratch);
      std::vector<float> bits = out.data;
      bits.insert(bits.end(), lse.data.begin(), lse.data.end());
      bits.insert(bits.end(), maps.data.begin(), maps.data.end());
      return bits;
    };
    const auto expected = run(serial{});
    REQUIRE(std::none_of(expected.begin(), expected.end(), [](float x) { return std::isnan(x); }));
    workspace scratch;
    for (const int threads : {1, 2, 3, 16}) {
      Eigen::ThreadPool pool(threads);
      const Eigen::ThreadPoolDevice device(&pool, threads);
      for (int i = 0; i < 3; ++i) {
        CHECK(run(on(device)) == expected);
        CHECK(run(on(device), scratch) == expected);
      }
    }
    for (const unsigned seed : {0u, 1u, 2u})
      CHECK(run(shuffled{index{1} << (2 * seed), seed}, scratch) == expected);
  }
}

}  // namespace

TEST_CASE("threads change no bit where sequences are of any length") {
  for (const kv_formats& f :
       {kv_formats{}, kv_formats(kv_as::half()), kv_formats(kv_as::int8()), kv_as::kivi4()})
    same_bits(attention{.mask = causal{}}, f, false);
}
TEST_CASE("nor of what an observer is shown") { same_bits(attention{.mask = causal{}}, {}, true); }
TEST_CASE("nor where a mask leaves out most keys, and with a sink") {
  same_bits(
      attention{.mask = causal{} && (window{700} || first_keys{4}), .normalizer = sink_softmax{}},
      {}, false);
}

}  // namespace heed::test
