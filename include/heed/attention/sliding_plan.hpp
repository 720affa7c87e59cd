// SPDX-License-Identifier: BSL-1.0
// How driver `sliding` cuts a call: tasks, and the order of rows within one. From the shape alone,
// so that no sum depends on the threads.
#pragma once

#include <heed/attention/sliding_rows.hpp>
#include <heed/core/executor.hpp>
#include <heed/simd/sliding_tile.hpp>

namespace heed::detail {

// Up to three rows of places, one below the other.
struct place_rows {
  index z = 0, y = 0, rows = 0;
};

// A band of rows and a segment of x of one dilation group of a kv head.
struct sliding_part {
  sliding_grid grid;
  index b, kv;
  span x, y;
  span met_x;  // places of a row that the segment meets
};

template <class T, class Arch> struct sliding_plan {
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, R = simd::sliding_rows;

  meeting who;
  index batch, kv_heads, groups;
  index deep, high, wide;  // rows that are kept, along z and y, and places in each
  index stay;              // rows of places that are done for every z before the next
  index segments, blocks;  // blocks of W places a segment
  index bands = 1, band;   // rows of places a band
  index taps, rows;        // at most, of a row that is met; such rows a tile of scores

  // `channels` of a row that is met, and `copies` of it: query heads that share a key.
  template <int N>
  sliding_plan(const neighborhood<N>& of, meeting m, const problem_shape& shape, index channels,
               index copies)
      : who(m), batch(shape.batch), kv_heads(shape.kv_heads), groups(sliding_grid::groups(of)) {
    // The first group of a dilation has the longest axes, the last one the shortest.
    const sliding_grid grid(of, 0, m), shortest(of, groups - 1, m);
    stay = grid.axis[0].window > 1 ? 2 * R : R;
    deep = std::max(reach(grid, 0, 1), reach(shortest, 0, 1));
    high = std::max(reach(grid, 1, stay), reach(shortest, 1, stay));
    taps = std::max(most_taps(grid), most_taps(shortest));
    const index beyond = taps + W + (m == meeting::keys ? 0 : grid.axis[2].window);
    const index in_row = (grid.length[2] + W - 1) / W;
    index many = in_row;
    while (many > 1 && sliding_ring<T, Arch>::bytes(deep * high * copies, many * W + beyond,
                                                    channels) > tuned::sliding_bytes)
      --many;
    segments = (in_row + many - 1) / many;
    blocks = (in_row + segments - 1) / segments;
    wide = blocks * W + beyond;
    // Few tasks are cut along y, as long as what two bands both pack stays small.
    const index steps = (grid.length[1] + stay - 1) / stay;
    const index whole = batch * kv_heads * groups * segments;
    while (whole * bands < tuned::tasks && steps / (2 * bands) * stay >= 2 * high) bands *= 2;
    band = (steps + bands - 1) / bands * stay;
    rows = std::clamp<index>(tuned::sliding_scores / (R * W * taps * index(sizeof(T))), 1,
                             most_rows());
  }

  index most_rows() const { return deep * (high + R); }
  index tasks() const { return batch * kv_heads * groups * segments * bands; }
  // Heads one after another: where they lie side by side in memory, they share its lines.
  template <int N> sliding_part part(const neighborhood<N>& of, index task) const {
    const index kv = task % kv_heads, segment = task / kv_heads % segments;
    task /= kv_heads * segments;
    const index first = task % bands * band, x = segment * blocks * W;
    task /= bands;
    sliding_part p{sliding_grid(of, task % groups, who), task / groups, kv, {}, {}, {}};
    p.x = {x, std::min(x + blocks * W, p.grid.length[2])};
    p.y = {first, std::min(first + band, p.grid.length[1])};
    if (!p.x.empty() && !p.y.empty()) p.met_x = p.grid.met(2, p.x.begin, p.x.end);
    return p;
  }
  // visit(part, take(scratch)) for every part; `take` is called for its size first.
  template <int N, class Take, class Visit>
  void each_part(const neighborhood<N>& of, const executor_ref& executor, workspace& scratch,
                 const Take& take, const Visit& visit) const {
    arena_size size;
    take(size);
    scratch.crew(executor.workers(), size.bytes());
    executor.for_each(tasks(), [&](index task, index worker) {
      arena& memory = scratch.worker(worker);
      memory.reserve(0);
      visit(part(of, task), take(memory));
    });
  }
  index fill(const sliding_part& p, lane_block<T, Arch>* to) const {
    index count = 0;
    for (index x = p.x.begin; x < p.x.end; x += W)
      new (to + count++) lane_block<T, Arch>(p.grid, x, std::min(W, p.x.end - x));
    return count;
  }

  place_rows first(const sliding_part& p) const { return at(p, 0, p.y.begin); }
  // The rows after `of`; none at the end.
  place_rows next(const sliding_part& p, const place_rows& of) const {
    const index begin = of.y - (of.y - p.y.begin) % stay, end = std::min(begin + stay, p.y.end);
    if (of.y + of.rows < end) return at(p, of.z, of.y + of.rows);
    if (of.z + 1 < p.grid.length[0]) return at(p, of.z + 1, begin);
    return at(p, 0, end);
  }

 private:
  // Rows that `count` neighbours along an axis meet. Keys near both ends are seen by more queries
  // than others.
  static index reach(const sliding_grid& grid, int a, index count) {
    index most = 0;
    for (index i = 0; i < grid.length[a]; i += count)
      most = std::max(most, grid.met(a, i, std::min(i + count, grid.length[a])).size());
    return grid.who == meeting::keys ? std::min(most + count, grid.length[a]) : most;
  }
  static index most_taps(const sliding_grid& grid) {
    index most = 0;
    for (index x = 0; x < grid.length[2]; x += W)
      most = std::max(most, lane_block<T, Arch>(grid, x, std::min(W, grid.length[2] - x)).taps);
    return most;
  }
  place_rows at(const sliding_part& p, index z, index y) const {
    const index end = std::min(y - (y - p.y.begin) % stay + stay, p.y.end);
    return {z, y, std::clamp<index>(end - y, 0, R)};
  }
};

// A row that is met, and the rows of places [begin, end) that meet it.
template <class T> struct met_row {
  sliding_row<T> at;
  index z, y, begin, end;
};

// All rows that some of the rows of places meet; `row(z, y)` gives a packed one.
template <class T, class Row>
index find_rows(const sliding_grid& grid, const place_rows& of, met_row<T>* to, const Row& row) {
  const span deep = grid.met(0, of.z), high = grid.met(1, of.y, of.y + of.rows);
  index count = 0;
  for (index z = deep.begin; z < deep.end; ++z)
    for (index y = high.begin; y < high.end; ++y) {
      index begin = 0, end = of.rows;
      while (grid.met(1, of.y + begin).end <= y) ++begin;
      while (grid.met(1, of.y + end - 1).begin > y) --end;
      to[count++] = {row(z, y), z, y, begin, end};
    }
  return count;
}

// f(first, last) for each run of rows that the same rows of places meet, 32 at most.
template <class T, class F> void each_run(const met_row<T>* rows, index count, const F& f) {
  for (index i = 0, next = 0; i < count; i = next) {
    while (next < count && next - i < 32 && rows[next].begin == rows[i].begin &&
           rows[next].end == rows[i].end)
      ++next;
    f(i, next);
  }
}

}  // namespace heed::detail
