// SPDX-License-Identifier: BSL-1.0
// Blocks of whole rows, forward and backward: how queries are cut, scores of all keys of a block,
// and what normalisers and mixers of heads make of them.
#pragma once

#include <heed/attention/gradient_sums.hpp>
#include <heed/attention/observer.hpp>
#include <heed/attention/panel.hpp>
#include <heed/attention/row_scores.hpp>
#include <heed/core/workspace.hpp>
#include <heed/normalizer/elementwise.hpp>
#include <heed/score/gradient.hpp>
#include <heed/score/row_queries.hpp>

namespace heed::detail {

template <class T, class Spec> struct whole_block {
  row_scores<T> x;  // x.s: scores, and weights in place unless heads are mixed
  sequence s;
  span keys;                               // that some row of the block may see
  query_panel<T, Spec>* panels = nullptr;  // [head][panel]
  index each = 1;                          // panels of a head
  T *q = nullptr, *max = nullptr, *sum = nullptr;
  T *tables = nullptr, *scratch = nullptr, *row_scratch = nullptr, *d_queries = nullptr;
  index* intervals = nullptr;
};

template <class T, class Arch, class Spec> class row_weights {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  using normalizer = decltype(Spec::normalizer);

 public:
  using block = whole_block<T, Spec>;
  using panel = query_panel<T, Spec>;
  static constexpr index W = tuned::lanes, widest = tuned::panel;
  using score_type = decltype(Spec::score);
  using elements = element_modifiers<score_type>;
  static constexpr bool masks = has_mask<Spec>, scores = !std::is_same_v<elements, none>;
  static constexpr bool modifies = modifies_rows<score_type>;
  static constexpr bool mixes = mixes_heads<decltype(Spec::weights)>;
  static constexpr bool alone = takes_rows<normalizer>;  // weights need no running state
  // Whether `solve_backward` looks at the scores that `solve` was given.
  static constexpr bool shows = requires(const normalizer& n, const row_scores<T>& x, T* d) {
    n.template solve_backward<Arch>(x, d, d, d);
  };
  static_assert(alone || has_lse<normalizer>,
                "whole rows need a softmax or a normaliser of their own");
  static_assert(mixes || std::is_same_v<decltype(Spec::weights), none>,
                "no other edit of the weights goes with a normaliser of whole rows");
  static_assert(std::is_same_v<decltype(Spec::extra), none>,
                "extra slots are not part of whole rows");

  const Spec& spec;
  const problem& p;
  sequences<decltype(Spec::plan)> items;
  panels<T, Arch, Spec> read;

  // `after`: rows of which the own ones are part, besides those before them.
  row_weights(const Spec& spec_, const problem& p_, bool both_ways = false)
      : spec(spec_), p(p_), items{p_, spec_.plan}, read{spec_, p_} {
    if (modifies && p.scale == 0)
      check::fail("heed::attend", "a score modifier that meets the queries needs a scale");
    if constexpr (mixes) {
      heads_ = p.shape.heads;
      before_ = spec.weights.rows_before();
      after_ = both_ways ? before_ : 0;
    }
    const index rows = std::max<index>(1, items.longest_queries()), halo = before_ + after_;
    const auto whole = [](index n) { return (n + W - 1) / W * W; };
    const auto cut = [&](index lanes) {
      lanes_ = lanes, own_ = lanes >= rows ? rows : lanes - halo;
    };
    cut(takes_all_queries<normalizer> ? whole(rows)
                                      : std::min(whole(rows), std::max(widest, whole(halo + 1))));
    const auto fits = [&] {
      return squares * square() * index(sizeof(T)) <= tuned::row_bytes &&
             items.count() * blocks() * units() >= tuned::tasks;
    };
    while (!takes_all_queries<normalizer> && lanes_ - W > halo && !fits()) cut(lanes_ - W);
  }

  index heads() const { return heads_; }
  index units() const { return p.shape.heads / std::max<index>(heads_, 1); }  // blocks of a row
  index blocks() const { return (items.longest_queries() + own_ - 1) / own_; }
  index lanes() const { return lanes_; }
  index keys() const { return std::max<index>(1, items.longest_keys()); }
  index square() const { return heads_ * keys() * lanes_; }
  index staging() const { return W * std::max(read.width, p.shape.depth); }

  template <class Memory> void take(Memory& from, block& b, index more_squares = 0) const {
    b.each = (lanes_ + widest - 1) / widest;
    const index count = heads_ * b.each;
    b.panels = from.template take<panel>(count);
    b.q = from.template take<T>(count * widest * read.width);
    b.max = from.template take<T>(heads_ * lanes_);
    b.sum = from.template take<T>(heads_ * lanes_);
    if constexpr (masks)
      b.intervals = from.template take<index>(count * lane_intervals::scratch(widest));
    b.x.s = from.template take<T>((squares + more_squares) * square());
    b.tables = from.template take<T>(
        2 * scratch_of(element_part<score_type>(spec.score), widest, tuned::key_tile) +
        links<elements>() * widest * tuned::key_tile);
    if constexpr (modifies) {
      b.row_scratch =
          from.template take<T>(row_part<score_type>(spec.score).scratch(index{widest}, keys()));
      b.d_queries = from.template take<T>(widest * read.width);
    }
    index scratch = 0;
    if constexpr (alone) scratch = spec.normalizer.scratch(keys(), lanes_);
    if constexpr (mixes) scratch = std::max(scratch, spec.weights.scratch(keys(), lanes_));
    b.scratch = from.template take<T>(scratch);
  }
  T* square_of(const block& b, index i) const { return b.x.s + i * square(); }
  // After `weigh`: the weights that an observer sees, before heads are mixed.
  T* plain_weights(const block& b) const { return square_of(b, mixes ? 1 : 0); }
  // f(tile, its first lane, where it begins in a square) for these rows, some keys at a time.
  template <class F> void each_tile(const block& b, span rows, const F& f) const {
    for (index i = 0; i < b.x.heads * b.each; ++i)
      for (index key = b.keys.begin; key < b.keys.end; key += tuned::key_tile) {
        const span keys{key, std::min(key + tuned::key_tile, b.keys.end)};
        const index lane = i % b.each * widest, first = std::max(rows.begin, lane);
        tile at = read.corner(b.panels[i], b.s, keys, b.x.pitch);
        at.rows = std::min(rows.end, lane + at.rows) - first;
        at.q += first - lane, at.row += first - lane;
        if (at.rows > 0)
          f(at, i / b.each * lanes_ + first,
            i / b.each * b.x.head_pitch + (key - b.keys.begin) * b.x.pitch + first);
      }
  }

  // Own rows number `at` of the heads from h on: their queries, and which keys they may see.
  void open(block& b, const sequence& s, index h, index at, T* staged) const {
    const index start = at * own_, before = std::min(before_, start);
    row_scores<T>& x = b.x;
    b.s = s;
    x.heads = heads_, x.first = before, x.own = std::clamp<index>(s.rows - start, 0, own_);
    x.rows = std::clamp<index>(s.rows - start + before, 0, before + x.own + after_);
    x.pitch = (x.rows + W - 1) / W * W;
    x.b = s.b, x.h = h, x.row = s.row + start - before, x.q = start - before + s.offset;
    b.keys = masks ? span{s.keys, 0} : span{0, s.keys};
    b.each = (x.pitch + widest - 1) / widest;
    for (index i = 0; i < heads_ * b.each; ++i) {
      const index lane = i % b.each * widest;
      panel& y = *new (b.panels + i) panel{};
      y.h = h + i / b.each, y.row = start - before + lane;
      y.rows = std::min(widest, x.rows - lane);
      y.vectors = (y.rows + W - 1) / W, y.pitch = y.vectors * W;
      y.q = b.q + i * widest * read.width;
      read.to_lanes(y, s, static_cast<T>(p.scale), staged);
      if constexpr (masks) {
        read.collect(y, s, b.intervals + i * lane_intervals::scratch(widest));
        const span seen = y.keys.clip(0, s.keys);
        b.keys = {std::min(b.keys.begin, seen.begin), std::max(b.keys.end, seen.end)};
      }
    }
    if (b.keys.empty()) b.keys = {};
    x.keys = b.keys.size(), x.k = b.keys.empty() ? 0 : s.key(b.keys.begin);
    x.head_pitch = x.keys * x.pitch;
  }

  // Scores of head i of the block by `keys`, rows at `k`; at `raw` a copy of what they were before
  // their modifiers, if that is not null. True if the mask hid anything.
  bool score(const block& b, index i, span keys, const T* k, index stride, T* raw = nullptr) const {
    const index pitch = b.x.pitch, from = i * b.x.head_pitch + (keys.begin - b.keys.begin) * pitch;
    bool hidden = false;
    for (index n = 0; n < b.each; ++n) {
      const panel& y = b.panels[i * b.each + n];
      T* const s = b.x.s + from + n * widest;
      const tile at = read.corner(y, b.s, keys, pitch);
      cover inside = cover::all;
      if constexpr (masks)
        inside =
            y.keys.clip(keys.begin, keys.end).empty() ? cover::none : read.covers(y, b.s, keys);
      if (inside == cover::none) {
        for (index j = 0; j < keys.size(); ++j) std::fill_n(s + j * pitch, y.pitch, masked<T>);
        hidden = true;
        continue;
      }
      read.products(y, k, stride, keys.size(), s, pitch);
      if (raw)
        for (index j = 0; j < keys.size(); ++j)
          std::copy_n(s + j * pitch, y.pitch, raw + from + n * widest + j * pitch);
      T* tables = b.tables;
      if constexpr (scores) modify_panel<Arch>(element_part<score_type>(spec.score), at, s, tables);
      if constexpr (masks) hidden |= read.hide(y, at, keys, inside, s);
      for (index j = 0; j < keys.size(); ++j)
        std::fill(s + j * pitch + y.rows, s + j * pitch + y.pitch, masked<T>);
    }
    return hidden;
  }

  // What the values are to be weighed with. Scores become weights in place, but where heads are
  // mixed: there weights come to square 1 and mixed ones to square 2.
  static constexpr index squares = mixes ? 3 : 1;
  // What the normaliser is given is copied to `shown`, what the modifier of whole rows is given to
  // `unmodified`, if they are not null.
  T* weigh(const block& b, T* shown = nullptr, [[maybe_unused]] T* unmodified = nullptr) const {
    const row_scores<T>& x = b.x;
    if constexpr (modifies) {
      if (unmodified) std::copy_n(x.s, x.heads * x.head_pitch, unmodified);
      each_panel(b, x, [&](index, const row_scores<T>& y, const row_queries<T>& q) {
        row_part<score_type>(spec.score).template modify_rows<Arch>(y, q, b.row_scratch);
      });
    }
    if constexpr (!mixes) {
      if (shown) std::copy_n(x.s, x.heads * x.head_pitch, shown);
      solve(b, x);
      return x.s;
    } else {
      const row_scores<T> y = x.of(square_of(b, 1));
      spec.weights.template before<Arch>(x, y.s, b.scratch);
      hide_again(x, y.s, masked<T>);
      if (shown) std::copy_n(y.s, x.heads * x.head_pitch, shown);
      solve(b, y);
      T* const w = square_of(b, 2);
      spec.weights.template after<Arch>(y, w, b.scratch);
      hide_again(x, w, T(0)), keep_own(x, w);
      return w;
    }
  }

  // d by the weights of `weigh`, at square `d`, to that by the scores, at the square returned;
  // `spare` is another. Rows that are not the block's own end at 0.
  T* weigh_backward(const block& b, T* shown, T* d, [[maybe_unused]] T* spare,
                    const observed_gradient* observed,
                    [[maybe_unused]] const spec_gradients<Spec>& g,
                    [[maybe_unused]] const gradient_sums<Spec>& sums, index unit,
                    const T* d_lse) const {
    const row_scores<T>& x = b.x;
    // Of rows of other blocks as well: their scores may hang on these.
    const auto add_observed = [&](T* dp) {
      each_tile(b, {0, x.rows}, [&](const tile& at, index, index place) {
        observed->add(at, plain_weights(b) + place, dp + place);
      });
    };
    if constexpr (!mixes) {
      if (observed) add_observed(d);
      solve_backward(b, x, shown, d, sums, unit, d_lse);
      return d;
    } else {
      const row_scores<T> y = x.of(square_of(b, 1));
      double* const sum = sums.of(unit) + sums.weights;
      hide_again(x, d, T(0));
      spec.weights.template after_backward<Arch>(y, d, spare, b.scratch, g.weights, sum);
      if (observed) add_observed(spare);
      solve_backward(b, y, shown, spare, sums, unit, d_lse);
      hide_again(x, spare, T(0));
      spec.weights.template before_backward<Arch>(x, spare, d, b.scratch, g.weights, sum);
      hide_again(x, d, T(0)), keep_own(x, d);
      return d;
    }
  }

  // dS of head i, in place, and what reaches its queries besides, added to dQ [channel][lane].
  void modify_backward(const block& b, index i, T* unmodified, T* ds, T* dq,
                       const spec_gradients<Spec>& g, double* sum) const {
    sum += sums_of(element_part<score_type>(spec.score), element_part<score_type>(g.score));
    each_panel(b, b.x.of(unmodified).only(i),
               [&](index lane, const row_scores<T>& y, const row_queries<T>& q) {
                 std::fill_n(b.d_queries, q.pitch * read.width, T(0));
                 row_part<score_type>(spec.score)
                     .template modify_rows_backward<Arch>(
                         y, q, ds + i * b.x.head_pitch + lane, b.d_queries,
                         row_part<score_type>(g.score), sum, b.row_scratch);
                 for (index c = 0; c < read.width; ++c)
                   for (index r = 0; r < q.pitch; ++r)
                     dq[c * b.x.pitch + lane + r] += b.d_queries[c * q.pitch + r];
               });
  }

  // Of head i, lane by lane, as `finish` and `lse` take it.
  row_state<T> state(const block& b, index i, index lane) const {
    return {b.max[i * lanes_ + lane], b.sum[i * lanes_ + lane]};
  }

 private:
  // f(first lane, panel, its queries) for the heads of x, which are some of the block.
  template <class F> void each_panel(const block& b, const row_scores<T>& x, const F& f) const {
    for (index i = 0; i < x.heads; ++i)
      for (index n = 0; n < b.each; ++n) {
        const panel& of = b.panels[(x.h - b.x.h + i) * b.each + n];
        row_scores<T> y = x.only(i);
        y.s += n * widest, y.rows = of.rows, y.q += n * widest, y.row += n * widest;
        f(n * widest, y, row_queries<T>{of.q, of.pitch, static_cast<T>(1 / p.scale)});
      }
  }
  void solve(const block& b, const row_scores<T>& x) const {
    for (index i = 0; i < x.heads; ++i) {
      if constexpr (alone) {
        spec.normalizer.template solve<Arch>(x.only(i), b.scratch);
      } else {
        T* const s = x.head(i);
        const auto& steps = steps_of(spec.normalizer);
        const row_state<T> start = steps.template start<T>(row_position{x.b, x.h + i, x.q, x.row});
        for (index v = 0; v < x.pitch; v += W) {
          row_state<B> seen{B(start.max), B(start.sum)};
          B factor(T(1));
          steps.template absorb<Arch>(s + v, x.pitch, x.keys, seen, factor);
          const B finish = steps.finish(seen);
          for (index j = 0; j < x.keys; ++j)
            simd::store(s + j * x.pitch + v, B(simd::load<T, Arch>(s + j * x.pitch + v) * finish));
          simd::store(b.max + i * lanes_ + v, seen.max);
          simd::store(b.sum + i * lanes_ + v, seen.sum);
        }
      }
    }
  }

  void solve_backward(const block& b, const row_scores<T>& w, [[maybe_unused]] T* shown, T* d,
                      [[maybe_unused]] const gradient_sums<Spec>& sums, [[maybe_unused]] index unit,
                      [[maybe_unused]] const T* d_lse) const {
    for (index i = 0; i < w.heads; ++i) {
      if constexpr (shows) {
        spec.normalizer.template solve_backward<Arch>(w.only(i), shown + i * w.head_pitch,
                                                      d + i * w.head_pitch, b.scratch);
      } else if constexpr (alone) {
        spec.normalizer.template solve_backward<Arch>(w.only(i), d + i * w.head_pitch, b.scratch);
      } else {
        const T* const weights = w.head(i);
        T* const slopes = d + i * w.head_pitch;
        const auto& steps = steps_of(spec.normalizer);
        const B zero(T(0));
        for (index v = 0; v < w.pitch; v += W) {
          const row_state<B> state{simd::load<T, Arch>(b.max + i * lanes_ + v),
                                   simd::load<T, Arch>(b.sum + i * lanes_ + v)};
          B delta = zero;
          for (index j = 0; j < w.keys; ++j) {
            const B weight = simd::load<T, Arch>(weights + j * w.pitch + v),
                    by = simd::load<T, Arch>(slopes + j * w.pitch + v);
            delta = simd::select(weight == zero, delta, B(simd::fma(weight, by, delta)));
          }
          if (d_lse) delta = delta - simd::load<T, Arch>(d_lse + i * lanes_ + v);
          if constexpr (learns<normalizer>) {
            T each[W];
            simd::store(each, delta);
            for (index lane = std::max(v, w.first); lane < std::min(v + W, w.first + w.own); ++lane)
              sums.add_row({w.b, w.h + i, w.q + lane, w.row + lane},
                           double(spec.normalizer.lse(row_state<T>(this->state(b, i, lane)))),
                           double(each[lane - v]), unit);
          }
          for (index j = 0; j < w.keys; ++j) {
            const B weight = simd::load<T, Arch>(weights + j * w.pitch + v);
            T* const at = slopes + j * w.pitch + v;
            simd::store(
                at,
                simd::select(weight == zero, zero,
                             B(steps.dscore(zero, weight, simd::load<T, Arch>(at), delta, state))));
          }
        }
      }
    }
  }

  // What is masked in x, in `to`.
  static void hide_again(const row_scores<T>& x, T* to, T what) {
    const B lowest(masked<T> / 2), hidden(what);
    for (index i = 0; i < x.heads * x.head_pitch; i += W)
      simd::store(to + i, B(simd::select(simd::load<T, Arch>(x.s + i) <= lowest, hidden,
                                         simd::load<T, Arch>(to + i))));
  }
  // Zero for rows that are not the block's own.
  static void keep_own(const row_scores<T>& x, T* to) {
    for (index i = 0; i < x.heads * x.keys; ++i) {
      std::fill_n(to + i * x.pitch, x.first, T(0));
      std::fill(to + i * x.pitch + x.first + x.own, to + (i + 1) * x.pitch, T(0));
    }
  }

  index heads_ = 1, before_ = 0, after_ = 0, lanes_ = W, own_ = 1;
};

}  // namespace heed::detail
