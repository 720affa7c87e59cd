// SPDX-License-Identifier: BSL-1.0
// Stage 1 of the chunk loop: some consecutive tokens of one head as the kernels read them, whatever
// their layout and type: rows of q, k, v, decays, gains. Rows are padded to whole vectors with
// zeros, and tokens to a multiple of the lanes with zeros and decays of 1, which leave a state as
// it is.
#pragma once

#include <heed/core/workspace.hpp>
#include <heed/recurrence/problem.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/pack.hpp>

namespace heed::detail {

// x <- e^x
template <class Arch, class T> void exponentiate(T* x, index count) {
  simd::map_row<Arch>(x, count, [](auto y) { return simd::exp(y); });
}

template <class T, class Arch, class Spec> class token_rows {
  static constexpr index W = simd::width<T, Arch>;

 public:
  token_rows(const Spec& spec, const recurrence_problem& p, index most)
      : spec_(spec),
        p_(p),
        key_pitch(whole(std::max(p.width, p.depth()))),
        value_pitch(whole(p.value_depth())),
        most_(whole(most)) {}

  static index whole(index n) { return (n + W - 1) / W * W; }
  index most() const { return most_; }
  index group() const { return std::max<index>(p_.group(), 1); }

  template <class Memory> void take(Memory& from) {
    const index keys = most_ * key_pitch;
    q = from.template take<T>(group() * keys);
    k = from.template take<T>(keys);
    v = from.template take<T>(most_ * value_pitch);
    alpha = from.template take<T>(decays<Spec> == decay_kind::channel ? keys : most_);
    gain = from.template take<T>(most_);
    bound = from.template take<T>(most_);
    if constexpr (mixes<Spec>) a = from.template take<T>(keys), b = from.template take<T>(keys);
    u = from.template take<T>(key_pitch);
  }

  // `count` tokens from `first` on; `m` is the running maximum of a gate, moved on. Queries are
  // left out where nothing is read.
  void load(const token_run& s, index h, index first, index tokens, T& m, bool read = true) {
    count = tokens, padded = whole(tokens);
    const index row = s.row(first);
    for (index g = 0; g < group() && read; ++g)
      queries(
          s.b,
          recurrence_problem::head_of(p_.q, p_.group() > 1 ? h * group() + g : h, p_.out.extent[1]),
          row, q + g * most_ * key_pitch);
    keys(s.b, h, row);
    values(s.b, h, row);
    decay(s.b, h, row);
    if constexpr (sums_keys<Spec> && !gated<Spec>) std::fill_n(gain, count, T(1));
    if constexpr (gated<Spec>) gate(s.b, h, row, m);
    if constexpr (corrects<Spec>) {
      broadcast::load(spec_.update.beta, s.b, h, row, 0, 2, count, gain);
      std::fill(gain + count, gain + padded, T(0));
    }
    if constexpr (mixes<Spec>)
      wide(spec_.update.a, s.b, h, row, a), wide(spec_.update.b, s.b, h, row, b);
    if constexpr (reads_before<Spec>) broadcast::load(spec_.readout.u, 0, h, 0, 0, 3, p_.width, u);
  }

  // Tokens from `kept` on become padding.
  void drop(index kept) {
    count = kept;
    const auto clear = [&](T* rows, index pitch, T to) {
      std::fill(rows + count * pitch, rows + padded * pitch, to);
    };
    clear(k, key_pitch, 0), clear(v, value_pitch, 0), clear(gain, 1, 0);
    clear(alpha, decays<Spec> == decay_kind::channel ? key_pitch : 1, 1);
    if constexpr (mixes<Spec>) clear(a, key_pitch, 0), clear(b, key_pitch, 0);
  }

  // Asks memory for what a later `load` reads of q, k or v, rows of the token's head.
  void ask(const operand& x, const token_run& s, index h, index heads, index first,
           index tokens) const {
    const index head = recurrence_problem::head_of(x, h, heads);
    for (index i = 0; i < std::min(tokens, s.length - first); ++i)
      simd::prefetch(x.row(s.b, head, s.row(first + i)), x.extent[3] * size_of(x.type));
  }

  index count = 0, padded = 0;
  T *q = nullptr, *k = nullptr,
    *v = nullptr;      // [token][channel]; q head after head, `most` rows each
  T* alpha = nullptr;  // decays [token], or [token][channel]
  T* gain = nullptr;   // β, or what a gate lets in
  T* bound = nullptr;  // e^-m
  T *a = nullptr, *b = nullptr, *u = nullptr;

 private:
  const Spec& spec_;
  const recurrence_problem& p_;

 public:
  index key_pitch, value_pitch;

 private:
  void pad(T* rows, index pitch, index channels) const {
    for (index i = 0; i < count && channels < pitch; ++i)
      std::fill(rows + i * pitch + channels, rows + (i + 1) * pitch, T(0));
    std::fill(rows + count * pitch, rows + padded * pitch, T(0));
  }
  // Rows of x in one piece where they lie so.
  void rows_of(const operand& x, index item, index h, index row, index channels, T* out,
               index pitch) const {
    if (simd::stored_as<T>(x) && x.stride[2] == channels && pitch == channels) {
      std::copy_n(static_cast<const T*>(x.row(item, h, row)), count * channels, out);
      return;
    }
    for (index i = 0; i < count; ++i)
      simd::load_row(x.type, x.row(item, h, row + i), x.stride[3], channels, out + i * pitch);
  }
  void queries(index item, index h, index row, T* out) const {
    rows_of(p_.q, item, h, row, p_.depth(), out, key_pitch);
    const T factor = static_cast<T>(spec_.scale);
    if (!std::is_same_v<feature_of<Spec>, none> || factor != 1)
      for (index i = 0; i < count; ++i) {
        T* const x = out + i * key_pitch;
        apply_feature<Arch>(spec_.feature, x, p_.depth(), feature_role::query);
        if (factor != 1)
          simd::map_row<Arch>(x, p_.width, [factor](auto y) { return y * decltype(y)(factor); });
      }
    pad(out, key_pitch, p_.width);
  }
  void keys(index item, index h, index row) const {
    rows_of(p_.k, item, recurrence_problem::head_of(p_.k, h, p_.heads), row, p_.depth(), k,
            key_pitch);
    if constexpr (!std::is_same_v<feature_of<Spec>, none>)
      for (index i = 0; i < count; ++i)
        apply_feature<Arch>(spec_.feature, k + i * key_pitch, p_.depth());
    pad(k, key_pitch, p_.width);
  }
  void values(index item, index h, index row) const {
    rows_of(p_.v, item, recurrence_problem::head_of(p_.v, h, p_.heads), row, p_.value_depth(), v,
            value_pitch);
    pad(v, value_pitch, p_.value_depth());
  }
  void wide(const operand& x, index item, index h, index row, T* out) const {
    for (index i = 0; i < count; ++i)
      broadcast::load(x, item, h, row + i, 0, 3, p_.width, out + i * key_pitch);
    pad(out, key_pitch, p_.width);
  }
  void decay(index item, index h, index row) {
    if constexpr (decays<Spec> == decay_kind::scalar) {
      broadcast::load(spec_.decay.log, item, h, row, 0, 2, count, alpha);
      if constexpr (!gated<Spec>) exponentiate<Arch>(alpha, count);
      std::fill(alpha + count, alpha + padded, T(1));
    } else if constexpr (decays<Spec> == decay_kind::channel) {
      const bool one = spec_.decay.log.extent[2] == 1;
      for (index i = 0; i < count; ++i) {
        T* const x = alpha + i * key_pitch;
        if (one && i > 0) {
          std::copy_n(alpha, key_pitch, x);
          continue;
        }
        broadcast::load(spec_.decay.log, item, h, row + i, 0, 3, p_.width, x);
        exponentiate<Arch>(x, p_.width);
        std::fill(x + p_.width, x + key_pitch, T(1));
      }
      std::fill(alpha + count * key_pitch, alpha + padded * key_pitch, T(1));
    }
  }
  // log f becomes f, in what m measures.
  void gate(index item, index h, index row, T& m) const {
    constexpr T lowest = -std::numeric_limits<T>::infinity();
    broadcast::load(spec_.decay.gain, item, h, row, 0, 2, count, gain);
    for (index i = 0; i < count; ++i) {
      const T kept = m == lowest ? lowest : alpha[i] + m;
      m = std::max(kept, gain[i]);
      alpha[i] = kept == lowest ? T(0) : std::exp(kept - m);
      gain[i] = gain[i] == lowest ? T(0) : std::exp(gain[i] - m);
      bound[i] = std::exp(-m);
    }
    std::fill(gain + count, gain + padded, T(0));
    std::fill(bound + count, bound + padded, T(1));
  }

  index most_;
};

}  // namespace heed::detail
