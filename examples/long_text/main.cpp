// SPDX-License-Identifier: BSL-1.0
// Reads a book with queries, keys and values of a trained decoder, and asks what attention to few
// of the keys keeps of full attention: MoBA and NSA choose blocks of them, a window of as many
// takes the nearest.
#define EIGEN_USE_THREADS
#include <cstdio>
#include <exception>
#include <unsupported/Eigen/CXX11/Tensor>

#include "../decoder/model_file.hpp"
#include "methods.hpp"
#include "reading.hpp"
#include "weights.hpp"

namespace {

using long_text::index;
using long_text::options;
using long_text::result;

// What MoBA keeps of full attention with small blocks, at least. Of 8192 bytes of Emma and 16
// blocks of 32 it keeps 0.926 of the weight at an error of 0.146, the window 0.784.
constexpr double least_weight = 0.88, most_error = 0.22;

std::vector<std::int32_t> last_bytes(const options& o) {
  const std::string path = o.text.empty() ? HEED_DEFAULT_TEXT : o.text;
  const std::vector<unsigned char> text = decoder::read_file(path);
  if (static_cast<index>(text.size()) < o.tokens)
    throw std::runtime_error("cannot read '" + path + "': " + std::to_string(text.size()) +
                             " bytes are fewer than " + std::to_string(o.tokens));
  return {text.end() - static_cast<std::ptrdiff_t>(o.tokens), text.end()};
}

decoder::model<float> model_of(const options& o) {
  const std::string name = o.model.empty() ? "the weights built in" : o.model;
  auto m = o.model.empty() ? decoder::load_weights(weights, name)
                           : decoder::load_weights(decoder::read_file(o.model), name);
  if (m.shape.vocabulary != 256)
    throw std::runtime_error("cannot read '" + name + "': its tokens are not bytes");
  return m;
}

// All layers of one method.
struct total {
  result sum;
  double full = 0;
  index layers = 0;

  void add(const result& r, double full_seconds) {
    sum.weight += r.weight, sum.top += r.top, sum.error += r.error, sum.pairs += r.pairs;
    sum.seconds += r.seconds, sum.choosing += r.choosing;
    full += full_seconds, ++layers;
  }
  double mean(double result::* of) const { return sum.*of / double(layers); }
  void print(const std::string& name) const {
    std::printf("%-22s %7.1f %%  %7.1f %%  %7.1f %%  %7.3f  %8.1f ms  %6.1f ms  %6.1f\n",
                name.c_str(), 100 * mean(&result::pairs), 100 * mean(&result::weight),
                100 * mean(&result::top), mean(&result::error), 1e3 * sum.seconds,
                1e3 * sum.choosing, full / sum.seconds);
  }
};

int compare(const options& o) {
  const decoder::model<float> m = model_of(o);
  const std::vector<std::int32_t> tokens = last_bytes(o);
  Eigen::ThreadPool pool(o.threads);
  const Eigen::ThreadPoolDevice device(&pool, o.threads);
  const auto executor = heed::on(device);
  heed::workspace scratch;

  std::vector<std::pair<std::string, total>> methods;
  double full = 0;
  const auto add = [&](const std::string& name, const result& r, double full_seconds) {
    auto at =
        std::find_if(methods.begin(), methods.end(), [&](auto& x) { return x.first == name; });
    if (at == methods.end()) at = methods.insert(methods.end(), {name, {}});
    at->second.add(r, full_seconds);
  };
  std::printf("%td bytes, %td layers of %td heads over %td of keys, %d thread(s)\n\n", o.tokens,
              m.shape.layers, m.shape.heads, m.shape.kv_heads, o.threads);
  long_text::read(m, tokens, long_text::stretches.at(o.stretched), executor,
                  [&](const auto& x, std::span<const float> sinks) {
                    const long_text::full_attention whole(x, sinks, executor, scratch);
                    full += whole.seconds_taken();
                    const long_text::layer here{x, sinks, whole, executor, scratch};
                    long_text::each_method(here, o, [&](const std::string& name, const result& r) {
                      add(name, r, whole.seconds_taken());
                    });
                  });
  std::printf("%-22s %9s  %9s  %9s  %7s  %11s  %9s  %6s\n", "mean of all layers", "pairs", "weight",
              "top 8", "error", "time", "choosing", "faster");
  std::printf("%-22s %7.1f %%  %7.1f %%  %7.1f %%  %7.3f  %8.1f ms\n", "full", 100.0, 100.0, 100.0,
              0.0, 1e3 * full);
  double nearest = 0;
  bool good = true;
  for (const auto& [name, t] : methods) {
    t.print(name);
    const double weight = t.mean(&result::weight);
    if (name.starts_with("window")) nearest = weight;
    if (name == long_text::named(o.fine()))
      good = weight >= std::max(least_weight, nearest) && t.mean(&result::error) <= most_error;
  }
  return o.check && !good ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Attention to few keys of a book against full attention");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return std::string("long_text: ") + error.what() + "\n";
  });
  options o;
  long_text::declare(app, o);
  try {
    app.parse(argc, argv);
    return compare(o);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "long_text: %s\n", error.what());
    return 1;
  }
}
