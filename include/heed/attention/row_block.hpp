// SPDX-License-Identifier: BSL-1.0
// What a task of driver `split` works on: query rows that share a kv head, their scores against one
// tile of keys, their sums; and the products, which know no policy.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/core/workspace.hpp>
#include <heed/normalizer/row.hpp>
#include <heed/simd/integer_tile.hpp>
#include <heed/simd/pack.hpp>
#include <heed/simd/row_tile.hpp>
#include <heed/simd/rows.hpp>

namespace heed::detail {

// Some keys of a tile that lie together.
struct tile_piece {
  stored_rows k, v;
  index first = 0, count = 0;
};

struct block_shape {
  index rows = 0;                    // at most
  index width = 0, value_depth = 0;  // of keys as the similarity wants them, of values
  index height = 0;                  // keys of a tile at most, whole vectors
  index room = 0;                    // channels that a staged key takes
};

template <class T, class Arch> class row_block {
  static constexpr kv_type own_type = kv_type_of(element_of<T>::value);

 public:
  index count = 0;  // rows
  T *q = nullptr, *o = nullptr, *keys = nullptr, *values = nullptr;
  row_state<T>* state = nullptr;

  static index bytes(const block_shape& x) {
    return aligned_bytes(x.rows * x.width, sizeof(T)) + saved_bytes(x) +
           aligned_bytes(x.rows * x.height, sizeof(T)) +
           aligned_bytes(x.height * x.room, sizeof(T)) +
           aligned_bytes(x.height * x.value_depth, sizeof(T)) +
           aligned_bytes(x.rows * x.width, sizeof(std::int16_t)) +
           aligned_bytes(x.rows, sizeof(float));
  }
  // What one range leaves for the merge.
  static index saved_bytes(const block_shape& x) {
    return aligned_bytes(x.rows, sizeof(row_state<T>)) +
           aligned_bytes(x.rows * x.value_depth, sizeof(T));
  }
  row_block(const block_shape& x, arena& scratch, index rows) : count(rows), shape_(x) {
    q = scratch.take<T>(x.rows * x.width);
    o = scratch.take<T>(x.rows * x.value_depth);
    s_ = scratch.take<T>(x.rows * x.height);
    keys = scratch.take<T>(x.height * x.room);
    values = scratch.take<T>(x.height * x.value_depth);
    state = scratch.take<row_state<T>>(x.rows);
    codes_ = scratch.take<std::int16_t>(x.rows * x.width);
    units_ = scratch.take<float>(x.rows);
  }

  T* scores(index row) const { return s_ + row * shape_.height; }
  T* sums(index row) const { return o + row * shape_.value_depth; }

  // Rows that the kernels read as they lie.
  static bool read_in_place(const stored_rows& rows, index channels) {
    if (rows.plain(own_type)) return true;
    if constexpr (!std::is_same_v<T, float>) return false;
    return rows.plain(kv_type::f16) || rows.plain(kv_type::bf16) ||
           (rows.type == kv_type::i8 && rows.group >= channels && !rows.zeros);
  }
  static stored_rows staged(const T* rows, index width) {
    return {.data = reinterpret_cast<const unsigned char*>(rows),
            .type = own_type,
            .stride = width * index(sizeof(T))};
  }

  void clear() const { std::fill_n(o, count * shape_.value_depth, T(0)); }
  void scale_queries(T scale) const { scale_row(q, count * shape_.width, scale); }
  void scale_sums(index row, T factor) const { scale_row(sums(row), shape_.value_depth, factor); }

  // S of the piece; `ahead` as the kernels take it.
  HEED_NOINLINE void products(const tile_piece& part, std::intptr_t ahead = 0) {
    const index width = shape_.width;
    if constexpr (std::is_same_v<T, float>)
      if (part.k.type == kv_type::i8) {
        if (!coded_) encode();
        return simd::integer_scores<Arch>(part.k, part.count, codes_, width, units_, count, width,
                                          s_ + part.first, shape_.height, ahead);
      }
    simd::row_scores<T, Arch>(part.k, part.count, q, width, count, width, s_ + part.first,
                              shape_.height, ahead);
  }

  // O += P V of the piece; where something is `hidden`, a weight of 0 hides its value.
  HEED_NOINLINE void accumulate(const tile_piece& part, bool hidden,
                                std::intptr_t ahead = 0) const {
    const index depth = shape_.value_depth, height = shape_.height;
    const T* const p = s_ + part.first;
    T* const rows = values + part.first * depth;
    if (hidden && !finite(part, rows))
      return simd::row_accumulate_selected<T, Arch>(staged(rows, depth), part.count, p, height,
                                                    count, depth, o, depth);
    if constexpr (std::is_same_v<T, float>)
      if (part.v.type == kv_type::i8)
        return simd::integer_accumulate<Arch>(part.v, part.count, p, height, count, depth, o, depth,
                                              ahead);
    simd::row_accumulate<T, Arch>(part.v, part.count, p, height, count, depth, o, depth, ahead);
  }

  void save(std::byte* to) const {
    std::copy_n(state, count, states_of(to));
    std::copy_n(o, count * shape_.value_depth, sums_of(to));
  }
  void restore(std::byte* from) const {
    std::copy_n(states_of(from), count, state);
    std::copy_n(sums_of(from), count * shape_.value_depth, o);
  }
  // Joins what another range saved.
  template <class Normalizer> void add(std::byte* saved) const {
    for (index r = 0; r < count; ++r) {
      const auto [mine, its] = join<Normalizer>(state[r], states_of(saved)[r]);
      if (mine != T(1)) scale_sums(r, mine);
      simd::add_scaled<Arch>(its, sums_of(saved) + r * shape_.value_depth, shape_.value_depth,
                             sums(r));
    }
  }

 private:
  HEED_NOINLINE static void scale_row(T* x, index channels, T factor) {
    simd::map_row<Arch>(x, channels, [factor](auto y) { return y * decltype(y)(factor); });
  }
  // Queries as integers, for keys that are.
  HEED_NOINLINE void encode() {
    const int levels = simd::integer_levels(shape_.width);
    for (index r = 0; r < count; ++r)
      units_[r] = simd::quantize_row<Arch>(q + r * shape_.width, shape_.width, levels,
                                           codes_ + r * shape_.width);
    coded_ = true;
  }
  // Whether no value is NaN or infinite; all are in `rows` afterwards.
  bool finite(const tile_piece& part, T* rows) const {
    const index depth = shape_.value_depth;
    for (index j = 0; j < part.count; ++j) load_stored(part.v, j, depth, rows + j * depth);
    return simd::all_finite(rows, depth, part.count, depth);
  }
  row_state<T>* states_of(std::byte* saved) const { return reinterpret_cast<row_state<T>*>(saved); }
  T* sums_of(std::byte* saved) const {
    return reinterpret_cast<T*>(saved + aligned_bytes(shape_.rows, sizeof(row_state<T>)));
  }

  block_shape shape_;
  T* s_ = nullptr;
  std::int16_t* codes_ = nullptr;  // of q, once some keys are int8
  float* units_ = nullptr;
  bool coded_ = false;
};

}  // namespace heed::detail
