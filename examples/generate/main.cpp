// SPDX-License-Identifier: BSL-1.0
// Continues a text with a small decoder whose attention is heed's.
#include <chrono>
#include <cstdio>
#include <exception>

#include "../decoder/session.hpp"
#include "models.hpp"
#include "options.hpp"
#include "weights.hpp"

namespace {

using generate::options;

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

int continue_text(const options& o) {
  const generate::speaker speaker = o.model.empty()
                                        ? generate::of_bytes(weights, "the weights built in")
                                        : generate::load(o.model, o.tokenizer);
  const decoder::tokenizer& tokenizer = *speaker.tokenizer;
  const std::string prompt =
      o.prompt.empty() && !speaker.llama2c ? "Emma was very much surprised" : o.prompt;
  decoder::ids text = tokenizer.encode(prompt);
  const int wanted = o.tokens > 0 ? o.tokens : speaker.llama2c ? 256 : 400;

  const auto start = std::chrono::steady_clock::now();
  decoder::session session(speaker.model);
  decoder::random_numbers draw(o.seed);
  print(prompt);
  int added = 0;
  for (std::span<const std::int32_t> fresh = text; added < wanted; ++added) {
    const std::int32_t next = decoder::choose(session.read(fresh), o.temperature, draw);
    if (tokenizer.ends(next)) break;
    print(tokenizer.decode(text.back(), next));
    text.push_back(next);
    fresh = std::span<const std::int32_t>(text).last(1);
  }
  print("\n");
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::fprintf(stderr, "%d tokens, %.0f a second\n", added, added / seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Continues a text with a small decoder");
  options o;
  generate::declare(app, o);
  try {
    app.parse(argc, argv);
    return continue_text(o);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "generate: %s\n", error.what());
    return 1;
  }
}
