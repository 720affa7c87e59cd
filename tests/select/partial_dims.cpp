// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/selected.hpp>
#include <heed/mask/causal.hpp>
#include <heed/reference/select/partial_dims.hpp>
#include <heed/select/partial_dims.hpp>

#include "support/on_source.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

constexpr kv_shape shape{.batch = 2, .heads = 2, .depth = 19, .value_depth = 9};
const std::vector<std::vector<int>> channels{{0, 1, 6, 7}, {2, 3, 17, 18}};

template <class Cache> void fill(Cache& cache, index b, index n, unsigned stream) {
  const auto k = random<float>({1, 2, n, 19}, stream), v = random<float>({1, 2, n, 9}, stream + 1);
  cache.append(b, k.in(), v.in());
}

// Chosen tokens have no smaller score than others, but for the newest.
template <class Source>
void check_choice(const Source& source, index top, const block_selection& got,
                  const tensor<float>& q) {
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 2; ++h) {
      const Eigen::MatrixXd k = dense_of(source, b, h).k;
      Eigen::VectorXd want = Eigen::VectorXd::Zero(k.rows());
      for (index g = 0; g < 2; ++g)
        for (index r = 0; r < q.extent[2]; ++r)
          want += reference::select::partial_scores(q.head(b, 2 * h + g).row(r).transpose(), k,
                                                    channels[std::size_t(h)]);
      const auto list = got.lists().list(b * 2 + h);
      REQUIRE(index(list.size()) == std::min<index>(top, k.rows()));
      if (k.rows() == 0) continue;
      CHECK(list.back() == k.rows() - 1);
      double least = 1e30, most = -1e30;
      for (index j = 0; j + 1 < k.rows(); ++j) {
        const bool chosen = std::find(list.begin(), list.end(), int(j)) != list.end();
        if (chosen) least = std::min(least, want(j));
        if (!chosen) most = std::max(most, want(j));
      }
      // Scores are sums of 4 · 6 products of a few units.
      CHECK(least >= most - 2e-5);
    }
}

template <class Cache> void every_step(Cache cache) {
  dominant_channels few(channels);
  for (const index step : {0, 1, 2, 3}) {
    if (step > 0) fill(cache, 0, step == 1 ? 61 : 7, 10 + unsigned(step));
    if (step > 1) fill(cache, 1, step == 2 ? 132 : 1, 20 + unsigned(step));
    few.update(cache);
    for (const index rows : {1, 3})
      for (const index top : {1, 20, 200}) {
        const auto q = random<float>({2, 4, rows, 19}, 30 + unsigned(step));
        const block_selection chosen = select_partial_dims(top, q.in(), few, cache);
        check_choice(cache, top, chosen, q);
        const selected_source some(cache, chosen.lists());
        auto out = unwritten<float>({2, 4, rows, 9});
        const attention causally{.mask = causal{}};
        attend(causally, q.in(), some, out.in());
        const cached_result want = top == 200 ? reference_on(causally, q.in(), cache)
                                              : reference_on(causally, q.in(), some);
        for (index b = 0; b < 2; ++b)
          for (index h = 0; h < 4; ++h)
            check_close(out.head(b, h), want.out.head(b, h), tolerance<float>(8, 140, 8), "row");
      }
  }
}

}  // namespace

TEST_CASE("Tokens are chosen by a few channels, and everything is full decoding") {
  every_step(contiguous_kv(shape, 200));
  every_step(paged_kv(shape, {.pages = 60, .page = 8}));
  every_step(contiguous_kv(shape, 200, kv_format{.type = kv_type::i8}));
}

TEST_CASE("Equal scores of a few channels go to the older token, and the newest is taken") {
  contiguous_kv cache({.batch = 1, .heads = 1, .depth = 4, .value_depth = 4}, 10);
  const tensor<float> k({1, 1, 10, 4}, 1.f), q({1, 2, 1, 4}, 1.f);
  cache.append(k.in(), k.in());
  const std::vector<std::vector<int>> one{{1, 2}};
  dominant_channels few(one);
  few.update(cache);
  const block_selection chosen = select_partial_dims(3, q.in(), few, cache);
  CHECK(chosen.blocks == std::vector<int>{0, 1, 9});
}

TEST_CASE("Choices by a few channels refuse what does not fit") {
  using lists = std::vector<std::vector<int>>;
  const auto refused = [](const lists& of, const char* why) {
    CHECK_THROWS_WITH(dominant_channels(of), ContainsSubstring(why));
  };
  refused({{0, 1}, {2}}, "head 1");
  refused({{}}, "head 0");
  refused({{3, 3}}, "ascend");
  refused({{0}, {-1}}, "head 1");
  contiguous_kv cache(shape, 40);
  fill(cache, 0, 21, 1);
  const lists wide{{0}, {19}};
  dominant_channels beyond(wide), few(channels);
  CHECK_THROWS_WITH(beyond.update(cache), ContainsSubstring("channel 19"));
  const auto q = random<float>({2, 4, 1, 19}, 5), odd = random<float>({2, 3, 1, 19}, 6);
  CHECK_THROWS_WITH(select_partial_dims(4, q.in(), few, cache), ContainsSubstring("updated"));
  few.update(cache);
  CHECK_THROWS_WITH(select_partial_dims(0, q.in(), few, cache), ContainsSubstring("top"));
  CHECK_THROWS_WITH(select_partial_dims(4, odd.in(), few, cache), ContainsSubstring("multiple"));
}

TEST_CASE("A few channels refuse q that is null and keys that have no such channel") {
  contiguous_kv cache(shape, 60);
  dominant_channels few(channels);
  fill(cache, 0, 5, 1), fill(cache, 1, 5, 3), few.update(cache);
  const view<const float> absent(nullptr, {2, 4, 1, 19});
  CHECK_THROWS_WITH(select_partial_dims(2, absent, few, cache), ContainsSubstring("null"));

  contiguous_kv narrow({.batch = 2, .heads = 2, .depth = 17, .value_depth = 9}, 60);
  const auto k = random<float>({2, 2, 5, 17}, 5), v = random<float>({2, 2, 5, 9}, 6),
             q = random<float>({2, 4, 1, 17}, 7);
  narrow.append(k.in(), v.in());
  CHECK_THROWS_WITH(select_partial_dims(2, q.in(), few, narrow), ContainsSubstring("channel 18"));
}

}  // namespace heed::test
