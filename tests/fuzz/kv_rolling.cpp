// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/ring.hpp>
#include <heed/kv/streaming.hpp>
#include <heed/reference/kv/ring.hpp>
#include <heed/reference/kv/streaming.hpp>

#include "fuzz/kv_attend.hpp"
#include "fuzz/kv_run.hpp"

namespace heed::fuzz {
namespace {

struct rolling {
  kv_shape shape;
  kv_formats formats;
  index first, window, slack;
  bool clean;  // whether all that is appended is finite

  rolling(engine& random, bool streams)
      : shape(draw_kv_shape(random)),
        formats(draw_format(random, false), draw_format(random, false)),
        first(streams ? between(random, 0, 5) : 0),
        window(between(random, 1, 25)),
        slack(between(random, 0, 6)),
        clean(one_in(random, 2)) {}

  bool good(const kv_format& f, const Eigen::MatrixXd& got, const Eigen::MatrixXd& want) const {
    return f.quantized() ? coded_as(f, got, want) : test::near(got, want, 0);
  }
  template <class Cache> void check(const Cache& cache, const test::model& all) const {
    for (index b = 0; b < shape.batch; ++b) {
      const reference::kv::sequence& s = all[std::size_t(b)];
      const bool streams = !std::is_same_v<Cache, ring_kv>;
      REQUIRE(cache.seen(b) == s.length);
      REQUIRE(cache.length(b) == std::min(s.length, first + window));
      REQUIRE(cache.end(b) == (streams ? cache.length(b) : s.length));
      for (index h = 0; h < shape.heads && s.length > 0; ++h) {
        const reference::kv::head &whole = s.heads[std::size_t(h)],
                                  got = test::read_back(cache, b, h);
        const auto want = streams ? reference::kv::streaming(whole, first, window)
                                  : reference::kv::ring(whole, window);
        REQUIRE(got.positions == want.positions);
        REQUIRE(good(formats.k, got.k, want.k));
        REQUIRE(good(formats.v, got.v, want.v));
      }
    }
  }

  // The model's tokens, codes as the cache has them: check() has seen that they are codes of those.
  template <class Cache>
  void attend(const Cache& cache, const test::model& all, engine& random) const {
    model_source want{{}, {}, shape.heads, shape.depth, shape.value_depth};
    for (index b = 0; b < shape.batch; ++b) {
      const reference::kv::sequence& s = all[std::size_t(b)];
      want.all.emplace_back(), want.ends.push_back(cache.end(b));
      for (index h = 0; h < shape.heads && s.length > 0; ++h) {
        const reference::kv::head& whole = s.heads[std::size_t(h)];
        auto x = std::is_same_v<Cache, ring_kv> ? reference::kv::ring(whole, window)
                                                : reference::kv::streaming(whole, first, window);
        const reference::kv::head got = test::read_back(cache, b, h);
        if (formats.k.quantized()) x.k = got.k;
        if (formats.v.quantized()) x.v = got.v;
        want.all.back().push_back(std::move(x));
      }
    }
    if (want.ordinary()) attend_to(cache, want, formats, want.finite(), random);
  }

  // Tokens that may be taken back: what is visible after must never have been overwritten.
  template <class Cache> void run(Cache cache, engine& random) const {
    test::model all(std::size_t(shape.batch));
    // By sequence, the token in each slot of the ring; -1: none.
    const index slots = window + slack;
    std::vector<std::vector<index>> ring(all.size(), std::vector<index>(std::size_t(slots), -1));
    const auto grow = [&](index b, const kv_chunk& c, index from) {
      reference::kv::sequence& s = all[std::size_t(b)];
      for (index t = std::max(first, s.length); t < s.length + c.k.extent[2]; ++t)
        ring[std::size_t(b)][std::size_t((t - first) % slots)] = t;
      s.append(kept_rows(c.k, from, formats.k.type), kept_rows(c.v, from, formats.v.type));
    };
    for (index steps = between(random, 1, 50); steps > 0; --steps) {
      const index b = between(random, 0, shape.batch - 1),
                  n = one_in(random, 5) ? between(random, 0, 80) : between(random, 0, 5);
      reference::kv::sequence& s = all[std::size_t(b)];
      switch (between(random, 0, 7)) {
        case 0: {
          const index to = between(random, 0, shape.batch - 1);
          cache.fork(b, to);
          if (to != b) all[std::size_t(to)] = s, ring[std::size_t(to)] = ring[std::size_t(b)];
          break;
        }
        case 1:
        case 2: {
          const index keep =
              one_in(random, 6) ? between(random, 0, s.length) : std::max<index>(0, s.length - n);
          bool fits = true;
          for (index t = std::max(first, keep - window); t < keep; ++t)
            fits = fits && ring[std::size_t(b)][std::size_t((t - first) % slots)] == t;
          if (!fits) {
            REQUIRE_THROWS_AS(cache.truncate(b, keep), std::invalid_argument);
            break;
          }
          cache.truncate(b, keep);
          s.truncate(keep);
          break;
        }
        case 3: {
          const kv_chunk c(shape, 1, n, clean, random);
          cache.append(b, c.k.read(), c.v.read());
          grow(b, c, 0);
          break;
        }
        default: {
          const kv_chunk c(shape, shape.batch, n, clean, random);
          cache.append(c.k.read(), c.v.read());
          for (index i = 0; i < shape.batch; ++i) grow(i, c, i);
        }
      }
      check(cache, all);
      if (one_in(random, 6)) attend(cache, all, random);
    }
  }
};

}  // namespace

TEST_CASE("ring caches") {
  fuzz_rounds("ring", [](engine& random) {
    const rolling r(random, false);
    r.run(ring_kv(r.shape, {r.window, r.slack}, r.formats), random);
  });
}

TEST_CASE("streaming caches") {
  fuzz_rounds("streaming", [](engine& random) {
    const rolling r(random, true);
    r.run(streaming_kv(r.shape, {r.first, r.window, r.slack}, r.formats), random);
  });
}

}  // namespace heed::fuzz
