// SPDX-License-Identifier: BSL-1.0
// Every finished weight of a call once more, a panel at a time: what column sums are made of.
//
//   rows   Q of the query heads in flight, packed
//   task   a range of key tiles of one kv head
//     for each key tile, query head of the group and panel that sees it
//       f(range, tile, weights)        [key][tile.pitch], lanes without a query 0
//
// A key belongs to one task and its panels come in order; what is summed along keys needs one sum
// a range. Cuts follow from the shape alone. 2 · rows · keys · D flops and an exponential a pair.
#pragma once

#include <heed/attention/attend.hpp>
#include <heed/attention/in_flight.hpp>
#include <heed/attention/replay.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class weight_panels {
  using from = replay<T, Arch, Spec>;
  static constexpr index W = from::W, widest = from::widest;

 public:
  weight_panels(const Spec& spec, const problem& p, row_states<T>& states)
      : spec_(spec), replay_(spec, p, states, 8), plan_(replay_.plan) {
    pieces counter(nullptr);
    replay_.located(counter);
    head_bytes_ = counter.used();
  }
  index ranges() const { return plan_.ranges; }

  template <class F> void run(executor_ref executor, workspace& scratch, F f) const {
    const index heads = replay_.heads(), group = replay_.p.shape.group(), ranges = plan_.ranges;
    const index workers = executor.workers(), size = head_bytes_ * group;
    const index wave = heads_in_reverse<T, Arch>(size, heads, workers);
    scratch.shared().reserve(static_cast<std::size_t>(wave * size));
    scratch.crew(workers, static_cast<std::size_t>(task_bytes()));
    std::byte* const base = scratch.shared().data();
    for (index first = 0; first < heads; first += wave) {
      const index count = std::min(wave, heads - first);
      const auto at = [&](index i) {
        pieces memory(base + i * head_bytes_);
        return replay_.located(memory);
      };
      executor.for_each(plan_.chunks * count * group, [&](index task, index worker) {
        const index i = task / plan_.chunks, kv = first + i / group;
        prepare(replay_.item(kv), replay_.kv_head(kv) * group + i % group, at(i),
                task % plan_.chunks, scratch.worker(worker));
      });
      executor.for_each(count * ranges, [&](index task, index worker) {
        const index i = task / ranges, kv = first + i;
        visit(
            replay_.item(kv), replay_.kv_head(kv), task % ranges,
            [&](index g) { return at(i * group + g); }, scratch.worker(worker), f);
      });
    }
  }

 private:
  index task_bytes() const {
    const index staged = W * replay_.q.width();
    const index visited = aligned_bytes(plan_.height * replay_.q.width(), sizeof(T)) +
                          aligned_bytes(plan_.height * widest, sizeof(T)) +
                          aligned_bytes(scratch_of(spec_.score, widest, plan_.height), sizeof(T));
    return std::max(aligned_bytes(staged, sizeof(T)), visited);
  }
  void prepare(const sequence& s, index h, const typename from::head& d, index chunk,
               arena& scratch) const {
    scratch.reserve(0);
    T* const rows = scratch.take<T>(W * replay_.q.width());
    const index last = std::min((chunk + 1) * plan_.panels_per_chunk, plan_.panels);
    for (index i = chunk * plan_.panels_per_chunk; i < last; ++i) {
      const auto& x = replay_.open(d, s, h, i);
      for (index lane = 0; lane < x.pitch; lane += W) replay_.load(d, x, s, lane, rows);
    }
  }
  template <class At, class F>
  void visit(const sequence& s, index h, index range, At at, arena& scratch, F& f) const {
    scratch.reserve(0);
    T* const k = scratch.take<T>(plan_.height * replay_.q.width());
    T* const weights = scratch.take<T>(plan_.height * widest);
    T* const tables = scratch.take<T>(scratch_of(spec_.score, widest, plan_.height));
    for (index i = 0; i < plan_.tiles_per_range; ++i) {
      const span keys = plan_.tile(range, i, s.keys);
      if (keys.empty()) break;
      replay_.load_keys(s, h, keys, k);
      for (index g = 0; g < replay_.p.shape.group(); ++g) {
        const auto d = at(g);
        for (index panel = 0; panel < plan_.panels; ++panel) {
          const auto& x = d.panels[panel];
          if (replay_.blind(x, keys)) continue;
          replay_.weights(s, d, x, keys, k, x.pitch, {}, weights, tables);
          f(range, replay_.read.corner(x, s, keys, x.pitch), weights);
        }
      }
    }
  }

  const Spec& spec_;
  from replay_;
  const replay_plan<T, Arch>& plan_;
  index head_bytes_ = 0;
};

// A spec without what belongs to values alone.
template <class S> auto scores_of(const S& s) {
  return exchanged(s, s.mask, none{}, none{}, none{});
}

// The finished weights of `attend(spec, q, k, ...)` from q, k and lse [B,H,Lq]; without lse, or
// where the normaliser has none, its sums are computed first, at the cost of the scores.
// `begin(problem, ranges)` is called when everything is checked, f as above, `end(sequence)` for
// each when all is done.
template <class Arch, class Spec, class Q, class K, class Begin, class F, class End>
void each_weight_panel(const Spec& given, view<Q> q, view<K> k, const operand& lse, Begin begin,
                       F f, End end, executor_ref executor, workspace* scratch) {
  using T = compute_type<Q, K>;
  constexpr bool from_lse = replays_from_lse<decltype(Spec::normalizer)>;
  const auto spec = scores_of(given);
  const operand qs = view<const Q>(q), ks = view<const K>(k);
  // Values of no channels; extra slots may insist on having some.
  operand vs = ks;
  vs.extent[3] = 0, vs.stride = {0, 0, 0, 0};
  if constexpr (requires { spec.extra.v.extent; }) vs.extent[3] = spec.extra.v.extent[3];
  std::vector<T> memory;
  outputs to;
  to.out.type = element_of<T>::value;
  to.out.extent = {qs.extent[0], qs.extent[1], qs.extent[2], vs.extent[3]};
  to.out.stride = row_major(to.out.extent);
  if constexpr (!from_lse)
    if (lse.present())
      check::fail("heed", "this normaliser does not replay from its log-sum-exp", {{"lse", lse}});
  if (lse.present() && lse.extent != extents{qs.extent[0], qs.extent[1], qs.extent[2], 1})
    check::fail("heed", "lse must be [B,H,Lq]", {{"lse", lse}, {"q", qs}});
  memory.resize(static_cast<std::size_t>(
      lse.present() ? 1 : std::max<index>(1, to.out.extent[0] * to.out.stride[0])));
  to.out.data = memory.data();
  const problem p = checked(spec, qs, ks, vs, to);
  problem_shape tensors = p.shape;
  tensors.batch = q.extent[0];
  row_states<T> states(tensors);
  workspace own;
  workspace& arenas = scratch ? *scratch : own;
  const weight_panels<T, Arch, decltype(spec)> panels(spec, p, states);
  begin(p, panels.ranges());
  if (lse.present()) {
    states.read(lse);
  } else {
    to.observe = &states;
    stream<T, Arch, decltype(spec)>(spec, p).run(executor, arenas);
    if constexpr (from_lse) states.to_lse(spec.normalizer);
  }
  panels.run(executor, arenas, f);
  const sequences<decltype(spec.plan)> items{p, spec.plan};
  for (index i = 0; i < items.count(); ++i) end(items[i]);
}

}  // namespace heed::detail
