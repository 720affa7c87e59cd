// SPDX-License-Identifier: BSL-1.0
// kv/extra: n more key/value slots that every query sees, softmax(q [Kᵀ K']) [V; V'].
//
// k [B|1, Hkv|1, n, D], v [B|1, Hkv|1, n, Dv]; without v the values are 0 (a key bias, which only
// takes weight away). Slots have no position: they are never masked, get no score modifier and no
// `.key` or `.value` prologue. The similarity, its scale and the `.query` prologue apply to them as
// to any key. Prefix prompts, persistent memory (Sukhbaatar et al. 2019), key and value biases (Sun
// et al. 2024).
//
// Throws std::invalid_argument where k and v are without data or differ in slots, or from the call
// in channels. Costs what n more keys do.
#pragma once

#include <algorithm>
#include <heed/core/broadcast.hpp>
#include <heed/core/policy.hpp>

namespace heed {

struct extra_slots {
  operand k;
  operand v{};

  index slots() const { return k.extent[2]; }
  template <class T> void key(index b, index h, index slot, T* row) const {
    load(k, b, h, slot, row);
  }
  // `depth` value channels of the call.
  template <class T> void value(index b, index h, index slot, T* row, index depth) const {
    if (v.present())
      load(v, b, h, slot, row);
    else
      std::fill_n(row, depth, T(0));
  }

  struct gradient {
    result k, v;  // as the slots
  };
  index sums(const gradient& g) const { return broadcast::sums(g.k) + broadcast::sums(g.v); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::extra_slots", k, g.k);
    broadcast::check_gradient("heed::extra_slots", v, g.v);
  }
  template <class T>
  void add_gradient(const gradient& g, index b, index h, index slot, const T* dk, const T* dv,
                    double* sum) const {
    const auto add = [&](const result& x, const T* row) {
      for (index c = 0; c < x.extent[3]; ++c)
        sum[broadcast::sum_at(x, b, h, slot, c)] += double(row[c]);
    };
    if (g.k.present()) add(g.k, dk);
    sum += broadcast::sums(g.k);
    if (g.v.present()) add(g.v, dv);
  }
  void deliver(const gradient& g, const double* sum) const {
    broadcast::store_sums(g.k, sum);
    broadcast::store_sums(g.v, sum + broadcast::sums(g.k));
  }

  void check(const problem_shape& shape) const {
    const auto fits = [&](const char* name, const operand& x, index channels) {
      broadcast::check("heed::extra_slots", name, x,
                       {shape.batch, shape.kv_heads, x.extent[2], channels});
      if (x.extent[2] != slots() || x.extent[3] != channels)
        check::fail("heed::extra_slots",
                    "k and v must have the same slots, and the channels of the call",
                    {{"k", k}, {"v", v}});
    };
    fits("k", k, shape.depth);
    if (v.present()) fits("v", v, shape.value_depth);
  }

 private:
  template <class T> static void load(const operand& x, index b, index h, index slot, T* row) {
    broadcast::load(x, b, h, slot, 0, 3, x.extent[3], row);
  }
};

}  // namespace heed
