// SPDX-License-Identifier: BSL-1.0
// Who packs a key tile that several tasks read: the first that needs it.
//
// A task that finds its tile claimed packs those it needs next, and waits when nothing is left:
// only ever for a worker that is packing, and who packs never waits. So tasks may run in any order,
// on one thread too. A tile whose packing throws is free again: who waited for it packs it, and
// meets what was thrown.
#pragma once

#include <atomic>
#include <heed/core/position.hpp>
#include <thread>

namespace heed::detail {

// An int: where processors have no atomic bytes, RISC-V, g++ wants a library for them.
enum class packing : int { free, claimed, done };
using tile_state = std::atomic<packing>;

inline bool is_packed(const tile_state& state) {
  return state.load(std::memory_order_acquire) == packing::done;
}

// Returns once `tile` is packed. `pack(t)` packs a tile; those up to `end` are needed next.
template <class Pack>
void pack_or_wait(tile_state* states, index tile, index end, const Pack& pack) {
  const auto claim = [&](index t) {
    packing expected = packing::free;
    if (!states[t].compare_exchange_strong(expected, packing::claimed)) return false;
    try {
      pack(t);
    } catch (...) {
      states[t].store(packing::free, std::memory_order_release);
      throw;
    }
    states[t].store(packing::done, std::memory_order_release);
    return true;
  };
  for (index next = tile + 1; !is_packed(states[tile]) && !claim(tile); ++next)
    if (next >= end || !claim(next)) std::this_thread::yield();
}

}  // namespace heed::detail
