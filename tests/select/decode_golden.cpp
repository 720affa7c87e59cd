// SPDX-License-Identifier: BSL-1.0
// Decoding over chosen tokens against NumPy (tests/golden/select_decode/generate.py names the
// tensors).
#include <heed/attention/attend_source.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/reuse.hpp>
#include <heed/kv/reused_heads.hpp>
#include <heed/kv/selected.hpp>
#include <heed/observe/rows.hpp>
#include <heed/select/choose_pairs.hpp>
#include <heed/select/partial_dims.hpp>
#include <heed/select/quest.hpp>

#include "support/golden_tensors.hpp"

namespace heed::test {
namespace {

const std::vector<index> newest{0};

index number(const golden_case& c, const std::string& name) { return index(c[name].scalar()); }
std::vector<int> ints(const golden_tensor& x) { return {x.data.begin(), x.data.end()}; }
std::vector<int> ints(std::span<const int> x) { return {x.begin(), x.end()}; }

template <class T> view<const T> one_item(const tensor<T>& x, index n) {
  const extents& e = x.extent;
  return {x.data.data() + n * e[1] * e[2] * e[3], {1, e[1], e[2], e[3]}};
}
template <class T> view<T> one_item(tensor<T>& x, index n) {
  const extents& e = x.extent;
  return {x.data.data() + n * e[1] * e[2] * e[3], {1, e[1], e[2], e[3]}};
}

contiguous_kv cache_of(const tensor<float>& k, const tensor<float>& v) {
  return contiguous_kv({1, k.extent[1], k.extent[3], v.extent[3]}, k.extent[2]);
}

// Rows of at most 40 tokens, values of a few units.
void compare(const golden_case& c, const tensor<float>& out) {
  check_golden(c, "out", out, tolerance<float>(8, 40, 4));
}

struct one_step {
  golden_case c;
  tensor<float> q = tensor_of<float>(c["q"]), k = tensor_of<float>(c["k"]),
                v = tensor_of<float>(c["v"]), out{{1, q.extent[1], 1, v.extent[3]}};
  contiguous_kv cache = cache_of(k, v);

  explicit one_step(golden_case of) : c(std::move(of)) { cache.append(k.in(), v.in()); }
  void compare(const block_selection& chosen, const std::string& name) {
    CHECK(chosen.blocks == ints(c[name]));
    attend(attention{}, q.in(), selected_source(cache, chosen.lists()), out.in());
    test::compare(c, out);
  }
};

}  // namespace

TEST_CASE("Quest is what NumPy gives") {
  for (const golden_case& c : golden_family("select_decode", "quest")) {
    one_step x(c);
    page_bounds bounds(number(c, "page"));
    bounds.update(x.cache);
    const auto group = c["maximum"].scalar() != 0 ? quest_score::maximum : quest_score::sum;
    x.compare(select_quest({number(c, "page"), number(c, "top"), group}, x.q.in(), bounds, x.cache),
              "pages");
  }
}

std::vector<std::vector<int>> rows_of(const golden_tensor& x) {
  std::vector<std::vector<int>> rows(std::size_t(x.shape[0]));
  for (std::size_t i = 0; i < x.data.size(); ++i)
    rows[i / std::size_t(x.shape[1])].push_back(int(x.data[i]));
  return rows;
}

TEST_CASE("tokens by some channels are what NumPy gives") {
  for (const golden_case& c : golden_family("select_decode", "partial_dims")) {
    one_step x(c);
    const auto channels = rows_of(c["channels"]);
    dominant_channels few(channels);
    few.update(x.cache);
    x.compare(select_partial_dims(number(c, "top"), x.q.in(), few, x.cache), "tokens");
  }
}

TEST_CASE("pairs chosen by agreement are what NumPy gives") {
  for (const golden_case& c : golden_family("select_decode", "agreement")) {
    const pair_agreement how{
        number(c, "count"), number(c, "top"), number(c, "rotated"),
        c["interleaved"].scalar() != 0 ? rope_pairs::interleaved : rope_pairs::neox};
    const auto q = tensor_of<float>(c["q"]), k = tensor_of<float>(c["k"]);
    CHECK(choose_pairs(how, q.in(), k.in()) == rows_of(c["channels"]));
  }
}

TEST_CASE("recycled steps are what NumPy gives") {
  for (const golden_case& c : golden_family("select_decode", "recycled")) {
    const auto q = tensor_of<float>(c["q"]), k = tensor_of<float>(c["k"]),
               v = tensor_of<float>(c["v"]);
    const index steps = q.extent[0], kv = k.extent[1], size = number(c, "size");
    auto out = unwritten<float>({steps, q.extent[1], 1, v.extent[3]});
    auto cache = cache_of(k, v);
    recycled_tokens heavy({size, number(c, "period"), c["similarity"].scalar()});
    for (index t = 0; t < steps; ++t) {
      const index from = t == 0 ? 0 : cache.length(0), more = t == 0 ? number(c, "first") : 1;
      cache.append(k.in().slice_rows(from, more), v.in().slice_rows(from, more));
      heavy.append(cache);
      const auto query = one_item(q, t);
      const bool full = heavy.full(query);
      CHECK(full == (c["full"].data[std::size_t(t)] != 0));
      if (full) {
        auto weights = unwritten<float>({1, q.extent[1], 1, cache.length(0)});
        rows seen(newest, weights.in());
        attend(attention{}, query, cache, {.out = one_item(out, t), .observe = &seen});
        heavy.record(query, weights.in(), cache);
        continue;
      }
      const auto want = ints(c["tokens"]);
      CHECK(ints(heavy.lists().blocks) ==
            std::vector<int>(want.begin() + t * kv * size, want.begin() + (t + 1) * kv * size));
      attend(attention{}, query, selected_source(cache, heavy.lists()), one_item(out, t));
    }
    compare(c, out);
  }
}

TEST_CASE("heads that reuse lists of the layer below are what NumPy gives") {
  for (const golden_case& c : golden_family("select_decode", "heads")) {
    const auto q = tensor_of<float>(c["q"]), k = tensor_of<float>(c["k"]),
               v = tensor_of<float>(c["v"]);
    const index layers = q.extent[0], kv = k.extent[1], group = q.extent[1] / kv;
    auto out = unwritten<float>({layers, q.extent[1], 1, v.extent[3]});
    const auto flags = ints(c["full"]);
    reused_heads policy(number(c, "size"), {flags.begin(), flags.end()}, layers, 1, kv);
    for (index l = 0; l < layers; ++l) {
      auto cache = cache_of(k, v);
      cache.append(one_item(k, l), one_item(v, l));
      policy.each_run(l, [&](const span& heads, bool full) {
        const head_range some(cache, heads);
        const auto query = heads_of(one_item(q, l), heads, group);
        const auto to = heads_of(one_item(out, l), heads, group);
        if (!full) {
          const auto lists = policy.lists(l, heads, cache);
          return attend(attention{}, query, selected_source(some, lists), to);
        }
        auto weights = unwritten<float>({1, heads.size() * group, 1, cache.length(0)});
        rows seen(newest, weights.in());
        attend(attention{}, query, some, {.out = to, .observe = &seen});
        policy.take(l, heads, one_row(weights.in()), cache);
      });
    }
    compare(c, out);
  }
}

}  // namespace heed::test
