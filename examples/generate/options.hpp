// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace generate {

struct options {
  std::string prompt, model, tokenizer;
  int tokens = 0;
  double temperature = 0.6;
  std::uint64_t seed = 1;
};

inline void declare(CLI::App& app, options& o) {
  app.add_option("prompt", o.prompt,
                 "Text to continue [with the weights built in: a beginning of its own]");
  app.add_option("--model", o.model,
                 "Weights of train_text, or a model of llama2.c; without it, those built in");
  app.add_option("--tokenizer", o.tokenizer,
                 "Tokenizer of a llama2.c model [tok<pieces>.bin or tokenizer.bin beside it]");
  app.add_option("--tokens", o.tokens, "Tokens to add [400; 256 of a llama2.c model]")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--temperature", o.temperature, "0 takes the likeliest token each time")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Seed of the choice")->capture_default_str();
}

}  // namespace generate
