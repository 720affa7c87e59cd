// SPDX-License-Identifier: BSL-1.0
// Plain tensors k [B,Hkv,L,D] and v [B,Hkv,L,Dv] as a source: every sequence has L tokens.
#pragma once

#include <heed/kv/source.hpp>

namespace heed {

struct kv_tensors {
  const operand &k, &v;

  index batch() const { return k.extent[0]; }
  index heads() const { return k.extent[1]; }
  index depth() const { return k.extent[3]; }
  index value_depth() const { return v.extent[3]; }
  index length(index) const { return k.extent[2]; }
  index end(index) const { return k.extent[2]; }
  kv_run run(index b, index h, index t) const {
    return {rows(k, b, h, t), rows(v, b, h, t), k.extent[2] - t};
  }

 private:
  static stored_rows rows(const operand& x, index b, index h, index t) {
    return {.data = static_cast<const unsigned char*>(x.row(b, h, t)),
            .type = kv_type_of(x.type),
            .stride = x.stride[2] * size_of(x.type),
            .step = x.stride[3]};
  }
};

}  // namespace heed
