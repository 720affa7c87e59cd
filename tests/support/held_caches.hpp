// SPDX-License-Identifier: BSL-1.0
// Every kind of cache under one type, for the same prompts.
#pragma once

#include <functional>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/paged_tensors.hpp>
#include <heed/kv/quantized.hpp>
#include <memory>
#include <numeric>
#include <random>
#include <string>

#include "support/tensor.hpp"

namespace heed::test {

/// Rows [first, first + n) of one sequence.
inline view<const float> part(const tensor<float>& x, index b, index first, index n) {
  view<const float> v = x.in();
  v.data += b * v.stride[0] + first * v.stride[2];
  v.extent[0] = 1, v.extent[2] = n;
  return v;
}

struct prompts {
  static constexpr index batch = 4, heads = 4, kv_heads = 2, group = heads / kv_heads;
  /// Sequences 1 and 3 have tokens before the first query; 2 and 3 are 0 and 1 up to `shared`.
  index rows = 61, shared = 24, depth = 16, value_depth = 11;
  std::array<index, 4> lead{0, 600, 0, 600};
  bool halves;
  tensor<float> q, k, v;

  explicit prompts(bool half_numbers = false)
      : halves(half_numbers),
        q(random<float>({batch, heads, rows, depth}, 1)),
        k(random<float>({batch, kv_heads, 600 + rows, depth}, 2)),
        v(random<float>({batch, kv_heads, 600 + rows, value_depth}, 3)) {
    for (tensor<float>* x : {&k, &v}) {
      if (halves)
        for (float& y : x->data) y = simd::from_half(simd::to_half(y));
      for (index b : {0, 1})
        for (index h = 0; h < kv_heads; ++h)
          for (index l = 0; l < lead[std::size_t(b)] + shared; ++l)
            for (index c = 0; c < x->extent[3]; ++c) (*x)(b + 2, h, l, c) = (*x)(b, h, l, c);
    }
  }
  index before(index b) const { return lead[static_cast<std::size_t>(b)]; }
};

/// A cache that has forgotten its type. Sequence b of every cache is prompt b.
struct held_cache {
  std::string name;
  std::shared_ptr<void> owner;
  std::function<void(index, const operand&, const operand&)> append;
  std::function<void(index, index)> take_back;  // so many of the newest tokens
  std::function<void(index, index)> fork{};
  std::function<void(index, const view<const index>&)> evict{};
  std::function<kv_ref()> source;
};

template <class Cache> held_cache held(const std::string& name, Cache cache) {
  const auto own = std::make_shared<Cache>(std::move(cache));
  held_cache x{name, own, {}, {}, {}, {}, [own] { return kv_ref(*own); }};
  x.append = [own](index b, const operand& k, const operand& v) { own->append(b, k, v); };
  x.take_back = [own](index b, index n) {
    if constexpr (requires { own->seen(b); })
      own->truncate(b, own->seen(b) - n);
    else
      own->truncate(b, own->length(b) - n);
  };
  x.fork = [own](index from, index to) { own->fork(from, to); };
  if constexpr (requires(token_lists lists) { own->evict(0, lists); })
    x.evict = [own](index b, const view<const index>& keep) { own->evict(b, keep); };
  return x;
}

/// A pool whose free pages lie in no order, so that tables of sequences do not either.
inline paged_kv shuffled_pages(const kv_shape& shape, const kv_pages& pool,
                               const kv_formats& formats = {}) {
  paged_kv cache(shape, pool, formats);
  std::mt19937 random(seed());
  const tensor<float> k({1, shape.heads, pool.page, shape.depth}, 0.f),
      v({1, shape.heads, pool.page, shape.value_depth}, 0.f);
  // Sequences take pages in a random order, and give them back in one.
  while (cache.free_pages() > 0) {
    const index b = std::uniform_int_distribution<index>(0, shape.batch - 1)(random);
    if (cache.length(b) < cache.capacity()) cache.append(b, k.in(), v.in());
  }
  while (cache.free_pages() < pool.pages) {
    const index b = std::uniform_int_distribution<index>(0, shape.batch - 1)(random);
    if (cache.length(b) > 0) cache.truncate(b, cache.length(b) - pool.page);
  }
  return cache;
}

/// Pages of the caller's in any order, and a table of them.
inline held_cache pages_of_the_callers(const prompts& p, index page) {
  struct memory {
    std::vector<float> k, v;
    std::vector<int> table, lengths;
    index pages, row;
  };
  const auto own = std::make_shared<memory>();
  own->row = (700 + page) / page, own->pages = own->row * prompts::batch + 3;
  own->k.assign(std::size_t(own->pages * prompts::kv_heads * page * p.depth), std::nanf(""));
  own->v.assign(std::size_t(own->pages * prompts::kv_heads * page * p.value_depth), std::nanf(""));
  own->table.resize(std::size_t(own->pages));
  own->lengths.assign(prompts::batch, 0);
  std::iota(own->table.begin(), own->table.end(), 0);
  std::shuffle(own->table.begin(), own->table.end(), std::mt19937(seed()));
  // A cache of sequence b alone, or of all.
  const auto cache = [own, page, depth = p.depth, values = p.value_depth](index b, index n) {
    const auto first = static_cast<std::size_t>(b);
    return paged_tensors{
        .k = view<float>(own->k.data(), {own->pages, prompts::kv_heads, page, depth}),
        .v = view<float>(own->v.data(), {own->pages, prompts::kv_heads, page, values}),
        .table = {own->table.data() + b * own->row, {n, 1, own->row, 1}},
        .lengths = std::span(own->lengths).subspan(first, std::size_t(n))};
  };
  const auto all = std::make_shared<paged_tensors>(cache(0, prompts::batch));
  held_cache x{"pages of the caller's", own, {}, {}, {}, {}, [all] { return kv_ref(*all); }};
  x.append = [cache](index b, const operand& k, const operand& v) { cache(b, 1).append(k, v); };
  x.take_back = [own](index b, index n) { own->lengths[std::size_t(b)] -= int(n); };
  return x;
}

using make_cache = std::function<held_cache()>;

inline std::vector<make_cache> every_cache(const prompts& p) {
  const kv_shape shape{prompts::batch, prompts::kv_heads, p.depth, p.value_depth};
  std::vector<make_cache> all{[=] { return held("contiguous", contiguous_kv(shape, 670)); },
                              [=, &p] { return pages_of_the_callers(p, 5); }};
  if (p.halves)
    all.push_back([=] { return held("halves", contiguous_kv(shape, 670, kv_as::half())); });
  for (const index page : {1, 3, 16, 64})
    all.push_back([=] {
      return held(
          "pages of " + std::to_string(page),
          shuffled_pages(shape,
                         {.pages = 3 * (670 / page + 1), .page = page, .table = 670 / page + 1}));
    });
  return all;
}

}  // namespace heed::test
