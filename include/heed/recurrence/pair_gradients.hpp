// SPDX-License-Identifier: BSL-1.0
// `chunk_decays` in reverse: from gradients by pairs, by decayed reads and by decayed writes to
// those by reads, by writes and by the logarithms of decays.
//
//   dr_i = Σ_j dP_ij w_j Πα + (Πα) dr̂_i,   dw_j = Σ_i dP_ij r_i Πα + (Πα) dŵ_j
//
// d log α_t is what crosses token t: pairs j < t <= i, reads of the first state, writes into the
// last one and the way from the first to the last. One decay a token: summed as it stands. One a
// channel: Σ_{i>=t} r_i dr_i - Σ_{j>=t} w_j dw_j + S dS, S the last state, for every other term of
// these cancels; both sums start anew in every chunk. Nothing is divided by a decay, and the
// gradient by a decay of exactly 0 is 0.
#pragma once

#include <heed/recurrence/channel_pairs.hpp>

namespace heed::detail {

template <class T> struct read_gradient {
  T* values = nullptr;               // by what was read, [token][value channel]
  T* rows = nullptr;                 // by the decayed read, becomes that by the read
  T* pairs[2] = {nullptr, nullptr};  // by the pairs before their factor; overwritten
};
template <class T> struct write_gradient {
  T* values = nullptr;  // by what was written
  T* rows = nullptr;    // by the decayed write, becomes that by the write
};

// A chunk's reads and writes and their gradients, side by side.
template <class T> struct chunk_gradients {
  std::span<const chunk_read<T>> reads;
  std::span<const read_gradient<T>> by_read;
  std::span<const chunk_write<T>> writes;
  std::span<const write_gradient<T>> by_write;
};

template <class T, class Arch> T row_dot(const T* x, const T* y, index width) {
  using B = simd::batch<T, Arch>;
  constexpr index W = simd::width<T, Arch>;
  B sum[4] = {B(T(0)), B(T(0)), B(T(0)), B(T(0))};
  index c = 0;
  for (; c + 4 * W <= width; c += 4 * W) HEED_UNROLL
  for (int n = 0; n < 4; ++n)
    sum[n] =
        simd::fma(simd::load<T, Arch>(x + c + n * W), simd::load<T, Arch>(y + c + n * W), sum[n]);
  for (; c < width; c += W)
    sum[0] = simd::fma(simd::load<T, Arch>(x + c), simd::load<T, Arch>(y + c), sum[0]);
  return simd::sum_lanes<T, Arch>(B((sum[0] + sum[1]) + (sum[2] + sum[3])));
}

// rows ← since ∘ rows + dP w, and until ∘ rows + dPᵀ r; no factors stand for ones.
template <class T, class Arch>
void pull_products(index tokens, index wide, const chunk_shape& s, const chunk_gradients<T>& g,
                   const T* const (&since)[2], const T* until) {
  for (std::size_t r = 0; r < g.reads.size(); ++r) {
    const T* const factor = since[g.reads[r].before ? 1 : 0];
    const simd::target<T> to{g.by_read[r].rows, s.key_pitch,
                             factor ? simd::onto::scaled : simd::onto::itself, factor};
    const auto pairs = [&](std::size_t w) {
      return simd::term<T>{g.by_read[r].pairs[w], s.pitch, 1,   g.writes[w].rows,
                           s.key_pitch,           tokens,  true};
    };
    if (g.writes.size() > 1)
      simd::product<T, Arch>(tokens, wide, {pairs(0), pairs(1)}, to);
    else
      simd::product<T, Arch>(tokens, wide, {pairs(0)}, to);
  }
  for (std::size_t w = 0; w < g.writes.size(); ++w) {
    simd::target<T> to{g.by_write[w].rows, s.key_pitch,
                       until ? simd::onto::scaled : simd::onto::itself, until};
    const auto pairs = [&](std::size_t r) {
      return simd::term<T>{g.by_read[r].pairs[w], 1,      s.pitch, g.reads[r].rows,
                           s.key_pitch,           tokens, false,   true};
    };
    for (std::size_t r = 0; r < g.reads.size(); r += 2, to.add = simd::onto::itself) {
      if (r + 1 < g.reads.size())
        simd::product<T, Arch>(tokens, wide, {pairs(r), pairs(r + 1)}, to);
      else
        simd::product<T, Arch>(tokens, wide, {pairs(r)}, to);
    }
  }
}

template <class T, class Arch, decay_kind Kind> class pair_gradients;

template <class T, class Arch> class pair_gradients<T, Arch, decay_kind::none> {
 public:
  template <class Memory>
  pair_gradients(const chunk_shape& shape, index wide, Memory&) : s_(shape), wide_(wide) {}

  template <class Decays>
  void pull(index tokens, const Decays&, const T*, const chunk_gradients<T>& g, const T*, T*) {
    for (std::size_t r = 0; r < g.reads.size(); ++r)
      for (std::size_t w = 0; w < g.writes.size(); ++w)
        weigh_pairs<T, Arch>(tokens, s_.pitch, nullptr, 0, nullptr,
                             g.reads[r].before || g.reads[r].strict, g.by_read[r].pairs[w]);
    pull_products<T, Arch>(tokens, wide_, s_, g, {nullptr, nullptr}, nullptr);
  }

 private:
  chunk_shape s_;
  index wide_;
};

template <class T, class Arch> class pair_gradients<T, Arch, decay_kind::scalar> {
  static constexpr index W = simd::width<T, Arch>;
  using B = simd::batch<T, Arch>;

 public:
  template <class Memory>
  pair_gradients(const chunk_shape& shape, index wide, Memory& from)
      : s_(shape),
        wide_(wide),
        cross_(from.template take<T>((shape.pitch + 1) * shape.pitch)),
        read_(from.template take<T>(shape.pitch + 1)),
        column_(from.template take<T>(shape.pitch)) {}

  // ends: what the last state has of the first, times the gradient by it. log [token].
  template <class Decays>
  void pull(index tokens, const Decays& decays, const T*, const chunk_gradients<T>& g,
            const T* ends, T* log) {
    // Row i + 1 of `cross` and `read`: what token i reads after its decay, or i + 1 before it.
    std::fill_n(cross_, (tokens + 1) * s_.pitch, T(0));
    std::fill_n(read_, tokens + 1, T(0));
    for (std::size_t r = 0; r < g.reads.size(); ++r) {
      const chunk_read<T>& read = g.reads[r];
      const index shift = read.before ? 0 : 1;
      for (std::size_t w = 0; w < g.writes.size(); ++w)
        weigh(tokens, decays.table(read.before), read.before || read.strict, read.pairs[w],
              g.by_read[r].pairs[w], cross_ + shift * s_.pitch);
      for (index i = 0; i < tokens; ++i)
        read_[i + shift] += row_dot<T, Arch>(read.decayed + i * s_.key_pitch,
                                             g.by_read[r].rows + i * s_.key_pitch, wide_);
    }
    T through = *ends;
    for (index j = 0; j < tokens; ++j) {
      column_[j] = 0;
      for (std::size_t w = 0; w < g.writes.size(); ++w)
        column_[j] += row_dot<T, Arch>(g.writes[w].decayed + j * s_.key_pitch,
                                       g.by_write[w].rows + j * s_.key_pitch, wide_);
    }
    const B lane = simd::iota<T, Arch>();
    for (index t = tokens - 1; t >= 0; --t) {
      B sum(T(0));
      for (index j = 0; j < tokens; j += W) {
        const B x =
            simd::load<T, Arch>(column_ + j) + simd::load<T, Arch>(cross_ + (t + 1) * s_.pitch + j);
        simd::store(column_ + j, x);
        sum = sum + simd::select(lane < B(T(t - j)), x, B(T(0)));
      }
      through += read_[t + 1];
      log[t] = through + simd::sum_lanes<T, Arch>(sum);
    }
    pull_products<T, Arch>(tokens, wide_, s_, g, {decays.since(false), decays.since(true)},
                           decays.until());
  }

 private:
  // cross += dP ∘ P, dP ← dP ∘ table, 0 where there is no pair.
  HEED_NOINLINE void weigh(index tokens, const T* table, bool strict, const T* p, T* dp,
                           T* cross) const {
    const B lane = simd::iota<T, Arch>(), zero(T(0));
    for (index i = 0; i < tokens; ++i) {
      const index last = strict ? i - 1 : i;
      for (index j = 0; j < tokens; j += W) {
        const index at = i * s_.pitch + j;
        if (j > last) {
          simd::store(dp + at, zero);
          continue;
        }
        const B x = simd::select(lane > B(T(last - j)), zero, simd::load<T, Arch>(dp + at));
        simd::store(cross + at,
                    simd::fma(x, simd::load<T, Arch>(p + at), simd::load<T, Arch>(cross + at)));
        simd::store(dp + at, B(x * simd::load<T, Arch>(table + at)));
      }
    }
  }

  chunk_shape s_;
  index wide_;
  T *cross_, *read_, *column_;
};

template <class T, class Arch> class pair_gradients<T, Arch, decay_kind::channel> {
  static constexpr index W = simd::width<T, Arch>;
  using B = simd::batch<T, Arch>;

 public:
  template <class Memory>
  pair_gradients(const chunk_shape& shape, index wide, Memory&) : s_(shape), wide_(wide) {}

  // ends: by channel, S · dS of the last state and the gradient by it. log [token][channel].
  template <class Decays>
  void pull(index tokens, const Decays&, const T* alpha, const chunk_gradients<T>& g, const T* ends,
            T* log) {
    for (std::size_t r = 0; r < g.reads.size(); ++r)
      for (std::size_t w = 0; w < g.writes.size(); ++w)
        weigh_pairs<T, Arch>(tokens, s_.pitch, nullptr, 0, nullptr,
                             g.reads[r].before || g.reads[r].strict, g.by_read[r].pairs[w]);
    for (std::size_t r = 0; r < g.reads.size(); ++r)
      in_blocks(tokens,
                [&](auto rows, index i) { pull_read<decltype(rows)::value>(alpha, g, r, i); });
    for (std::size_t w = 0; w < g.writes.size(); ++w)
      for (std::size_t r = 0; r < g.reads.size(); ++r)
        in_blocks(tokens, [&](auto rows, index j) {
          constexpr int R = decltype(rows)::value;
          g.reads[r].before ? pull_write<R, true>(tokens, alpha, g, w, r, j)
                            : pull_write<R, false>(tokens, alpha, g, w, r, j);
        });
    cross(tokens, alpha, g, ends, log);
  }

 private:
  template <class F> static void in_blocks(index tokens, const F& f) {
    index i = 0;
    for (; i + 4 <= tokens; i += 4) f(std::integral_constant<int, 4>{}, i);
    for (; i < tokens; ++i) f(std::integral_constant<int, 1>{}, i);
  }

  // (((dr̂ α_0 + dP_i0 w_0) α_1 + dP_i1 w_1) α_2 + …, up to token i or before it.
  template <int R>
  HEED_NOINLINE void pull_read(const T* alpha, const chunk_gradients<T>& g, std::size_t r,
                               index first) const {
    const index pitch = s_.key_pitch;
    const read_gradient<T>& to = g.by_read[r];
    const int more = g.reads[r].before ? 0 : 1;
    for (index c = 0; c < wide_; c += W) {
      B x[R];
      HEED_UNROLL for (int i = 0; i < R; ++i) x[i] =
          simd::load<T, Arch>(to.rows + (first + i) * pitch + c);
      const auto meet = [&](index j, int i, const B& a) HEED_INLINE_LAMBDA {
        B y = B(to.pairs[0][(first + i) * s_.pitch + j]) *
              simd::load<T, Arch>(g.writes[0].rows + j * pitch + c);
        if (g.writes.size() > 1)
          y = simd::fma(B(to.pairs[1][(first + i) * s_.pitch + j]),
                        simd::load<T, Arch>(g.writes[1].rows + j * pitch + c), y);
        x[i] = simd::fma(x[i], a, y);
      };
      for (index j = 0; j < first; ++j) {
        const B a = simd::load<T, Arch>(alpha + j * pitch + c);
        HEED_UNROLL for (int i = 0; i < R; ++i) meet(j, i, a);
      }
      HEED_UNROLL for (int i = 0; i < R; ++i) {
        for (int j = 0; j < i + more; ++j)
          meet(first + j, i, simd::load<T, Arch>(alpha + (first + j) * pitch + c));
        simd::store(to.rows + (first + i) * pitch + c, x[i]);
      }
    }
  }
  // The same from the last token down to token j, one read after the other: the first has the rows
  // as they are, the others start from zero.
  template <int R, bool Before>
  HEED_NOINLINE void pull_write(index tokens, const T* alpha, const chunk_gradients<T>& g,
                                std::size_t w, std::size_t r, index first) const {
    const index pitch = s_.key_pitch;
    T* const to = g.by_write[w].rows + first * pitch;
    const T *const pairs = g.by_read[r].pairs[w] + first, *const reads = g.reads[r].rows;
    for (index c = 0; c < wide_; c += W) {
      B x[R];
      HEED_UNROLL for (int j = 0; j < R; ++j) x[j] =
          r == 0 ? simd::load<T, Arch>(to + j * pitch + c) : B(T(0));
      // x α + dP r, or (x + dP r) α with one multiplication between two tokens.
      const auto pass = [&](index i, int last) HEED_INLINE_LAMBDA {
        const B a = simd::load<T, Arch>(alpha + i * pitch + c);
        B y = simd::load<T, Arch>(reads + i * pitch + c);
        if constexpr (!Before) y = y * a;
        HEED_UNROLL for (int j = 0; j < R; ++j) if (j < last) x[j] =
            simd::fma(x[j], a, B(B(pairs[i * s_.pitch + j]) * y));
      };
      for (index i = tokens - 1; i >= first + R; --i) pass(i, R);
      HEED_UNROLL for (int n = 0; n < R; ++n) {
        const int i = R - 1 - n;
        pass(first + i, i);
        if constexpr (!Before)
          x[i] = simd::fma(B(pairs[(first + i) * s_.pitch + i]),
                           simd::load<T, Arch>(reads + (first + i) * pitch + c), x[i]);
      }
      HEED_UNROLL for (int j = 0; j < R; ++j) {
        if (r > 0) x[j] = x[j] + simd::load<T, Arch>(to + j * pitch + c);
        simd::store(to + j * pitch + c, x[j]);
      }
    }
  }
  HEED_NOINLINE void cross(index tokens, const T* alpha, const chunk_gradients<T>& g, const T* ends,
                           T* log) const {
    const index pitch = s_.key_pitch;
    const B zero(T(0));
    for (index c = 0; c < wide_; c += W) {
      B sum = simd::load<T, Arch>(ends + c);
      const auto read = [&](index t, bool before) HEED_INLINE_LAMBDA {
        B x = zero;
        for (std::size_t r = 0; r < g.reads.size(); ++r)
          if (g.reads[r].before == before)
            x = simd::fma(simd::load<T, Arch>(g.reads[r].rows + t * pitch + c),
                          simd::load<T, Arch>(g.by_read[r].rows + t * pitch + c), x);
        return x;
      };
      for (index t = tokens - 1; t >= 0; --t) {
        B x = read(t, false);
        for (std::size_t w = 0; w < g.writes.size(); ++w)
          x = x - simd::load<T, Arch>(g.writes[w].rows + t * pitch + c) *
                      simd::load<T, Arch>(g.by_write[w].rows + t * pitch + c);
        sum = sum + x;
        const auto lost = simd::load<T, Arch>(alpha + t * pitch + c) == zero;
        simd::store(log + t * pitch + c, B(simd::select(lost, zero, sum)));
        sum = sum + read(t, true);
      }
    }
  }

  chunk_shape s_;
  index wide_;
};

}  // namespace heed::detail
