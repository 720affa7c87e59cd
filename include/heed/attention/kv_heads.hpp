// SPDX-License-Identifier: BSL-1.0
// Keys and values of a kv head as the micro-kernels read them: in place where that is as fast, else
// packed, converted and transformed once a head and never once a query block.
#pragma once

#include <heed/attention/kv_rows.hpp>
#include <heed/attention/tile_states.hpp>
#include <heed/core/workspace.hpp>
#include <heed/mask/concept.hpp>
#include <heed/simd/pack.hpp>
#include <heed/similarity/dot.hpp>
#include <new>

namespace heed::detail {

template <class T> struct kv_head {
  const T* k = nullptr;
  const T* v = nullptr;
  index k_stride = 0;
  index v_stride = 0, v_block = 4, v_tile = 0, channels = 0;
  const T* extra_k = nullptr;
  const T* extra_v = nullptr;
  const unsigned char* finite = nullptr;  // by tile: no NaN or infinity among its values
  tile_state* states = nullptr;           // by tile; null where nothing is packed
};

template <class T, class Arch, class Spec> class kv_heads {
  using tuned = simd::shape<T, Arch>;
  static constexpr index key_tile = tuned::key_tile;
  static constexpr bool masks = !std::is_same_v<decltype(Spec::mask), full>;
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;

 public:
  kv_heads(const Spec& spec, const problem& p, const sequences<decltype(Spec::plan)>& items)
      : spec_(spec),
        p_(p),
        items_(items),
        width_(packed_width(spec.similarity, p.shape.depth)),
        channels_((p.shape.value_depth + 3) / 4 * 4),
        keys_(items.longest_keys()),
        tiles_((keys_ + key_tile - 1) / key_tile) {
    const bool many = p.shape.group() * items.longest_queries() >= tuned::packed_queries;
    const index stride = p.k.stride[2];
    const bool scattered =
        stride != p.shape.depth && stride * index(sizeof(T)) >= tuned::packed_stride;
    pack_keys_ = p.source || !simd::stored_as<T>(p.k) || rewrites_keys<Spec> || (many && scattered);
    pack_values_ = stages_values() || many;
    if constexpr (has_extra) extra_ = spec.extra.slots();
    key_bytes_ = pack_keys_ ? aligned_bytes(keys_ * width_, sizeof(T)) : 0;
    value_bytes_ = pack_values_ ? aligned_bytes(tiles_ * key_tile * channels_, sizeof(T)) : 0;
    extra_bytes_ = aligned_bytes(extra_ * (width_ + channels_), sizeof(T));
  }

  index width() const { return width_; }
  index channels() const { return channels_; }
  index extra() const { return extra_; }
  // The first tile brings the extra slots, so there always is one.
  index tiles() const { return std::max<index>(tiles_, 1); }
  // Memory of a packed head.
  index bytes() const {
    return states_at() == 0 ? 0 : states_at() + aligned_bytes(tiles(), sizeof(tile_state));
  }
  index staged_values() const { return stages_values() ? key_tile * p_.shape.value_depth : 0; }

  kv_head<T> located(const sequence& s, index h, std::byte* packed) const {
    kv_head<T> kv;
    kv.k = pack_keys_ ? reinterpret_cast<const T*>(packed)
                      : static_cast<const T*>(p_.k.row(s.batch, h, s.slot));
    kv.k_stride = pack_keys_ ? width_ : p_.k.stride[2];
    packed += key_bytes_;
    if (pack_values_) {
      kv.v = reinterpret_cast<const T*>(packed);
      kv.v_stride = 4, kv.v_block = 4 * key_tile, kv.v_tile = key_tile * channels_;
      kv.channels = channels_;
    } else {
      kv.v = static_cast<const T*>(p_.v.row(s.batch, h, s.slot));
      kv.v_stride = p_.v.stride[2], kv.v_tile = key_tile * kv.v_stride;
      kv.channels = p_.shape.value_depth;
    }
    packed += value_bytes_;
    kv.extra_k = reinterpret_cast<const T*>(packed);
    kv.extra_v = kv.extra_k + extra_ * width_;
    kv.finite = reinterpret_cast<const unsigned char*>(packed + extra_bytes_);
    if (bytes() > 0)
      kv.states = reinterpret_cast<tile_state*>(packed + extra_bytes_ + finite_bytes());
    return kv;
  }

  // Before any task of a head.
  void start(std::byte* packed) const {
    for (index t = 0; t < tiles(); ++t)
      new (packed + states_at() + t * index(sizeof(tile_state))) tile_state(packing::free);
  }

  // Afterwards the tile is packed. The task needs the tiles up to `end` next; `staged` is its own
  // and has `staged_values` elements.
  void need(const kv_head<T>& kv, const sequence& s, index h, index tile, index end,
            T* staged) const {
    if (kv.states && !is_packed(kv.states[tile])) share(kv, s, h, tile, end, staged);
  }

 private:
  index finite_bytes() const { return masks ? aligned_bytes(tiles_, 1) : 0; }
  index states_at() const { return key_bytes_ + value_bytes_ + extra_bytes_ + finite_bytes(); }

  HEED_NOINLINE void share(const kv_head<T>& kv, const sequence& s, index h, index tile, index end,
                           T* staged) const {
    pack_or_wait(kv.states, tile, end, [&](index t) { prepare(kv, s, h, t, staged); });
  }

  void prepare(const kv_head<T>& kv, const sequence& s, index h, index tile, T* staged) const {
    if (tile == 0)
      load_extra<Arch>(spec_, p_.shape, s.b, h, width_, const_cast<T*>(kv.extra_k), channels_,
                       const_cast<T*>(kv.extra_v));
    const index first = tile * key_tile, count = std::min(key_tile, s.keys - first);
    if (count <= 0) return;
    const span keys{first, first + count};
    if (pack_keys_)
      load_keys<Arch>(spec_, p_, s, h, keys, width_, const_cast<T*>(kv.k) + first * width_);
    const index depth = p_.shape.value_depth;
    const T* rows = staged;
    index stride = depth;
    if (stages_values()) {
      load_values<Arch>(spec_, p_, s, h, keys, depth, staged);
    } else {
      rows = static_cast<const T*>(p_.v.row(s.batch, h, s.slot + first));
      stride = p_.v.stride[2];
    }
    if (pack_values_)
      simd::pack_values<Arch>(rows, stride, count, depth, kv.v_block,
                              const_cast<T*>(kv.v) + tile * kv.v_tile);
    if (masks)
      const_cast<unsigned char*>(kv.finite)[tile] = simd::all_finite(rows, stride, count, depth);
  }

  bool stages_values() const {
    return p_.source || rewrites_values<Spec> || !simd::stored_as<T>(p_.v);
  }
  const Spec& spec_;
  const problem& p_;
  const sequences<decltype(Spec::plan)>& items_;
  index width_, channels_, keys_, tiles_;
  index extra_ = 0, key_bytes_, value_bytes_, extra_bytes_;
  bool pack_keys_, pack_values_;
};

}  // namespace heed::detail
