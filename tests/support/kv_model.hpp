// SPDX-License-Identifier: BSL-1.0
// Caches against models of them: every row read back, with lengths and positions.
#pragma once

#include <heed/kv/load.hpp>
#include <heed/kv/source.hpp>
#include <heed/reference/kv/cache.hpp>

#include "support/catch.hpp"
#include "support/tensor.hpp"

namespace heed::test {

using model = std::vector<reference::kv::sequence>;

/// Rows of one sequence of k or v, a matrix a head.
template <class T> std::vector<Eigen::MatrixXd> rows_of(const tensor<T>& x, index b) {
  std::vector<Eigen::MatrixXd> rows;
  for (index h = 0; h < x.extent[1]; ++h) rows.push_back(x.head(b, h));
  return rows;
}

/// What a source gives for one kv head, in double.
template <class Source> reference::kv::head read_back(const Source& cache, index b, index h) {
  const index n = cache.length(b), d = cache.depth(), dv = cache.value_depth();
  reference::kv::head out{Eigen::MatrixXd(n, d), Eigen::MatrixXd(n, dv), {}};
  std::vector<double> row(static_cast<std::size_t>(std::max(d, dv)));
  index next = 0;
  for_each_run(cache, b, h, span{0, n}, [&](const kv_run& run, index first) {
    REQUIRE(first == next);
    REQUIRE(run.count >= 1);
    for (index i = 0; i < run.count; ++i, ++next) {
      load_stored(run.k, i, d, row.data());
      for (index c = 0; c < d; ++c) out.k(next, c) = row[static_cast<std::size_t>(c)];
      load_stored(run.v, i, dv, row.data());
      for (index c = 0; c < dv; ++c) out.v(next, c) = row[static_cast<std::size_t>(c)];
    }
  });
  REQUIRE(next == n);
  const kv_ref any(cache);
  const index* const places = any.places(b, h);
  for (index t = 0; t < n; ++t) out.positions.push_back(places ? places[t] : cache.end(b) - n + t);
  return out;
}

/// Whether every number is within `allowed` of the wanted one, or what it is if that is not finite.
inline bool near(const Eigen::MatrixXd& got, const Eigen::MatrixXd& want, double allowed) {
  if (got.rows() != want.rows() || got.cols() != want.cols()) return false;
  for (index i = 0; i < want.size(); ++i) {
    const double x = got.data()[i], y = want.data()[i];
    if (std::isnan(y) ? !std::isnan(x) : !(x == y || std::abs(x - y) <= allowed)) return false;
  }
  return true;
}

/// Every row within `allowed` of the model's, NaN where it has NaN; 0: the same numbers.
template <class Source>
void check_cache(const Source& cache, const model& expected, double allowed = 0) {
  REQUIRE(cache.batch() == index(expected.size()));
  for (index b = 0; b < cache.batch(); ++b) {
    const reference::kv::sequence& s = expected[static_cast<std::size_t>(b)];
    INFO("sequence " << b << ", seed " << seed());
    REQUIRE(cache.length(b) == s.length);
    REQUIRE(cache.end(b) == s.end);
    for (index h = 0; h < cache.heads() && s.length > 0; ++h) {
      const reference::kv::head got = read_back(cache, b, h),
                                &want = s.heads[static_cast<std::size_t>(h)];
      REQUIRE(got.positions == want.positions);
      REQUIRE(near(got.k, want.k, allowed));
      REQUIRE(near(got.v, want.v, allowed));
    }
  }
}

/// A chunk of n tokens for every sequence of a cache, or for one.
template <class T = float> struct chunk {
  tensor<T> k, v;
  template <class Cache>
  chunk(const Cache& cache, index n, unsigned stream, index batch = 0)
      : k(uniform<T>({batch ? batch : cache.batch(), cache.heads(), n, cache.depth()}, stream)),
        v(uniform<T>({k.extent[0], cache.heads(), n, cache.value_depth()}, stream + 100)) {}
};
/// The same call on a cache and on its model.
template <class Cache, class T> void append(Cache& cache, model& m, const chunk<T>& c) {
  cache.append(c.k.in(), c.v.in());
  for (index b = 0; b < cache.batch(); ++b)
    m[static_cast<std::size_t>(b)].append(rows_of(c.k, b), rows_of(c.v, b));
}
template <class Cache, class T> void append(Cache& cache, model& m, index b, const chunk<T>& c) {
  cache.append(b, c.k.in(), c.v.in());
  m[static_cast<std::size_t>(b)].append(rows_of(c.k, 0), rows_of(c.v, 0));
}
template <class Cache> void truncate(Cache& cache, model& m, index b, index n) {
  cache.truncate(b, n), m[static_cast<std::size_t>(b)].truncate(n);
}
template <class Cache> void fork(Cache& cache, model& m, index from, index to, index n) {
  cache.fork(from, to, n);
  m[static_cast<std::size_t>(to)] = m[static_cast<std::size_t>(from)];
  m[static_cast<std::size_t>(to)].truncate(n);
}
/// keep[h]: the tokens that head h keeps.
template <class Cache>
void evict(Cache& cache, model& m, index b, const std::vector<std::vector<index>>& keep) {
  std::vector<index> flat;
  for (const auto& list : keep) flat.insert(flat.end(), list.begin(), list.end());
  cache.evict(
      b, view<const index>(flat.data(), {1, index(keep.size()), index(keep.front().size()), 1}));
  m[static_cast<std::size_t>(b)].evict(keep);
}

/// The call must throw and say `text`, and leave the cache as its model is.
template <class Cache, class F>
void check_refused(const Cache& cache, const model& m, const std::string& text, F call) {
  CHECK_THROWS_WITH(call(), Catch::Matchers::ContainsSubstring(text));
  check_cache(cache, m);
}

}  // namespace heed::test
