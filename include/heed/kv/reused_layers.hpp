// SPDX-License-Identifier: BSL-1.0
// kv/reuse over layers (HyLRA): some layers look at everything and list what weighed most, the
// others attend to the list of the last such layer below them.
//
//   reused_layers policy(tokens, full, batch, kv_heads);         // full [layers]
//   in every layer of a step, from 0 up:
//     if (policy.full(layer)) {
//       rows seen(newest, weights);                              // newest = {0}, [B,H,1,N]
//       attend(spec, q, cache, {.out = out, .observe = &seen});
//       policy.take(layer, one_row(weights), cache);
//     } else {
//       attend(spec, q, selected_source(cache, policy.lists(layer, cache)), out);
//     }
//
// Throws std::invalid_argument, before anything is changed, where operands do not fit and where a
// list is asked for that is not of this step. `take` is O(H · N), `lists` O(Hkv · tokens).
// HyLRA, Ai et al. 2026.
#pragma once

#include <heed/kv/listed_tokens.hpp>

namespace heed {

// Layer l takes over the list of the last full layer below it. `full` [layers]; layer 0 must be.
class reused_layers {
 public:
  reused_layers(index tokens, std::vector<char> full, index batch, index kv_heads)
      : full_(std::move(full)), lists_(name, tokens, batch, kv_heads) {
    if (full_.empty() || !full_[0]) check::fail(name, "layer 0 must be full");
  }

  index layers() const { return static_cast<index>(full_.size()); }
  bool full(index layer) const { return full_[known(layer)] != 0; }
  // After a full layer; weights [B,H,N].
  template <kv_source Source> void take(index layer, const operand& mass, const Source& source) {
    if (!full(layer)) check::fail(name, "layer " + std::to_string(layer) + " is not full");
    lists_.choose({0, lists_.heads()}, mass, source);
    taken_ = layer;
  }
  template <kv_source Source> block_lists lists(index layer, const Source& source) {
    index from = layer;
    while (!full(from)) --from;
    lists_.check_source(source);
    for (index b = 0; b < lists_.batch(); ++b)
      if (taken_ != from || lists_.seen(b, 0) != source.length(b))
        check::fail(name, "layer " + std::to_string(from) +
                              " must be taken in this step, before layer " + std::to_string(layer));
    return lists_.lists({0, lists_.heads()});
  }

 private:
  static constexpr const char* name = "heed::reused_layers";
  std::size_t known(index layer) const {
    if (layer < 0 || layer >= layers())
      check::fail(name,
                  "there are " + std::to_string(layers()) + " layers, no " + std::to_string(layer));
    return static_cast<std::size_t>(layer);
  }

  std::vector<char> full_;
  listed_tokens lists_;
  index taken_ = -1;
};

}  // namespace heed
