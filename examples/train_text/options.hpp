// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <thread>

#include "../decoder/state.hpp"

namespace train_text {

struct options {
  std::string text, out = "decoder.weights", checkpoint = "train_text.checkpoint";
  decoder::shape shape;
  decoder::recipe recipe;
  double save_seconds = 20;
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  decoder::index stop = 0;
  bool baseline = false, fresh = false, check = false;
};

inline void declare(CLI::App& app, options& o) {
  const auto size = [&](const char* name, decoder::index& to, decoder::index least,
                        decoder::index most, const char* what) {
    app.add_option(name, to, what)->check(CLI::Range(least, most))->capture_default_str();
  };
  app.add_option("text", o.text, "Text to learn; without it, Emma by Jane Austen");
  size("--width", o.shape.width, 2, 1024, "Channels of a byte");
  size("--hidden", o.shape.hidden, 1, 8192, "Channels inside the SwiGLU");
  size("--layers", o.shape.layers, 1, 64, "Layers");
  size("--heads", o.shape.heads, 1, 64, "Query heads");
  size("--kv-heads", o.shape.kv_heads, 1, 64, "Key and value heads");
  size("--length", o.shape.context, 2, 4096, "Bytes of a sequence");
  size("--steps", o.recipe.steps, 1, 1000000, "Updates");
  size("--shares", o.recipe.shares, 1, 256, "Parts of a batch that may run side by side");
  size("--sequences", o.recipe.sequences, 1, 256, "Sequences in each part");
  app.add_option("--rate", o.recipe.rate, "Highest learning rate")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--seed", o.recipe.seed, "Seed of weights and batches")->capture_default_str();
  app.add_option("--threads", o.threads, "Threads; the result does not depend on them")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--out", o.out, "Where the weights go")->capture_default_str();
  app.add_option("--checkpoint", o.checkpoint,
                 "Kept while training, to go on after a kill; empty for none")
      ->capture_default_str();
  app.add_option("--save-seconds", o.save_seconds, "Time between checkpoints")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  size("--stop", o.stop, 0, 1000000, "Leave after this many updates, with a checkpoint");
  app.add_flag("--fresh", o.fresh, "Ignore a checkpoint");
  app.add_flag("--baseline", o.baseline, "Only the trigram model, no training");
  app.add_flag("--check", o.check, "Fail unless the model is 0.15 bits a byte below the trigrams");
}

}  // namespace train_text
