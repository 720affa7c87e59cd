// SPDX-License-Identifier: BSL-1.0
// select/group_attention: keys that lie close together stand for each other (Liu et al., RITA,
// 2024).
//
//   auto groups = group_keys(group_attention{.count = c}, k);
//   groups.take_values(v);
//   attend(groups.attention(q.extent[1]), q, groups.keys(), groups.values(), out);
//
// o_i = Σ_g e^{q_i·r_g/√D} ṽ_g / Σ_g n_g e^{q_i·r_g/√D}, r_g the mean of the n_g keys of group g
// and ṽ_g the sum of their values: attention over means with log n_g added to the scores. Cost: c
// keys instead of L for every query, and O(L c D) a round for the groups.
//
// If every key is at most ρ from its r_g, all weights are within a factor e^{2δ} of those of full
// attention, δ = ρ ‖q‖/√D, and |o - o_full| ≤ (e^{2δ} - 1) max |v|. Gradients take the groups as
// given: dk_j = dr_g / n_g and dv_j = dv̄_g / n_g, which `spread` writes.
#pragma once

#include <cmath>
#include <heed/attention/spec.hpp>
#include <heed/core/executor.hpp>
#include <heed/score/key_bias.hpp>
#include <heed/select/data.hpp>
#include <heed/select/key_means.hpp>

namespace heed {

struct group_attention {
  index count = 1;    // groups, at most
  index rounds = 2;   // of k-means, after centres that are each the key farthest from those before
  double radius = 0;  // positive: only as many groups as keep ρ within it, and no rounds
  index sample = 32;  // keys a group that the first centres are chosen from; all with a radius

  // Every how many keys one is looked at.
  index step(index keys) const {
    if (radius > 0 || count >= keys || sample >= keys) return 1;
    return block_count(keys, sample * count);
  }
};

// ρ that keeps weights within a factor `ratio` of full attention, for queries of this norm.
inline double allowed_radius(double ratio, double query_norm, double scale) {
  return std::log(ratio) / (2 * std::abs(scale) * query_norm);
}
inline double weight_ratio(double radius, double query_norm, double scale) {
  return std::exp(2 * std::abs(scale) * query_norm * radius);
}

// Means of groups; empty ones come last and have no weight.
template <class T> class grouped_keys {
 public:
  grouped_keys(const extents& keys, index count)
      : shape_(keys),
        count_(count),
        group_(size(keys[2])),
        members_(size(count)),
        bias_(size(count)),
        mean_(size(count) * static_cast<std::size_t>(keys[3])),
        radius_(size(1)) {}

  view<const T> keys() const { return {mean_.data(), {shape_[0], shape_[1], count_, shape_[3]}}; }
  view<const T> values() const {
    return {values_.data(), {shape_[0], shape_[1], count_, value_depth_}};
  }
  // log n_g
  view<const T> bias() const { return {bias_.data(), {shape_[0], shape_[1], count_, 1}}; }
  auto attention(index query_heads) const {
    return heed::attention{
        .score = key_bias{bias(), shape_[1] > 0 ? query_heads / shape_[1] : index{1}}};
  }
  index group_of(index b, index h, index key) const { return group_[at(b, h, shape_[2], key)]; }
  index members(index b, index h, index group) const { return members_[at(b, h, count_, group)]; }
  double radius(index b, index h) const { return radius_[at(b, h, 1, 0)]; }  // ρ

  // v [B,Hkv,Lk,Dv] of the keys that were grouped.
  template <storable V> void take_values(const view<V>& v, const executor_ref& executor = {}) {
    const operand from = view<const V>(v);
    check_rows("heed::grouped_keys::take_values", "v", from, shape_[2]);
    value_depth_ = v.extent[3];
    values_.assign(size(count_) * static_cast<std::size_t>(value_depth_), T(0));
    executor.for_each(shape_[0] * shape_[1], [&](index n, index) {
      detail::group_means<T>(from, n, group_.data() + n * shape_[2], members_.data() + n * count_,
                             count_, values_.data() + n * count_ * value_depth_);
    });
  }
  // x_j = dx_g / n_g for the keys of each group; dx [B,Hkv,c,C] the gradient by means of keys or
  // of values, x [B,Hkv,Lk,C].
  template <storable X>
  void spread(const view<X>& dx, const result& x, const executor_ref& executor = {}) const {
    const operand from = view<const X>(dx);
    check_rows("heed::grouped_keys::spread", "dx", from, count_);
    check_rows("heed::grouped_keys::spread", "x", x, shape_[2]);
    if (x.extent[3] != from.extent[3])
      check::fail("heed::grouped_keys::spread", "x must have the channels of dx",
                  {{"dx", from}, {"x", x}});
    executor.for_each(shape_[0] * shape_[1], [&](index n, index) {
      detail::spread_means<T>(from, n, group_.data() + n * shape_[2], members_.data() + n * count_,
                              x);
    });
  }

  template <class Arch>
  void build(const group_attention& spec, const operand& k, const executor_ref& executor) {
    executor.for_each(shape_[0] * shape_[1], [&](index n, index) {
      int* const group = group_.data() + n * shape_[2];
      index* const members = members_.data() + n * count_;
      T* const mean = mean_.data() + n * count_ * shape_[3];
      detail::key_means<T, Arch> means(k, n, count_, group, members, mean);
      means.farthest(spec.radius / 2, spec.step(shape_[2]));
      for (index i = 0; i < spec.rounds && !(spec.radius > 0); ++i) means.round();
      radius_[static_cast<std::size_t>(n)] = means.radius();
      for (index g = 0; g < count_; ++g)
        bias_[static_cast<std::size_t>(n * count_ + g)] = std::log(T(members[g]));
    });
  }

 private:
  std::size_t size(index each) const {
    return static_cast<std::size_t>(shape_[0] * shape_[1] * each);
  }
  std::size_t at(index b, index h, index each, index i) const {
    return static_cast<std::size_t>((b * shape_[1] + h) * each + i);
  }
  void check_rows(const char* operation, const char* name, const operand& x, index rows) const {
    if (x.extent != extents{shape_[0], shape_[1], rows, x.extent[3]})
      check::fail(operation,
                  std::string(name) + " must have the batch, heads and rows of " +
                      check::print({shape_[0], shape_[1], rows, x.extent[3]}),
                  {{name, x}});
    detail::check_data(operation, {{name, x}});
  }

  extents shape_;
  index count_, value_depth_ = 0;
  std::vector<int> group_;
  std::vector<index> members_;
  std::vector<T> bias_, mean_, values_;
  std::vector<double> radius_;
};

// Groups of each head of k [B,Hkv,Lk,D]. Centres, ties and sums go by the order of the keys. Throws
// std::invalid_argument on k without data and numbers of the spec that are out of range.
template <class Arch = simd::best, storable K>
grouped_keys<compute_type<K>> group_keys(const group_attention& spec, const view<K>& k,
                                         const executor_ref& executor = {}) {
  if (spec.count < 1)
    check::fail("heed::group_keys", "count must be positive: " + std::to_string(spec.count));
  if (spec.sample < 1)
    check::fail("heed::group_keys", "sample must be positive: " + std::to_string(spec.sample));
  if (spec.rounds < 0 || !(spec.radius >= 0))
    check::fail("heed::group_keys", "rounds and radius must not be negative");
  detail::check_data("heed::group_keys", {{"k", view<const K>(k)}});
  grouped_keys<compute_type<K>> groups(k.extent, std::min(spec.count, k.extent[2]));
  groups.template build<Arch>(spec, view<const K>(k), executor);
  return groups;
}

}  // namespace heed
