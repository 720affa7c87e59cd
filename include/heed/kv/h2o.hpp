// SPDX-License-Identifier: BSL-1.0
// kv/h2o: heavy hitters. A token's number is all the weight that queries have given to it, Σ over
// steps of observe/column_mass, summed over the query heads of a kv head; the `heavy` tokens with
// most of it stay, and the `recent` last ones (Zhang et al., H2O, 2023).
//
//   h2o policy({.heavy = 128, .recent = 128}, batch, kv_heads, capacity);
//   cache.append(b, k, v);  attend(…);                        // a prompt
//   column_mass(spec, q, k, lse, {.mass = mass});
//   policy.append(b, tokens);  policy.add(b, mass);
//   for (;;) {                                                // each step, newest = {0}
//     cache.append(k, v);
//     rows seen(newest, weights);                             // weights [B,H,1,longest sequence]
//     attend(spec, q, cache, {.out = out, .observe = &seen});
//     policy.append(b, 1);  policy.add(b, one_row(weights));
//     if (policy.full(b)) policy.keep(b, kept), cache.evict(b, kept), policy.evict(b, kept);
//   }
//
// Numbers live in the order of the cache's tokens and move with them. Nothing is allocated after
// construction, which takes a double a token of the capacity and kv head. Throws
// std::invalid_argument where budgets, sequences or arrays do not fit, before anything is changed.
// A step is O(H · N), with or without an eviction.
#pragma once

#include <heed/kv/format.hpp>
#include <heed/kv/keep.hpp>

namespace heed {

struct h2o_budget {
  index heavy = 0, recent = 0;
};

class h2o {
 public:
  // `capacity`: most tokens of a sequence at once.
  h2o(const h2o_budget& budget, index batch, index kv_heads, index capacity)
      : budget_(budget), heads_(kv_heads), capacity_(capacity) {
    if (budget.heavy < 0 || budget.recent < 0 || batch < 0 || kv_heads < 1 || capacity < 0)
      check::fail(name,
                  "budgets, batch and capacity must not be negative, and there must be a kv "
                  "head");
    if (double(batch) * double(kv_heads) * double(capacity) >= double(kv_limit))
      check::fail(name, "numbers of " + std::to_string(batch) + " sequences, " +
                            std::to_string(kv_heads) + " kv heads and " + std::to_string(capacity) +
                            " tokens are too many");
    length_.assign(static_cast<std::size_t>(batch), 0);
    mass_.assign(static_cast<std::size_t>(batch * kv_heads * capacity), 0.0);
    added_.assign(static_cast<std::size_t>(kv_heads * capacity), 0.0);
  }

  index batch() const { return static_cast<index>(length_.size()); }
  index length(index b) const { return length_[known(b)]; }
  bool full(index b) const { return length(b) - budget_.recent > budget_.heavy; }
  // What a token has got so far.
  double mass(index b, index h, index token) const { return of(b, h)[token]; }

  // So many tokens more, to which nobody has given anything.
  void append(index b, index tokens) {
    index& length = length_[known(b)];
    if (tokens < 0 || tokens > capacity_ - length)
      check::fail(name, std::to_string(length) + " tokens and " + std::to_string(tokens) +
                            " more do not fit a capacity of " + std::to_string(capacity_));
    for (index h = 0; h < heads_; ++h) std::fill_n(of(b, h) + length, tokens, 0.0);
    length += tokens;
  }
  // mass [B,H,N] of one step, or [1,H,N] of this sequence alone; N at least the sequence's tokens.
  void add(index b, const operand& mass) {
    const index count = length(b);
    const bool alone = mass.extent[0] == 1;
    const index from = alone ? 0 : b;
    check_token_numbers(name, "the mass", mass, alone ? 1 : batch(), from, heads_, count);
    sum_groups(mass, from, heads_, count, added_.data());
    for (index h = 0; h < heads_; ++h)
      for (index t = 0; t < count; ++t)
        of(b, h)[t] += added_[static_cast<std::size_t>(h * count + t)];
  }
  void keep(index b, kept_tokens& to) const {
    keep_largest(
        heads_, length(b), budget_.heavy, budget_.recent,
        [&](index h, index t) { return of(b, h)[t]; }, to);
  }
  // The cache has kept these.
  void evict(index b, const kept_tokens& kept) {
    const index count = length(b);
    if (kept.heads != heads_ || index(kept.tokens.size()) != heads_ * kept.count)
      check::fail(name, "there must be one list a kv head: " + std::to_string(kept.heads) +
                            " lists for " + std::to_string(heads_) + " heads");
    for (index h = 0; h < heads_; ++h)
      for (index i = 0; i < kept.count; ++i)
        if (kept.head(h)[i] <= (i > 0 ? kept.head(h)[i - 1] : -1) || kept.head(h)[i] >= count)
          check::fail(name, "kept tokens must be ascending and below " + std::to_string(count));
    for (index h = 0; h < heads_; ++h)
      for (index i = 0; i < kept.count; ++i) of(b, h)[i] = of(b, h)[kept.head(h)[i]];
    length_[known(b)] = kept.count;
  }
  // A sequence begins anew.
  void clear(index b) { length_[known(b)] = 0; }

 private:
  static constexpr const char* name = "heed::h2o";

  std::size_t known(index b) const {
    if (b < 0 || b >= batch())
      check::fail(name, "there is no sequence " + std::to_string(b) + " in a batch of " +
                            std::to_string(batch()));
    return static_cast<std::size_t>(b);
  }
  double* of(index b, index h) { return mass_.data() + (b * heads_ + h) * capacity_; }
  const double* of(index b, index h) const { return mass_.data() + (b * heads_ + h) * capacity_; }

  h2o_budget budget_;
  index heads_, capacity_;
  std::vector<index> length_;         // [B]
  std::vector<double> mass_, added_;  // [B][Hkv][capacity], [Hkv][capacity]
};

}  // namespace heed
