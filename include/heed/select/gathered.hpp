// SPDX-License-Identifier: BSL-1.0
// Rows of lists in contiguous scratch, and back: what `attend_lists` and its gradients share.
//
//   gather      rows of lists, list after list, a wave of them at a time     [rows, channels]
//   attend      each list a sequence of a packed batch
//   scatter     a task a head: lists in their order, so results do not depend on the threads
#pragma once

#include <heed/plan/varlen.hpp>
#include <heed/select/list_places.hpp>
#include <heed/select/placed.hpp>
#include <heed/simd/rows.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class gathered_rows : public list_places<T> {
  using base = list_places<T>;
  using base::executor_, base::g_, base::keys_, base::longest_, base::p_, base::queries_,
      base::sums_;

 public:
  using base::each, base::heads, base::share;
  using typename base::side, typename base::wave;

  gathered_rows(const char* operation, const gathered& g, const Spec& spec, const problem& p,
                const executor_ref& executor, index budget)
      : base(operation, g, p, executor, budget), spec_(spec) {}

  // Rows of `x`, whose heads are each for `group` query heads.
  void gather(const wave& w, const side& s, const operand& x, index group, T* to) const {
    const index channels = x.extent[3];
    executor_.for_each(w.last - w.first, [&](index n, index) {
      const index list = w.first + n, head = list / each(), b = head / p_.shape.heads,
                  h = head % p_.shape.heads;
      const int end = s.starts[list + 1];
      const auto row = [&](int i) { return x.row(b, h / group, s.places[i]); };
      for (int i = s.starts[list]; i < end; ++i) {
        if (x.stride[3] == 1 && i + 8 < end) simd::prefetch(row(i + 8), channels * size_of(x.type));
        simd::load_row(x.type, row(i), x.stride[3], channels,
                       to + (i - s.starts[w.first]) * channels);
      }
    });
  }
  // Whether the rows of lists are the same for queries and keys, as where text shares both.
  bool shared() const {
    const operand &q = p_.q, &k = p_.k;
    return q.data == k.data && q.extent == k.extent && q.stride == k.stride && q.type == k.type &&
           !q.batch && !k.batch && g_.lists.queries.data() == g_.lists.keys.data() &&
           g_.lists.query_offsets.data() == g_.lists.key_offsets.data();
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

  // The call on the gathered rows of a wave: positions are those of before.
  auto packed(const wave& w) const {
    const list_owner owner{p_.shape.heads, each(), w.first};
    const index group = p_.shape.group();
    const auto size = static_cast<std::size_t>(w.last - w.first + 1);
    for (const side* s : {&queries_, &keys_})
      for (index i = w.first; i <= w.last; ++i)
        s->wave[i - w.first] = s->starts[i] - s->starts[w.first];
    const int* const query_places = queries_.places + queries_.starts[w.first];
    const int* const key_places = keys_.places + keys_.starts[w.first];
    const gathered_mask<decltype(Spec::mask)> mask{
        spec_.mask, owner, query_places, key_places, keys_.wave, p_.shape.offset, p_.shape.keys};
    const auto query = placed(spec_.query, owner, query_places, p_.shape.offset, 1);
    const auto key = placed(spec_.key, owner, key_places, 0, group);
    const auto value = placed(spec_.value, owner, key_places, 0, group);
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
                                   .plan = {{queries_.wave, size}, {keys_.wave, size}}};
  }

 private:
  const Spec& spec_;
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

}  // namespace heed::detail
