// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/selected.hpp>
#include <heed/mask/causal.hpp>
#include <heed/reference/select/quest.hpp>
#include <heed/select/quest.hpp>

#include "support/on_source.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

namespace {

constexpr kv_shape shape{.batch = 2, .heads = 2, .depth = 19, .value_depth = 9};

template <class Cache> void fill(Cache& cache, index b, index n, unsigned stream) {
  const auto k = random<float>({1, 2, n, 19}, stream), v = random<float>({1, 2, n, 9}, stream + 1);
  cache.append(b, k.in(), v.in());
}

std::vector<int> of(const block_selection& x, index b, index kv_head) {
  const auto list = x.lists().list(b * x.heads + kv_head);
  return {list.begin(), list.end()};
}

// Chosen pages have no smaller score than others, but for the newest.
template <class Source>
void check_choice(const Source& source, const quest& spec, const block_selection& got,
                  const tensor<float>& q) {
  const index group = q.extent[1] / source.heads();
  for (index b = 0; b < source.batch(); ++b)
    for (index h = 0; h < source.heads(); ++h) {
      const Eigen::MatrixXd k = dense_of(source, b, h).k;
      const index pages = (k.rows() + spec.page - 1) / spec.page;
      Eigen::VectorXd want = Eigen::VectorXd::Zero(pages);
      for (index r = 0; r < group * q.extent[2]; ++r) {
        const Eigen::VectorXd row =
            q.head(b, h * group + r / q.extent[2]).row(r % q.extent[2]).transpose();
        const Eigen::VectorXd u = reference::select::quest_scores(row, k, spec.page);
        want = spec.group == quest_score::sum ? Eigen::VectorXd(want + u)
               : r == 0                       ? u
                                              : Eigen::VectorXd(want.cwiseMax(u));
      }
      const auto list = of(got, b, h);
      REQUIRE(index(list.size()) == std::min(spec.top, pages));
      if (pages == 0) continue;
      CHECK(list.back() == pages - 1);
      double least = 1e30, most = -1e30;
      for (index p = 0; p + 1 < pages; ++p) {
        const bool chosen = std::find(list.begin(), list.end(), int(p)) != list.end();
        if (chosen) least = std::min(least, want(p));
        if (!chosen) most = std::max(most, want(p));
      }
      // Scores are sums of 19 · 12 products of a few units.
      CHECK(least >= most - 1e-4);
    }
}

// Both sequences grow between two calls; every choice and what is attended to must hold.
template <class Cache> void every_step(Cache cache) {
  page_bounds bounds(8);
  for (const index step : {0, 1, 2, 3}) {
    if (step > 0) fill(cache, 0, step == 1 ? 61 : 7, 10 + unsigned(step));
    if (step > 1) fill(cache, 1, step == 2 ? 132 : 1, 20 + unsigned(step));
    bounds.update(cache);
    for (const index rows : {1, 3})
      for (const auto group : {quest_score::sum, quest_score::maximum})
        for (const index top : {1, 5, 100}) {
          const auto q = random<float>({2, 4, rows, 19}, 30 + unsigned(step));
          const quest spec{8, top, group};
          const block_selection chosen = select_quest(spec, q.in(), bounds, cache);
          check_choice(cache, spec, chosen, q);
          const selected_source some(cache, chosen.lists());
          auto out = unwritten<float>({2, 4, rows, 9});
          const attention causally{.mask = causal{}};
          attend(causally, q.in(), some, out.in());
          const cached_result want = top == 100 ? reference_on(causally, q.in(), cache)
                                                : reference_on(causally, q.in(), some);
          for (index b = 0; b < 2; ++b)
            for (index h = 0; h < 4; ++h)
              check_close(out.head(b, h), want.out.head(b, h), tolerance<float>(8, 140, 8), "row");
        }
  }
}

}  // namespace

TEST_CASE("Quest chooses by its bounds, and everything is full decoding") {
  every_step(contiguous_kv(shape, 200));
  every_step(paged_kv(shape, {.pages = 60, .page = 8}));
  every_step(contiguous_kv(shape, 200, kv_format{.type = kv_type::i8}));
  every_step(
      contiguous_kv(shape, 224, kv_formats{kv_format{.type = kv_type::i8}.per_channel(), {}}));
}

TEST_CASE("Quest takes equal scores by the lower page, and the newest page") {
  contiguous_kv cache({.batch = 1, .heads = 1, .depth = 4, .value_depth = 4}, 40);
  const tensor<float> k({1, 1, 40, 4}, 1.f), q({1, 2, 1, 4}, 1.f);
  cache.append(k.in(), k.in());
  page_bounds bounds(4);
  bounds.update(cache);
  CHECK(of(select_quest({4, 3}, q.in(), bounds, cache), 0, 0) == std::vector<int>{0, 1, 9});
  CHECK(of(select_quest({4, 1}, q.in(), bounds, cache), 0, 0) == std::vector<int>{9});
}

TEST_CASE("Lists of tokens are a source with the positions of the tokens") {
  scattered_form form{.lengths = {9, 6}, .heads = 2, .depth = 5, .value_depth = 3};
  form.places = true;
  const scattered_source whole(form);
  const std::vector<index> offsets{0, 3, 6, 7, 8};
  const std::vector<int> tokens{0, 4, 5, 2, 3, 8, 1, 5};
  const block_lists lists{offsets, tokens, 2, 2};
  const selected_source some(whole, lists);
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 2; ++h) {
      const dense_kv all = dense_of(whole, b, h), part = dense_of(some, b, h);
      const auto list = lists.list(b * 2 + h);
      REQUIRE(part.k.rows() == index(list.size()));
      for (std::size_t n = 0; n < list.size(); ++n) {
        CHECK(part.k.row(index(n)) == all.k.row(list[n]));
        CHECK(part.v.row(index(n)) == all.v.row(list[n]));
        CHECK(part.positions[n] == all.positions[std::size_t(list[n])]);
      }
    }
}

TEST_CASE("Quest and lists of tokens refuse what does not fit") {
  contiguous_kv cache(shape, 40);
  fill(cache, 0, 21, 1), fill(cache, 1, 10, 3);
  page_bounds bounds(8);
  const auto q = random<float>({2, 4, 1, 19}, 5), odd = random<float>({2, 3, 1, 19}, 6);
  CHECK_THROWS_WITH(page_bounds(0), ContainsSubstring("page"));
  CHECK_THROWS_WITH(select_quest({8, 2}, q.in(), bounds, cache),
                    ContainsSubstring("of the source"));
  bounds.update(cache);
  CHECK_THROWS_WITH(select_quest({8, 0}, q.in(), bounds, cache), ContainsSubstring("top"));
  CHECK_THROWS_WITH(select_quest({16, 2}, q.in(), bounds, cache), ContainsSubstring("pages of 16"));
  CHECK_THROWS_WITH(select_quest({8, 2}, odd.in(), bounds, cache), ContainsSubstring("multiple"));
  const block_selection chosen = select_quest({8, 2}, q.in(), bounds, cache);
  const selected_source before(cache, chosen.lists());
  fill(cache, 1, 1, 7);
  CHECK_THROWS_WITH(before.check(), ContainsSubstring("changed") && ContainsSubstring("1"));
  CHECK_THROWS_WITH(select_quest({8, 2}, q.in(), bounds, cache), ContainsSubstring("updated"));
  const auto refused = [&](std::vector<index> offsets, std::vector<int> blocks, const char* why) {
    const block_lists lists{offsets, blocks, 2, 2, 1, 1, 8};
    CHECK_THROWS_WITH(selected_source(cache, lists), ContainsSubstring(why));
  };
  refused({0, 1, 2, 3}, {0, 0, 0}, "for each sequence");
  refused({0, 1, 2, 3, 5}, {0, 0, 0, 0}, "first broken at list: 3");
  refused({0, 2, 4, 5, 6}, {1, 0, 0, 1, 0, 0}, "sequence 0 head 0");
  refused({0, 2, 4, 5, 6}, {0, 1, 0, 3, 0, 0}, "sequence 0 head 1");
  refused({0, 2, 4, 5, 6}, {0, 1, 0, 2, 0, 0}, "equally many tokens: sequence 0 head 1");
}

TEST_CASE("A page of any size is one page of all tokens") {
  constexpr index huge = std::numeric_limits<index>::max();
  contiguous_kv cache(shape, 60);
  fill(cache, 0, 5, 1), fill(cache, 1, 40, 3);
  page_bounds bounds(huge);
  bounds.update(cache);
  CHECK(bounds.pages(1) == 1);
  const auto q = random<float>({2, 4, 1, 19}, 5);
  const block_selection chosen = select_quest({.page = huge, .top = 3}, q.in(), bounds, cache);
  CHECK(of(chosen, 1, 1) == std::vector<int>{0});
  CHECK(selected_source(cache, chosen.lists()).length(1) == 40);
}

TEST_CASE("Blocks of a list that lie beyond any token are refused, however large they are") {
  contiguous_kv cache(shape, 60);
  fill(cache, 0, 5, 1), fill(cache, 1, 5, 3);
  const std::vector<index> offsets{0, 2};
  const std::vector<int> blocks{0, 2};
  CHECK_THROWS_WITH(
      selected_source(cache, {.offsets = offsets, .blocks = blocks, .keys = index(1) << 62}),
      ContainsSubstring("block 2 after 0"));
}

}  // namespace heed::test
