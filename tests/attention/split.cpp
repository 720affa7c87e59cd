// SPDX-License-Identifier: BSL-1.0
#define EIGEN_USE_THREADS
#include <heed/attention/split.hpp>
#include <heed/eigen.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/observe/rows.hpp>
#include <heed/reference/attend.hpp>

#include "support/on_source.hpp"

namespace heed::test {
namespace {

/// Long enough for several ranges a head, and for tails of tiles.
const std::vector<std::array<index, 6>> shapes{// batch, heads, kv heads, queries, keys, channels
                                               {1, 4, 1, 1, 1537, 64}, {2, 3, 3, 2, 700, 17},
                                               {1, 8, 2, 5, 1100, 8},  {3, 2, 1, 8, 33, 128},
                                               {1, 1, 1, 1, 0, 5},     {1, 40, 1, 1, 2100, 12}};

template <class Spec> void agree_on_tensors(const Spec& spec) {
  for (const auto& [b, h, kv, lq, lk, d] : shapes) {
    const auto q = random<float>({b, h, lq, d}, 1), k = random<float>({b, kv, lk, d}, 2),
               v = random<float>({b, kv, lk, d}, 3);
    auto out = unwritten<float>({b, h, lq, d}), lse = unwritten<float>({b, h, lq, 1});
    tensor<double> expected({b, h, lq, d}), expected_lse({b, h, lq, 1});
    attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
    reference::attend(spec, q.in(), k.in(), v.in(),
                      {.out = expected.in(), .lse = expected_lse.in()});
    for (index i = 0; i < b; ++i)
      for (index j = 0; j < h; ++j) {
        const std::string where = std::to_string(lq) + " × " + std::to_string(lk);
        check_close(out.head(i, j), expected.head(i, j), tolerance<float>(8, std::max(d, lk), 2),
                    where);
        check_close(lse.head(i, j), expected_lse.head(i, j), tolerance<float>(8, d, 8), where);
      }
  }
}

}  // namespace

TEST_CASE("few queries against many keys") { agree_on_tensors(attention{}); }
TEST_CASE("few queries under a mask that skips most keys") {
  agree_on_tensors(attention{.mask = causal{} && (window{50} || first_keys{4})});
}
TEST_CASE("a sink counts once, however many ranges a head has") {
  agree_on_tensors(attention{.mask = causal{}, .normalizer = sink_softmax{}});
}

TEST_CASE("threads change no bit of split") {
  const auto q = random<float>({2, 8, 1, 64}, 1), k = random<float>({2, 2, 5000, 64}, 2),
             v = random<float>({2, 2, 5000, 64}, 3);
  const auto run = [&](const executor_ref& executor) {
    auto out = unwritten<float>({2, 8, 1, 64});
    attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(), out.in(), executor);
    return out;
  };
  const auto alone = run({});
  for (const int threads : {2, 3}) {
    Eigen::ThreadPool pool(threads);
    const Eigen::ThreadPoolDevice device(&pool, threads);
    for (int i = 0; i < 20; ++i) {
      const auto shared = run(on(device));
      for (index b = 0; b < 2; ++b)
        for (index h = 0; h < 8; ++h) CHECK((shared.head(b, h) == alone.head(b, h)));
    }
  }
}

TEST_CASE("a decoding step allocates nothing where the workspace is reused") {
  const auto q = random<float>({1, 8, 1, 64}, 1), k = random<float>({1, 2, 3000, 64}, 2),
             v = random<float>({1, 2, 3000, 64}, 3);
  auto out = unwritten<float>({1, 8, 1, 64});
  workspace scratch;
  attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(), out.in(), {}, scratch);
  const std::size_t before = scratch.capacity();
  attend(attention{.mask = causal{}}, q.in(), k.in(), v.in(), out.in(), {}, scratch);
  CHECK(scratch.capacity() == before);
}

TEST_CASE("an observer of few queries sees each weight once, in the order of the keys") {
  const auto q = random<float>({2, 6, 3, 24}, 1), k = random<float>({2, 2, 1300, 24}, 2),
             v = random<float>({2, 2, 1300, 24}, 3);
  auto out = unwritten<float>({2, 6, 3, 24}), maps = unwritten<float>({2, 6, 3, 1300});
  const std::vector<index> queries{0, 1, 2};
  rows every(queries, maps.in());
  const auto spec = attention{.mask = causal{}};
  attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &every});
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 6; ++h)
      check_close(out.head(b, h), Eigen::MatrixXd(maps.head(b, h) * v.head(b, h / 3)),
                  tolerance<float>(8, 1300, 1));
}

TEST_CASE("Eigen tensors attend to a source") {
  const scattered_source source({.lengths = {40, 9}, .heads = 2, .depth = 8, .value_depth = 6});
  Eigen::Tensor<float, 4, Eigen::RowMajor> q(2, 4, 1, 8);
  q.setRandom();
  const auto spec = attention{.mask = causal{}};
  const auto out = attend(spec, q, source);
  CHECK(out.dimension(3) == 6);
  Eigen::Tensor<float, 4, Eigen::RowMajor> again(2, 4, 1, 6);
  attend(spec, q, source, again);
  const auto expected = reference_on(spec, as<"BHLD">(q), source);
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 4; ++h)
      for (index c = 0; c < 6; ++c) {
        CHECK(out(b, h, 0, c) == again(b, h, 0, c));
        CHECK(std::abs(out(b, h, 0, c) - expected.out.head(b, h)(0, c)) <
              tolerance<float>(8, 40, 4));
      }
}

TEST_CASE("NaN in scratch and beyond the length is never read") {
  const auto q = random<float>({1, 4, 2, 20}, 1);
  auto k = random<float>({1, 1, 90, 20}, 2), v = random<float>({1, 1, 90, 20}, 3);
  for (index l = 60; l < 90; ++l)
    for (index c = 0; c < 20; ++c) k(0, 0, l, c) = v(0, 0, l, c) = std::nanf("");
  auto out = unwritten<float>({1, 4, 2, 20});
  workspace scratch;
  const auto spec = attention{.mask = causal{}};
  attend(spec, q.in(), k.in().slice_rows(0, 60), v.in().slice_rows(0, 60), out.in(), {}, scratch);
  scratch.for_each_arena([](arena& a) { std::memset(a.data(), 0xff, a.capacity()); });
  auto again = unwritten<float>({1, 4, 2, 20});
  attend(spec, q.in(), k.in().slice_rows(0, 60), v.in().slice_rows(0, 60), again.in(), {}, scratch);
  for (index h = 0; h < 4; ++h) {
    CHECK(out.head(0, h).allFinite());
    CHECK((out.head(0, h) == again.head(0, h)));
  }
}

TEST_CASE("a hidden key or value never leaks, even where another row sees it") {
  const auto q = random<float>({1, 2, 3, 16}, 1);
  auto k = random<float>({1, 1, 40, 16}, 2), v = random<float>({1, 1, 40, 16}, 3);
  const auto spec = attention{.mask = causal{}};
  auto before = unwritten<float>({1, 2, 3, 16}), after = unwritten<float>({1, 2, 3, 16});
  attend(spec, q.in(), k.in(), v.in(), before.in());
  for (index c = 0; c < 16; ++c) k(0, 0, 39, c) = v(0, 0, 39, c) = std::nanf("");
  attend(spec, q.in(), k.in(), v.in(), after.in());
  for (index h = 0; h < 2; ++h) {
    check_close(after.head(0, h).topRows(2), before.head(0, h).topRows(2),
                tolerance<float>(4, 40, 3));
    CHECK(after.head(0, h).row(2).array().isNaN().all());
  }
}

}  // namespace heed::test
