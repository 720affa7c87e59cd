// SPDX-License-Identifier: BSL-1.0
// Keys and values of a kv head as rows, for drivers that take them by lists: in place where they
// are stored so, else converted and transformed once a head.
#pragma once

#include <heed/attention/kv_rows.hpp>
#include <heed/core/workspace.hpp>
#include <heed/simd/pack.hpp>
#include <heed/similarity/dot.hpp>

namespace heed::detail {

template <class T> struct rows_of_head {
  const T* k = nullptr;
  const T* v = nullptr;
  index k_stride = 0, v_stride = 0;
  const T* extra_k = nullptr;
  const T* extra_v = nullptr;
  const unsigned char* finite = nullptr;  // by piece: no NaN or infinity among its values
};

// `Hides`: some query does not see all keys that it is shown.
template <class T, class Arch, class Spec, bool Hides> class head_rows {
  static constexpr bool has_extra = !std::is_same_v<decltype(Spec::extra), none>;

 public:
  static constexpr index piece = 64;  // keys

  head_rows(const Spec& spec, const problem& p)
      : spec_(spec),
        p_(p),
        items_{p, spec.plan},
        longest_(items_.longest_keys()),
        width_(packed_width(spec.similarity, p.shape.depth)),
        pieces_(std::max<index>((longest_ + piece - 1) / piece, 1)) {
    const auto apart = [](const operand& x) {
      return x.stride[2] != x.extent[3] &&
             x.stride[2] * index(sizeof(T)) >= simd::shape<T, Arch>::packed_stride;
    };
    pack_keys_ = rewrites_keys<Spec> || !simd::stored_as<T>(p.k) || apart(p.k);
    pack_values_ = rewrites_values<Spec> || !simd::stored_as<T>(p.v) || apart(p.v);
    if constexpr (has_extra) extra_ = spec.extra.slots();
    key_bytes_ = pack_keys_ ? aligned_bytes(longest_ * width_, sizeof(T)) : 0;
    value_bytes_ = pack_values_ ? aligned_bytes(longest_ * p.shape.value_depth, sizeof(T)) : 0;
    extra_bytes_ = aligned_bytes(extra_ * (width_ + p.shape.value_depth), sizeof(T));
  }

  index width() const { return width_; }
  index extra() const { return extra_; }
  index pieces() const { return pieces_; }
  // Kv heads of all items, and the item and kv head of number `head` among them.
  index heads() const { return items_.count() * p_.shape.kv_heads; }
  sequence item(index head) const { return items_[head / p_.shape.kv_heads]; }
  index kv_head(index head) const { return head % p_.shape.kv_heads; }
  static span keys_of(const sequence& s, index i) {
    return {std::min(i * piece, s.keys), std::min((i + 1) * piece, s.keys)};
  }
  index bytes() const {
    return key_bytes_ + value_bytes_ + extra_bytes_ + (Hides ? aligned_bytes(pieces_, 1) : 0);
  }

  rows_of_head<T> located(const sequence& s, index h, std::byte* packed) const {
    rows_of_head<T> x;
    x.k = pack_keys_ ? reinterpret_cast<const T*>(packed)
                     : static_cast<const T*>(p_.k.row(s.batch, h, s.slot));
    x.k_stride = pack_keys_ ? width_ : p_.k.stride[2];
    packed += key_bytes_;
    x.v = pack_values_ ? reinterpret_cast<const T*>(packed)
                       : static_cast<const T*>(p_.v.row(s.batch, h, s.slot));
    x.v_stride = pack_values_ ? p_.shape.value_depth : p_.v.stride[2];
    packed += value_bytes_;
    x.extra_k = reinterpret_cast<const T*>(packed);
    x.extra_v = x.extra_k + extra_ * width_;
    x.finite = reinterpret_cast<const unsigned char*>(packed + extra_bytes_);
    return x;
  }

  // Before any task of the head, every piece once.
  void prepare(const rows_of_head<T>& x, const sequence& s, index h, index i) const {
    if (i == 0)
      load_extra<Arch>(spec_, p_.shape, s.b, h, width_, const_cast<T*>(x.extra_k),
                       p_.shape.value_depth, const_cast<T*>(x.extra_v));
    const span keys = keys_of(s, i);
    if (keys.empty()) return;
    const index depth = p_.shape.value_depth;
    if (pack_keys_)
      load_keys<Arch>(spec_, p_, s, h, keys, width_, const_cast<T*>(x.k) + keys.begin * width_);
    const T* const values = x.v + keys.begin * x.v_stride;
    if (pack_values_) load_values<Arch>(spec_, p_, s, h, keys, depth, const_cast<T*>(values));
    if constexpr (Hides)
      const_cast<unsigned char*>(x.finite)[i] =
          depth % simd::width<T, Arch> == 0
              ? simd::all_finite_vectors<T, Arch>(values, x.v_stride, keys.size(), depth)
              : simd::all_finite(values, x.v_stride, keys.size(), depth);
  }
  // Whether a prepared piece has no NaN or infinity, neither in keys nor in values.
  bool finite(const rows_of_head<T>& x, const sequence& s, index i) const {
    const span keys = keys_of(s, i);
    return x.finite[i] != 0 &&
           simd::all_finite(x.k + keys.begin * x.k_stride, x.k_stride, keys.size(), width_);
  }

 private:
  const Spec& spec_;
  const problem& p_;
  sequences<decltype(Spec::plan)> items_;
  index longest_, width_, pieces_, extra_ = 0, key_bytes_ = 0, value_bytes_ = 0, extra_bytes_ = 0;
  bool pack_keys_ = false, pack_values_ = false;
};

}  // namespace heed::detail
