// SPDX-License-Identifier: BSL-1.0
// Runs a small RWKV model, whose recurrence is heed's: reads a prompt, many tokens at once (scan)
// or token by token (step), and continues it greedily.
#include <CLI/CLI.hpp>
#include <chrono>

#include "session.hpp"

namespace {

struct options {
  std::string model, prompt = "\"in", by = "scan", check, save;
  std::size_t tokens = 0;
  // Twice as fast as 4000 at once, whose matrices the allocator maps anew each time.
  std::size_t chunk = 256;
  // Of logits of up to 8, after sums of 12 layers of up to 256 terms in whatever order: at most
  // 5e-6 was seen.
  double within = 2e-5;
};

// f32 as they are, as in rwkv.cpp's files of expected logits.
void save(const rwkv::row& logits, const std::string& path) {
  const auto out = decoder::detail::open(path, "wb");
  const auto size = static_cast<std::size_t>(logits.size());
  if (!out || std::fwrite(logits.data(), sizeof(float), size, out.get()) != size)
    throw std::runtime_error("cannot write '" + path + "'");
}

void check(const rwkv::row& logits, const std::string& path, double within) {
  const std::vector<unsigned char> data = decoder::read_file(path);
  decoder::detail::reader from(data, path);
  from.expect(static_cast<std::size_t>(logits.size()) * sizeof(float));
  rwkv::row expected(logits.size());
  from.get(expected.data(), static_cast<std::size_t>(expected.size()));
  const double most = double((logits - expected).cwiseAbs().maxCoeff());
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", most);
  // Not a number fails too.
  if (!(most <= within))
    throw std::runtime_error("logits differ from '" + path + "' by up to " + text);
  std::fprintf(stderr, "logits   differ by up to %s\n", text);
}

class stage {
 public:
  template <class F> auto measured(std::size_t tokens, const F& f) {
    const auto start = std::chrono::steady_clock::now();
    const rwkv::row result = f();
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    tokens_ += tokens;
    return result;
  }
  void report(const char* name) const {
    if (tokens_ > 0)
      std::fprintf(stderr, "%-8s %zu tokens, %.0f a second\n", name, tokens_,
                   double(tokens_) / std::max(seconds_, 1e-9));
  }

 private:
  std::size_t tokens_ = 0;
  double seconds_ = 0;
};

int run(const options& o) {
  using rwkv::form;
  const auto model = rwkv::load(o.model);
  if (o.prompt.empty()) throw std::runtime_error("--prompt: it is empty");
  rwkv::session session(*model);
  stage prompt, added;
  rwkv::row logits = prompt.measured(o.prompt.size(), [&] {
    return session.read(o.prompt, o.by == "scan" ? form::scan : form::step, o.chunk);
  });
  if (!o.check.empty()) check(logits, o.check, o.within);
  if (!o.save.empty()) save(logits, o.save);
  std::fwrite(o.prompt.data(), 1, o.prompt.size(), stdout);
  for (std::size_t i = 0; i < o.tokens; ++i) {
    heed::index likeliest;
    logits.maxCoeff(&likeliest);
    const char next = static_cast<char>(likeliest);
    std::putchar(next);
    logits = added.measured(1, [&] { return session.read({&next, 1}, form::step); });
  }
  std::putchar('\n');
  prompt.report("prompt");
  added.report("added");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Continues a text with a small RWKV model of bytes");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return std::string("rwkv: ") + error.what() + "\n";
  });
  options o;
  app.add_option("--model", o.model,
                 "Model in the format of rwkv.cpp: RWKV-5, 6 or 7, f32, f16 or Q5_1")
      ->required();
  app.add_option("--prompt", o.prompt, "Text to continue")->capture_default_str();
  app.add_option("--tokens", o.tokens, "Bytes to add, the likeliest each time")
      ->capture_default_str();
  app.add_option("--by", o.by,
                 "How the prompt is read: scan, many bytes at once; step, byte by byte")
      ->check(CLI::IsMember({"scan", "step"}))
      ->capture_default_str();
  app.add_option("--chunk", o.chunk, "Bytes of the prompt that a scan reads at once; 0: all")
      ->capture_default_str();
  app.add_option("--check", o.check, "File of logits that must follow the prompt");
  app.add_option("--within", o.within, "How far they may differ")->capture_default_str();
  app.add_option("--save", o.save, "Where to write the logits that follow the prompt");
  try {
    app.parse(argc, argv);
    return run(o);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rwkv: %s\n", error.what());
    return 1;
  }
}
