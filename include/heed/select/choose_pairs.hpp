// SPDX-License-Identifier: BSL-1.0
// The pairs of channels whose products alone choose most of the tokens that full scores choose: how
// select/partial_dims comes by its channels, offline (FASA).
//
//   const auto lists = choose_pairs({.pairs = 16, .top = 256}, q, k);
//   dominant_channels few(lists);
//
//   CA_c = mean over queries of |TopK(S^c) ∩ TopK(S)| / K,   S^c_j = q^c · k^c_j,   S = Σ_c S^c
//
// A pair is what a rotary position turns together: of R rotated channels (c, c + R/2), or
// (2c, 2c + 1) where pairs are interleaved. q [B,H,Lq,D] and k [B,Hkv,Lk,D] are samples as they are
// multiplied, rotated; the last query sits at the last key and sees what came before it. Queries of
// all heads that share a kv head count alike; those that see no more than K keys tell nothing and
// do not. Of equal agreement the lower pair, of equal scores the older token. O(Lq · Lk · D).
// FASA, Wang et al. 2026.
#pragma once

#include <heed/core/check.hpp>
#include <heed/core/executor.hpp>
#include <heed/core/storage.hpp>
#include <heed/position/rotation.hpp>
#include <heed/select/data.hpp>
#include <heed/select/top_k.hpp>
#include <heed/simd/convert.hpp>
#include <vector>

namespace heed {

struct pair_agreement {
  index pairs = 16;   // a kv head
  index top = 256;    // K
  index rotated = 0;  // R; 0: all channels
  rope_pairs layout = rope_pairs::neox;
};

namespace detail {

HEED_NOINLINE inline std::vector<std::vector<int>> choose_pairs(const pair_agreement& how,
                                                                const operand& q, const operand& k,
                                                                const executor_ref& executor) {
  constexpr const char* operation = "heed::choose_pairs";
  const auto fail = [&](const char* rule) { check::fail(operation, rule, {{"q", q}, {"k", k}}); };
  const index heads = k.extent[1], keys = k.extent[2], depth = k.extent[3], queries = q.extent[2];
  if (q.extent[0] != k.extent[0] || q.extent[3] != depth)
    fail("q and k must have the same batch and channels");
  if (heads < 1 || q.extent[1] % heads != 0) fail("query heads must be a multiple of kv heads");
  check_data(operation, {{"q", q}, {"k", k}});
  if (queries > keys) fail("there must be a key for every query");
  const index turned = how.rotated == 0 ? depth : how.rotated, all = turned / 2,
              group = q.extent[1] / heads;
  if (turned < 2 || turned % 2 != 0 || turned > depth || how.rotated < 0)
    fail("rotated channels must be even, positive and in the row");
  if (how.pairs < 1 || how.pairs > all) fail("there must be from 1 to R/2 pairs");
  if (how.top < 1) fail("top must be positive");
  std::vector<std::vector<int>> to(static_cast<std::size_t>(heads));
  executor.for_each(heads, [&](index h, index) {
    const auto room = [](index n) { return std::vector<float>(static_cast<std::size_t>(n)); };
    auto transposed = room(depth * keys), scores = room(all * keys), full = room(keys),
         scratch = room(keys), row = room(depth);
    std::vector<int> chosen(static_cast<std::size_t>(std::max(keys, all)));
    std::vector<char> wanted(static_cast<std::size_t>(keys));
    std::vector<double> common(static_cast<std::size_t>(all)), copy(common);
    for (index b = 0; b < k.extent[0]; ++b) {
      for (index j = 0; j < keys; ++j) {
        simd::load_row(k.type, k.row(b, h, j), k.stride[3], depth, row.data());
        for (index c = 0; c < depth; ++c)
          transposed[static_cast<std::size_t>(c * keys + j)] = row[static_cast<std::size_t>(c)];
      }
      for (index r = 0; r < group * queries; ++r) {
        const index l = r % queries, seen = keys - queries + l + 1, top = how.top;
        if (seen <= top) continue;
        simd::load_row(q.type, q.row(b, h * group + r / queries, l), q.stride[3], depth,
                       row.data());
        std::fill(full.begin(), full.end(), 0.f), std::fill(scores.begin(), scores.end(), 0.f);
        for (index c = 0; c < depth; ++c) {
          const index pair = how.layout == rope_pairs::neox ? c % all : c / 2;
          float* const part = c < turned ? scores.data() + pair * keys : nullptr;
          const float* const key = transposed.data() + c * keys;
          const float x = row[static_cast<std::size_t>(c)];
          for (index j = 0; j < seen; ++j) full[static_cast<std::size_t>(j)] += x * key[j];
          for (index j = 0; part && j < seen; ++j) part[j] += x * key[j];
        }
        std::fill(wanted.begin(), wanted.end(), char{0});
        const index some = top_k(full.data(), seen, top, chosen.data(), scratch.data());
        for (index i = 0; i < some; ++i)
          wanted[static_cast<std::size_t>(chosen[static_cast<std::size_t>(i)])] = 1;
        for (index c = 0; c < all; ++c) {
          const index found =
              top_k(scores.data() + c * keys, seen, top, chosen.data(), scratch.data());
          for (index i = 0; i < found; ++i)
            common[static_cast<std::size_t>(c)] +=
                wanted[static_cast<std::size_t>(chosen[static_cast<std::size_t>(i)])];
        }
      }
    }
    top_k(common.data(), all, how.pairs, chosen.data(), copy.data());
    std::vector<int>& channels = to[static_cast<std::size_t>(h)];
    for (std::size_t i = 0; i < static_cast<std::size_t>(how.pairs); ++i) {
      const int c = chosen[i], first = how.layout == rope_pairs::neox ? c : 2 * c;
      channels.push_back(first);
      channels.push_back(how.layout == rope_pairs::neox ? c + static_cast<int>(all) : first + 1);
    }
    std::sort(channels.begin(), channels.end());
  });
  return to;
}

}  // namespace detail

// Of each kv head the channels of its pairs, ascending. Throws std::invalid_argument if q and k do
// not fit each other, or there are no such pairs.
template <storable Q, storable K>
std::vector<std::vector<int>> choose_pairs(const pair_agreement& how, const view<Q>& q,
                                           const view<K>& k, const executor_ref& executor = {}) {
  return detail::choose_pairs(how, view<const Q>(q), view<const K>(k), executor);
}

}  // namespace heed
