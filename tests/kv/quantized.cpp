// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/kv/ring.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

constexpr kv_shape odd{.batch = 2, .heads = 2, .depth = 33, .value_depth = 7};

// Half a scale of numbers of [-1, 1).
double half_scale(const kv_format& f) {
  return f.type == kv_type::i8 ? 1 / 127.0 * 0.501 : f.type == kv_type::i4 ? 1 / 7.0 * 0.501 : 0;
}
template <class Cache> void appended(Cache& cache, double allowed) {
  model m(std::size_t(cache.batch()));
  for (const index n : {3, 1, 0, 30, 1}) {
    append(cache, m, chunk<float>(cache, n, unsigned(n)));
    check_cache(cache, m, allowed);
  }
}

}  // namespace

TEST_CASE("caches of every format give back what they were given") {
  for (const kv_format& f :
       {kv_as::int8(), kv_as::int8(8), kv_as::int8(100), kv_as::int4(), kv_as::int4(0),
        kv_as::int4(5), kv_as::int8().with_zero(), kv_as::int4().with_zero()}) {
    contiguous_kv whole(odd, 40, f);
    appended(whole, half_scale(f));
    paged_kv paged(odd, {.pages = 24, .page = 3}, f);
    appended(paged, half_scale(f));
    CHECK(is_quantized(whole.run(0, 0, 0).k.type));
  }
  contiguous_kv half(odd, 40, kv_as::half()), bfloat(odd, 40, kv_as::bfloat());
  appended(half, 0x1p-12), appended(bfloat, 0x1p-9);
  contiguous_kv mixed(odd, 40, {kv_as::int8(), kv_as::half()});
  appended(mixed, half_scale(kv_as::int8()));
  CHECK(mixed.run(0, 0, 0).v.plain(kv_type::f16));
}

TEST_CASE("codes take the memory that they should") {
  const kv_shape shape{.batch = 1, .heads = 2, .depth = 64, .value_depth = 64};
  const auto bytes = [&](const kv_formats& f) {
    return index(contiguous_kv(shape, 1024, f).bytes()) - 32 * 64 * 8;  // less scratch
  };
  constexpr index rows = 2 * 2 * 1024;
  const auto near = [](index got, index want) { return got >= want && got <= want + 512; };
  CHECK(near(bytes({}), rows * 256));
  CHECK(near(bytes(kv_as::half()), rows * 128));
  CHECK(near(bytes(kv_as::int8()), rows * (64 + 4)));
  CHECK(near(bytes(kv_as::int4()), rows * (32 + 4)));
  CHECK(near(bytes(kv_as::int4().with_zero()), rows * (32 + 8)));
  CHECK(near(bytes(kv_as::kivi4()),
             rows / 2 * 40 + rows / 2 * 32 + rows / 2 / 32 * 64 * 4 + 2 * 32 * 64 * 4));
}

TEST_CASE("rows of codes move as they are") {
  paged_kv cache(odd, {.pages = 30, .page = 4}, kv_as::int4().with_zero());
  model m(2);
  append(cache, m, chunk<float>(cache, 17, 1));
  const reference::kv::head before = read_back(cache, 0, 1);
  fork(cache, m, 0, 1, 15);
  append(cache, m, 1, chunk<float>(cache, 2, 2, 1));
  evict(cache, m, 0, {{0, 3, 16}, {4, 5, 14}});
  check_cache(cache, m, half_scale(kv_as::int4()));
  CHECK(read_back(cache, 0, 1).k == before.kept({4, 5, 14}).k);
  CHECK(read_back(cache, 1, 1).v.topRows(15) == before.v.topRows(15));
}

TEST_CASE("with scales a channel the newest tokens are float until a block is full") {
  for (const kv_formats& f : {kv_as::kivi8(), kv_formats(kv_as::int8().per_channel()),
                              kv_formats(kv_as::int8(), kv_as::int8().per_channel())}) {
    contiguous_kv cache(odd, 70, f);
    model m(2);
    append(cache, m, chunk<float>(cache, 31, 1));
    const bool keys = f.k.channels;
    const auto side = [&](const kv_run& r) { return keys ? r.k : r.v; };
    CHECK(side(cache.run(0, 0, 0)).plain(kv_type::f32));
    CHECK(cache.run(0, 0, 0).count == 31);
    append(cache, m, chunk<float>(cache, 1, 2));
    CHECK(side(cache.run(0, 0, 5)).type == kv_type::i8);
    CHECK(side(cache.run(0, 0, 5)).scale_stride == 0);
    CHECK(side(cache.run(0, 0, 5)).group == 1);
    append(cache, m, chunk<float>(cache, 38, 3));
    CHECK(cache.run(1, 1, 5).count == 27);
    CHECK(cache.run(1, 1, 40).count == 24);
    CHECK(side(cache.run(1, 1, 64)).plain(kv_type::f32));
    check_cache(cache, m, half_scale(kv_as::int8()));
    // The open block is exact.
    const reference::kv::head got = read_back(cache, 1, 1);
    if (keys)
      CHECK(got.k.bottomRows(6) == m[1].heads[1].k.bottomRows(6));
    else
      CHECK(got.v.bottomRows(6) == m[1].heads[1].v.bottomRows(6));
  }
}

TEST_CASE("a channel of large numbers does not disturb the others") {
  contiguous_kv cache(odd, 32, kv_as::kivi4());
  chunk<float> c(cache, 32, 1);
  for (index b = 0; b < 2; ++b)
    for (index h = 0; h < 2; ++h)
      for (index l = 0; l < 32; ++l) c.k(b, h, l, 9) *= 1000;
  cache.append(c.k.in(), c.v.in());
  const reference::kv::head got = read_back(cache, 0, 0);
  const Eigen::MatrixXd off = (got.k - c.k.head(0, 0)).cwiseAbs();
  CHECK(off.leftCols(9).maxCoeff() < 2 / 15.0 * 0.51);
  CHECK(off.rightCols(23).maxCoeff() < 2 / 15.0 * 0.51);
  CHECK(off.col(9).maxCoeff() < 2000 / 15.0 * 0.51);
  CHECK(off.col(9).maxCoeff() > 1);
}

TEST_CASE("blocks with scales a channel are opened again, forked and compacted") {
  const kv_format f = kv_as::int8().per_channel();
  const double once = half_scale(f);
  contiguous_kv whole(odd, 100, f);
  paged_kv paged(odd, {.pages = 10, .page = 32}, f);
  const auto run = [&](auto& cache) {
    model m(2);
    append(cache, m, chunk<float>(cache, 75, 1));
    truncate(cache, m, 0, 70);  // within the open block
    check_cache(cache, m, once);
    truncate(cache, m, 0, 50);  // into a coded one
    CHECK(cache.run(0, 0, 32).count == 18);
    CHECK(cache.run(0, 0, 32).k.plain(kv_type::f32));
    check_cache(cache, m, once);
    append(cache, m, 0, chunk<float>(cache, 30, 2, 1));  // coded twice
    check_cache(cache, m, 2.1 * once);
    truncate(cache, m, 0, 64);
    fork(cache, m, 1, 0, 75);
    append(cache, m, chunk<float>(cache, 2, 3));
    check_cache(cache, m, once);
    CHECK(read_back(cache, 0, 1).k.topRows(75) == read_back(cache, 1, 1).k.topRows(75));
    fork(cache, m, 0, 1, 40);
    append(cache, m, 1, chunk<float>(cache, 3, 4, 1));
    check_cache(cache, m, once);
    // Every second token, and all but the first: 38 and 38 of 77.
    std::vector<index> even, late;
    for (index t = 0; t < 38; ++t) even.push_back(2 * t), late.push_back(t + 39);
    evict(cache, m, 0, {even, late});
    check_cache(cache, m, 2.1 * once);
    append(cache, m, 0, chunk<float>(cache, 30, 5, 1));
    check_cache(cache, m, 2.1 * once);
    // From the middle of a block on.
    std::vector<index> all_but_one;
    for (index t = 0; t < cache.length(0); ++t)
      if (t != 45) all_but_one.push_back(t);
    evict(cache, m, 0, {all_but_one, all_but_one});
    check_cache(cache, m, 3.3 * once);
    // A prefix: nothing is coded again until its last block is full.
    append(cache, m, 1, chunk<float>(cache, 30, 7, 1));
    std::vector<index> first;
    for (index t = 0; t < 34; ++t) first.push_back(t);
    evict(cache, m, 1, {first, first});
    append(cache, m, 1, chunk<float>(cache, 1, 6, 1));
    check_cache(cache, m, 2.1 * once);
  };
  run(whole);
  run(paged);
}

TEST_CASE("numbers that are not finite") {
  const float inf = std::numeric_limits<float>::infinity();
  contiguous_kv rows(odd, 8, kv_as::int8(16)),
      blocks(odd, 8, {kv_as::int8().per_channel(), kv_as::single()});
  chunk<float> c(rows, 3, 1);
  model m(2);
  append(blocks, m, c);
  c.k(1, 0, 1, 20) = inf;
  rows.append(c.k.in(), c.v.in());
  const Eigen::MatrixXd k = read_back(rows, 1, 0).k;
  for (index t = 0; t < 3; ++t)
    for (index d = 0; d < 33; ++d) CHECK(std::isnan(k(t, d)) == (t == 1 && d >= 16 && d < 32));
  check_refused(blocks, m, "heed::contiguous_kv::append: k has a number that is not finite",
                [&] { blocks.append(c.k.in(), c.v.in()); });
  auto wide = uniform<double>({1, 2, 1, 33}, 1), v = uniform<double>({1, 2, 1, 7}, 2);
  wide(0, 1, 0, 32) = 1e300;
  check_refused(blocks, m, "not finite in float", [&] { blocks.append(0, wide.in(), v.in()); });
}

TEST_CASE("formats that contradict themselves are refused") {
  const auto refused = [](const kv_format& f, index page = 32) {
    CHECK_THROWS_AS(paged_kv(odd, {.pages = 4, .page = page}, f), std::invalid_argument);
    CHECK_THROWS_AS(paged_kv(odd, {.pages = 4, .page = page}, {kv_format{}, f}),
                    std::invalid_argument);
  };
  refused(kv_as::half().with_zero()), refused(kv_as::half().per_channel());
  refused(kv_as::int8(-1)), refused(kv_as::int8().per_channel(), 16);
  kv_format f = kv_as::int8().per_channel();
  f.group = 4;
  refused(f);
  f = kv_as::int8(), f.scale = element::bf16;
  refused(f);
  f = {}, f.type = kv_type(9);
  refused(f);
}

}  // namespace heed::test
