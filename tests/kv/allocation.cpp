// SPDX-License-Identifier: BSL-1.0
// What a cache allocates, it allocates when it is made; what a step of decoding allocates, the
// first one does that is as long.
#include <cstdlib>
#include <heed/attention/attend_source.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/kv/ring.hpp>
#include <heed/kv/streaming.hpp>
#include <heed/mask/causal.hpp>
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

// Steps of decoding, and drafts that are taken back; no call is longer than the first.
template <class Cache> void quiet_steps(Cache cache) {
  const chunk<float> prompt(cache, 1200, 1), one(cache, 1, 2), drafts(cache, 4, 3);
  const auto q = uniform<float>({2, 6, 1, 33}, 4), verify = uniform<float>({2, 6, 4, 33}, 5);
  auto out = unwritten<float>({2, 6, 1, 7}), rows = unwritten<float>({2, 6, 4, 7});
  workspace scratch;
  const auto step = [&](index back) {
    cache.append(one.k.in(), one.v.in());
    attend(attention{.mask = causal{}}, q.in(), cache, out.in(), {}, scratch);
    cache.append(drafts.k.in(), drafts.v.in());
    attend(attention{.mask = causal{}}, verify.in(), cache, rows.in(), {}, scratch);
    for (const index b : {0, 1})
      if constexpr (requires { cache.seen(b); })
        cache.truncate(b, cache.seen(b) - back);
      else
        cache.truncate(b, cache.length(b) - back);
  };
  cache.append(prompt.k.in(), prompt.v.in());
  step(5);
  const long before = allocations;
  for (int i = 0; i < 20; ++i) step(5);
  const long after = allocations;
  CHECK(after == before);
  CHECK(std::isfinite(out.data[0]));
}

}  // namespace

TEST_CASE("a step of decoding allocates nothing where the workspace is reused") {
  for (const kv_formats& f : {kv_formats{}, kv_formats(kv_as::half()), kv_formats(kv_as::int8()),
                              kv_formats(kv_as::int4())}) {
    quiet_steps(contiguous_kv(small, 1300, f));
    quiet_steps(paged_kv(small, {.pages = 400, .page = 8}, f));
    quiet_steps(ring_kv(small, {600, 8}, f));
    quiet_steps(streaming_kv(small, {4, 600, 8}, f));
  }
  quiet_steps(contiguous_kv(small, 1300, kv_as::kivi4()));
  quiet_steps(paged_kv(small, {.pages = 90, .page = 32}, kv_as::kivi4()));
}

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
