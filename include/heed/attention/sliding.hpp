// SPDX-License-Identifier: BSL-1.0
// Driver `sliding`: neighbourhoods of stride 1. Lanes are consecutive x of one row of the grid, and
// what they see slides along with them: nothing that is computed is masked away.
//
//   task    a band of rows y and a segment of x of one dilation group of a kv head
//     for each three rows, for each head of the group
//       rows    keys and values of the rows they see, packed as [channel][x] when first needed
//       for each block of W places x
//         Q     [row][channel][lane], scaled; O cleared
//         for the rows of keys, a few at a time             S stays in L1
//           S  = Q K      a tap is one unaligned load        simd::slide_scores
//           S  = score(S), hidden where a causal x asks
//           P  = absorb(S)
//           O += P V                                         simd::slide_accumulate
//       finish  O · factor, transposed out, lse
//
// Where the window of some lane is shifted inwards, the lanes of a load are put in order first.
// A row of keys serves up to three rows of queries while it is in registers, one segment while it
// is in L2. Cost: 4 · pairs · D flops; scratch of `sliding_bytes` and a few tiles a worker.
// Hassani et al., Faster Neighborhood Attention, do the same by tiles of dense products and masks.
#pragma once

#include <heed/attention/absorb.hpp>
#include <heed/attention/sliding_plan.hpp>
#include <heed/attention/written.hpp>
#include <heed/score/pairs.hpp>
#include <heed/weights/concept.hpp>
#include <optional>

namespace heed::detail {

template <class T, class Arch, class Spec> class sliding {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  using block = lane_block<T, Arch>;
  static constexpr index W = tuned::lanes, R = simd::sliding_rows;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;

 public:
  static constexpr bool possible = grid_axes<decltype(Spec::mask)> >= 2 &&
                                   std::is_same_v<decltype(Spec::plan), none> &&
                                   std::is_same_v<decltype(Spec::weights), none> &&
                                   !own_products<decltype(Spec::similarity), T, Arch>;
  static bool suits(const Spec& spec, const problem& p) {
    for (const index s : spec.mask.stride)
      if (s != 1) return false;
    return !p.source && !p.to.observe;
  }

  sliding(const Spec& spec, const problem& p)
      : spec_(spec),
        p_(p),
        read_{spec, p},
        scale_(query_scale<T, Arch>(spec, p.scale)),
        width_(read_.width),
        depth_(p.shape.value_depth),
        plan_(spec.mask, meeting::keys, p.shape, width_ + depth_, 1) {
    if constexpr (has_extra) extra_ = spec.extra.slots();
  }

  void run(executor_ref executor, workspace& scratch) const {
    if (p_.shape.heads == 0) return;
    plan_.each_part(
        spec_.mask, executor, scratch, [this](auto& memory) { return this->lay_out(memory); },
        [this](const sliding_part& part, tiles t) { attend(part, t); });
  }

 private:
  struct tiles {
    sliding_ring<T, Arch> ring;
    T *q{}, *o{}, *s{}, *max{}, *sum{}, *staged{}, *extra_k{}, *extra_v{};
    block* blocks{};
    met_row<T>* seen{};
    rows_ahead ahead{};
  };
  // Rows of queries of one head.
  struct place : place_rows {
    const sliding_part& part;
    sequence s;
    index h = 0;

    index token(index r, index x) const { return part.grid.token(z, y + r, x); }
    index step() const { return part.grid.step[2]; }
  };

  index channels() const { return (depth_ + 3) / 4 * 4; }
  template <class Arena> tiles lay_out(Arena& scratch) const {
    tiles t{.ring = sliding_ring<T, Arch>(plan_.deep, plan_.high, plan_.wide, width_, depth_)};
    t.ring.take(scratch);
    t.q = scratch.template take<T>(R * width_ * W);
    t.o = scratch.template take<T>(R * channels() * W);
    t.s = scratch.template take<T>(R * std::max(plan_.rows * plan_.taps, extra_) * W);
    t.max = scratch.template take<T>(2 * R * W);
    t.sum = t.max + R * W;
    t.staged = scratch.template take<T>(W * std::max({width_, p_.shape.depth, channels()}));
    t.extra_k = scratch.template take<T>(extra_ * width_);
    t.extra_v = scratch.template take<T>(extra_ * channels());
    t.blocks = scratch.template take<block>(plan_.blocks);
    t.seen = scratch.template take<met_row<T>>(plan_.most_rows());
    return t;
  }

  void attend(const sliding_part& part, tiles& t) const {
    if (part.x.empty() || part.y.empty()) return;
    const index tokens = spec_.mask.tokens(), group = p_.shape.group();
    place at{{}, part, {part.b, part.b, 0, tokens, 0, tokens, 0}};
    const index blocks = plan_.fill(part, t.blocks);
    t.ring.start(part.met_x.size());
    load_extra<Arch>(spec_, p_.shape, part.b, part.kv, width_, t.extra_k, channels(), t.extra_v);
    for (place_rows rows = plan_.first(part); rows.rows > 0; rows = plan_.next(part, rows)) {
      static_cast<place_rows&>(at) = rows;
      const index seen = find_rows(part.grid, rows, t.seen, [&](index z, index y) {
        return t.ring.row(z, y, [&](const sliding_row<T>& row) { return pack(at, z, y, row, t); });
      });
      look_ahead(part, plan_.next(part, rows), t);
      t.ahead.share(seen * blocks * group);
      for (index g = 0; g < group; ++g) {
        at.h = part.kv * group + g;
        for (index i = 0; i < blocks; ++i) visit(at, t.blocks[i], seen, t);
      }
    }
  }

  // What the next rows need and is not packed yet.
  void look_ahead(const sliding_part& part, const place_rows& next, tiles& t) const {
    t.ahead.clear();
    if (next.rows == 0) return;
    const sliding_grid& grid = part.grid;
    const span deep = grid.met(0, next.z), high = grid.met(1, next.y, next.y + next.rows);
    for (index z = deep.begin; z < deep.end; ++z)
      for (index y = high.begin; y < high.end; ++y) {
        if (t.ring.holds(z, y)) continue;
        const index token = grid.token(z, y, part.met_x.begin);
        t.ahead.add(p_.k, part.b, part.kv, token, grid.step[2], part.met_x.size());
        t.ahead.add(p_.v, part.b, part.kv, token, grid.step[2], part.met_x.size());
      }
    for (index g = 0; g < p_.shape.group(); ++g)
      for (index r = 0; r < next.rows; ++r) {
        const index token = grid.token(next.z, next.y + r, part.x.begin);
        const index h = part.kv * p_.shape.group() + g;
        t.ahead.add(p_.q, part.b, h, token, grid.step[2], part.x.size());
        t.ahead.add(p_.to.out, part.b, h, token, grid.step[2], part.x.size());
      }
  }

  bool pack(const place& at, index z, index y, const sliding_row<T>& row, const tiles& t) const {
    const span places = at.part.met_x;
    const index pitch = t.ring.pitch(), step = at.step(),
                token = at.part.grid.token(z, y, places.begin);
    const auto by_lanes = [&](const operand& x, bool rewritten, index width, T* out,
                              const auto& load) {
      if (!rewritten && simd::stored_as<T>(x))
        return simd::to_lanes<T, Arch>(static_cast<const T*>(x.row(at.s.batch, at.part.kv, token)),
                                       x.stride[2] * step, places.size(), width, T(1), out, pitch);
      for (index i = 0; i < places.size(); i += W) {
        const index some = std::min(W, places.size() - i);
        for (index j = 0; j < some; ++j) {
          const index k = token + (i + j) * step;
          load(span{k, k + 1}, t.staged + j * width);
        }
        simd::to_lanes<T, Arch>(t.staged, width, some, width, T(1), out + i, pitch);
      }
    };
    by_lanes(p_.k, rewrites_keys<Spec>, width_, row.first, [&](span keys, T* out) {
      load_keys<Arch>(spec_, p_, at.s, at.part.kv, keys, width_, out);
    });
    by_lanes(p_.v, rewrites_values<Spec>, depth_, row.second, [&](span keys, T* out) {
      load_values<Arch>(spec_, p_, at.s, at.part.kv, keys, depth_, out);
    });
    return !at.part.grid.axis[2].causal ||
           simd::all_finite(row.second, pitch, depth_, places.size());
  }

  void begin(const place& at, const block& x, const tiles& t) const {
    for (index r = 0; r < at.rows; ++r) {
      const index token = at.token(r, x.x), step = at.step();
      T* const q = t.q + r * width_ * W;
      const T scale = static_cast<T>(scale_.exact);
      if (!read_.rewrites && simd::stored_as<T>(p_.q)) {
        simd::to_lanes<T, Arch>(static_cast<const T*>(p_.q.row(at.s.batch, at.h, token)),
                                p_.q.stride[2] * step, x.lanes, width_, scale, q, W);
      } else {
        for (index l = 0; l < x.lanes; ++l)
          read_.load({at.s.b, at.h, token + l * step, token + l * step}, at.s.batch, 1,
                     t.staged + l * width_);
        simd::to_lanes<T, Arch>(t.staged, width_, x.lanes, width_, scale, q, W);
      }
      const row_state<T> start =
          steps_of(spec_.normalizer).template start<T>(row_position{at.s.b, at.h, token, token});
      std::fill_n(t.max + r * W, W, start.max);
      std::fill_n(t.sum + r * W, W, start.sum);
    }
    std::fill_n(t.o, at.rows * channels() * W, T(0));
  }

  void visit(const place& at, const block& x, index seen, tiles& t) const {
    begin(at, x, t);
    if constexpr (has_extra)
      for (index r = 0; r < at.rows; ++r) {
        simd::scores<T, Arch>(1, t.extra_k, width_, extra_, t.q + r * width_ * W, W, width_, t.s);
        absorb(r, extra_, t.s, t);
        simd::accumulate<T, Arch>(1, t.s, W, extra_, t.extra_v, channels(), 4, depth_,
                                  t.o + r * channels() * W);
      }
    const std::optional<simd::picker<T, Arch>> order =
        x.ordered ? std::optional(simd::picker<T, Arch>(x.from)) : std::nullopt;
    const simd::picker<T, Arch>* const lanes = order ? &*order : nullptr;
    for (index first = 0; first < seen; first += plan_.rows)
      step(at, x, t.seen + first, std::min(plan_.rows, seen - first), lanes, t);
    for (index r = 0; r < at.rows; ++r) finish(at, x, r, t);
  }

  // A few rows of keys of one block.
  void step(const place& at, const block& x, const met_row<T>* seen, index count,
            const simd::picker<T, Arch>* order, tiles& t) const {
    const index pitch = t.ring.pitch(), offset = x.first - at.part.met_x.begin;
    const index stride = plan_.rows * plan_.taps * W, row = x.taps * W;
    index summed[R] = {};
    for (index i = 0; i < count; ++i) {
      const met_row<T>& k = seen[i];
      const T* q[R];
      T* s[R];
      for (index r = k.begin; r < k.end; ++r) {
        q[r - k.begin] = t.q + r * width_ * W;
        s[r - k.begin] = t.s + r * stride + summed[r]++ * row;
      }
      simd::slide_scores<T, Arch>(k.end - k.begin, q, k.at.first + offset, pitch, width_, x.taps,
                                  order, s);
      t.ahead.some();
    }
    for (index r = 0; r < at.rows; ++r) {
      if (summed[r] == 0) continue;
      T* s = t.s + r * stride;
      if (has_score<Spec> || x.masked)
        for (index i = 0; i < count; ++i) {
          if (r < seen[i].begin || r >= seen[i].end) continue;
          if constexpr (has_score<Spec>) modify(at, x, r, seen[i], s);
          if (x.masked) x.hide(s, masked<T>);
          s += row;
        }
      absorb(r, summed[r] * x.taps, t.s + r * stride, t);
    }
    index used[R] = {};
    each_run(seen, count, [&](index i, index next) {
      const met_row<T>& k = seen[i];
      const T* rows[32];
      const T* p[R];
      T* o[R];
      bool finite = true;
      for (index j = i; j < next; ++j) {
        rows[j - i] = seen[j].at.second + offset;
        finite &= seen[j].at.finite;
      }
      for (index r = k.begin; r < k.end; ++r) {
        p[r - k.begin] = t.s + r * stride + used[r] * row;
        o[r - k.begin] = t.o + r * channels() * W;
        used[r] += next - i;
      }
      simd::slide_accumulate<T, Arch>(k.end - k.begin, p, rows, next - i, x.taps, pitch, depth_,
                                      order, x.masked && !finite, o);
    });
  }

  void modify(const place& at, const block& x, index r, const met_row<T>& k, T* s) const {
    const met_pairs<T, Arch, grid_axes<decltype(Spec::mask)>> pairs(
        spec_.mask, at.part.grid, at.s.b, at.h, at.z, at.y + r, x, k.z, k.y);
    modify_pairs<Arch>(spec_.score, pairs.taps, s);
  }

  row_state<B> state(index r, const tiles& t) const {
    return {simd::load<T, Arch>(t.max + r * W), simd::load<T, Arch>(t.sum + r * W)};
  }
  void absorb(index r, index taps, T* s, const tiles& t) const {
    T factors[W];
    if (absorb_panel<Arch>(spec_, scale_.rest, 1, W, taps, s, t.max + r * W, t.sum + r * W,
                           factors))
      simd::rescale<T, Arch>(1, factors, W, channels(), t.o + r * channels() * W);
  }

  void finish(const place& at, const block& x, index r, const tiles& t) const {
    const index token = at.token(r, x.x), step = at.step();
    const result& out = p_.to.out;
    const T* const o = t.o + r * channels() * W;
    T factors[W];
    simd::store(factors, steps_of(spec_.normalizer).finish(state(r, t)));
    if (std::is_same_v<decltype(Spec::output), none> && out.type == element_of<T>::value &&
        out.stride[3] == 1) {
      simd::from_lanes<T, Arch>(o, W, x.lanes, depth_, factors,
                                static_cast<T*>(out.row(at.s.batch, at.h, token)),
                                out.stride[2] * step);
    } else {
      simd::from_lanes<T, Arch>(o, W, x.lanes, depth_, factors, t.staged, depth_);
      for (index l = 0; l < x.lanes; ++l)
        write_row<Arch>(spec_, p_, at.s, at.h, token + l * step, t.staged + l * depth_);
    }
    if (p_.to.lse.present())
      for (index l = 0; l < x.lanes; ++l)
        report_row(spec_, p_, at.s, at.h, token + l * step,
                   row_state<T>{t.max[r * W + l], t.sum[r * W + l]}, scale_.rest);
  }

  const Spec& spec_;
  const problem& p_;
  panels<T, Arch, Spec> read_;
  split_scale scale_;
  index width_, depth_, extra_ = 0;
  sliding_plan<T, Arch> plan_;
};

}  // namespace heed::detail
