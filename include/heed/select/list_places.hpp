// SPDX-License-Identifier: BSL-1.0
// Where the rows of lists come from and in which waves they are gathered.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/select/row_lists.hpp>

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

template <class T> class list_places {
 public:
  struct side {
    index total = 0;  // packed rows
    int* places = nullptr;
    int* starts = nullptr;  // of each list, and the end
    index most = 0;         // rows of a wave
    int* wave = nullptr;    // starts counted from that of the wave
  };

  list_places(const char* operation, const gathered& g, const problem& p,
              const executor_ref& executor, index budget)
      : g_(g), p_(p), executor_(executor), budget_(budget) {
    g.lists.check(operation, p.shape);
    const extents gates{p.shape.batch, p.shape.heads, p.shape.queries, 1};
    if (g.gate.present() && g.gate.extent != gates)
      check::fail(operation, "the gate must be [B,H,Lq]", {{"gate", g.gate}, {"q", p.q}});
    const index repeat = heads() / std::max<index>(1, g.lists.batch * g.lists.heads);
    queries_.total = index(g.lists.queries.size()) * repeat;
    keys_.total = index(g.lists.keys.size()) * repeat;
    constexpr index most = std::numeric_limits<int>::max();
    if (queries_.total > most || keys_.total > most)
      check::fail(operation, "lists hold too many rows");
    for (index list = 0; list < lists();) {
      const wave w = wave_at(list);
      queries_.most = std::max(queries_.most, w.queries);
      keys_.most = std::max(keys_.most, w.keys);
      list = w.last;
    }
  }

  // Lists that are gathered together: at least one, and no more than the budget of bytes holds. It
  // does not depend on the workers, and so neither do the results.
  struct wave {
    index first = 0, last = 0, queries = 0, keys = 0;
  };
  wave wave_at(index first) const {
    wave w{first, first};
    const index depth = p_.shape.depth, width = p_.shape.value_depth;
    for (; w.last < lists(); ++w.last) {
      const index i = list_of(w.last), q = w.queries + index(g_.lists.queries_of(i).size()),
                  k = w.keys + index(g_.lists.keys_of(i).size());
      if (w.last > first && (q * depth + k * (depth + width)) * index(sizeof(T)) > budget_) break;
      w.queries = q, w.keys = k;
    }
    return w;
  }
  // Of the caller's lists.
  index list_of(index list) const {
    const index per = p_.shape.heads * each();
    return g_.lists.first(list / per, list / each() % p_.shape.heads) + list % each();
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
    queries_.wave = from.template take<int>(lists() + 1);
    keys_.wave = from.template take<int>(lists() + 1);
    factors_ = from.template take<T>(heads() * p_.shape.queries);
    longest_ = std::max(p_.shape.queries, p_.shape.keys) * std::max<index>(wide, 1);
    sums_ = from.template take<T>(executor_.workers() * longest_);
  }
  // Where each packed row comes from, and what each query's sum is multiplied by.
  void place() const {
    index q = 0, k = 0;
    for (index i = 0; i < lists(); ++i) {
      const index list = list_of(i);
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
      std::fill_n(f, p_.shape.queries, T(0));
      for (int i = queries_.starts[n * each()]; i < queries_.starts[(n + 1) * each()]; ++i)
        f[queries_.places[i]] += T(1);
      for (index i = 0; i < p_.shape.queries; ++i)  // a gate of NaN is not that of a chosen row
        if (f[i] > T(0)) f[i] = gate(b, h, i) / (g_.merge == overlap::mean ? f[i] : T(1));
    });
  }
  T gate(index b, index h, index i) const {
    T g = 1;
    if (g_.gate.present()) simd::load_row(g_.gate.type, g_.gate.row(b, h, i), 1, 1, &g);
    return g;
  }
  T* share(index head) const { return factors_ + head * p_.shape.queries; }

 protected:
  const gathered& g_;
  const problem& p_;
  const executor_ref& executor_;
  side queries_, keys_;
  T *factors_ = nullptr, *sums_ = nullptr;
  index longest_ = 0;

 private:
  index budget_;
};

}  // namespace detail

}  // namespace heed
