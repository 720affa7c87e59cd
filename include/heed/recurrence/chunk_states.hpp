// SPDX-License-Identifier: BSL-1.0
// The forward half of the backward pass: what the tokens of a chunk are to each other and what they
// write, from the state before it, and that state moved on. Stages 1 to 3 and 6 of `chunk.hpp`; an
// update that corrects keeps E = V - K̂S - PU apart from U = βE, for β has a gradient where it is 0.
#pragma once

#include <algorithm>
#include <heed/recurrence/pair_gradients.hpp>
#include <heed/recurrence/readouts.hpp>

namespace heed::detail {

// S [width × columns], the sum of keys, the running maximum of a gate.
template <class T> struct state_record {
  T *s = nullptr, *sums = nullptr, *m = nullptr;
};

template <class T, class Arch, class Spec> class chunk_states {
 protected:
  static constexpr index W = simd::width<T, Arch>;
  static constexpr bool solves = corrects<Spec> || mixes<Spec>;
  static constexpr std::size_t kinds = mixes<Spec> ? 2 : 1;  // of writes
  using rows_type = token_rows<T, Arch, Spec>;
  using decays_type = chunk_decays<T, Arch, decays<Spec>>;

  template <class Memory>
  chunk_states(const Spec& spec, const recurrence_problem& p, index most, Memory& from)
      : spec_(spec),
        p_(p),
        rows_(spec, p, most),
        shape_{p.width, rows_.key_pitch, rows_.most()},
        columns_(rows_.value_pitch),
        wide_(rows_type::whole(p.width)),
        decays_(shape_, from) {
    rows_.take(from);
    const index keys = rows_.most() * shape_.key_pitch, pairs = rows_.most() * shape_.pitch;
    e_ = from.template take<T>(solves ? rows_.most() * columns_ : 0);
    scaled_ = from.template take<T>(corrects<Spec> ? pairs : 0);
    read_count_ = group() + (solves ? 1 : 0);
    reads_ = from.template take<chunk_read<T>>(read_count_);
    for (std::size_t w = 0; w < kinds; ++w) {
      const T* const rows = w == 0 ? rows_.k : rows_.b;
      T* const lanes = from.template take<T>(shape_.depth * shape_.pitch);
      writes_[w] = {rows, lanes, decays_type::copies ? from.template take<T>(keys) : nullptr};
    }
    for (index i = 0; i < read_count_; ++i) {
      chunk_read<T> r;
      if (i < group())
        r = {rows_.q + i * keys, reads_before<Spec>, reads_before<Spec>};
      else if constexpr (corrects<Spec>)
        r = {rows_.k, false, true};
      else
        r = {rows_.a, true, true};
      if (decays_type::copies) r.decayed = from.template take<T>(keys);
      for (std::size_t w = 0; w < kinds; ++w) r.pairs[w] = from.template take<T>(pairs);
      if (reads_) new (reads_ + i) chunk_read<T>(r);
    }
  }

  index record_size() const { return p_.width * columns_ + wide_ + W; }
  state_record<T> record(T* at) const {
    return {at, at + p_.width * columns_, at + p_.width * columns_ + wide_};
  }
  index group() const { return rows_.group(); }
  const chunk_read<T>& corrector() const { return reads_[group()]; }
  const T* decayed(const chunk_read<T>& r) const {
    return decays_type::copies ? r.decayed : r.rows;
  }
  const T* decayed(const chunk_write<T>& w) const {
    return decays_type::copies ? w.decayed : w.rows;
  }
  // What write w writes, by token.
  T* written(std::size_t w) const { return w == 0 ? rows_.v : e_; }
  simd::term<T> of_state(const T* rows, const T* s) const {
    return {rows, shape_.key_pitch, 1, s, columns_, p_.width};
  }

  void prepare(const token_run& s, index h, index first, index count, const state_record<T>& from,
               bool read) {
    m_ = *from.m;
    rows_.load(s, h, first, count, m_, read);
    const index n = rows_.padded;
    decays_.begin(rows_.alpha, n);
    for (std::size_t w = 0; w < kinds && (read || solves); ++w)
      simd::to_lanes<T, Arch>(writes_[w].rows, shape_.key_pitch, n, p_.width, T(1),
                              writes_[w].lanes, shape_.pitch);
    const index skipped = read ? 0 : group();
    decays_.meet(n, {reads_ + skipped, std::size_t(read_count_ - skipped)}, {writes_, kinds});
    solve(n, from.s);
  }

  // `to` becomes what comes after the chunk, from what comes before it; both may be the same.
  void advance(const state_record<T>& from, const state_record<T>& to) {
    const index n = rows_.padded;
    const T* const kept = decays_.kept();
    const simd::target<T> into{to.s, columns_, kept ? simd::onto::scaled : simd::onto::itself,
                               kept, false,    from.s};
    const auto term = [&](std::size_t w) {
      return simd::term<T>{decayed(writes_[w]), 1, shape_.key_pitch, written(w), columns_, n};
    };
    if constexpr (mixes<Spec>)
      simd::product<T, Arch>(p_.width, columns_, {term(0), term(1)}, into);
    else
      simd::product<T, Arch>(p_.width, columns_, {term(0)}, into);
    if constexpr (sums_keys<Spec>) {
      for (index c = 0; c < p_.width; ++c)
        to.sums[c] = kept ? kept[c] * from.sums[c] : from.sums[c];
      std::fill(to.sums + p_.width, to.sums + wide_, T(0));  // read as whole vectors
      for (index j = 0; j < rows_.count; ++j)
        simd::add_scaled<Arch>(weight(j), decayed(writes_[0]) + j * shape_.key_pitch, wide_,
                               to.sums);
    }
    *to.m = m_;
  }
  // What a sum of keys counts token j as.
  T weight(index j) const { return gated<Spec> ? rows_.gain[j] : T(1); }

 private:
  void solve(index n, const T* s) {
    if constexpr (corrects<Spec>) {
      const chunk_read<T>& r = corrector();
      simd::product<T, Arch>(n, columns_, {of_state(decayed(r), s)}, {e_, columns_});
      for (index i = 0; i < n * columns_; i += W)
        simd::store(e_ + i, B(simd::load<T, Arch>(rows_.v + i) - simd::load<T, Arch>(e_ + i)));
      for (index i = 0; i < n; ++i)
        for (index j = 0; j < n; j += W) {
          const index at = i * shape_.pitch + j;
          simd::store(scaled_ + at, B(simd::load<T, Arch>(r.pairs[0] + at) *
                                      (B(T(0)) - simd::load<T, Arch>(rows_.gain + j))));
        }
      simd::solve_lower<T, Arch>(n, columns_, scaled_, shape_.pitch, e_, columns_);
      scale_rows<T, Arch>(n, columns_, e_, columns_, rows_.gain, rows_.v);
    } else if constexpr (mixes<Spec>) {
      const chunk_read<T>& r = corrector();
      simd::product<T, Arch>(
          n, columns_,
          {of_state(decayed(r), s), {r.pairs[0], shape_.pitch, 1, rows_.v, columns_, n, true}},
          {e_, columns_});
      simd::solve_lower<T, Arch>(n, columns_, r.pairs[1], shape_.pitch, e_, columns_);
    } else if constexpr (gated<Spec>) {
      scale_rows<T, Arch>(n, columns_, rows_.v, columns_, rows_.gain, rows_.v);
    }
  }

 protected:
  using B = simd::batch<T, Arch>;

  const Spec& spec_;
  const recurrence_problem& p_;
  rows_type rows_;
  chunk_shape shape_;
  index columns_, wide_, read_count_ = 0;
  decays_type decays_;
  chunk_read<T>* reads_ = nullptr;
  chunk_write<T> writes_[kinds];
  T *e_ = nullptr, *scaled_ = nullptr;  // E of an update that corrects, u of a low-rank one
  T m_ = 0;                             // the running maximum after the chunk
};

}  // namespace heed::detail
