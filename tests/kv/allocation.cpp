// SPDX-License-Identifier: BSL-1.0
// What a cache allocates, it allocates when it is made.
#include <cstdlib>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/kv/ring.hpp>
#include <heed/kv/streaming.hpp>
#include <new>

#include "support/kv_model.hpp"

namespace {

long allocations = 0;

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* const p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!p) throw std::bad_alloc();
  return p;
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  return counted(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}

namespace heed::test {
namespace {

constexpr kv_shape small{.batch = 2, .heads = 2, .depth = 33, .value_depth = 7};

template <class Cache> void quiet(Cache cache, index back) {
  const chunk<float> many(cache, 70, 1), one(cache, 1, 2), alone(cache, 3, 3, 1);
  index tokens = 0;
  const auto use = [&] {
    cache.append(many.k.in(), many.v.in());
    cache.append(1, alone.k.in(), alone.v.in());
    for (int step = 0; step < 20; ++step) {
      cache.append(one.k.in(), one.v.in());
      for (const index b : {0, 1}) {
        if constexpr (requires { cache.seen(b); })
          cache.truncate(b, cache.seen(b) - back);
        else
          cache.truncate(b, cache.length(b) - back);
        for_each_run(cache, b, 1, span{0, cache.length(b)},
                     [&](const kv_run& run, index) { tokens += run.count; });
      }
    }
  };
  const long before = allocations;
  use();
  const long after = allocations;
  CHECK(after == before);
  CHECK(tokens > 0);
}

}  // namespace

TEST_CASE("append, truncate and run allocate nothing") {
  for (const kv_formats& f : {kv_formats{}, kv_formats(kv_as::half()), kv_formats(kv_as::int4())}) {
    quiet(contiguous_kv(small, 100, f), 1);
    quiet(paged_kv(small, {.pages = 30, .page = 8}, f), 1);
    quiet(ring_kv(small, {16, 4}, f), 1);
    quiet(streaming_kv(small, {4, 16, 4}, f), 1);
  }
  quiet(contiguous_kv(small, 100, kv_as::kivi4()), 1);
  quiet(paged_kv(small, {.pages = 8, .page = 32}, kv_as::kivi4()), 1);
}

TEST_CASE("a fork of pages allocates nothing") {
  paged_kv cache(small, {.pages = 30, .page = 8});
  const chunk<float> many(cache, 20, 1, 1);
  const long before = allocations;
  cache.append(0, many.k.in(), many.v.in());
  cache.fork(0, 1);
  cache.append(1, many.k.in(), many.v.in());
  cache.release(0);
  const long after = allocations;
  CHECK(after == before);
}

}  // namespace heed::test
