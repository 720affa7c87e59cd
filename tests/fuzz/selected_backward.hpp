// SPDX-License-Identifier: BSL-1.0
// Random gradients along lists of blocks.
#pragma once

#include "fuzz/backward.hpp"
#include "fuzz/selected.hpp"

namespace heed::fuzz {

struct selected_backward {
  static constexpr const char* name = "backward, selected spec";
  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    call c(random, 6000);
    if constexpr (!std::is_same_v<decltype(Spec::plan), none>) c.cut();
    check_backward<Spec>(c, scratch, seen);
  }
};

// A key and value that are not finite reach the gradients of the queries that see them, and through
// those of the keys that these see, and nothing else.
struct selected_hidden {
  static constexpr const char* name = "hidden, selected spec";

  struct run {
    memory dq, dk, dv;
    run(const operands& x, const memory& d_out, const auto& spec, executor_ref on, workspace& s)
        : dq(element::f32, x.q.extent), dk(element::f32, x.k.extent), dv(element::f32, x.v.extent) {
      attend_backward(spec, x.q.as<float>(), x.k.as<float>(), x.v.as<float>(), {}, d_out.read(),
                      {.dq = dq.write(), .dk = dk.write(), .dv = dv.write()}, on, s);
    }
  };
  // Weights of zero are left out beside what is not finite, which sums in another order: allowed is
  // what that makes of the largest number.
  struct compared {
    const memory &a, &b;
    double allowed = 0;
    compared(const memory& clean, const memory& got) : a(clean), b(got) {
      a.each([&](index n, index h, index l, index d) {
        allowed = std::max(allowed, 0x1p-17 * std::abs(a.get(n, h, l, d)));
      });
    }
    bool same(index item, index head, index at) const {
      bool all = true;
      for (index d = 0; d < a.extent[3]; ++d)
        all = all && std::abs(a.get(item, head, at, d) - b.get(item, head, at, d)) <= allowed;
      return all;
    }
  };

  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    call c(random, 20000);
    c.backward = true;
    c.shape.depth = std::max<index>(c.shape.depth, 8);  // norms of few channels leave but noise
    const Spec spec = draw_spec<Spec>(c);
    const problem_shape& s = c.shape;
    const auto drawn = [&](index heads, index rows, index channels) {
      memory m(element::f32, {c.batch, heads, rows, channels});
      std::normal_distribution<double> normal;
      m.each([&](index b, index h, index l, index d) { m.set(b, h, l, d, normal(random)); });
      return m;
    };
    operands x{drawn(s.heads, s.queries, s.depth), drawn(s.kv_heads, s.keys, s.depth),
               drawn(s.kv_heads, s.keys, s.value_depth)};
    const memory d_out = drawn(s.heads, s.queries, s.value_depth);
    ++seen.calls;
    if (c.batch * s.keys == 0) return;
    const run clean(x, d_out, spec, {}, scratch);
    const index item = c.from(0, c.batch - 1), kv = c.from(0, s.kv_heads - 1),
                bad = c.from(0, s.keys - 1);
    const bool in_key = c.chance(2);
    memory& where = in_key ? x.k : x.v;
    for (index d = 0; d < where.extent[3]; ++d) where.set(item, kv, bad, d, std::nan(""));
    poison(scratch);
    const shuffled crew{c.from(1, 4), &random};
    const run got(x, d_out, spec, crew, scratch);

    const compared dq(clean.dq, got.dq), dk(clean.dk, got.dk), dv(clean.dv, got.dv);
    INFO(c.describe() << "bad key " << bad << " of item " << item << ", head " << kv);
    const index offset = spec.offset == aligned_ends ? s.offset : spec.offset;
    for (index b = 0; b < c.batch; ++b)
      for (index g = 0; g < s.kv_heads; ++g) {
        std::vector<char> reached(static_cast<std::size_t>(s.keys), 0);
        if (b == item && g == kv) reached[static_cast<std::size_t>(bad)] = 1;
        for (index h = g * s.group(); h < (g + 1) * s.group(); ++h)
          for (index i = 0; i < s.queries; ++i) {
            const auto sees = [&](index j) {
              return spec.mask(position{b, h, i + offset, j, i, j});
            };
            if (b == item && g == kv && sees(bad)) {
              for (index j = 0; j < s.keys; ++j)
                if (sees(j)) reached[static_cast<std::size_t>(j)] = 1;
              continue;
            }
            CAPTURE(b, h, i);
            ++seen.rows;
            REQUIRE(dq.same(b, h, i));
          }
        for (index j = 0; j < s.keys; ++j) {
          if (reached[static_cast<std::size_t>(j)]) continue;
          CAPTURE(b, g, j);
          REQUIRE((dk.same(b, g, j) && dv.same(b, g, j)));
        }
      }
  }
};

}  // namespace heed::fuzz
