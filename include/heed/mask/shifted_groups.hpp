// SPDX-License-Identifier: BSL-1.0
// mask/shifted_groups: groups of `size` tokens, causal inside; some heads have them shifted.
//
//   size 4, no shift     shift 2       shift 2, wraps = false     no shift, global 1
//   x.......             x.....xx      x.......                   x.......
//   xx......             xx....xx      xx......                   xx......
//   xxx.....             ..x.....      ..x.....                   xxx.....
//   xxxx....             ..xx....      ..xx....                   xxxx....
//   ....x...             ..xxx...      ..xxx...                   x...x...
//   ....xx..             ..xxxx..      ..xxxx..                   x...xx..
//   ....xxx.             ......x.      ......x.                   x...xxx.
//   ....xxxx             ......xx      ......xx                   x...xxxx
//
// S²-Attn (LongLoRA): the tokens of such a head are rolled by -shift, attend inside groups in that
// order and are rolled back. Index arithmetic: with t(i) = (i - shift) mod length,
//   ⌊t(q)/size⌋ = ⌊t(k)/size⌋ and t(k) <= t(q).
// The group that holds both ends of the sequence lets its first tokens see its last ones, as the
// authors' code does; `wraps` = false parts them: there, too, k <= q. SF-Attn (SinkLoRA) rolls some
// of the heads of that half only and lets `global` first tokens see and be seen: k <= q and
// (q < global or k < global). `shifts` makes the table of either. Up to three spans a row.
// Throws if size < 1, global < 0, length is not the keys of the call, or a shift is not in
// [0, length].
// LongLoRA, Chen et al. 2023; SinkLoRA, Zhang 2024.
#pragma once

#include <heed/mask/chunk.hpp>
#include <heed/mask/joined.hpp>
#include <span>
#include <vector>

namespace heed {

struct shifted_groups {
  index size = 1;
  index length = 0;              // tokens: the keys of the call
  std::span<const int> shift{};  // of each query head; empty: none is shifted
  index global = 0;
  bool wraps = true;

  // Of `heads` heads the first half stays; of the second half the first `rolled` (0 to 1) is
  // rolled by size / 2. S²-Attn is rolled = 1, SF-Attn 1/2.
  static std::vector<int> shifts(index heads, index size, double rolled = 1) {
    std::vector<int> by(static_cast<std::size_t>(heads));
    const index count = static_cast<index>(rolled * static_cast<double>(heads - heads / 2) + 0.5);
    for (index h = heads / 2; h < std::min(heads, heads / 2 + count); ++h)
      by[static_cast<std::size_t>(h)] = static_cast<int>(size / 2);
    return by;
  }

  static constexpr bool exact = true;
  constexpr bool operator()(const position& at) const {
    if (at.k <= at.q && (at.q < global || at.k < global)) return true;
    if (at.q < 0 || at.q >= length || (!wraps && at.k > at.q)) return false;
    const index q = rolled(at.q, at.h), k = rolled(at.k, at.h);
    return (wraps || (q < length - by(at.h)) == (k < length - by(at.h))) && q / size == k / size &&
           k <= q;
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    detail::joined out(keys, emit);
    out.add({0, at.q < global ? at.q + 1 : std::min(global, at.q + 1)});
    if (0 <= at.q && at.q < length) {
      // Rolled tokens [from, q] are two runs of tokens where they reach over the end of the text.
      const index q = rolled(at.q, at.h), from = q / size * size, end = length - by(at.h);
      if (q >= end) out.add({std::max(from, end) - end, at.q + 1});
      if (q < end) out.add({from + length - end, at.q + 1});
      if (q >= end && wraps && from < end) out.add({from + length - end, length});
    }
    out.flush();
  }
  void check(const problem_shape& shape) const {
    constexpr auto name = "heed::shifted_groups";
    detail::check_chunk_size(name, size);
    if (global < 0) check::fail(name, "global must not be negative: " + std::to_string(global));
    if (length != shape.keys)
      check::fail(name, "length must be the keys of the call: " + std::to_string(length) + ", " +
                            std::to_string(shape.keys));
    if (!shift.empty() && index(shift.size()) != shape.heads)
      check::fail(name, "shift must hold one number a query head: " + std::to_string(shift.size()) +
                            " numbers, " + std::to_string(shape.heads) + " heads");
    for (const int n : shift)
      if (n < 0 || n > length)
        check::fail(name, "shifts must lie in [0, length]: " + std::to_string(n));
  }

 private:
  constexpr index by(index h) const {
    return shift.empty() ? 0 : shift[static_cast<std::size_t>(h)];
  }
  constexpr index rolled(index i, index h) const {
    return i >= by(h) ? i - by(h) : i - by(h) + length;
  }
};

}  // namespace heed
