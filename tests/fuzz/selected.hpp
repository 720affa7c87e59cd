// SPDX-License-Identifier: BSL-1.0
// Random lists and maps of blocks of keys, with other policies around them and masks inside.
#pragma once

#include <heed/plan/selected.hpp>

#include "fuzz/run.hpp"

namespace heed::fuzz {

// Rows of a block below and above a vector, blocks of keys below and above a tile; lists for all,
// for some heads and for each.
inline const block_selection& any_lists(call& c) {
  const problem_shape& s = c.shape;
  block_selection x{.rows = c.chance(2) ? 1 : c.from(1, c.from(1, 70)),
                    .keys = c.chance(4) ? 1 : c.from(1, c.from(2, 300))};
  if (c.chance(2)) x.batch = s.batch;
  if (c.chance(3))
    x.heads = s.heads;
  else if (c.chance(2))
    x.heads = s.kv_heads, x.group = s.group();
  else if (s.heads % 2 == 0 && c.chance(2))
    x.heads = s.heads / 2, x.group = 2;
  const index count = x.batch * x.heads * ((s.queries + x.rows - 1) / x.rows),
              blocks = (s.keys + x.keys - 1) / x.keys;
  const double density = c.chance(5) ? 1 : c.real(0, c.real(0, 1));
  const bool runs = c.chance(3);
  for (index i = 0; i < count; ++i) {
    const bool empty = c.chance(9);
    bool on = false;
    for (index block = 0; block < blocks; ++block) {
      if (!runs || c.chance(4)) on = c.real(0, 1) < density;
      if (on && !empty) x.blocks.push_back(int(block));
    }
    x.offsets.push_back(index(x.blocks.size()));
  }
  return c.keep(std::move(x));
}
template <class Inside> selected<Inside> draw(tag<selected<Inside>>, call& c) {
  const block_lists lists = any_lists(c).lists();
  return {lists, draw(tag<Inside>{}, c)};
}

using selected_table = std::tuple<
    // clang-format off
    // 0
    of<selected<full>, dot, none, softmax>,
    of<selected<causal>, dot, none, softmax, rope>,
    // 2
    of<selected<full>, dot, chain<softcap, alibi>, sink_softmax, none, none, none, extra_slots>,
    of<selected<where<same_residue>>, dot, bias, softmax, qk_norm>,
    // 4
    of<selected<window>, cosine, slanted_score, sigmoid>,
    of<selected<causal>, distance, key_bias, signed_softmax, none, none, output_gate, extra_slots>,
    // 6
    of<selected<either_mask<window, first_keys>>, feature_product<elu1_feature>, uneven_score, linear, rope, doubled_rows, output_bias>,
    of<selected<causal>, dot, none, softmax, none, none, none, none, varlen>,
    // 8
    of<both_masks<selected<full>, window>, dot, relative_bias, custom<square_weight>>,
    of<selected<document>, dot, temperature, sink_softmax, rope, none, none, extra_slots, varlen>,
    // 10
    of<block_map<either_mask<power_of_two, dilated_window>>, dot, none, softmax, rope>,
    of<block_map<segment_graph>, dot, softcap, sink_softmax, none, none, none, extra_slots>
    // clang-format on
    >;

struct selected_forward {
  static constexpr const char* name = "selected spec";
  template <class Spec> static void one(engine& random, workspace& scratch, tally& seen) {
    call c(random, random() % 4 == 0 ? 200000 : 20000);
    if constexpr (!std::is_same_v<decltype(Spec::plan), none>) c.cut();
    check_call<Spec>(c, scratch, seen);
  }
};

}  // namespace heed::fuzz
