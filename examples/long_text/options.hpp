// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <heed/select/moba.hpp>
#include <heed/select/nsa.hpp>
#include <map>
#include <string>
#include <thread>

#include "../decoder/shape.hpp"

namespace long_text {

using heed::index;

enum class stretch { yarn, plain };
inline const std::map<std::string, stretch> stretches{{"yarn", stretch::yarn},
                                                      {"plain", stretch::plain}};

struct options {
  std::string text, model, stretched = "yarn";
  index tokens = 16384;
  index block = 64, top = 24;
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  bool check = false;

  heed::moba fine() const { return {.block = block, .top = top}; }
  // As many keys in blocks eight times as large.
  heed::moba coarse() const { return {.block = 8 * block, .top = std::max<index>(1, top / 8)}; }
  // A third of them in the window, compressed rows in the proportions of the paper.
  heed::nsa native() const {
    const index stride = block % 4 == 0 ? block / 4 : block;
    return {.block = 2 * stride,
            .stride = stride,
            .selected = block,
            .count = std::max<index>(3, top - top / 3),
            .window = std::max<index>(1, top / 3) * block};
  }
};

inline std::string named(const heed::moba& m) {
  return "moba, " + std::to_string(m.top) + " of " + std::to_string(m.block);
}

inline void declare(CLI::App& app, options& o) {
  const auto size = [&](const char* name, index& to, index least, const char* what) {
    app.add_option(name, to, what)->check(CLI::Range(least, index{1} << 20))->capture_default_str();
  };
  app.add_option("text", o.text, "Text to read; without it, Emma by Jane Austen");
  app.add_option("--model", o.model, "Weights of train_text; without it, those built in");
  size("--tokens", o.tokens, 64, "Bytes to read, the last ones of the text");
  size("--block", o.block, 1, "Keys of a block of MoBA, and of the chosen ones of NSA");
  size("--top", o.top, 1, "Blocks that a query sees, its own among them");
  app.add_option("--stretch", o.stretched, "How positions beyond the trained context turn")
      ->check(CLI::IsMember(stretches))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "Threads of attention; only times depend on them")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag(
      "--check", o.check,
      "Fail unless MoBA keeps 0.88 of the weight of full attention, and more than the window, "
      "at an error of 0.22 at most");
}

}  // namespace long_text
