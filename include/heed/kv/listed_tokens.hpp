// SPDX-License-Identifier: BSL-1.0
// For each sequence and kv head the tokens that weighed most when somebody looked: the lists
// that layers and heads hand on.
//
// A token's number is its weight, summed over the query heads of the kv head; the `budget` largest
// are listed, ascending. Ties go to the older token; NaN is less than any number. Tokens are
// numbered as the cache holds them.
#pragma once

#include <heed/core/check.hpp>
#include <heed/kv/format.hpp>
#include <heed/kv/source.hpp>
#include <heed/plan/block_lists.hpp>
#include <heed/select/top_k.hpp>
#include <heed/simd/convert.hpp>

namespace heed {

class listed_tokens {
 public:
  // `name`: who is called upon, for what is refused.
  listed_tokens(const char* name, index budget, index batch, index heads)
      : name_(name), budget_(budget), batch_(batch), heads_(heads) {
    if (budget < 1 || batch < 0 || heads < 1)
      check::fail(name, "tokens and kv heads must be positive, the batch not negative: " +
                            check::print({budget, heads, batch, 0}));
    if (double(batch) * double(heads) >= double(kv_limit))
      check::fail(name, "lists of " + std::to_string(batch) + " sequences and " +
                            std::to_string(heads) + " kv heads are too many");
    lists_.resize(at(batch * heads));
  }

  index batch() const { return batch_; }
  index heads() const { return heads_; }
  // Tokens of the source when the list was last up to date; -1 before there is one.
  index seen(index b, index h) const { return list(b, h).seen; }

  // Lists anew, for kv heads `of`. mass [B,H,N]: N at least the longest sequence, H a multiple of
  // the number of these heads. O(N) a head.
  void choose(span of, const operand& mass, const kv_ref& source) {
    check_source(source);
    const index longest = source.longest(), count = of.size();
    if (of.begin < 0 || count < 0 || of.end > heads_)
      check::fail(name_, "there are " + std::to_string(heads_) + " kv heads, not " +
                             std::to_string(of.begin) + " to " + std::to_string(of.end));
    if (count == 0) return;
    const extents& e = mass.extent;
    if (e[0] != batch_ || e[1] % count != 0 || (e[1] == 0 && longest > 0) || e[2] < longest ||
        e[3] != 1 || (!mass.present() && longest > 0))
      check::fail(name_,
                  "the mass must be [B,H,N] for a batch of " + std::to_string(batch_) +
                      ", a multiple of " + std::to_string(count) + " heads and at least " +
                      std::to_string(longest) + " tokens",
                  {{"mass", mass}});
    const index group = e[1] / count;
    sum_.resize(at(longest)), row_.resize(at(longest));
    for (index b = 0; b < batch_; ++b)
      for (index h = of.begin; h < of.end; ++h) {
        const index n = source.length(b);
        std::fill_n(sum_.begin(), n, 0.0);
        for (index g = 0; g < group && n > 0; ++g) {
          simd::load_row(mass.type, mass.row(b, (h - of.begin) * group + g, 0), mass.stride[2], n,
                         row_.data());
          for (index t = 0; t < n; ++t) sum_[at(t)] += row_[at(t)];
        }
        constexpr double lowest = std::numeric_limits<double>::lowest();
        for (index t = 0; t < n; ++t) sum_[at(t)] = sum_[at(t)] > lowest ? sum_[at(t)] : lowest;
        tokens& to = list(b, h);
        to.token.resize(at(std::min(budget_, n)));
        to.count = top_k(sum_.data(), n, budget_, to.token.data(), row_.data());
        to.seen = n;
      }
  }
  // Of kv heads `of`, as selected_source reads them; until the next call. Allocates only where they
  // have never been as long.
  block_lists lists(span of) {
    made_.batch = batch_, made_.heads = of.size();
    made_.offsets.assign(1, 0), made_.blocks.clear();
    for (index b = 0; b < batch_; ++b)
      for (index h = of.begin; h < of.end; ++h) {
        const tokens& x = list(b, h);
        made_.blocks.insert(made_.blocks.end(), x.token.begin(), x.token.begin() + x.count);
        made_.offsets.push_back(index(made_.blocks.size()));
      }
    return made_.lists();
  }
  // Throws unless the source is what the lists were made for, but for its length.
  void check_source(const kv_ref& source) const {
    if (source.batch() != batch_ || source.heads() != heads_)
      check::fail(name_, "the source must have " + std::to_string(batch_) + " sequences and " +
                             std::to_string(heads_) + " kv heads, not " +
                             std::to_string(source.batch()) + " and " +
                             std::to_string(source.heads()));
  }

 private:
  struct tokens {
    std::vector<int> token;
    index count = 0, seen = -1;
  };
  static constexpr std::size_t at(index i) { return static_cast<std::size_t>(i); }
  tokens& list(index b, index h) { return lists_[at(b * heads_ + h)]; }
  const tokens& list(index b, index h) const { return lists_[at(b * heads_ + h)]; }

  const char* name_;
  index budget_, batch_, heads_;
  std::vector<tokens> lists_;  // [B, Hkv]
  std::vector<double> sum_, row_;
  block_selection made_;
};

}  // namespace heed
