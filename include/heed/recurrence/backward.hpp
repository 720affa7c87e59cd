// SPDX-License-Identifier: BSL-1.0
// The chunk loop in reverse. dS is the gradient by the state, carried from the last token back.
//
//   over all chunks           states only; the state before each segment of chunks is kept
//   for each segment, last first
//     over its chunks         states again; the one before each chunk is kept
//     for each chunk, last first                           S before it, S' and dS after it
//       1-3 as in the forward pass: P, N, U                chunk_states
//       4 readout    dO over what the output was divided by; the sum's share in dn
//       5 values     dU = Pᵀ dO + K̂ dS, back through (I - N)⁻¹ to dV, dβ
//       6 pairs      dP = dO Uᵀ, dQ̂ = dO Sᵀ, dK̂ = U dSᵀ
//       7 decays     dQ, dK, d log α                       pair_gradients
//       8 state      dS ← (Πα) dS + Q̂ᵀ dO, the reads of an update like those of queries
//
// A gate's running maximum cancels from the output, so it counts as a constant. Cost: 12 Dk·Dv + 5
// C (Dk + Dv) / 2 flops a token, about three times the forward pass; scratch of two states for the
// root of the number of chunks. A chunk in which dQ is not finite is done again by single tokens:
// what a later token holds must not reach dQ of an earlier one.
#pragma once

#include <heed/recurrence/chunk_states.hpp>
#include <heed/recurrence/scan_gradients.hpp>
#include <heed/simd/solve_upper.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec>
class chunk_backward : private chunk_states<T, Arch, Spec> {
  using base = chunk_states<T, Arch, Spec>;
  using base::columns_, base::decayed, base::decays_, base::e_, base::group, base::kinds, base::p_,
      base::read_count_, base::reads_, base::rows_, base::shape_, base::solves, base::spec_,
      base::wide_, base::writes_, base::written;
  using record_type = state_record<T>;
  static constexpr index W = simd::width<T, Arch>;
  static constexpr bool scalar = decays<Spec> == decay_kind::scalar;
  static constexpr bool channels = decays<Spec> == decay_kind::channel;

 public:
  // `most` tokens a chunk, `segment` chunks a segment, which follows from the shape if 0.
  template <class Memory>
  chunk_backward(const Spec& spec, const recurrence_problem& p, const operand& d_out,
                 const gradient_targets<T>& to, index most, index segment, Memory& from)
      : base(spec, p, most, from),
        d_out_(d_out),
        to_(to),
        most_(most),
        segment_(segment),
        pull_(shape_, wide_, from) {
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
    row_ = from.template take<T>(2 * shape_.key_pitch);
    const index size = base::record_size();
    chunks_ = (p.tokens() + most - 1) / most;
    if (segment_ == 0) segment_ = std::max<index>(64, index(std::sqrt(double(chunks_))));
    segments_ = (chunks_ + segment_ - 1) / segment_;
    const auto records = [&](index count) { return from.template take<T>(count * size); };
    starts_ = records(segments_);
    kept_ = records(std::min(segment_, chunks_));
    tokens_ = records(most > 1 ? most : 0);
    last_ = records(1);
    slope_ = records(1);
  }

  // Sequence `s`, head h of the state: the state before it, the gradient by the one after it, and
  // where that by the first goes, as `recurrent_state` has them; each may be null.
  void run(const token_run& s, index h, const T* initial, std::int64_t seen, const T* d_final,
           T* d_initial) {
    run_ = s, h_ = h, seen_ = seen;
    unpack(initial, at(last_, 0), -std::numeric_limits<T>::infinity());
    unpack(d_final, at(slope_, 0), T(0));
    std::fill_n(ones_, rows_.most(), T(1));
    if (spec_.causal)
      in_order();
    else
      by_all();
    if (d_initial) pack(initial, d_initial);
  }

 private:
  record_type at(T* records, index i) const {
    return base::record(records + i * base::record_size());
  }
  void copy(const record_type& from, const record_type& to) const {
    std::copy_n(from.s, base::record_size(), to.s);
  }
  void unpack(const T* state, const record_type& to, T m) const {
    const index depth = p_.value_depth();
    std::fill_n(to.s, base::record_size(), T(0));
    *to.m = m;
    if (!state) return;
    for (index c = 0; c < p_.width; ++c) std::copy_n(state + c * depth, depth, to.s + c * columns_);
    const T* const side = state + p_.width * depth;
    if constexpr (sums_keys<Spec>) std::copy_n(side, p_.width, to.sums);
    if constexpr (gated<Spec>) *to.m = side[sums_keys<Spec> ? p_.width : 0];
  }
  // A state is known up to e^m, so the gradient by m is that of scaling it.
  void pack(const T* initial, T* out) const {
    const index depth = p_.value_depth(), size = p_.width * depth;
    const record_type slope = at(slope_, 0);
    for (index c = 0; c < p_.width; ++c)
      std::copy_n(slope.s + c * columns_, depth, out + c * depth);
    T* const side = out + size;
    if constexpr (sums_keys<Spec>) std::copy_n(slope.sums, p_.width, side);
    if constexpr (gated<Spec>) {
      const index all = size + (sums_keys<Spec> ? p_.width : 0);
      T sum = 0;
      for (index i = 0; i < all && initial; ++i) sum += initial[i] * out[i];
      out[all] = sum;
    }
  }
  index count_at(index chunk) const { return std::min(most_, run_.length - chunk * most_); }
  void move_on(index chunk, const record_type& from, const record_type& to) {
    base::prepare(run_, h_, chunk * most_, count_at(chunk), from, false);
    base::advance(from, to);
  }

  void in_order() {
    const index chunks = (run_.length + most_ - 1) / most_;
    const index segments = (chunks + segment_ - 1) / segment_;
    const record_type state = at(last_, 0);
    for (index g = 0; g + 1 < segments; ++g) {
      copy(state, at(starts_, g));
      for (index i = g * segment_; i < (g + 1) * segment_; ++i) move_on(i, state, state);
    }
    for (index g = segments - 1; g >= 0; --g) {
      const index first = g * segment_, end = std::min(first + segment_, chunks);
      copy(g + 1 < segments ? at(starts_, g) : state, at(kept_, 0));
      const auto after = [&](index i) { return i + 1 < end ? at(kept_, i + 1 - first) : state; };
      for (index i = first; i < end; ++i) move_on(i, at(kept_, i - first), after(i));
      for (index i = end - 1; i >= first; --i)
        chunk(i * most_, count_at(i), at(kept_, i - first), after(i));
    }
  }

  void chunk(index first, index count, const record_type& before, const record_type& after) {
    base::prepare(run_, h_, first, count, before, true);
    const index n = rows_.padded;
    const record_type slope = at(slope_, 0);
    for (index g = 0; g < group(); ++g) {
      upstream(g, first, before.sums, reads_[g].pairs[0], seen_ + first + 1, 1);
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
    if (count > 1 && !finite_queries() && simd::all_finite(before.s, columns_, p_.width, columns_))
      return one_by_one(first, count, before);
    for (index g = 0; g < group(); ++g) deliver_query(g, first);
    deliver(first);
    state(n, slope);
  }
  // Every token reads the last state, so the reads of all come before the writes of any.
  void by_all() {
    const index chunks = (run_.length + most_ - 1) / most_;
    const record_type state_ = at(last_, 0), slope = at(slope_, 0);
    for (index i = 0; i < chunks; ++i) move_on(i, state_, state_);
    for (index i = 0; i < chunks; ++i) {
      rows_.load(run_, h_, i * most_, count_at(i), base::m_);
      for (index g = 0; g < group(); ++g) {
        upstream(g, i * most_, state_.sums, nullptr, seen_ + run_.length, 0);
        toward_read(g, rows_.padded, state_, false);
        deliver_query(g, i * most_);
      }
      state(rows_.padded, slope);
    }
    for (index i = 0; i < chunks; ++i) {
      base::prepare(run_, h_, i * most_, count_at(i), state_, false);
      values(rows_.padded, slope, false);
      toward_write(0, rows_.padded, slope);
      deliver(i * most_);
    }
  }
  void one_by_one(index first, index count, const record_type& before) {
    const record_type state = at(last_, 0);
    copy(before, state);
    for (index i = 0; i < count; ++i) {
      copy(state, at(tokens_, i));
      base::prepare(run_, h_, first + i, 1, state, false);
      base::advance(state, state);
    }
    for (index i = count - 1; i >= 0; --i) {
      if (i + 1 < count) copy(at(tokens_, i + 1), state);
      chunk(first + i, 1, at(tokens_, i), state);
    }
  }
  bool finite_queries() const {
    for (index g = 0; g < group(); ++g)
      if (!simd::all_finite(by_read_[g].rows, shape_.key_pitch, rows_.count, wide_)) return false;
    return true;
  }

  // 4: dO over the divisors. by_sum_: what makes the gradient by the sum of keys from dO · O.
  void upstream(index g, index first, const T* sums, const T* pairs, std::int64_t seen,
                index step) {
    const chunk_read<T>& r = reads_[g];
    T* const x = by_read_[g].values;
    T* const factor = by_sum_ + g * rows_.most();
    for (index i = 0; i < rows_.count; ++i) {
      T* const row = x + i * columns_;
      simd::load_row(d_out_.type, d_out_.row(run_.b, h_ * group() + g, run_.row + first + i),
                     d_out_.stride[3], p_.value_depth(), row);
      std::fill(row + p_.value_depth(), row + columns_, T(0));
      T by = 1;
      if constexpr (std::is_same_v<readout_of<Spec>, mean_readout>) by = T(seen + i * step);
      if constexpr (sums_keys<Spec>) {
        T sum = row_dot<T, Arch>(decayed(r) + i * shape_.key_pitch, sums, wide_);
        if (pairs) sum += row_dot<T, Arch>(pairs + i * shape_.pitch, counted(), rows_.padded);
        if constexpr (requires { spec_.readout.epsilon; }) {
          by = sum + T(spec_.readout.epsilon);
          factor[i] = T(-1) / by;
        } else {
          const T bound = gated<Spec> ? rows_.bound[i] : T(1);
          by = std::max(std::abs(sum), bound);
          factor[i] = std::abs(sum) > bound ? (sum > 0 ? T(-1) : T(1)) / by : T(0);
        }
      }
      if (by != T(1))
        simd::map_row<Arch>(row, columns_, [f = T(1) / by](auto y) { return y * decltype(y)(f); });
    }
    std::fill(x + rows_.count * columns_, x + rows_.padded * columns_, T(0));
    std::fill(factor + rows_.count, factor + rows_.padded, T(0));
  }
  const T* counted() const { return gated<Spec> ? rows_.gain : ones_; }
  // What token i reads of itself through the bonus.
  T own(index g, index i) const {
    const T *const q = reads_[g].rows + i * shape_.key_pitch, *const k =
                                                                  rows_.k + i * shape_.key_pitch;
    T sum = 0;
    for (index c = 0; c < p_.width; ++c) sum += q[c] * rows_.u[c] * k[c];
    return sum;
  }
  simd::term<T> turned_pairs(index r, std::size_t w) const {
    return {reads_[r].pairs[w], 1,     shape_.pitch, by_read_[r].values, columns_,
            rows_.padded,       false, true};
  }

  // 5
  void values(index n, const record_type& slope, bool read) {
    for (std::size_t w = 0; w < kinds; ++w) {
      T* const to = by_write_[w].values;
      simd::product<T, Arch>(n, columns_, {base::of_state(decayed(writes_[w]), slope.s)},
                             {to, columns_});
      for (index g = 0; g < group() && read; ++g)
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
    std::fill_n(ends_, wide_, T(0));
    for (index c = 0; c < p_.width; ++c) {
      ends_[c] = row_dot<T, Arch>(s.s + c * columns_, slope.s + c * columns_, columns_);
      if constexpr (sums_keys<Spec>) ends_[c] += s.sums[c] * slope.sums[c];
      if constexpr (scalar) ends_[c] *= decays_.kept()[c];
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

  // dx by the feature of x, [channel], becomes dx.
  void feature(const operand& x, index head, index token, feature_role role, T* dx) {
    if constexpr (!std::is_same_v<feature_of<Spec>, none>) {
      T* const raw = row_ + shape_.key_pitch;
      simd::load_row(x.type, x.row(run_.b, head, run_.row + token), x.stride[3], p_.depth(), raw);
      feature_backward<Arch>(spec_.feature, raw, dx, p_.depth(), role);
    }
  }
  void deliver_query(index g, index first) {
    if (!to_.q.wanted()) return;
    const index head = h_ * group() + g;
    const T by = T(spec_.scale);
    for (index i = 0; i < rows_.count; ++i) {
      const index at = i * shape_.key_pitch;
      std::copy_n(by_read_[g].rows + at, wide_, row_);
      if constexpr (reads_before<Spec>) add_own(by_own_[g * rows_.most() + i], rows_.k + at, row_);
      if (by != T(1))
        simd::map_row<Arch>(row_, wide_, [by](auto x) { return x * decltype(x)(by); });
      feature(p_.q, recurrence_problem::head_of(p_.q, head, p_.out.extent[1]), first + i,
              feature_role::query, row_);
      to_.q.store(run_, head, first + i, row_);
    }
  }
  void add_own(T by, const T* x, T* row) const {
    for (index c = 0; c < p_.width; ++c) row[c] += by * rows_.u[c] * x[c];
  }
  void deliver(index first) {
    const index head = recurrence_problem::head_of(p_.k, h_, p_.heads);
    for (index i = 0; i < rows_.count && to_.k.wanted(); ++i) {
      const index at = i * shape_.key_pitch;
      std::copy_n(by_write_[0].rows + at, wide_, row_);
      if constexpr (corrects<Spec>)
        simd::add_scaled<Arch>(T(1), by_read_[group()].rows + at, wide_, row_);
      if constexpr (reads_before<Spec>)
        for (index g = 0; g < group(); ++g)
          add_own(by_own_[g * rows_.most() + i], reads_[g].rows + at, row_);
      feature(p_.k, head, first + i, feature_role::key, row_);
      to_.k.store(run_, h_, first + i, row_);
    }
    const auto rows = [&](const gradient_rows<T>& to, const T* x, index pitch) {
      for (index i = 0; i < rows_.count && to.wanted(); ++i)
        to.store(run_, h_, first + i, x + i * pitch);
    };
    rows(to_.v, by_write_[0].values, columns_);
    if constexpr (channels) rows(to_.log, log_, shape_.key_pitch);
    if constexpr (scalar) to_.log.store_column(run_, h_, first, log_, rows_.count);
    if constexpr (gated<Spec>) to_.gain.store_column(run_, h_, first, by_gain_, rows_.count);
    if constexpr (corrects<Spec>) to_.beta.store_column(run_, h_, first, by_gain_, rows_.count);
    if constexpr (mixes<Spec>) {
      rows(to_.a, by_read_[group()].rows, shape_.key_pitch);
      rows(to_.b, by_write_[1].rows, shape_.key_pitch);
    }
    if constexpr (reads_before<Spec>) {
      std::fill_n(row_, wide_, T(0));
      for (index g = 0; g < group(); ++g)
        for (index i = 0; i < rows_.count; ++i)
          for (index c = 0; c < p_.width; ++c)
            row_[c] += by_own_[g * rows_.most() + i] * rows_.k[i * shape_.key_pitch + c] *
                       reads_[g].rows[i * shape_.key_pitch + c];
      to_.u.store(run_, h_, 0, row_);
    }
  }

  const operand& d_out_;
  const gradient_targets<T>& to_;
  index most_, segment_, segments_ = 0, chunks_ = 0;
  pair_gradients<T, Arch, decays<Spec>> pull_;
  read_gradient<T>* by_read_ = nullptr;
  write_gradient<T> by_write_[kinds];
  T* written_lanes_[kinds];
  T *lanes_, *turned_, *by_sum_, *ones_, *by_weight_, *by_gain_, *by_own_, *minus_, *log_, *ends_,
      *row_;
  T *starts_, *kept_, *tokens_, *last_, *slope_;  // states

  token_run run_;  // the task at hand
  index h_ = 0;
  std::int64_t seen_ = 0;
};

}  // namespace heed::detail
