// SPDX-License-Identifier: BSL-1.0
// Driver `sliding_backward`: gradients by q, k and v of what driver `sliding` computes.
//
//   rows    δ = Σ dO·O and lse of every query, once
//   pass 1  lanes are queries, rows of keys and values slide under them
//     P = e^{QK - lse}, dP = dO V, dS = dscore(P, dP, δ), dQ += dS K
//   pass 2  lanes are keys, rows of queries, dO, lse and δ slide under them
//     P = e^{KQ - lse}, dP = V dO, dS, dV += P dO, dK += dS Q
//
// Weights are made twice, 14 · pairs · D flops where 10 are the least, and in return every gradient
// has one owner: nothing is scattered, no partial sums are kept and the bits do not depend on the
// threads. A key near an end is seen by up to half a window more queries than others, so the taps
// of its block that it does not meet are hidden.
#pragma once

#include <heed/attention/backward_rows.hpp>
#include <heed/attention/sliding.hpp>
#include <heed/score/pairs.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class sliding_backward {
  using B = simd::batch<T, Arch>;
  using block = lane_block<T, Arch>;
  static constexpr index W = simd::width<T, Arch>, R = simd::sliding_rows;
  template <class P> static constexpr bool absent = std::is_same_v<P, none>;

 public:
  static constexpr bool possible =
      sliding<T, Arch, Spec>::possible && replays_from_lse<decltype(Spec::normalizer)> &&
      absent<decltype(Spec::query)> && absent<decltype(Spec::key)> &&
      absent<decltype(Spec::value)> && absent<decltype(Spec::output)> &&
      absent<decltype(Spec::extra)> && !panels<T, Arch, Spec>::rewrites && !rewrites_keys<Spec>;
  static bool suits(const Spec& spec, const problem& p, const backward_operands& x,
                    const spec_gradients<Spec>& g) {
    const gradient_sums<Spec> sums(spec, g);
    return sliding<T, Arch, Spec>::suits(spec, p) && !x.observed && !sums.any() && !sums.by_row();
  }

  // `lse` is that of the forward call.
  sliding_backward(const Spec& spec, const problem& p, const backward_operands& x,
                   const operand& lse)
      : spec_(spec), p_(p), x_(x), lse_(lse), tokens_(spec.mask.tokens()) {}

  void run(executor_ref executor, workspace& scratch) {
    const index rows = p_.shape.batch * p_.shape.heads * tokens_;
    scratch.shared().reserve(static_cast<std::size_t>(2 * aligned_bytes(rows, sizeof(T))));
    max_ = scratch.shared().template take<T>(rows);
    delta_ = scratch.shared().template take<T>(rows);
    arena_size size;
    size.template take<T>(2 * depth());
    scratch.crew(executor.workers(), size.bytes());
    executor.for_each((rows + piece - 1) / piece, [&](index task, index worker) {
      scratch.worker(worker).reserve(0);
      T* const staged = scratch.worker(worker).template take<T>(2 * depth());
      for (index i = task * piece; i < std::min((task + 1) * piece, rows); ++i) sum(i, staged);
    });
    if (x_.dq.present()) pass<meeting::keys>(executor, scratch);
    if (x_.dk.present() || x_.dv.present()) pass<meeting::queries>(executor, scratch);
  }

 private:
  static constexpr index piece = 256;

  struct tiles {
    sliding_ring<T, Arch> ring;
    T *first{}, *second{}, *d_first{}, *d_second{};  // of the places: [row][channel][lane]
    T *s{}, *p{}, *ds{};                             // [row][tap][lane]
    T *max{}, *delta{}, *staged{};
    block* blocks{};
    met_row<T>* met{};
  };
  struct place : place_rows {
    const sliding_part& part;
    index h = 0;  // of the queries

    index token(index r, index x) const { return part.grid.token(z, y + r, x); }
    index step() const { return part.grid.step[2]; }
  };

  index width() const { return p_.shape.depth; }
  index depth() const { return p_.shape.value_depth; }
  T* row_of(T* table, index b, index h) const { return table + (b * p_.shape.heads + h) * tokens_; }

  // State and δ of one query row; one that saw nothing has O = 0, and its dO may be NaN.
  void sum(index i, T* staged) const {
    const index token = i % tokens_, h = i / tokens_ % p_.shape.heads,
                b = i / tokens_ / p_.shape.heads, n = depth();
    const operand &o = x_.out, &d = x_.d_out;
    simd::load_row(o.type, o.row(b, h, token), o.stride[3], n, staged);
    simd::load_row(d.type, d.row(b, h, token), d.stride[3], n, staged + n);
    for (index c = 0; c < n; ++c)
      if (staged[c] == T(0)) staged[n + c] = T(0);
    double lse = 0;
    simd::load_row(lse_.type, lse_.row(b, h, token), 1, 1, &lse);
    T d_lse(0);
    if (x_.d_lse.present()) simd::load_row(x_.d_lse.type, x_.d_lse.row(b, h, token), 1, 1, &d_lse);
    max_[i] = replayed<T>(lse).max;
    delta_[i] = simd::dot_row<Arch>(staged, staged + n, n) - d_lse;
  }

  template <meeting Who> void pass(executor_ref executor, workspace& scratch) const {
    // Rows of queries bring their states with them.
    constexpr index more = Who == meeting::queries ? 1 : 0;
    const index copies = Who == meeting::queries ? p_.shape.group() : 1;
    const sliding_plan<T, Arch> plan(spec_.mask, Who, p_.shape, width() + depth() + 2 * more,
                                     copies);
    const auto lay_out = [&](auto& memory) {
      tiles t{.ring = sliding_ring<T, Arch>(plan.deep * copies, plan.high, plan.wide,
                                            width() + more, depth() + more)};
      const index channels = width() + depth(), square = R * plan.rows * plan.taps * W;
      t.ring.take(memory);
      t.first = memory.template take<T>(2 * R * channels * W);
      t.second = t.first + R * width() * W;
      t.d_first = t.first + R * channels * W;
      t.d_second = t.d_first + R * width() * W;
      t.s = memory.template take<T>(3 * square);
      t.p = t.s + square, t.ds = t.p + square;
      t.max = memory.template take<T>(2 * R * W);
      t.delta = t.max + R * W;
      t.staged = memory.template take<T>(W * std::max(width(), depth()));
      t.blocks = memory.template take<block>(plan.blocks);
      t.met = memory.template take<met_row<T>>(plan.most_rows());
      return t;
    };
    plan.each_part(spec_.mask, executor, scratch, lay_out,
                   [&](const sliding_part& part, tiles t) { visit_part<Who>(plan, part, t); });
  }

  template <meeting Who>
  void visit_part(const sliding_plan<T, Arch>& plan, const sliding_part& part, tiles& t) const {
    if (part.x.empty() || part.y.empty()) return;
    const index blocks = plan.fill(part, t.blocks), group = p_.shape.group();
    t.ring.start(part.met_x.size());
    place at{{}, part};
    for (place_rows rows = plan.first(part); rows.rows > 0; rows = plan.next(part, rows)) {
      static_cast<place_rows&>(at) = rows;
      for (index i = 0; i < blocks; ++i) {
        const block& x = t.blocks[i];
        if constexpr (Who == meeting::queries) begin<Who>(at, x, t);
        for (index g = 0; g < group; ++g) {
          at.h = part.kv * group + g;
          const index met = find_rows(part.grid, rows, t.met, [&](index z, index y) {
            const index copy = Who == meeting::queries ? z * group + g : z;
            return t.ring.row(
                copy, y, [&](const sliding_row<T>& row) { return pack<Who>(at, z, y, row, t); });
          });
          if constexpr (Who == meeting::keys) begin<Who>(at, x, t);
          const std::optional<simd::picker<T, Arch>> order =
              x.ordered ? std::optional(simd::picker<T, Arch>(x.from)) : std::nullopt;
          for (index first = 0; first < met; first += plan.rows)
            step<Who>(plan, at, x, t.met + first, std::min(plan.rows, met - first),
                      order ? &*order : nullptr, t);
          if constexpr (Who == meeting::keys) finish<Who>(at, x, t);
        }
        if constexpr (Who == meeting::queries) finish<Who>(at, x, t);
      }
    }
  }

  // `count` tokens as lanes, [channel][pitch].
  void to_lanes(const operand& x, index b, index h, index token, index step, index count, T scale,
                T* out, index pitch, T* staged) const {
    const index n = x.extent[3];
    if (simd::stored_as<T>(x))
      return simd::to_lanes<T, Arch>(static_cast<const T*>(x.row(b, h, token)), x.stride[2] * step,
                                     count, n, scale, out, pitch);
    for (index i = 0; i < count; i += W) {
      const index some = std::min(W, count - i);
      for (index j = 0; j < some; ++j)
        simd::load_row(x.type, x.row(b, h, token + (i + j) * step), x.stride[3], n, staged + j * n);
      simd::to_lanes<T, Arch>(staged, n, some, n, scale, out + i, pitch);
    }
  }
  void state_lanes(T* table, const place& at, index token, index count, T* out) const {
    const T* const from = row_of(table, at.part.b, at.h) + token;
    for (index i = 0; i < count; ++i) out[i] = from[i * at.step()];
  }

  template <meeting Who>
  bool pack(const place& at, index z, index y, const sliding_row<T>& row, const tiles& t) const {
    const span x = at.part.met_x;
    const index token = at.part.grid.token(z, y, x.begin), pitch = t.ring.pitch();
    const auto lanes = [&](const operand& from, index h, T scale, T* out) {
      to_lanes(from, at.part.b, h, token, at.step(), x.size(), scale, out, pitch, t.staged);
    };
    if constexpr (Who == meeting::keys) {
      lanes(p_.k, at.part.kv, T(1), row.first);
      lanes(p_.v, at.part.kv, T(1), row.second);
    } else {
      lanes(p_.q, at.h, static_cast<T>(p_.scale), row.first);
      lanes(x_.d_out, at.h, T(1), row.second);
      state_lanes(max_, at, token, x.size(), row.first + width() * pitch);
      state_lanes(delta_, at, token, x.size(), row.second + depth() * pitch);
    }
    return (Who == meeting::keys && !at.part.grid.axis[2].causal) ||
           (simd::all_finite(row.first, pitch, width(), x.size()) &&
            simd::all_finite(row.second, pitch, depth(), x.size()));
  }

  template <meeting Who> void begin(const place& at, const block& x, const tiles& t) const {
    for (index r = 0; r < at.rows; ++r) {
      const auto lanes = [&](const operand& from, index h, T scale, T* out) {
        to_lanes(from, at.part.b, h, at.token(r, x.x), at.step(), x.lanes, scale, out, W, t.staged);
      };
      T* const first = t.first + r * width() * W;
      T* const second = t.second + r * depth() * W;
      if constexpr (Who == meeting::keys) {
        lanes(p_.q, at.h, static_cast<T>(p_.scale), first);
        lanes(x_.d_out, at.h, T(1), second);
        std::fill_n(t.max + r * W, W, T(0)), std::fill_n(t.delta + r * W, W, T(0));
        state_lanes(max_, at, at.token(r, x.x), x.lanes, t.max + r * W);
        state_lanes(delta_, at, at.token(r, x.x), x.lanes, t.delta + r * W);
      } else {
        lanes(p_.k, at.part.kv, T(1), first);
        lanes(p_.v, at.part.kv, T(1), second);
      }
    }
    std::fill_n(t.d_first, R * (width() + depth()) * W, T(0));
  }

  // A few rows that one block meets.
  template <meeting Who>
  void step(const sliding_plan<T, Arch>& plan, const place& at, const block& x,
            const met_row<T>* met, index count, const simd::picker<T, Arch>* order,
            const tiles& t) const {
    const index pitch = t.ring.pitch(), offset = x.first - at.part.met_x.begin;
    const index stride = plan.rows * plan.taps * W, row = x.taps * W;
    index done[R] = {};
    for (index i = 0; i < count; ++i) {
      const met_row<T>& k = met[i];
      const T *first[R], *second[R];
      T *s[R], *p[R], *ds[R];
      for (index r = k.begin; r < k.end; ++r) {
        const index to = r * stride + done[r]++ * row, n = r - k.begin;
        first[n] = t.first + r * width() * W, second[n] = t.second + r * depth() * W;
        s[n] = (has_score<Spec> ? t.s : t.p) + to, p[n] = t.p + to, ds[n] = t.ds + to;
      }
      const index rows = k.end - k.begin;
      simd::slide_scores<T, Arch>(rows, first, k.at.first + offset, pitch, width(), x.taps, order,
                                  s);
      simd::slide_scores<T, Arch>(rows, second, k.at.second + offset, pitch, depth(), x.taps, order,
                                  ds);
      for (index r = k.begin; r < k.end; ++r)
        weigh<Who>(at, x, r, k, s[r - k.begin], p[r - k.begin], ds[r - k.begin], order,
                   k.at.first + width() * pitch + offset, k.at.second + depth() * pitch + offset,
                   t);
    }
    index used[R] = {};
    each_run(met, count, [&](index i, index next) {
      const met_row<T>& k = met[i];
      const T *first[32], *second[32], *p[R], *ds[R];
      T *d_first[R], *d_second[R];
      bool finite = true;
      for (index j = i; j < next; ++j) {
        first[j - i] = met[j].at.first + offset, second[j - i] = met[j].at.second + offset;
        finite &= met[j].at.finite;
      }
      for (index r = k.begin; r < k.end; ++r) {
        const index from = r * stride + used[r] * row, n = r - k.begin;
        p[n] = t.p + from, ds[n] = t.ds + from;
        d_first[n] = t.d_first + r * width() * W, d_second[n] = t.d_second + r * depth() * W;
        used[r] += next - i;
      }
      const bool selected = x.masked && !finite;
      const index rows = k.end - k.begin;
      if (Who == meeting::keys || x_.dk.present())
        simd::slide_accumulate<T, Arch>(rows, ds, first, next - i, x.taps, pitch, width(), order,
                                        selected, d_first);
      if (Who == meeting::queries && x_.dv.present())
        simd::slide_accumulate<T, Arch>(rows, p, second, next - i, x.taps, pitch, depth(), order,
                                        selected, d_second);
    });
  }

  // Scores to weights, and dP to dS. `max` and `delta` are rows of the queries that slide.
  template <meeting Who>
  void weigh(const place& at, const block& x, index r, const met_row<T>& k, T* s, T* p, T* ds,
             const simd::picker<T, Arch>* order, const T* max, const T* delta,
             const tiles& t) const {
    const index size = x.taps * W;
    std::optional<met_pairs<T, Arch, grid_axes<decltype(Spec::mask)>>> pairs;
    if constexpr (has_score<Spec>) {
      pairs.emplace(spec_.mask, at.part.grid, at.part.b, at.h, at.z, at.y + r, x, k.z, k.y);
      std::copy_n(s, size, p);
      modify_pairs<Arch>(spec_.score, pairs->taps, p);
    }
    const auto moved = [&](const T* from) {
      const B y = simd::load<T, Arch>(from);
      return order ? (*order)(y) : y;
    };
    for (index i = 0, tap = 0; i < size; i += W, ++tap) {
      row_state<B> state{B(T(0)), B(T(1))};
      B d(T(0));
      if constexpr (Who == meeting::keys) {
        state.max = simd::load<T, Arch>(t.max + r * W), d = simd::load<T, Arch>(t.delta + r * W);
      } else {
        state.max = moved(max + tap), d = moved(delta + tap);
      }
      const B score = simd::load<T, Arch>(p + i);
      spec_.normalizer.template replay<Arch>(p + i, W, 1, state);
      simd::store(ds + i, B(spec_.normalizer.dscore(score, simd::load<T, Arch>(p + i),
                                                    simd::load<T, Arch>(ds + i), d, state)));
    }
    if (x.masked) x.hide(p, T(0)), x.hide(ds, T(0));
    if constexpr (has_score<Spec>) slope_pairs<Arch>(spec_.score, pairs->taps, s, ds);
  }

  template <meeting Who> void finish(const place& at, const block& x, const tiles& t) const {
    const index h = Who == meeting::keys ? at.h : at.part.kv;
    for (index r = 0; r < at.rows; ++r) {
      const auto write = [&](const result& to, const T* from, T scale) {
        if (!to.present()) return;
        const index n = to.extent[3], token = at.token(r, x.x);
        T factors[W];
        std::fill_n(factors, W, scale);
        if (to.type == element_of<T>::value && to.stride[3] == 1)
          return simd::from_lanes<T, Arch>(from, W, x.lanes, n, factors,
                                           static_cast<T*>(to.row(at.part.b, h, token)),
                                           to.stride[2] * at.step());
        simd::from_lanes<T, Arch>(from, W, x.lanes, n, factors, t.staged, n);
        for (index l = 0; l < x.lanes; ++l)
          simd::store_row(to.type, t.staged + l * n, n, to.row(at.part.b, h, token + l * at.step()),
                          to.stride[3]);
      };
      const T* const first = t.d_first + r * width() * W;
      if constexpr (Who == meeting::keys) {
        write(x_.dq, first, static_cast<T>(p_.scale));
      } else {
        write(x_.dk, first, T(1));
        write(x_.dv, t.d_second + r * depth() * W, T(1));
      }
    }
  }

  const Spec& spec_;
  const problem& p_;
  const backward_operands& x_;
  const operand& lse_;
  index tokens_;
  T *max_ = nullptr, *delta_ = nullptr;
};

}  // namespace heed::detail
