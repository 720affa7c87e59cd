// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <heed/kv/quantized.hpp>
#include <map>
#include <string>

#include "../decoder/memory.hpp"

namespace generate {

inline const std::map<std::string, decoder::cache_kind> kinds{
    {"contiguous", decoder::cache_kind::contiguous},
    {"paged", decoder::cache_kind::paged},
    {"ring", decoder::cache_kind::ring},
    {"streaming", decoder::cache_kind::streaming}};
inline const std::map<std::string, heed::kv_format> formats{{"f32", heed::kv_as::single()},
                                                            {"f16", heed::kv_as::half()},
                                                            {"bf16", heed::kv_as::bfloat()},
                                                            {"int8", heed::kv_as::int8()},
                                                            {"int4", heed::kv_as::int4()}};

struct options {
  std::string prompt, model, tokenizer, kind = "contiguous", type = "f32";
  decoder::cache_plan cache;
  int tokens = 0, threads = 1;
  double temperature = 0.6;
  std::uint64_t seed = 1;
  bool endless = false, numbers = false;

  // For a text of up to `length` tokens.
  decoder::cache_plan plan(heed::index length) const {
    decoder::cache_plan p = cache;
    p.kind = kinds.at(kind);
    p.format = formats.at(type);
    const bool keeps_all =
        p.kind == decoder::cache_kind::contiguous || p.kind == decoder::cache_kind::paged;
    if (p.capacity == 0) p.capacity = length;
    if (keeps_all && p.capacity < length)
      throw std::runtime_error("a text of " + std::to_string(length) +
                               " tokens does not fit a cache of " + std::to_string(p.capacity));
    return p;
  }
};

inline void declare(CLI::App& app, options& o) {
  const auto size = [&](const char* name, auto& to, int least, const char* what) {
    app.add_option(name, to, what)->check(CLI::Range(least, 1 << 20));
  };
  app.add_option("prompt", o.prompt,
                 "Text to continue [with the weights built in: a beginning of its own]");
  app.add_option("--model", o.model,
                 "Weights of train_text, or a model of llama2.c; without it, those built in");
  app.add_option("--tokenizer", o.tokenizer,
                 "Tokenizer of a llama2.c model [tok<pieces>.bin or tokenizer.bin beside it]");
  size("--tokens", o.tokens, 1, "Tokens to add [400; 256 of a llama2.c model]");
  app.add_option("--temperature", o.temperature, "0 takes the likeliest token each time")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Seed of the choice")->capture_default_str();
  app.add_flag("--endless", o.endless, "Go on where the model ends its text");
  app.add_flag("--print-tokens", o.numbers, "Print the numbers of the tokens, not their text");

  app.add_option("--cache", o.kind, "Where keys and values are kept")
      ->check(CLI::IsMember(kinds))
      ->capture_default_str();
  app.add_option("--type", o.type, "What they are kept as")
      ->check(CLI::IsMember(formats))
      ->capture_default_str();
  size("--context", o.cache.capacity, 1, "Tokens that a contiguous or paged cache holds [enough]");
  size("--page", o.cache.page, 1, "Tokens of a page [16]");
  size("--window", o.cache.window, 1, "Tokens that one attends to [as many as in training]");
  size("--sinks", o.cache.sinks, 0, "First tokens that a streaming window never loses [4]");
  size("--chunk", o.cache.chunk, 1, "Tokens of the prompt that are read at once [64]");
  app.add_option("--threads", o.threads, "Threads of attention; the text does not depend on them")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

}  // namespace generate
