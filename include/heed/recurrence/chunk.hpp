// SPDX-License-Identifier: BSL-1.0
// The chunk loop: linear attention with any decay, update and readout, some tokens at a time.
//
//   for each chunk of C tokens of a head               S [Dk × Dv] stays in L1 or L2
//     1 gates    decays α, gains β                      token_rows
//     2 pairs    P = lower(QKᵀ ∘ Πα), and for updates that read S
//                N = -β strict lower(KKᵀ ∘ Πα)          chunk_decays
//     3 solve    U = (I - N)⁻¹ (βV - β (Πα K) S)        forward substitution; additive: U = V
//     4 output   O = (Πα Q) S + P U                     one register tile for both products
//     5 readout  direct, or over the sum of keys
//     6 state    S ← (Πα) S + (Πα K)ᵀ U
//
// A low-rank update has two kinds of writes, (k, v) and (b, u), and solves for u. Cost: a token
// takes 4 Dk·Dv + C (Dk + Dv) flops, with an update that corrects 6 Dk·Dv + 2 C (Dk + Dv).
//
// What a token holds must not reach an earlier one, not even as 0 · NaN in P U: from the first
// token on whose row of U is not finite, a chunk is padding, and those tokens take the token form.
#pragma once

#include <heed/recurrence/channel_pairs.hpp>
#include <heed/recurrence/readouts.hpp>
#include <heed/recurrence/token.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class chunk_loop {
  static constexpr index W = simd::width<T, Arch>;
  static constexpr bool solves = corrects<Spec> || mixes<Spec>;
  static constexpr std::size_t kinds = mixes<Spec> ? 2 : 1;  // of writes
  using rows_type = token_rows<T, Arch, Spec>;
  using decays_type = chunk_decays<T, Arch, decays<Spec>>;

 public:
  // Fewer tokens are cheaper one by one.
  static constexpr index shortest = 4;

  // Tokens at once that suit the call.
  static index tokens_at_once(const Spec& spec, index width) {
    using tuned = simd::shape<T, Arch>;
    if (spec.chunk > 0) return std::min<index>(spec.chunk, 256);
    return decays<Spec> == decay_kind::channel || width <= 64 ? tuned::channel_chunk : tuned::chunk;
  }

  // `most` tokens at once; 1: token by token.
  template <class Memory>
  chunk_loop(const Spec& spec, const recurrence_problem& p, index most, Memory& from)
      : spec_(spec),
        p_(p),
        rows_(spec, p, most),
        shape_{p.width, rows_.key_pitch, rows_.most()},
        columns_(rows_.value_pitch),
        most_(most),
        direct_(p.out.type == element_of<T>::value && p.out.stride[3] == 1 &&
                columns_ == p.value_depth()),
        out_pitch_(direct_ ? p.out.stride[2] : columns_),
        out_head_(direct_ ? p.out.stride[1] : rows_.most() * columns_),
        decays_(shape_, from) {
    rows_.take(from);
    const index keys = rows_.most() * shape_.key_pitch, pairs = rows_.most() * shape_.pitch;
    own_s_ = from.template take<T>(p.width * columns_);
    out_ = from.template take<T>(group() * rows_.most() * columns_);
    u_ = from.template take<T>(rows_.most() * columns_);
    minus_ = from.template take<T>(rows_.most());
    own_ = from.template take<T>(group());
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
        r = {rows_.k, false, true, minus_};
      else
        r = {rows_.a, true, true};
      if (decays_type::copies || (corrects<Spec> && i == group()))
        r.decayed = from.template take<T>(keys);
      for (std::size_t w = 0; w < kinds; ++w) r.pairs[w] = from.template take<T>(pairs);
      if (reads_) new (reads_ + i) chunk_read<T>(r);
    }
  }

  // Sequence `s`, head h of the state, whose numbers are at `state` and move on.
  void run(const token_run& s, index h, T* state, std::int64_t seen) {
    run_ = s, h_ = h, seen_ = seen;
    T* const side = state + p_.width * p_.value_depth();
    ungated_ = 0;
    sums_ = side;
    m_ = gated<Spec> ? side + (sums_keys<Spec> ? p_.width : 0) : &ungated_;
    const bool in_place = columns_ == p_.value_depth();
    s_ = in_place ? state : own_s_;
    for (index c = 0; c < p_.width && !in_place; ++c) {
      std::copy_n(state + c * p_.value_depth(), p_.value_depth(), s_ + c * columns_);
      std::fill(s_ + c * columns_ + p_.value_depth(), s_ + (c + 1) * columns_, T(0));
    }
    for (index first = 0; first < s.length; first += most_) {
      const index count = std::min(most_, s.length - first);
      const T m = *m_;
      first_ = first;
      const auto load = [&] {
        *m_ = m;
        rows_.load(run_, h_, first, count, *m_);
      };
      load();
      index done = 0;
      if (count >= shortest) {
        done = chunk();
        for (index some = count; done < some;) {
          load();
          some = done;
          if (some == 0) break;
          rows_.drop(some);
          done = chunk();
        }
        if (done > 0 && done < count) load();
      }
      for (index i = done; i < count; ++i) token(i);
    }
    if (!spec_.causal)
      for (index first = 0; first < s.length; first += most_) read_all(first);
    for (index c = 0; c < p_.width && !in_place; ++c)
      std::copy_n(s_ + c * columns_, p_.value_depth(), state + c * p_.value_depth());
  }

 private:
  index group() const { return rows_.group(); }
  const chunk_read<T>& query(index g) const { return reads_[g]; }
  const chunk_read<T>& corrector() const { return reads_[group()]; }
  simd::term<T> of_state(const T* rows) const {
    return {rows, shape_.key_pitch, 1, s_, columns_, p_.width};
  }
  simd::term<T> of_pairs(const chunk_read<T>& r, std::size_t w, const T* values) const {
    return {r.pairs[w], shape_.pitch, 1, values, columns_, rows_.padded, true};
  }
  const T* decayed(const chunk_read<T>& r) const {
    return decays_type::copies ? r.decayed : r.rows;
  }

  // All stages, and the number of tokens; or, if the values that a token writes are not finite,
  // which is the first such token, and nothing but scratch is written.
  index chunk() {
    const index n = rows_.padded;
    if (direct_) rows_.ask(p_.out, run_, h_ * group(), p_.out.extent[1], first_, rows_.count);
    decays_.begin(rows_.alpha, n);
    for (std::size_t w = 0; w < kinds; ++w)
      simd::to_lanes<T, Arch>(writes_[w].rows, shape_.key_pitch, n, p_.width, T(1),
                              writes_[w].lanes, shape_.pitch);
    if constexpr (corrects<Spec>)
      for (index i = 0; i < n; ++i) minus_[i] = -rows_.gain[i];
    ask(p_.k);
    decays_.meet(n, {reads_, std::size_t(read_count_)}, {writes_, kinds});
    ask(p_.v);
    if (mixes<Spec> && finite(rows_.v) < rows_.count) return finite(rows_.v);
    solve(n);
    if (spec_.causal) {
      const index whole = finite(mixes<Spec> ? u_ : rows_.v);
      if (whole < rows_.count) return whole;
      for (index g = 0; g < group(); ++g) output(g, n);
      for (index g = 0; g < group(); ++g)
        for (index i = 0; i < rows_.count; ++i) deliver(g, i, sum_of_keys(g, i));
    }
    if (group() == 1) ask(p_.q);
    advance(n);
    return rows_.count;
  }
  // Rows of the next chunk are on their way while this one is worked on.
  void ask(const operand& x) const {
    if (x.stride[3] == 1) rows_.ask(x, run_, h_, p_.heads, first_ + rows_.count, most_);
  }
  // Tokens before the first whose values are not all finite.
  index finite(const T* values) const {
    if (simd::all_finite_vectors<T, Arch>(values, columns_, rows_.count, columns_))
      return rows_.count;
    index i = 0;
    while (i < rows_.count &&
           simd::all_finite_vectors<T, Arch>(values + i * columns_, columns_, 1, columns_))
      ++i;
    return i;
  }

  // v becomes the values that the keys write.
  void solve(index n) {
    if constexpr (corrects<Spec>) {
      const chunk_read<T>& r = corrector();
      scale_rows<T, Arch>(n, shape_.key_pitch, decayed(r), shape_.key_pitch, minus_, r.decayed);
      simd::product<T, Arch>(n, columns_, {of_state(r.decayed)},
                             {rows_.v, columns_, simd::onto::scaled, rows_.gain});
      simd::solve_lower<T, Arch>(n, columns_, r.pairs[0], shape_.pitch, rows_.v, columns_);
    } else if constexpr (mixes<Spec>) {
      const chunk_read<T>& r = corrector();
      simd::product<T, Arch>(n, columns_, {of_state(decayed(r)), of_pairs(r, 0, rows_.v)},
                             {u_, columns_});
      simd::solve_lower<T, Arch>(n, columns_, r.pairs[1], shape_.pitch, u_, columns_);
    } else if constexpr (gated<Spec>) {
      scale_rows<T, Arch>(n, columns_, rows_.v, columns_, rows_.gain, rows_.v);
    }
  }

  void output(index g, index n) {
    const chunk_read<T>& r = query(g);
    if constexpr (reads_before<Spec>)
      for (index i = 0; i < n; ++i) {
        const index at = i * shape_.key_pitch;
        r.pairs[0][i * shape_.pitch + i] =
            simd::dot_row<Arch>(r.rows + at, rows_.u, rows_.k + at, p_.width);
      }
    const simd::target<T> to{out(g), out_pitch_};
    if constexpr (mixes<Spec>)
      simd::product<T, Arch>(rows_.count, columns_,
                             {of_state(decayed(r)), of_pairs(r, 0, rows_.v), of_pairs(r, 1, u_)},
                             to);
    else
      simd::product<T, Arch>(rows_.count, columns_, {of_state(decayed(r)), of_pairs(r, 0, rows_.v)},
                             to);
  }

  // zᵀq of token i, where z is summed.
  T sum_of_keys(index g, index i) const {
    T sum = 0;
    if constexpr (sums_keys<Spec>) {
      const chunk_read<T>& r = query(g);
      const T* const q = decayed(r) + i * shape_.key_pitch;
      sum = simd::dot_row<Arch>(q, sums_, p_.width) +
            simd::dot_row<Arch>(r.pairs[0] + i * shape_.pitch, rows_.gain, i + 1);
    }
    return sum;
  }
  // Rows of query head g: where they belong if they can be written so, else in scratch.
  T* out(index g) const {
    return direct_ ? static_cast<T*>(p_.out.row(run_.b, h_ * group() + g, run_.row(first_)))
                   : out_ + g * out_head_;
  }

  void advance(index n) {
    const T* const kept = decays_.kept();
    const simd::target<T> to{s_, columns_, kept ? simd::onto::scaled : simd::onto::itself, kept};
    const auto written = [&](std::size_t w, const T* values) {
      const T* const rows = decays_type::copies ? writes_[w].decayed : writes_[w].rows;
      return simd::term<T>{rows, 1, shape_.key_pitch, values, columns_, n};
    };
    if constexpr (mixes<Spec>)
      simd::product<T, Arch>(p_.width, columns_, {written(0, rows_.v), written(1, u_)}, to);
    else
      simd::product<T, Arch>(p_.width, columns_, {written(0, rows_.v)}, to);
    if constexpr (sums_keys<Spec>) {
      for (index c = 0; c < p_.width && kept; ++c) sums_[c] *= kept[c];
      const T* const k = written(0, nullptr).a;
      for (index j = 0; j < rows_.count; ++j)
        simd::add_scaled<Arch>(rows_.gain[j], k + j * shape_.key_pitch, p_.width, sums_);
    }
  }

  // The token form of token i.
  void token(index i) {
    const index q_pitch = rows_.most() * shape_.key_pitch;
    token_step<Spec, Arch>(rows_, i, p_.width, columns_, s_, columns_, own_,
                           out(0) + i * out_pitch_, out_head_);
    const T* const k = rows_.k + i * shape_.key_pitch;
    if constexpr (sums_keys<Spec>)
      for (index c = 0; c < p_.width; ++c) {
        T kept = sums_[c];
        if constexpr (decays<Spec> == decay_kind::scalar) kept *= rows_.alpha[i];
        if constexpr (decays<Spec> == decay_kind::channel)
          kept *= rows_.alpha[i * shape_.key_pitch + c];
        sums_[c] = kept + k[c] * rows_.gain[i];
      }
    if (!spec_.causal) return;
    for (index g = 0; g < group(); ++g) {
      T sum = 0;
      if constexpr (sums_keys<Spec>)
        sum = simd::dot_row<Arch>(rows_.q + g * q_pitch + i * shape_.key_pitch, sums_, p_.width);
      deliver(g, i, sum);
    }
  }

  // What every token reads from the state after the last one.
  void read_all(index first) {
    T m = *m_;
    first_ = first;
    rows_.load(run_, h_, first, std::min(most_, run_.length - first), m);
    for (index g = 0; g < group(); ++g) {
      const T* const q = rows_.q + g * rows_.most() * shape_.key_pitch;
      simd::product<T, Arch>(rows_.count, columns_, {of_state(q)}, {out(g), out_pitch_});
      for (index i = 0; i < rows_.count; ++i) {
        T sum = 0;
        if constexpr (sums_keys<Spec>)
          sum = simd::dot_row<Arch>(q + i * shape_.key_pitch, sums_, p_.width);
        write(g, i, sum, seen_ + run_.length);
      }
    }
  }

  void deliver(index g, index i, T sum) { write(g, i, sum, seen_ + first_ + i + 1); }
  // Row i of query head g, divided as the readout says.
  void write(index g, index i, T sum, std::int64_t seen) const {
    T* const o = out(g) + i * out_pitch_;
    T by = 1;
    if constexpr (requires { spec_.readout.epsilon; }) by = sum + T(spec_.readout.epsilon);
    if constexpr (std::is_same_v<readout_of<Spec>, bounded_readout>)
      by = std::max(std::abs(sum), gated<Spec> ? rows_.bound[i] : T(1));
    if constexpr (std::is_same_v<readout_of<Spec>, mean_readout>) by = T(seen);
    if (by != T(1))
      simd::map_row<Arch>(
          o, columns_, [f = by == T(0) ? T(0) : T(1) / by](auto x) { return x * decltype(x)(f); });
    if (!direct_)
      simd::store_row(p_.out.type, o, p_.value_depth(),
                      p_.out.row(run_.b, h_ * group() + g, run_.row(first_ + i)), p_.out.stride[3]);
  }

  const Spec& spec_;
  const recurrence_problem& p_;
  rows_type rows_;
  chunk_shape shape_;
  index columns_, most_, read_count_ = 0;
  bool direct_;  // outputs are written where they belong
  index out_pitch_, out_head_;
  decays_type decays_;
  chunk_read<T>* reads_ = nullptr;
  chunk_write<T> writes_[kinds];
  T *own_s_ = nullptr, *out_ = nullptr, *u_ = nullptr, *minus_ = nullptr, *own_ = nullptr;

  token_run run_;  // the task at hand
  index h_ = 0, first_ = 0;
  std::int64_t seen_ = 0;
  T *s_ = nullptr, *sums_ = nullptr, *m_ = nullptr;
  T ungated_ = 0;  // the maximum where no gate has one
};

}  // namespace heed::detail
