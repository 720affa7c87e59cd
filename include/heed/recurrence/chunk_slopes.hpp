// SPDX-License-Identifier: BSL-1.0
// Stages 4 to 8 of the backward pass (`backward.hpp`): gradients of one chunk, from dO and the
// gradient by the state after it.
#pragma once

#include <heed/recurrence/chunk_states.hpp>
#include <heed/simd/solve_upper.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec>
class chunk_slopes : protected chunk_states<T, Arch, Spec> {
  using base = chunk_states<T, Arch, Spec>;

 protected:
  using base::columns_, base::decayed, base::decays_, base::e_, base::group, base::kinds, base::p_,
      base::read_count_, base::reads_, base::rows_, base::shape_, base::solves, base::spec_,
      base::wide_, base::writes_, base::written;
  using record_type = state_record<T>;
  static constexpr bool scalar = decays<Spec> == decay_kind::scalar;
  static constexpr bool channels = decays<Spec> == decay_kind::channel;

  template <class Memory>
  chunk_slopes(const Spec& spec, const recurrence_problem& p, const operand& d_out, index most,
               Memory& from)
      : base(spec, p, most, from), d_out_(d_out), pull_(shape_, wide_, from) {
    const index n = rows_.most(), keys = n * shape_.key_pitch, values = n * columns_,
                pairs = n * shape_.pitch;
    by_read_ = from.template take<read_gradient<T>>(read_count_);
    for (index r = 0; r < read_count_; ++r) {
      read_gradient<T> g{from.template take<T>(values), from.template take<T>(keys), {}};
      for (std::size_t w = 0; w < kinds; ++w) g.pairs[w] = from.template take<T>(pairs);
      if (by_read_) new (by_read_ + r) read_gradient<T>(g);
    }
    for (std::size_t w = 0; w < kinds; ++w) {
      by_write_[w] = {from.template take<T>(values), from.template take<T>(keys)};
      written_lanes_[w] = from.template take<T>(columns_ * shape_.pitch);
    }
    lanes_ = from.template take<T>(columns_ * shape_.pitch);
    turned_ = from.template take<T>(p.width * shape_.pitch);
    by_sum_ = from.template take<T>(group() * n);
    ones_ = from.template take<T>(n);
    by_weight_ = from.template take<T>(n);
    by_gain_ = from.template take<T>(n);
    by_own_ = from.template take<T>(group() * n);
    minus_ = from.template take<T>(n);
    log_ = from.template take<T>(channels ? keys : n);
    ends_ = from.template take<T>(wide_);
  }

  void begin(const token_run& s, index h) {
    run_ = s, h_ = h;
    std::fill_n(ones_, rows_.most(), T(1));
  }

  // 4 to 7, after `prepare`; `seen` with the first token.
  void slopes(index first, std::int64_t seen, const record_type& before, const record_type& after,
              const record_type& slope) {
    const index n = rows_.padded;
    for (index g = 0; g < group(); ++g) {
      upstream(g, first, before.sums, reads_[g].pairs[0], seen, 1);
      if constexpr (reads_before<Spec>)
        for (index i = 0; i < n; ++i) reads_[g].pairs[0][i * (shape_.pitch + 1)] = own(g, i);
    }
    values(n, slope, true);
    for (std::size_t w = 0; w < kinds; ++w) toward_write(w, n, slope);
    for (index r = 0; r < read_count_; ++r) toward_read(r, n, before, true);
    if constexpr (gated<Spec> && sums_keys<Spec>) weights(n, slope);
    if constexpr (scalar || channels) ends(scalar ? before : after, slope);
    const auto reads = std::size_t(read_count_);
    pull_.pull(n, decays_, rows_.alpha,
               {{reads_, reads}, {by_read_, reads}, {writes_, kinds}, {by_write_, kinds}}, ends_,
               log_);
  }

  // 4: dO over the divisors. by_sum_: what makes the gradient by the sum of keys from dO · O.
  void upstream(index g, index first, const T* sums, const T* pairs, std::int64_t seen,
                index step) {
    const chunk_read<T>& r = reads_[g];
    T* const x = by_read_[g].values;
    T* const factor = by_sum_ + g * rows_.most();
    for (index i = 0; i < rows_.count; ++i) {
      T* const row = x + i * columns_;
      simd::load_row(d_out_.type, d_out_.row(run_.b, h_ * group() + g, run_.row(first + i)),
                     d_out_.stride[3], p_.value_depth(), row);
      std::fill(row + p_.value_depth(), row + columns_, T(0));
      T by = 1;
      if constexpr (std::is_same_v<readout_of<Spec>, mean_readout>) by = T(seen + i * step);
      if constexpr (sums_keys<Spec>) {
        T sum = row_dot<T, Arch>(decayed(r) + i * shape_.key_pitch, sums, wide_);
        if (pairs) sum += row_dot<T, Arch>(pairs + i * shape_.pitch, counted(), rows_.padded);
        if constexpr (requires { spec_.readout.epsilon; }) {
          by = sum + T(spec_.readout.epsilon);
          factor[i] = by == T(0) ? T(0) : T(-1) / by;
        } else {
          const T bound = gated<Spec> ? rows_.bound[i] : T(1);
          by = std::max(std::abs(sum), bound);
          factor[i] = std::abs(sum) > bound ? (sum > 0 ? T(-1) : T(1)) / by : T(0);
        }
      }
      if (by != T(1))
        simd::map_row<Arch>(row, columns_, [f = by == T(0) ? T(0) : T(1) / by](auto y) {
          return y * decltype(y)(f);
        });
    }
    std::fill(x + rows_.count * columns_, x + rows_.padded * columns_, T(0));
    std::fill(factor + rows_.count, factor + rows_.padded, T(0));
  }
  const T* counted() const { return gated<Spec> ? rows_.gain : ones_; }
  // What token i reads of itself through the bonus.
  T own(index g, index i) const {
    const index at = i * shape_.key_pitch;
    return simd::dot_row<Arch>(reads_[g].rows + at, rows_.u, rows_.k + at, p_.width);
  }
  simd::term<T> turned_pairs(index r, std::size_t w) const {
    return {reads_[r].pairs[w], 1,     shape_.pitch, by_read_[r].values, columns_,
            rows_.padded,       false, true};
  }

  // 5
  void values(index n, const record_type& slope, bool read) {
    for (std::size_t w = 0; w < kinds; ++w) {
      T* const to = by_write_[w].values;
      const simd::term<T> kept = base::of_state(decayed(writes_[w]), slope.s);
      if (read)
        simd::product<T, Arch>(n, columns_, {kept, turned_pairs(0, w)}, {to, columns_});
      else
        simd::product<T, Arch>(n, columns_, {kept}, {to, columns_});
      for (index g = 1; g < group() && read; ++g)
        simd::product<T, Arch>(n, columns_, {turned_pairs(g, w)},
                               {to, columns_, simd::onto::itself});
    }
    T *const v = by_write_[0].values, *const mine = solves ? by_read_[group()].values : nullptr;
    if constexpr (corrects<Spec>) {
      const T* const pairs = reads_[group()].pairs[0];
      for (index i = 0; i < n; ++i) minus_[i] = -rows_.gain[i];
      scale_rows<T, Arch>(n, shape_.pitch, pairs, shape_.pitch, minus_, base::scaled_);
      simd::solve_upper<T, Arch>(n, columns_, base::scaled_, shape_.pitch, v, columns_);
      for (index i = 0; i < n; ++i)
        by_gain_[i] = row_dot<T, Arch>(v + i * columns_, e_ + i * columns_, columns_);
      scale_rows<T, Arch>(n, columns_, v, columns_, minus_, mine);
      scale_rows<T, Arch>(n, columns_, v, columns_, rows_.gain, v);
    } else if constexpr (mixes<Spec>) {
      T* const u = by_write_[1].values;
      simd::solve_upper<T, Arch>(n, columns_, reads_[group()].pairs[1], shape_.pitch, u, columns_);
      std::copy_n(u, n * columns_, mine);
      simd::product<T, Arch>(n, columns_, {turned_pairs(group(), 0)},
                             {v, columns_, simd::onto::itself});
    } else if constexpr (gated<Spec>) {
      for (index i = 0; i < n; ++i)
        by_gain_[i] = row_dot<T, Arch>(v + i * columns_, rows_.v + i * columns_, columns_);
      scale_rows<T, Arch>(n, columns_, v, columns_, rows_.gain, v);
    }
  }

  // 6: rows times the transpose of a state.
  void times_state(index n, const T* lanes, const T* s, T* to) {
    simd::product<T, Arch>(p_.width, n, {{s, columns_, 1, lanes, shape_.pitch, p_.value_depth()}},
                           {turned_, shape_.pitch});
    simd::to_lanes<T, Arch>(turned_, shape_.pitch, p_.width, n, T(1), to, shape_.key_pitch);
  }
  void toward_write(std::size_t w, index n, const record_type& slope) {
    simd::to_lanes<T, Arch>(written(w), columns_, n, p_.value_depth(), T(1), written_lanes_[w],
                            shape_.pitch);
    times_state(n, written_lanes_[w], slope.s, by_write_[w].rows);
    if constexpr (sums_keys<Spec>)
      for (index j = 0; j < n; ++j)
        simd::add_scaled<Arch>(base::weight(j), slope.sums, wide_,
                               by_write_[w].rows + j * shape_.key_pitch);
  }
  void toward_read(index r, index n, const record_type& before, bool paired) {
    const read_gradient<T>& to = by_read_[r];
    simd::to_lanes<T, Arch>(to.values, columns_, n, p_.value_depth(), T(1), lanes_, shape_.pitch);
    times_state(n, lanes_, before.s, to.rows);
    for (std::size_t w = 0; w < kinds && paired; ++w)
      simd::product<T, Arch>(
          n, n, {{to.values, columns_, 1, written_lanes_[w], shape_.pitch, p_.value_depth()}},
          {to.pairs[w], shape_.pitch, simd::onto::nothing, nullptr, true});
    if (r >= group()) return;
    if constexpr (reads_before<Spec>)
      for (index i = 0; i < n; ++i)
        by_own_[r * rows_.most() + i] = to.pairs[0][i * (shape_.pitch + 1)];
    if constexpr (sums_keys<Spec>)
      for (index i = 0; i < n; ++i) {
        T* const row = to.rows + i * shape_.key_pitch;
        T* const pairs = to.pairs[0] + i * shape_.pitch;
        T& by = by_sum_[r * rows_.most() + i];
        T product = row_dot<T, Arch>(decayed(reads_[r]) + i * shape_.key_pitch, row, wide_);
        for (index j = 0; j <= i && paired; ++j)
          product += reads_[r].pairs[0][i * shape_.pitch + j] * pairs[j];
        by *= product;
        simd::add_scaled<Arch>(by, before.sums, wide_, row);
        if (paired) simd::add_scaled<Arch>(by, counted(), i + 1, pairs);
      }
  }
  // The sum of keys counts a token by its gain.
  void weights(index n, const record_type& slope) {
    for (index j = 0; j < n; ++j)
      by_weight_[j] =
          row_dot<T, Arch>(decayed(writes_[0]) + j * shape_.key_pitch, slope.sums, wide_);
    for (index g = 0; g < group(); ++g)
      for (index i = 0; i < n; ++i)
        simd::add_scaled<Arch>(by_sum_[g * rows_.most() + i], reads_[g].pairs[0] + i * shape_.pitch,
                               n, by_weight_);
    for (index j = 0; j < n; ++j) by_gain_[j] += rows_.gain[j] * by_weight_[j];
  }
  // 7: what decays see of the way from the first state to the last.
  void ends(const record_type& s, const record_type& slope) {
    if constexpr (scalar) {
      *ends_ = row_dot<T, Arch>(s.s, slope.s, p_.width * columns_);
      if constexpr (sums_keys<Spec>) *ends_ += row_dot<T, Arch>(s.sums, slope.sums, wide_);
      *ends_ *= *decays_.kept();
      return;
    }
    std::fill_n(ends_, wide_, T(0));
    for (index c = 0; c < p_.width; ++c) {
      ends_[c] = row_dot<T, Arch>(s.s + c * columns_, slope.s + c * columns_, columns_);
      if constexpr (sums_keys<Spec>) ends_[c] += s.sums[c] * slope.sums[c];
    }
  }
  // 8
  void state(index n, const record_type& slope) {
    const T* kept = decays_.kept();
    if constexpr (sums_keys<Spec>) {
      for (index c = 0; c < p_.width && kept; ++c) slope.sums[c] *= kept[c];
      for (index g = 0; g < group(); ++g)
        for (index i = 0; i < n; ++i)
          simd::add_scaled<Arch>(by_sum_[g * rows_.most() + i],
                                 decayed(reads_[g]) + i * shape_.key_pitch, wide_, slope.sums);
    }
    for (index r = 0; r < read_count_; ++r, kept = nullptr)
      simd::product<T, Arch>(
          p_.width, columns_,
          {{decayed(reads_[r]), 1, shape_.key_pitch, by_read_[r].values, columns_, n}},
          {slope.s, columns_, kept ? simd::onto::scaled : simd::onto::itself, kept});
  }

  const operand& d_out_;
  pair_gradients<T, Arch, decays<Spec>> pull_;
  read_gradient<T>* by_read_ = nullptr;
  write_gradient<T> by_write_[kinds];
  T* written_lanes_[kinds];
  T *lanes_, *turned_, *by_sum_, *ones_, *by_weight_, *by_gain_, *by_own_, *minus_, *log_, *ends_;

  token_run run_;  // the task at hand
  index h_ = 0;
};

}  // namespace heed::detail
