// SPDX-License-Identifier: BSL-1.0
// Rows of lists in contiguous scratch, and back: what `attend_lists` and its gradients share.
//
//   gather      rows of all lists, list after list           [Σ rows of lists, channels]
//   attend      each list a sequence of a packed batch
//   scatter     a task a head: lists in their order, so results do not depend on the threads
#pragma once

#include <cmath>
#include <heed/attention/attend.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/select/placed.hpp>
#include <heed/select/row_lists.hpp>
#include <heed/simd/rows.hpp>

namespace heed {

// What becomes of a query that is on several lists.
enum class overlap { sum, mean };

// out_i = g_i Σ_l o_i of list l, over the number of lists for the mean; without a list zeros.
struct gathered {
  row_lists lists{};
  overlap merge = overlap::mean;
  operand gate{};  // g [B,H,Lq,1], or nothing for 1
};

// Scratch of repeated calls. Not for two calls at once.
struct list_workspace {
  arena rows;
  workspace engine;
};

namespace detail {

template <class T, class Arch, class Spec> class gathered_rows {
 public:
  struct side {
    index total = 0;  // packed rows
    int* places = nullptr;
    int* starts = nullptr;  // of each list, and the end
  };

  gathered_rows(const char* operation, const gathered& g, const Spec& spec, const problem& p,
                const executor_ref& executor)
      : g_(g), spec_(spec), p_(p), executor_(executor) {
    g.lists.check(operation, p.shape);
    const extents gates{p.shape.batch, p.shape.heads, p.shape.queries, 1};
    if (g.gate.present() && g.gate.extent != gates)
      check::fail(operation, "the gate must be [B,H,Lq]", {{"gate", g.gate}, {"q", p.q}});
    const index repeat = heads() / (g.lists.batch * g.lists.heads);
    queries_.total = index(g.lists.queries.size()) * repeat;
    keys_.total = index(g.lists.keys.size()) * repeat;
    constexpr index most = std::numeric_limits<int>::max();
    if (queries_.total > most || keys_.total > most)
      check::fail(operation, "lists hold too many rows");
  }

  index heads() const { return p_.shape.batch * p_.shape.heads; }
  index each() const { return g_.lists.each(); }
  index lists() const { return heads() * each(); }
  const side& queries() const { return queries_; }
  const side& keys() const { return keys_; }

  // `wide` is the most channels of a row that is scattered.
  template <class Memory> void take(Memory& from, index wide) {
    queries_.places = from.template take<int>(queries_.total);
    keys_.places = from.template take<int>(keys_.total);
    queries_.starts = from.template take<int>(lists() + 1);
    keys_.starts = from.template take<int>(lists() + 1);
    factors_ = from.template take<T>(heads() * p_.shape.queries);
    longest_ = std::max(p_.shape.queries, p_.shape.keys) * std::max<index>(wide, 1);
    sums_ = from.template take<T>(executor_.workers() * longest_);
  }
  // Where each packed row comes from, and what each query's sum is multiplied by.
  void place() const {
    index q = 0, k = 0;
    const index per = p_.shape.heads * each();
    for (index i = 0; i < lists(); ++i) {
      const index list = g_.lists.first(i / per, i / each() % p_.shape.heads) + i % each();
      const auto from_q = g_.lists.queries_of(list), from_k = g_.lists.keys_of(list);
      queries_.starts[i] = static_cast<int>(q), keys_.starts[i] = static_cast<int>(k);
      std::copy(from_q.begin(), from_q.end(), queries_.places + q);
      std::copy(from_k.begin(), from_k.end(), keys_.places + k);
      q += index(from_q.size()), k += index(from_k.size());
    }
    queries_.starts[lists()] = static_cast<int>(q), keys_.starts[lists()] = static_cast<int>(k);
    executor_.for_each(heads(), [&](index n, index) {
      const index b = n / p_.shape.heads, h = n % p_.shape.heads;
      T* const f = share(n);
      std::fill_n(f, p_.shape.queries, T(g_.merge == overlap::mean ? 0 : 1));
      if (g_.merge == overlap::mean) {
        for (int i = queries_.starts[n * each()]; i < queries_.starts[(n + 1) * each()]; ++i)
          f[queries_.places[i]] += T(1);
        for (index i = 0; i < p_.shape.queries; ++i) f[i] = f[i] > T(1) ? T(1) / f[i] : T(1);
      }
      if (g_.gate.present())
        for (index i = 0; i < p_.shape.queries; ++i) f[i] *= gate(b, h, i);
    });
  }
  T gate(index b, index h, index i) const {
    T g = 1;
    if (g_.gate.present()) simd::load_row(g_.gate.type, g_.gate.row(b, h, i), 1, 1, &g);
    return g;
  }
  T* share(index head) const { return factors_ + head * p_.shape.queries; }

  // Rows of `x`, whose heads are each for `group` query heads.
  void gather(const side& s, const operand& x, index group, T* to) const {
    const index channels = x.extent[3];
    executor_.for_each(lists(), [&](index list, index) {
      const index head = list / each(), b = head / p_.shape.heads, h = head % p_.shape.heads;
      for (int i = s.starts[list]; i < s.starts[list + 1]; ++i)
        simd::load_row(x.type, x.row(b, h / group, s.places[i]), x.stride[3], channels,
                       to + i * channels);
    });
  }
  // Writes every row of `x`: the sum of what the lists have for it, times its share if it is a
  // query's.
  void scatter(const side& s, const T* from, index group, bool shared, const result& x) const {
    const index channels = x.extent[3], rows = x.extent[2];
    executor_.for_each(x.extent[0] * x.extent[1], [&](index n, index worker) {
      T* const sum = sums_ + worker * longest_;
      std::fill_n(sum, rows * channels, T(0));
      for (int i = s.starts[n * group * each()]; i < s.starts[(n + 1) * group * each()]; ++i)
        simd::add_scaled<Arch>(T(1), from + i * channels, channels, sum + s.places[i] * channels);
      for (index i = 0; i < rows; ++i) {
        T* const row = sum + i * channels;
        if (const T f = shared ? share(n)[i] : T(1); f != T(1))
          for (index c = 0; c < channels; ++c) row[c] *= f;
        simd::store_row(x.type, row, channels, x.row(n / x.extent[1], n % x.extent[1], i),
                        x.stride[3]);
      }
    });
  }

  // The gradient of each gate, from what each packed query has for it.
  void scatter_gate(const T* dots, const result& x) const {
    executor_.for_each(heads(), [&](index n, index worker) {
      T *const sum = sums_ + worker * longest_, *const count = share(n);
      std::fill_n(sum, p_.shape.queries, T(0));
      std::fill_n(count, p_.shape.queries, T(0));
      for (int i = queries_.starts[n * each()]; i < queries_.starts[(n + 1) * each()]; ++i)
        sum[queries_.places[i]] += dots[i], count[queries_.places[i]] += T(1);
      for (index i = 0; i < p_.shape.queries; ++i) {
        if (g_.merge == overlap::mean && count[i] > T(1)) sum[i] /= count[i];
        simd::store_row(x.type, sum + i, 1, x.row(n / p_.shape.heads, n % p_.shape.heads, i), 1);
      }
    });
  }

  // The call on gathered rows: positions are those of before.
  auto packed() const {
    const list_owner owner{p_.shape.heads, each()};
    const index group = p_.shape.group();
    const auto size = static_cast<std::size_t>(lists() + 1);
    const placed_mask<decltype(Spec::mask)> mask{spec_.mask,   owner,        queries_.places,
                                                 keys_.places, keys_.starts, p_.shape.offset,
                                                 p_.shape.keys};
    const auto query = placed(spec_.query, owner, queries_.places, p_.shape.offset, 1);
    const auto key = placed(spec_.key, owner, keys_.places, 0, group);
    const auto value = placed(spec_.value, owner, keys_.places, 0, group);
    return attention<std::remove_const_t<decltype(mask)>, decltype(Spec::similarity), none,
                     decltype(Spec::normalizer), none, std::remove_const_t<decltype(query)>,
                     std::remove_const_t<decltype(key)>, std::remove_const_t<decltype(value)>, none,
                     none, varlen>{.mask = mask,
                                   .similarity = spec_.similarity,
                                   .normalizer = spec_.normalizer,
                                   .scale = spec_.scale,
                                   .query = query,
                                   .key = key,
                                   .value = value,
                                   .plan = {{queries_.starts, size}, {keys_.starts, size}}};
  }

 private:
  const gathered& g_;
  const Spec& spec_;
  const problem& p_;
  const executor_ref& executor_;
  side queries_, keys_;
  T *factors_ = nullptr, *sums_ = nullptr;
  index longest_ = 0;
};

template <class Spec> consteval void check_gathered() {
  static_assert(std::is_same_v<decltype(Spec::score), none> &&
                    std::is_same_v<decltype(Spec::weights), none> &&
                    std::is_same_v<decltype(Spec::output), none> &&
                    std::is_same_v<decltype(Spec::extra), none> &&
                    std::is_same_v<decltype(Spec::plan), none>,
                "heed::attend_lists takes a mask, a similarity, a normaliser and transforms of "
                "queries, keys and values");
}

}  // namespace detail

}  // namespace heed
