// SPDX-License-Identifier: BSL-1.0
// Four prompts that pass through a cache in every way, each row against the dense reference on the
// whole prompt, which knows of no cache.
#pragma once

#include <heed/attention/attend_source.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/where.hpp>
#include <heed/reference/attend.hpp>

#include "support/exact.hpp"
#include "support/held_caches.hpp"

namespace heed::test {

/// keep[b][h]: tokens that stay when the queries up to row `at` are done.
struct evicted {
  index at = 0;
  std::vector<std::vector<std::vector<index>>> keep;

  static evicted half(const prompts& p, index at) {
    evicted e{at, {}};
    std::mt19937 random(seed() + 5);
    for (index b = 0; b < prompts::batch; ++b) {
      std::vector<index> all(static_cast<std::size_t>(p.before(b) + at));
      std::iota(all.begin(), all.end(), index{0});
      e.keep.emplace_back();
      for (index h = 0; h < prompts::kv_heads; ++h) {
        e.keep.back().emplace_back();
        std::sample(all.begin(), all.end(), std::back_inserter(e.keep.back().back()),
                    all.size() / 2, random);
      }
    }
    return e;
  }
};

/// Rows [Lq × Dv] of every sequence and head.
using all_rows = std::vector<std::vector<Eigen::MatrixXd>>;

template <class Spec>
all_rows expected_rows(const Spec& spec, const prompts& p, const evicted& gone = {}) {
  all_rows all;
  for (index b = 0; b < prompts::batch; ++b) {
    const index from = p.before(b), keys = from + p.rows;
    // Tokens that were evicted, head after head.
    std::vector<char> lost(static_cast<std::size_t>(prompts::kv_heads * keys), 0);
    for (index h = 0; h < prompts::kv_heads && !gone.keep.empty(); ++h) {
      for (index t = 0; t < from + gone.at; ++t) lost[std::size_t(h * keys + t)] = 1;
      for (const index t : gone.keep[std::size_t(b)][std::size_t(h)])
        lost[std::size_t(h * keys + t)] = 0;
    }
    const auto present = where([&](const position& at) {
      return at.q < from + gone.at || !lost[std::size_t(at.h / prompts::group * keys + at.k)];
    });
    auto dense =
        heed::detail::exchanged(spec, spec.mask && present, spec.weights, spec.value, spec.output);
    dense.offset = from;
    tensor<double> out({1, prompts::heads, p.rows, p.value_depth});
    reference::attend(dense, part(p.q, b, 0, p.rows), part(p.k, b, 0, keys), part(p.v, b, 0, keys),
                      {.out = out.in()});
    all.emplace_back();
    for (index h = 0; h < prompts::heads; ++h) all.back().push_back(out.head(0, h));
  }
  return all;
}

/// What a cache is to hold: keys and values as they are appended, rows as they must come out.
template <class Spec> class decoder {
 public:
  decoder(const Spec& spec, const prompts& p, const tensor<float>& keys, const all_rows& expected,
          held_cache cache)
      : spec_(spec), p_(p), keys_(keys), expected_(expected), cache_(std::move(cache)) {}

  /// What comes before the first query, of some sequences.
  void begin(index sequences = prompts::batch) {
    for (index b = 0; b < sequences; ++b) append(b, 0, p_.before(b));
  }
  /// The next n tokens, then their queries. Of `drafted` tokens more, wrong ones, the queries are
  /// run and the tokens taken back.
  void step(index n, index drafted = 0) {
    const index queries = std::min(n + drafted, p_.rows - done_);
    for (index b = 0; b < prompts::batch; ++b) {
      append(b, p_.before(b) + done_, n);
      // Rows of another sequence.
      const index other = (b + 1) % prompts::batch;
      cache_.append(b, part(keys_, other, 0, queries - n), part(p_.v, other, 0, queries - n));
    }
    check(queries, n);
    for (index b = 0; b < prompts::batch; ++b) cache_.take_back(b, queries - n);
    done_ += n;
  }
  /// Appends what sequences 0 and 1 have next, their queries unasked, and makes 2 and 3 of them.
  void fork_after(index n) {
    for (const index b : {0, 1}) {
      append(b, p_.before(b) + done_, n);
      cache_.fork(b, b + 2);
    }
    done_ += n;
  }
  void evict(const evicted& e) {
    REQUIRE(done_ == e.at);
    for (index b = 0; b < prompts::batch; ++b) {
      std::vector<index> flat;
      for (const auto& list : e.keep[std::size_t(b)])
        flat.insert(flat.end(), list.begin(), list.end());
      cache_.evict(b, {flat.data(), {1, prompts::kv_heads, index(flat.size()) / 2, 1}});
    }
  }
  void rest(std::initializer_list<index> sizes) {
    while (done_ < p_.rows)
      for (const index n : sizes)
        if (done_ < p_.rows) step(std::min(n, p_.rows - done_));
  }
  void rest_by_drafts() {
    for (index n = 1; done_ < p_.rows; n = n % 4 + 1) step(std::min(n, p_.rows - done_), 5 - n);
  }
  index left() const { return p_.rows - done_; }

 private:
  void append(index b, index first, index n) {
    cache_.append(b, part(keys_, b, first, n), part(p_.v, b, first, n));
  }
  void check(index queries, index good) {
    tensor<float> q({prompts::batch, prompts::heads, queries, p_.depth}),
        out({prompts::batch, prompts::heads, queries, p_.value_depth});
    for (index b = 0; b < prompts::batch; ++b)
      for (index h = 0; h < prompts::heads; ++h)
        for (index r = 0; r < queries; ++r)
          for (index c = 0; c < p_.depth; ++c) q(b, h, r, c) = p_.q.in()(b, h, done_ + r, c);
    attend(spec_, view<const float>(q.in()), cache_.source(), out.in(), {}, scratch_);
    for (index b = 0; b < prompts::batch; ++b)
      for (index h = 0; h < prompts::heads; ++h)
        // Scores are a few units, values up to 4, and rows up to 661 keys long.
        check_close(out.head(b, h).topRows(good),
                    expected_[std::size_t(b)][std::size_t(h)].middleRows(done_, good),
                    tolerance<float>(1, 661, 1),
                    cache_.name + ", " + std::to_string(queries) + " queries at " +
                        std::to_string(done_) + ", sequence " + std::to_string(b));
  }

  const Spec& spec_;
  const prompts& p_;
  const tensor<float>& keys_;
  const all_rows& expected_;
  held_cache cache_;
  workspace scratch_;
  index done_ = 0;
};

/// Every way through the caches; `keys` as they are appended.
template <class Spec, class Dense>
void every_way(const Spec& spec, const Dense& dense, const prompts& p, const tensor<float>& keys) {
  const evicted e = evicted::half(p, p.shared);
  const all_rows whole = expected_rows(dense, p), less = expected_rows(dense, p, e);
  for (const make_cache& make : every_cache(p)) {
    const auto start = [&](const all_rows& rows, index sequences = prompts::batch) {
      decoder<Spec> d(spec, p, keys, rows, make());
      d.begin(sequences);
      return d;
    };
    start(whole).step(p.rows);
    start(whole).rest({1});
    start(whole).rest({7, 1, 16, 2, 9});
    start(whole).rest_by_drafts();
    if (make().fork) {
      auto d = start(whole, 2);
      d.fork_after(p.shared);
      d.rest({1, 1, 3, 1, 12});
    }
    if (make().evict) {
      auto d = start(less);
      d.step(p.shared);
      d.evict(e);
      d.step(10);
      d.rest_by_drafts();
    }
  }
}
}  // namespace heed::test
