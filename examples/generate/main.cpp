// SPDX-License-Identifier: BSL-1.0
// Continues a text with a small decoder whose attention and caches are heed's.
#define EIGEN_USE_THREADS
#include <cstdio>
#include <exception>
#include <unsupported/Eigen/CXX11/Tensor>

#include "clock.hpp"
#include "models.hpp"
#include "options.hpp"
#include "weights.hpp"

namespace {

using generate::options;

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

std::string numbers(const decoder::ids& text) {
  std::string all;
  for (const std::int32_t token : text) all += (all.empty() ? "" : " ") + std::to_string(token);
  return all;
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

  Eigen::ThreadPool pool(o.threads);
  const Eigen::ThreadPoolDevice device(&pool, o.threads);
  const auto threads = heed::on(device);
  decoder::session session(speaker.model, o.plan(static_cast<heed::index>(text.size()) + wanted),
                           threads);
  decoder::random_numbers draw(o.seed);
  generate::stage prefill("prefill", session), decode("decode", session);

  print(o.numbers ? numbers(text) : prompt);
  std::span<const std::int32_t> fresh = text;
  for (int added = 0; added < wanted; ++added) {
    const std::int32_t next = (added == 0 ? prefill : decode).measured(fresh.size(), [&] {
      return decoder::choose(session.read(fresh), o.temperature, draw);
    });
    if (tokenizer.ends(next) && !o.endless) break;
    print(o.numbers ? " " + std::to_string(next) : tokenizer.decode(text.back(), next));
    text.push_back(next);
    fresh = std::span<const std::int32_t>(text).last(1);
  }
  print("\n");
  prefill.report();
  decode.report();
  std::fprintf(stderr, "cache    %s, %s, %zu bytes\n", o.kind.c_str(), o.type.c_str(),
               session.bytes());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Continues a text with a small decoder");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return std::string("generate: ") + error.what() + "\n";
  });
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
