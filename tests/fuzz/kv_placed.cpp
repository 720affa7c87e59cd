// SPDX-License-Identifier: BSL-1.0
#include "fuzz/kv_placed.hpp"

#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>

#include "fuzz/kv_run.hpp"

namespace heed::fuzz {
namespace {

template <class Cache> void steps(kv_fuzzed<Cache> f, engine& random) {
  for (index n = between(random, 1, 60); n > 0; --n) {
    f.step();
    f.check();
    if (one_in(random, 4)) f.attend();
  }
}

}  // namespace

TEST_CASE("contiguous caches") {
  fuzz_rounds("contiguous", [](engine& random) {
    const kv_shape shape = draw_kv_shape(random);
    const kv_formats formats{draw_format(random, true), draw_format(random, true)};
    contiguous_kv cache(shape, between(random, 1, 120), formats);
    steps(kv_fuzzed(std::move(cache), formats, {0, 0, {}}, random), random);
  });
}

TEST_CASE("contiguous caches of the caller's") {
  fuzz_rounds("contiguous views", [](engine& random) {
    const kv_shape s = draw_kv_shape(random);
    const index n = between(random, 1, 90);
    memory k(kv_chunk::any(random), {s.batch, s.heads, n, s.depth}, use::written, random),
        v(kv_chunk::any(random), {s.batch, s.heads, n, s.value_depth}, use::written, random);
    const kv_formats formats{{.type = kv_type_of(k.type)}, {.type = kv_type_of(v.type)}};
    steps(kv_fuzzed(contiguous_kv(k.write(), v.write()), formats, {0, 0, {}}, random), random);
    REQUIRE(k.rest_untouched());
    REQUIRE(v.rest_untouched());
  });
}

TEST_CASE("paged caches") {
  fuzz_rounds("paged", [](engine& random) {
    const kv_shape shape = draw_kv_shape(random);
    const kv_formats formats{draw_format(random, true), draw_format(random, true)};
    const bool blocks = formats.k.channels || formats.v.channels;
    const index page = blocks ? 32 * between(random, 1, 2) : between(random, 1, 20),
                pages = 1 + between(random, 0, 300) / page;
    paged_kv cache(
        shape,
        {.pages = pages, .page = page, .table = one_in(random, 2) ? 0 : between(random, 1, pages)},
        formats);
    steps(kv_fuzzed(std::move(cache), formats, {pages, page, {}}, random), random);
  });
}

}  // namespace heed::fuzz
