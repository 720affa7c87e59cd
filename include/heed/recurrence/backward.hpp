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
// A gate's running maximum cancels from the output, so it counts as a constant. Cost: an additive
// update takes 10 Dk·Dv + 5 C (Dk + Dv) / 2 flops a token, one that corrects 18 Dk·Dv + 5 C (Dk +
// Dv), and long sequences the states once more: 2.2 to 3.4 times the forward pass. Scratch: the
// states before the chunks of a segment and before each segment, and one a token of a chunk. A
// chunk in which dQ is not finite is done again by single tokens: what a later token holds must not
// reach dQ of an earlier one.
#pragma once

#include <heed/recurrence/chunk_slopes.hpp>
#include <heed/recurrence/scan_gradients.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec>
class chunk_backward : private chunk_slopes<T, Arch, Spec> {
  using base = chunk_slopes<T, Arch, Spec>;
  using base::by_gain_, base::by_own_, base::by_read_, base::by_write_, base::channels,
      base::columns_, base::group, base::h_, base::log_, base::p_, base::reads_, base::rows_,
      base::run_, base::scalar, base::shape_, base::spec_, base::wide_;
  using typename base::record_type;

 public:
  // Tokens at once that suit the call.
  static index tokens_at_once(const Spec& spec) {
    using tuned = simd::shape<T, Arch>;
    if (spec.chunk > 0) return std::min<index>(spec.chunk, 256);
    return channels ? tuned::backward_channel_chunk : tuned::chunk;
  }

  // `most` tokens a chunk, `segment` chunks a segment, which follows from the shape if 0.
  template <class Memory>
  chunk_backward(const Spec& spec, const recurrence_problem& p, const operand& d_out,
                 const gradient_targets<T>& to, index most, index segment, Memory& from)
      : base(spec, p, d_out, most, from), to_(to), most_(most), segment_(segment) {
    row_ = from.template take<T>(shape_.key_pitch);
    const index size = base::record_size();
    chunks_ = (p.tokens() + most - 1) / most;
    if (segment_ == 0)
      segment_ = std::max<index>(simd::shape<T, Arch>::backward_segment,
                                 index(std::sqrt(double(chunks_))));
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
    base::begin(s, h);
    seen_ = seen;
    unpack(initial, at(last_, 0), -std::numeric_limits<T>::infinity());
    unpack(d_final, at(slope_, 0), T(0));
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
    ask(p_.k, p_.heads, h_, (chunk + 1) * most_);
    ask(p_.v, p_.heads, h_, (chunk + 1) * most_);
    base::advance(from, to);
  }
  // Rows of the next chunk are on their way while this one is worked on.
  void ask(const operand& x, index heads, index h, index first) const {
    if (x.stride[3] == 1 && first >= 0 && first < run_.length)
      rows_.ask(x, run_, h, heads, first, most_);
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
    const record_type slope = at(slope_, 0);
    base::prepare(run_, h_, first, count, before, true);
    ask(p_.k, p_.heads, h_, first - most_);
    ask(p_.v, p_.heads, h_, first - most_);
    for (index g = 0; g < group(); ++g) {
      ask(p_.q, p_.out.extent[1], h_ * group() + g, first - most_);
      ask(base::d_out_, p_.out.extent[1], h_ * group() + g, first - most_);
    }
    base::slopes(first, seen_ + first + 1, before, after, slope);
    if (count > 1 && !finite_queries() && simd::all_finite(before.s, columns_, p_.width, columns_))
      return one_by_one(first, count, before);
    for (index g = 0; g < group(); ++g) deliver_query(g, first);
    deliver(first);
    base::state(rows_.padded, slope);
  }
  // Every token reads the last state, so the reads of all come before the writes of any.
  void by_all() {
    const index chunks = (run_.length + most_ - 1) / most_;
    const record_type state_ = at(last_, 0), slope = at(slope_, 0);
    for (index i = 0; i < chunks; ++i) move_on(i, state_, state_);
    for (index i = 0; i < chunks; ++i) {
      rows_.load(run_, h_, i * most_, count_at(i), base::m_);
      for (index g = 0; g < group(); ++g) {
        base::upstream(g, i * most_, state_.sums, nullptr, seen_ + run_.length, 0);
        base::toward_read(g, rows_.padded, state_, false);
        deliver_query(g, i * most_);
      }
      base::state(rows_.padded, slope);
    }
    for (index i = 0; i < chunks; ++i) {
      base::prepare(run_, h_, i * most_, count_at(i), state_, false);
      base::values(rows_.padded, slope, false);
      base::toward_write(0, rows_.padded, slope);
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
      if (!simd::all_finite_vectors<T, Arch>(by_read_[g].rows, shape_.key_pitch, rows_.count,
                                             wide_))
        return false;
    return true;
  }
  // dx by the feature of x, [channel], becomes dx.
  void feature(const operand& x, index head, index token, feature_role role, T* dx) {
    if constexpr (!std::is_same_v<feature_of<Spec>, none>) {
      simd::load_row(x.type, x.row(run_.b, head, run_.row(token)), x.stride[3], p_.depth(), row_);
      feature_backward<Arch>(spec_.feature, row_, dx, p_.depth(), role);
    }
  }
  // Rows of gradients become what is delivered where they lie.
  void deliver_query(index g, index first) {
    if (!to_.q.wanted()) return;
    const index head = h_ * group() + g;
    const T by = T(spec_.scale);
    for (index i = 0; i < rows_.count; ++i) {
      const index at = i * shape_.key_pitch;
      T* const row = by_read_[g].rows + at;
      if constexpr (reads_before<Spec>) add_own(by_own_[g * rows_.most() + i], rows_.k + at, row);
      if (by != T(1)) simd::map_row<Arch>(row, wide_, [by](auto x) { return x * decltype(x)(by); });
      feature(p_.q, recurrence_problem::head_of(p_.q, head, p_.out.extent[1]), first + i,
              feature_role::query, row);
    }
    to_.q.store(run_, head, first, rows_.count, by_read_[g].rows, shape_.key_pitch);
  }
  void add_own(T by, const T* x, T* row) const {
    for (index c = 0; c < p_.width; ++c) row[c] += by * rows_.u[c] * x[c];
  }
  void deliver(index first) {
    const index head = recurrence_problem::head_of(p_.k, h_, p_.heads);
    for (index i = 0; i < rows_.count && to_.k.wanted(); ++i) {
      const index at = i * shape_.key_pitch;
      T* const row = by_write_[0].rows + at;
      if constexpr (corrects<Spec>)
        simd::add_scaled<Arch>(T(1), by_read_[group()].rows + at, wide_, row);
      if constexpr (reads_before<Spec>)
        for (index g = 0; g < group(); ++g)
          add_own(by_own_[g * rows_.most() + i], reads_[g].rows + at, row);
      feature(p_.k, head, first + i, feature_role::key, row);
    }
    const auto rows = [&](const gradient_rows<T>& to, const T* x, index pitch) {
      to.store(run_, h_, first, rows_.count, x, pitch);
    };
    rows(to_.k, by_write_[0].rows, shape_.key_pitch);
    rows(to_.v, by_write_[0].values, columns_);
    if constexpr (channels) rows(to_.log, log_, shape_.key_pitch);
    if constexpr (scalar) rows(to_.log, log_, 1);
    if constexpr (gated<Spec>) rows(to_.gain, by_gain_, 1);
    if constexpr (corrects<Spec>) rows(to_.beta, by_gain_, 1);
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
      to_.u.store(run_, h_, 0, 1, row_, 0);
    }
  }

  const gradient_targets<T>& to_;
  index most_, segment_, segments_ = 0, chunks_ = 0;
  T* row_;
  T *starts_, *kept_, *tokens_, *last_, *slope_;  // states
  std::int64_t seen_ = 0;
};

}  // namespace heed::detail
