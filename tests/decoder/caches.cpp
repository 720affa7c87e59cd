// SPDX-License-Identifier: BSL-1.0
// A session on any cache, in chunks of any size and on any number of threads.
#define EIGEN_USE_THREADS
#include <heed/kv/quantized.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

#include "../examples/decoder/pass.hpp"
#include "../examples/decoder/session.hpp"
#include "../examples/decoder/state.hpp"
#include "support/catch.hpp"

namespace {

using decoder::cache_kind;
using decoder::cache_plan;

constexpr cache_kind kinds[] = {cache_kind::contiguous, cache_kind::paged, cache_kind::ring,
                                cache_kind::streaming};

decoder::model<float> some_model(heed::index layers, heed::index context) {
  decoder::model<float> m(decoder::shape{.width = 24,
                                         .hidden = 20,
                                         .layers = layers,
                                         .heads = 6,
                                         .kv_heads = 2,
                                         .vocabulary = 30,
                                         .context = context});
  decoder::initialize(m, 3);
  return m;
}

std::vector<std::int32_t> some_text(heed::index length) {
  decoder::random_numbers draw(4);
  std::vector<std::int32_t> text(static_cast<std::size_t>(length));
  for (std::int32_t& t : text) t = static_cast<std::int32_t>(draw.below(30));
  return text;
}

using tokens = std::span<const std::int32_t>;

// Two layers, each a sum of at most 24 + 20 terms of order one.
float bound(const decoder::matrix<float>& logits) {
  return 2 * 44 * 1e-7F * logits.cwiseAbs().maxCoeff();
}

}  // namespace

TEST_CASE("caches give the logits of a pass over the whole text, beyond the window too") {
  const auto m = some_model(2, 12);
  const auto text = some_text(40);
  decoder::pass<float> pass(m.shape, 1, 40);
  const decoder::matrix<float> all = pass.forward(m, text);
  for (const cache_kind kind : {cache_kind::contiguous, cache_kind::paged, cache_kind::ring})
    for (const heed::index chunk : {1, 3, 64})
      for (const heed::index page : {1, 7}) {
        CAPTURE(int(kind), chunk, page);
        decoder::session session(m, {.kind = kind, .capacity = 40, .page = page, .chunk = chunk});
        for (const auto& [first, count] : {std::pair{0, 17}, {17, 1}, {18, 5}, {23, 1}, {24, 16}}) {
          const auto part = tokens(text).subspan(std::size_t(first), std::size_t(count));
          const auto expected = all.row(first + count - 1);
          CHECK((session.read(part) - expected).cwiseAbs().maxCoeff() < bound(all));
        }
      }
}

TEST_CASE("streaming is a pass over the tokens that it kept") {
  // With one layer, what a cache keeps of a token does not depend on those before it.
  const auto m = some_model(1, 12);
  const auto text = some_text(40);
  for (const heed::index sinks : {0, 1, 4}) {
    decoder::session session(m, {.kind = cache_kind::streaming, .sinks = sinks});
    for (heed::index end = 1; end <= 40; ++end) {
      const auto& logits = session.read(tokens(text).subspan(std::size_t(end) - 1, 1));
      std::vector<std::int32_t> kept(text.begin(), text.begin() + end);
      if (end > 12) kept.erase(kept.begin() + sinks, kept.end() - (12 - sinks));
      decoder::pass<float> pass(m.shape, 1, static_cast<heed::index>(kept.size()));
      const auto& all = pass.forward(m, kept);
      CAPTURE(sinks, end);
      CHECK((logits - all.bottomRows(1)).cwiseAbs().maxCoeff() < bound(all));
    }
  }
}

TEST_CASE("threads change no bit of a session") {
  const auto m = some_model(2, 1200);
  const auto text = some_text(1100);
  Eigen::ThreadPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const auto threads = heed::on(device);
  for (const cache_kind kind : kinds) {
    const cache_plan plan{.kind = kind, .chunk = 100};
    decoder::session alone(m, plan), together(m, plan, threads);
    CHECK(alone.read(tokens(text).first(1090)) == together.read(tokens(text).first(1090)));
    for (std::size_t i = 1090; i < 1100; ++i) {
      const auto one = tokens(text).subspan(i, 1);
      CHECK(alone.read(one) == together.read(one));
    }
  }
}

TEST_CASE("a format decides the bytes of a cache, and what is lost") {
  const auto m = some_model(2, 12);  // rows of 4 channels
  const auto text = some_text(12);
  for (const cache_kind kind : kinds) {
    const auto run = [&](const heed::kv_format& format, std::size_t& bytes) {
      decoder::session session(m, {.kind = kind, .format = format, .chunk = 4});
      bytes = session.bytes();
      return decoder::matrix<float>(session.read(text));
    };
    std::size_t whole, half, bytes, nibbles, bf;
    const auto exact = run(heed::kv_as::single(), whole);
    const auto off = [&](const decoder::matrix<float>& x) {
      return (x - exact).norm() / exact.norm();
    };
    const float f16 = off(run(heed::kv_as::half(), half)),
                b16 = off(run(heed::kv_as::bfloat(), bf)),
                i8 = off(run(heed::kv_as::int8(), bytes)),
                i4 = off(run(heed::kv_as::int4(), nibbles));
    CAPTURE(int(kind), whole, half, bytes, nibbles, f16, b16, i8, i4);
    CHECK(bf == half);
    CHECK(nibbles < half);
    CHECK(half < whole);
    CHECK(f16 > 0);
    // Of two layers keys and values are rounded once, to this share of the largest or less.
    CHECK(f16 < 4 * 0x1p-11F);
    CHECK(b16 > f16);
    CHECK(b16 < 4 * 0x1p-8F);
    CHECK(i8 > f16);
    CHECK(i8 < 4 / 254.0F);
    CHECK(i4 > i8);
    CHECK(i4 < 4 / 14.0F);
  }
}

TEST_CASE("a session refuses a cache that cannot be") {
  const auto m = some_model(1, 12);
  const auto refuses = [&](const cache_plan& plan, const char* why) {
    CHECK_THROWS_WITH(decoder::session(m, plan), Catch::Matchers::ContainsSubstring(why));
  };
  refuses({.page = 0}, "must be positive");
  refuses({.chunk = 0}, "must be positive");
  refuses({.window = -1}, "must be positive");
  refuses({.kind = cache_kind::streaming, .sinks = 12}, "12 sinks leave nothing of a window of 12");
  decoder::session session(m);
  session.read(some_text(12));
  CHECK_THROWS_AS(session.read(some_text(1)), std::invalid_argument);
}
