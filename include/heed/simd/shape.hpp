// SPDX-License-Identifier: BSL-1.0
// Every tuning number of the library, each with what chose it.
#pragma once

#include <heed/simd/simd.hpp>

namespace heed::simd {

template <class T, class Arch> struct shape {
  static constexpr index lanes = width<T, Arch>;
#if defined(__AVX512F__) || defined(__aarch64__)
  static constexpr int registers = 32;
#else
  static constexpr int registers = 16;
#endif
  // 4 × 3 vectors: 12 accumulators hide the FMA latency and leave room for 3 loads and a broadcast
  // in 16 registers; 8 × 3 and 6 × 4 on 32 registers gained under 2 %.
  static constexpr index vectors = 3;
  static constexpr index rows = 4;
  static constexpr index panel = lanes * vectors;
  // Scores of one panel against one key tile stay in L1: 24 KB.
  static constexpr index key_tile = lanes == 1 ? 64 : 24 * 1024 / (panel * index(sizeof(T)));
  // Backward: keys of a tile, and queries of a block; P and dS of a block stay in L2.
  static constexpr index backward_keys = 128;
  static constexpr index backward_rows = 192;
  // Accumulators of the kernels over stored rows: half of the registers, the rest for what rows
  // share. 4 queries and D 128 take 39 cycles a key on AVX-512 (32 are products), 73 on AVX2 (64).
  static constexpr int row_block = registers / 2;
  // Chunk loop: 4 × 4 vectors on 32 registers, 6 × 2 on 16; 64 channels are whole blocks of both.
  static constexpr int product_rows = registers == 32 ? 4 : 6;
  static constexpr int product_vectors = registers == 32 ? 4 : 2;
  // Tokens of a chunk; and up to 64 key channels, or where every channel decays by itself. A gated
  // delta rule takes 304 ns a token with 16 and 344 with 32 at D 64 on AVX2; from memory on AVX-512
  // 219 and 236, but at D 128 no more with 32.
  static constexpr index chunk = lanes == 16 ? 32 : 16;
  static constexpr index channel_chunk = 16;
  // The same backward: of 16 lanes, 32 take 10 to 18 % less time than 16 at D 128; of 8, 6 % more
  // at D 64 (gla, kda).
  static constexpr index backward_channel_chunk = lanes > 8 ? 32 : 16;
  // Chunks of a segment, at least: up to as many no state is computed twice.
  static constexpr index backward_segment = 64;
  // Keys of a piece of a tile that a mask cuts through.
  static constexpr index backward_cut = 24;
  // Keys scored between two requests for rows of a score table.
  static constexpr index between = 16;
  // Panels that share a key tile while it is in L2.
  static constexpr index panels = 4;
  // Up to this many queries and keys a call is dearer than its products: driver `few`.
  static constexpr index few = 4;
  // Driver `split` takes calls of up to this many queries a head. Its tiles have up to `split_keys`
  // keys, or, where more than four rows come back to them, `split_bytes`. Memory is asked for
  // `split_ahead` bytes on: f32 of 128 channels 33 GB/s of 41 that a loop reads, half 30, int8 26;
  // asking for the next of tiles of 8 KB 28, 29 and 17, and not at all 22, 14 and 12. Then how long
  // the shortest range is that is worth a task, and how many tasks it aims at.
  static constexpr index split_queries = 8;
  static constexpr index split_keys = 256;
  static constexpr index split_bytes = lanes * index(sizeof(T)) == 32 ? 4096 : 8192;
  static constexpr index split_ahead = 8192;
  static constexpr index split_range = 512;
  static constexpr index split_tasks = 64;
  // Driver `sliding`: vectors of taps and of channels that one kernel keeps, three rows of queries
  // each; and how much of the packed rows of a task stays in L2, bytes.
  static constexpr int sliding_taps = registers == 32 ? 7 : 4;
  static constexpr int sliding_channels = registers == 32 ? 8 : 4;
  static constexpr index sliding_bytes = index{640} << 10;
  // Scores of three rows of queries against as many rows of keys.
  static constexpr index sliding_scores = 24 * 1024;
  // A call is cut into this many tasks at least, where its shape allows: two threads stay even.
  static constexpr index tasks = 16;
  // Driver `patches`: patches of a task at most, and tasks that a call is cut into before that.
  static constexpr index patches = 16;
  static constexpr index patch_tasks = 64;
  // Driver `turned`: outputs of a task, bytes. More rows fill more of the panels that a block
  // makes: from 512 KB to 2 MB, MoBA over 32 K keys gains 3 to 13 %, though outputs then come from
  // L3.
  static constexpr index turned_bytes = index{2} << 20;
  // Blocks of up to so many keys, and of twice the rows that share a list, go to driver `picked`. A
  // row and key of 64 channels take 42, 12 and 5 ns of `turned` with blocks of 1, 4 and 16 keys;
  // 18 and 14 of `picked` with a row a list, 3.5 with 8.
  static constexpr index picked_keys = 16;
  // Packed keys and values of the kv heads in flight when several workers share them, bytes.
  static constexpr index in_flight = index{16} << 20;
  // Driver `rows`: what the scores of a block may take before it gets fewer lanes, bytes: half of
  // L2.
  static constexpr index row_bytes = index{1} << 19;
  // Rows this far apart (bytes) hit the same cache sets: such operands are packed.
  static constexpr index packed_stride = 512;
  // Below this many queries a head, packing values costs more than it saves.
  static constexpr index packed_queries = 48;
};

// Keys whose weights share a unit where values are int8 codes: what a unit costs is spread over
// them, and one large weight takes digits from no more.
inline constexpr index integer_keys = 64;

// What a key costs a vector of queries where keys are taken by lists, by the vectors that share it,
// and what a patch and each of its vectors cost before the first key, in the same unit. On AVX-512
// maps of 56² and D 32 with window 7 get 27, 24 and 22 % of peak with 1, 2 and 3 vectors at stride
// 2, volumes of 8 × 16 × 16 with window 5 × 7 × 7 at stride 1 get 35, 37 and 37.
constexpr double listed_cost(index vectors) {
  return vectors == 1 ? 1.08 : vectors == 2 ? 1.03 : 1;
}
inline constexpr double patch_cost = 8, patch_vector_cost = 8;

// Shares of a call that are worked on side by side, and that keep sums of their own: of its shape
// alone, so that no sum depends on the threads.
inline constexpr index most_units = 32;

}  // namespace heed::simd
