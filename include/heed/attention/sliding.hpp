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

#include <heed/attention/panel.hpp>
#include <heed/attention/sliding_rows.hpp>
#include <heed/attention/written.hpp>
#include <heed/core/executor.hpp>
#include <heed/score/pairs.hpp>
#include <heed/simd/sliding_tile.hpp>
#include <heed/weights/concept.hpp>
#include <optional>

namespace heed::detail {

template <class T, class Arch, class Spec> class sliding {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  using block = lane_block<T, Arch>;
  static constexpr index W = tuned::lanes, R = simd::sliding_rows;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;
  static constexpr bool splits_scale =
      absorbs_scale<decltype(Spec::normalizer)> && !has_score<Spec>;

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
        scale_(splits_scale ? parted(p.scale) : split_scale{p.scale, 1}),
        width_(read_.width),
        depth_(p.shape.value_depth),
        groups_(sliding_grid::groups(spec.mask)) {
    if constexpr (has_extra) extra_ = spec.extra.slots();
    const sliding_grid grid(spec.mask, 0, meeting::keys);
    const index deep = grid.axis[0].window, high = grid.axis[1].window, wide = grid.axis[2].window;
    // Blocks of rows that stay while z moves on.
    stay_ = deep > 1 ? 2 * R : R;
    high_ = std::min(high + stay_ - 1, grid.length[1]);
    deep_ = deep;
    const index blocks = (grid.length[2] + W - 1) / W;
    index many = blocks;
    while (many > 1 && sliding_ring<T, Arch>::bytes(deep_ * high_, many * W + wide + W,
                                                    width_ + depth_) > tuned::sliding_bytes)
      --many;
    segments_ = (blocks + many - 1) / many;
    blocks_ = (blocks + segments_ - 1) / segments_;
    // A lane may be up to a window ahead of its number where its neighbours see no more keys.
    wide_ = blocks_ * W + 2 * wide + W;
    // Few tasks are cut along y, as long as what two bands both pack stays small.
    const index rows = (grid.length[1] + stay_ - 1) / stay_;
    const index whole = p.shape.batch * p.shape.kv_heads * groups_ * segments_;
    while (whole * bands_ < tuned::tasks && rows / (2 * bands_) * stay_ >= 2 * high) bands_ *= 2;
    band_ = (rows + bands_ - 1) / bands_ * stay_;
    row_taps_ = wide;
    rows_at_once_ = std::clamp<index>(tuned::sliding_scores / (R * W * wide * index(sizeof(T))), 1,
                                      deep * (high + R - 1));
  }

  void run(executor_ref executor, workspace& scratch) const {
    const index heads = p_.shape.batch * p_.shape.kv_heads;
    if (heads == 0 || p_.shape.heads == 0) return;
    scratch.crew(executor.workers());
    arena_size size;
    lay_out(size);
    for (index i = 0; i < executor.workers(); ++i) scratch.worker(i).reserve(size.bytes());
    executor.for_each(heads * groups_ * segments_ * bands_, [&](index task, index worker) {
      arena& memory = scratch.worker(worker);
      memory.reserve(0);
      attend(task, lay_out(memory));
    });
  }

 private:
  // A row of keys, the rows of queries [begin, end) that see it, and where it lies.
  struct seen_row {
    sliding_row<T> at;
    index z, y, begin, end;
  };
  struct tiles {
    sliding_ring<T, Arch> ring;
    T *q{}, *o{}, *s{}, *max{}, *sum{}, *staged{}, *extra_k{}, *extra_v{};
    block* blocks{};
    seen_row* seen{};
    rows_ahead ahead{};
  };
  struct place {
    sequence s;
    index kv = 0, h = 0, z = 0, y = 0, rows = 0;
  };

  index channels() const { return (depth_ + 3) / 4 * 4; }
  index most_rows() const { return deep_ * (high_ + R); }
  template <class Arena> tiles lay_out(Arena& scratch) const {
    tiles t{.ring = sliding_ring<T, Arch>(deep_, high_, wide_, width_, depth_)};
    t.ring.take(scratch);
    t.q = scratch.template take<T>(R * width_ * W);
    t.o = scratch.template take<T>(R * channels() * W);
    t.s = scratch.template take<T>(R * std::max(rows_at_once_ * row_taps_, extra_) * W);
    t.max = scratch.template take<T>(2 * R * W);
    t.sum = t.max + R * W;
    t.staged = scratch.template take<T>(W * std::max({width_, p_.shape.depth, channels()}));
    t.extra_k = scratch.template take<T>(extra_ * width_);
    t.extra_v = scratch.template take<T>(extra_ * channels());
    t.blocks = scratch.template take<block>(blocks_);
    t.seen = scratch.template take<seen_row>(most_rows());
    return t;
  }

  void attend(index task, tiles&& t) const {
    // Heads one after another: where they lie side by side in memory, they share its lines.
    const index kv = task % p_.shape.kv_heads, segment = task / p_.shape.kv_heads % segments_;
    task /= p_.shape.kv_heads * segments_;
    const index band = task % bands_, b = task / bands_ / groups_;
    const sliding_grid grid(spec_.mask, task / bands_ % groups_, meeting::keys);
    const index tokens = spec_.mask.tokens();
    place at{.s = {b, b, 0, tokens, 0, tokens, 0}, .kv = kv};
    const index x = segment * blocks_ * W, x_end = std::min(x + blocks_ * W, grid.length[2]);
    const index y = band * band_, y_end = std::min(y + band_, grid.length[1]);
    if (x >= x_end || y >= y_end) return;
    index blocks = 0;
    for (index i = x; i < x_end; i += W)
      new (t.blocks + blocks++) block(grid, i, std::min(W, x_end - i));
    const span packed = grid.met(2, x, x_end);
    t.ring.start(packed.size());
    if constexpr (has_extra) load_extra(at, t);

    for (index stay = y; stay < y_end; stay += stay_)
      for (at.z = 0; at.z < grid.length[0]; ++at.z)
        for (at.y = stay; at.y < std::min(stay + stay_, y_end); at.y += R) {
          at.rows = std::min({R, stay + stay_ - at.y, y_end - at.y});
          const index seen = find(grid, at, packed, t);
          look_ahead(grid, at, stay, y_end, x, x_end, packed, t);
          t.ahead.share(seen * blocks * p_.shape.group());
          for (index g = 0; g < p_.shape.group(); ++g) {
            at.h = at.kv * p_.shape.group() + g;
            for (index i = 0; i < blocks; ++i) visit(grid, at, t.blocks[i], packed, seen, t);
          }
        }
  }

  void load_extra(const place& at, const tiles& t) const {
    for (index j = 0; j < extra_; ++j) {
      T* const row = t.extra_k + j * width_;
      spec_.extra.key(at.s.b, at.kv, j, row);
      rewrite_key<Arch>(spec_, p_.shape.depth, row, {at.s.b, at.kv, j, j});
      spec_.extra.value(at.s.b, at.kv, j, t.extra_v + j * channels(), depth_);
    }
  }

  // The rows of keys that some of the rows of queries see, packed.
  index find(const sliding_grid& grid, const place& at, span packed, tiles& t) const {
    const span deep = grid.met(0, at.z), high = grid.met(1, at.y, at.y + at.rows);
    index count = 0;
    for (index z = deep.begin; z < deep.end; ++z)
      for (index y = high.begin; y < high.end; ++y) {
        index begin = 0, end = at.rows;
        while (grid.met(1, at.y + begin).end <= y) ++begin;
        while (grid.met(1, at.y + end - 1).begin > y) --end;
        t.seen[count++] = {t.ring.row(z, y,
                                      [&](const sliding_row<T>& row) {
                                        return pack(grid, at, z, y, packed, row, t);
                                      }),
                           z, y, begin, end};
      }
    return count;
  }

  // What the next three rows need and is not packed yet.
  void look_ahead(const sliding_grid& grid, const place& at, index stay, index y_end, index x,
                  index x_end, span packed, tiles& t) const {
    place next = at;
    t.ahead.clear();
    next.y += at.rows;
    if (next.y >= std::min(stay + stay_, y_end)) {
      next.y = stay;
      if (++next.z == grid.length[0]) next.z = 0, next.y += stay_;
    }
    if (next.y >= y_end) return;
    next.rows = std::min(R, y_end - next.y);
    const span deep = grid.met(0, next.z), high = grid.met(1, next.y, next.y + next.rows);
    for (index z = deep.begin; z < deep.end; ++z)
      for (index y = high.begin; y < high.end; ++y) {
        if (t.ring.holds(z, y)) continue;
        const index token = grid.token(z, y, packed.begin);
        t.ahead.add(p_.k, at.s.b, at.kv, token, grid.step[2], packed.size());
        t.ahead.add(p_.v, at.s.b, at.kv, token, grid.step[2], packed.size());
      }
    for (index g = 0; g < p_.shape.group(); ++g)
      for (index r = 0; r < next.rows; ++r) {
        const index token = grid.token(next.z, next.y + r, x), h = at.kv * p_.shape.group() + g;
        t.ahead.add(p_.q, at.s.b, h, token, grid.step[2], x_end - x);
        t.ahead.add(p_.to.out, at.s.b, h, token, grid.step[2], x_end - x);
      }
  }

  bool pack(const sliding_grid& grid, const place& at, index z, index y, span places,
            const sliding_row<T>& row, const tiles& t) const {
    const index pitch = t.ring.pitch(), token = grid.token(z, y, places.begin), step = grid.step[2];
    const auto by_lanes = [&](const operand& x, bool rewritten, index width, T* out,
                              const auto& load) {
      if (!rewritten && simd::stored_as<T>(x))
        return simd::to_lanes<T, Arch>(static_cast<const T*>(x.row(at.s.batch, at.kv, token)),
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
      load_keys<Arch>(spec_, p_, at.s, at.kv, keys, width_, out);
    });
    by_lanes(p_.v, rewrites_values<Spec>, depth_, row.second, [&](span keys, T* out) {
      load_values<Arch>(spec_, p_, at.s, at.kv, keys, depth_, out);
    });
    return !grid.axis[2].causal || simd::all_finite(row.second, pitch, depth_, places.size());
  }

  void begin(const sliding_grid& grid, const place& at, const block& x, const tiles& t) const {
    for (index r = 0; r < at.rows; ++r) {
      const index token = grid.token(at.z, at.y + r, x.x), step = grid.step[2];
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
      T start_max[W], start_sum[W];
      for (index l = 0; l < W; ++l) {
        const index q_token = token + std::min(l, x.lanes - 1) * step;
        const row_state<T> start =
            steps_of(spec_.normalizer)
                .template start<T>(row_position{at.s.b, at.h, q_token, q_token});
        start_max[l] = start.max, start_sum[l] = start.sum;
      }
      std::copy_n(start_max, W, t.max + r * W);
      std::copy_n(start_sum, W, t.sum + r * W);
    }
    std::fill_n(t.o, at.rows * channels() * W, T(0));
  }

  void visit(const sliding_grid& grid, const place& at, const block& x, span packed, index seen,
             tiles& t) const {
    begin(grid, at, x, t);
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
    for (index first = 0; first < seen; first += rows_at_once_)
      step(grid, at, x, t.seen + first, std::min(rows_at_once_, seen - first),
           x.first - packed.begin, lanes, t);
    for (index r = 0; r < at.rows; ++r) finish(grid, at, x, r, t);
  }

  // A few rows of keys of one block.
  void step(const sliding_grid& grid, const place& at, const block& x, const seen_row* seen,
            index count, index offset, const simd::picker<T, Arch>* order, tiles& t) const {
    const index pitch = t.ring.pitch(), stride = rows_at_once_ * row_taps_ * W, row = x.taps * W;
    index summed[R] = {};
    for (index i = 0; i < count; ++i) {
      const seen_row& k = seen[i];
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
          if constexpr (has_score<Spec>) modify(grid, at, x, r, seen[i], s);
          if (x.masked) hide(x, s);
          s += row;
        }
      absorb(r, summed[r] * x.taps, t.s + r * stride, t);
    }
    index used[R] = {};
    for (index i = 0; i < count;) {
      index next = i + 1;
      const T* rows[32];
      const T* p[R];
      T* o[R];
      const seen_row& k = seen[i];
      rows[0] = k.at.second + offset;
      bool finite = k.at.finite;
      while (next < count && next - i < 32 && seen[next].begin == k.begin &&
             seen[next].end == k.end) {
        rows[next - i] = seen[next].at.second + offset;
        finite &= seen[next].at.finite;
        ++next;
      }
      for (index r = k.begin; r < k.end; ++r) {
        p[r - k.begin] = t.s + r * stride + used[r] * row;
        o[r - k.begin] = t.o + r * channels() * W;
        used[r] += next - i;
      }
      if (!x.masked || finite)
        simd::slide_accumulate<T, Arch>(k.end - k.begin, p, rows, next - i, x.taps, pitch, depth_,
                                        order, o);
      else
        for (index r = 0; r < k.end - k.begin; ++r)
          for (index j = 0; j < next - i; ++j)
            simd::slide_accumulate_selected<T, Arch>(p[r] + j * row, rows[j], x.taps, pitch, depth_,
                                                     simd::picker<T, Arch>(x.from), o[r]);
      i = next;
    }
  }

  void modify(const sliding_grid& grid, const place& at, const block& x, index r, const seen_row& k,
              T* s) const {
    const index step = grid.step[2];
    index q[W], key[W];
    for (index l = 0; l < W; ++l) {
      q[l] = grid.token(at.z, at.y + r, x.x + std::min(l, x.lanes - 1));
      key[l] = grid.token(k.z, k.y, x.first + x.from.from[std::min(l, x.lanes - 1)]);
    }
    modify_pairs<Arch>(spec_.score, at.s.b, at.h, q, key, step, x.lanes, x.taps, s);
  }
  static void hide(const block& x, T* s) {
    const B low = simd::load<T, Arch>(x.low), high = simd::load<T, Arch>(x.high);
    for (index t = 0; t < x.taps; ++t, s += W) {
      const B tap(static_cast<T>(t));
      simd::store(s, B(simd::select(simd::both(low <= tap, tap < high), simd::load<T, Arch>(s),
                                    B(masked<T>))));
    }
  }

  row_state<B> state(index r, const tiles& t) const {
    return {simd::load<T, Arch>(t.max + r * W), simd::load<T, Arch>(t.sum + r * W)};
  }
  void absorb(index r, index taps, T* s, const tiles& t) const {
    const auto& normalizer = steps_of(spec_.normalizer);
    row_state<B> seen = state(r, t);
    B factor(T(1));
    bool moved;
    if constexpr (splits_scale)
      moved = normalizer.template absorb<Arch>(s, W, taps, seen, factor, scale_.rest);
    else
      moved = normalizer.template absorb<Arch>(s, W, taps, seen, factor);
    simd::store(t.max + r * W, seen.max);
    simd::store(t.sum + r * W, seen.sum);
    if (!moved) return;
    T factors[W];
    simd::store(factors, factor);
    simd::rescale<T, Arch>(1, factors, W, channels(), t.o + r * channels() * W);
  }

  void finish(const sliding_grid& grid, const place& at, const block& x, index r,
              const tiles& t) const {
    const index token = grid.token(at.z, at.y + r, x.x), step = grid.step[2];
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
                   row_state<T>{t.max[r * W + l], t.sum[r * W + l]},
                   splits_scale ? scale_.rest : 1);
  }

  const Spec& spec_;
  const problem& p_;
  panels<T, Arch, Spec> read_;
  split_scale scale_;
  index width_, depth_, groups_, extra_ = 0, deep_, high_, wide_, stay_, segments_, blocks_,
                                 bands_ = 1, band_, row_taps_, rows_at_once_;
};

}  // namespace heed::detail
