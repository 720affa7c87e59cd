// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <heed/attention/attend.hpp>
#include <heed/core/workspace.hpp>
#include <vector>

#include "support/catch.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HEED_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEED_SANITIZED 1
#endif
#if !defined(HEED_SANITIZED)
#define HEED_SANITIZED 0
#endif

using heed::arena;

namespace {

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % arena::alignment == 0; }

}  // namespace

TEST_CASE("an arena hands out aligned pieces that do not overlap") {
  arena a;
  a.reserve(3 * arena::alignment);
  float* x = a.take<float>(3);
  double* y = a.take<double>(8);
  char* z = a.take<char>(1);
  CHECK((aligned(x) && aligned(y) && aligned(z)));
  CHECK(reinterpret_cast<std::byte*>(y) - reinterpret_cast<std::byte*>(x) == 64);
  CHECK(reinterpret_cast<std::byte*>(z) - reinterpret_cast<std::byte*>(y) == 64);
}

TEST_CASE("reserve starts over, keeps what is large enough, grows what is not") {
  arena a;
  CHECK(a.capacity() == 0);
  a.reserve(1000);
  const std::byte* first = a.data();
  CHECK(a.take<std::byte>(10) == first);
  a.reserve(500);
  CHECK(a.capacity() == 1000);
  CHECK(a.data() == first);
  CHECK(a.take<std::byte>(10) == first);
  a.reserve(2000);
  CHECK(a.capacity() == 2000);
  std::fill_n(a.take<char>(2000), 2000, 'x');
}

#if !HEED_SANITIZED  // a sanitizer ends the program instead of throwing
TEST_CASE("an arena that could not grow is empty") {
  arena a;
  a.reserve(100);
  CHECK_THROWS_AS(a.reserve(std::size_t{1} << 62), std::bad_alloc);
  CHECK(a.capacity() == 0);
  a.reserve(64);
  CHECK(a.data() != nullptr);
}
#endif

TEST_CASE("a workspace has one arena a worker and never loses one") {
  heed::workspace w;
  w.crew(3);
  w.worker(2).reserve(100);
  w.shared().reserve(50);
  w.crew(1);
  CHECK(w.capacity() == 150);
  w.crew(16);
  CHECK(w.worker(2).capacity() == 100);
  int count = 0;
  w.for_each_arena([&](arena&) { ++count; });
  CHECK(count == 17);
}

TEST_CASE("calls with a reused workspace allocate nothing and do not see what it held") {
  std::vector<float> q(40 * 16, 0.5f), k(70 * 16, 0.25f), v(70 * 16, 2.f), out(40 * 16),
      again(40 * 16);
  const heed::view<float> from(q.data(), {1, 1, 40, 16}), keys(k.data(), {1, 1, 70, 16}),
      values(v.data(), {1, 1, 70, 16});
  const auto to = [](std::vector<float>& x) { return heed::view<float>(x.data(), {1, 1, 40, 16}); };
  heed::workspace scratch;
  heed::attend(heed::attention{}, from, keys, values, to(out), {}, scratch);
  const std::size_t held = scratch.capacity();
  std::vector<std::byte*> blocks;
  scratch.for_each_arena([&](arena& a) {
    blocks.push_back(a.data());
    std::fill_n(reinterpret_cast<float*>(a.data()), a.capacity() / sizeof(float), std::nanf(""));
  });
  heed::attend(heed::attention{}, from, keys, values, to(again), {}, scratch);
  CHECK(again == out);
  CHECK(scratch.capacity() == held);
  std::size_t i = 0;
  scratch.for_each_arena([&](arena& a) { CHECK(a.data() == blocks[i++]); });
}
