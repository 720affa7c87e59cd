// SPDX-License-Identifier: BSL-1.0
// Random verbs on a contiguous or paged cache and on a model of it.
#pragma once

#include "fuzz/kv_attend.hpp"
#include "fuzz/kv_pages.hpp"
#include "fuzz/kv_rows.hpp"

namespace heed::fuzz {

// Rows of codes are taken from the cache once they were found to be codes of what was appended, and
// must not change after that. With scales a channel they may be off by half a scale each time that
// their block was coded.
template <class Cache> class kv_fuzzed {
 public:
  kv_fuzzed(Cache c, const kv_formats& f, model_pages p, engine& random)
      : cache(std::move(c)),
        formats_(f),
        pages_(std::move(p)),
        coded_(static_cast<std::size_t>(cache.batch()), 1),
        random_(random),
        clean_(one_in(random, 2)),
        all(static_cast<std::size_t>(cache.batch())) {
    pages_.of.resize(all.size());
    for (auto& s : all)
      s.append(std::vector<Eigen::MatrixXd>(heads(), Eigen::MatrixXd(0, cache.depth())),
               std::vector<Eigen::MatrixXd>(heads(), Eigen::MatrixXd(0, cache.value_depth())));
  }

  void step() {
    const index b = between(random_, 0, cache.batch() - 1);
    switch (between(random_, 0, 9)) {
      case 0:
        return truncate(b, one_in(random_, 2) ? 0 : between(random_, 0, of(b).length + 1));
      case 1:
        return truncate(b, std::max<index>(0, of(b).length - between(random_, 0, 5)));
      case 2:
      case 3:
        return fork(b, between(random_, 0, cache.batch() - 1));
      case 4:
        return evict(b);
      case 5:
      case 6:
        return append(b, b + 1);
      default:
        return append(0, cache.batch());
    }
  }
  void check() {
    for (index b = 0; b < cache.batch(); ++b) {
      REQUIRE(cache.length(b) == of(b).length);
      REQUIRE(cache.end(b) == of(b).end);
      for (index h = 0; h < cache.heads(); ++h) {
        const reference::kv::head got = test::read_back(cache, b, h),
                                  &want = of(b).heads[static_cast<std::size_t>(h)];
        REQUIRE(got.positions == want.positions);
        REQUIRE(same_rows(formats_.k, got.k, want.k, allowed(formats_.k, b)));
        REQUIRE(same_rows(formats_.v, got.v, want.v, allowed(formats_.v, b)));
      }
    }
    if constexpr (requires { cache.free_pages(); })
      REQUIRE(cache.free_pages() == pages_.pool - pages_.used());
  }
  // Rows that share scales are not the model's any more; check() has seen that they are close.
  void attend() {
    model_source want{{}, {}, cache.heads(), cache.depth(), cache.value_depth()};
    for (const auto& s : all) want.all.push_back(s.heads), want.ends.push_back(s.end);
    const bool blocks = formats_.k.channels || formats_.v.channels;
    if (want.ordinary())
      attend_to(cache, blocks ? kv_ref(cache) : kv_ref(want), formats_, want.finite(), random_);
  }

  Cache cache;

 private:
  kv_formats formats_;
  model_pages pages_;
  std::vector<index> coded_;  // times that rows of a sequence may have been coded
  engine& random_;
  bool clean_;  // whether all that is appended is finite

 public:
  test::model all;

 private:
  std::size_t heads() const { return static_cast<std::size_t>(cache.heads()); }
  reference::kv::sequence& of(index b) { return all[static_cast<std::size_t>(b)]; }
  index& coded(index b) { return coded_[static_cast<std::size_t>(b)]; }
  double allowed(const kv_format& f, index b) {
    const double times = double(coded(b)), codes = f.type == kv_type::i8 ? 127 : 7;
    return times *
           ((1 + times / codes) / codes / 2 + (f.scale == element::f16 ? 0x1p-10 : 0x1p-20));
  }
  template <class F> bool goes(bool fits, F call) {
    if (fits)
      call();
    else
      REQUIRE_THROWS_AS(call(), std::invalid_argument);
    return fits;
  }

  void append(index first, index last) {
    const index n = one_in(random_, 4) ? between(random_, 0, 45) : between(random_, 0, 6);
    const bool blocks = formats_.k.channels || formats_.v.channels;
    const kv_shape shape{1, cache.heads(), cache.depth(), cache.value_depth()};
    const kv_chunk c(shape, last - first, n, clean_ || (blocks && !one_in(random_, 10)), random_);
    bool fits = !(formats_.k.channels && has_bad(c.k)) && !(formats_.v.channels && has_bad(c.v));
    model_pages after = pages_;
    for (index b = first; b < last; ++b) {
      fits = fits && of(b).length + n <= cache.capacity();
      if (fits) after.append(b, of(b).length, n);
    }
    if (!goes(fits && after.fit(), [&] {
          if (last - first == cache.batch())
            cache.append(c.k.read(), c.v.read());
          else
            cache.append(first, c.k.read(), c.v.read());
        }))
      return;
    pages_ = std::move(after);
    for (index b = first; b < last; ++b) {
      of(b).append(kept_rows(c.k, b - first, formats_.k.type),
                   kept_rows(c.v, b - first, formats_.v.type));
      for (index h = 0; h < cache.heads(); ++h) {
        const reference::kv::head got = test::read_back(cache, b, h);
        take_codes(formats_.k, got.k.bottomRows(n), of(b).heads[std::size_t(h)].k);
        take_codes(formats_.v, got.v.bottomRows(n), of(b).heads[std::size_t(h)].v);
      }
    }
  }
  static void take_codes(const kv_format& f, const Eigen::MatrixXd& got, Eigen::MatrixXd& want) {
    if (!f.quantized() || f.channels) return;
    REQUIRE(coded_as(f, got, want.bottomRows(got.rows())));
    want.bottomRows(got.rows()) = got;
  }
  void truncate(index b, index n) {
    if (!goes(n <= of(b).length, [&] { cache.truncate(b, n); })) return;
    of(b).truncate(n), pages_.truncate(b, n);
    coded(b) = n == 0 ? 1 : coded(b) + 1;
  }
  void fork(index from, index to) {
    const index n = one_in(random_, 3) ? of(from).length : between(random_, 0, of(from).length + 1);
    if (!goes(n <= of(from).length, [&] { cache.fork(from, to, n); })) return;
    of(to) = reference::kv::sequence(of(from));
    of(to).truncate(n), pages_.fork(from, to, n);
    coded(to) = coded(from) + 1;
  }
  void evict(index b) {
    const index length = of(b).length, lists = one_in(random_, 2) ? 1 : cache.heads();
    const index n = one_in(random_, 2) ? length - std::min(length, between(random_, 0, 4))
                                       : between(random_, 0, length);
    std::vector<index> flat, every(static_cast<std::size_t>(length));
    for (index t = 0; t < length; ++t) every[std::size_t(t)] = t;
    std::vector<std::vector<index>> keep(heads());
    index moved = n;
    for (index h = 0; h < lists; ++h) {
      std::vector<index> list;
      std::sample(every.begin(), every.end(), std::back_inserter(list), n, random_);
      for (index i = 0; i < moved; ++i)
        if (list[std::size_t(i)] != i) moved = i;
      flat.insert(flat.end(), list.begin(), list.end());
      keep[std::size_t(h)] = list;
    }
    for (index h = lists; h < cache.heads(); ++h) keep[std::size_t(h)] = keep[0];
    const bool blocks = formats_.k.channels || formats_.v.channels;
    model_pages after = pages_;
    if (moved < n) after.own(b, blocks ? moved - moved % kv_block : moved, n);
    if (!goes(after.fit(),
              [&] { cache.evict(b, view<const index>(flat.data(), {1, lists, n, 1})); }))
      return;
    if (n == length) return;  // all stay: nothing changes, not even where truncation ends
    pages_ = std::move(after);
    of(b).evict(keep), pages_.truncate(b, n);
    ++coded(b);
  }
};

}  // namespace heed::fuzz
