// SPDX-License-Identifier: BSL-1.0
// Trains a small decoder on a text, forward and backward on heed's kernels, and compares it with a
// trigram model on the last tenth of the text, which neither has seen.
#define EIGEN_USE_THREADS
#include <exception>
#include <unsupported/Eigen/CXX11/Tensor>

#include "../decoder/evaluate.hpp"
#include "../decoder/model_file.hpp"
#include "../decoder/trainer.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "trigram.hpp"

namespace {

using train_text::options;

constexpr double least_gain = 0.15;

struct split {
  decoder::bytes train, held_out;
};

split cut(decoder::bytes text, const options& o) {
  const std::size_t tenth = text.size() / 10;
  const auto length = static_cast<std::size_t>(o.shape.context);
  if (tenth < 4 || text.size() - tenth <= length + 1)
    throw std::runtime_error("cannot read '" + o.text + "': " + std::to_string(text.size()) +
                             " bytes are too few for sequences of " + std::to_string(length));
  return {text.first(text.size() - tenth), text.last(tenth)};
}

void keep(const decoder::training_state<float>& state, std::uint64_t run, const options& o) {
  if (!o.checkpoint.empty()) decoder::save_checkpoint(state, run, o.checkpoint);
}

// False if it was told to stop before the end.
bool learn(decoder::training_state<float>& state, const options& o, std::uint64_t run,
           decoder::bytes text, heed::executor_ref executor) {
  decoder::trainer<float> trainer(state, o.recipe, text, executor);
  train_text::progress progress(o.recipe, state.step);
  double saved = train_text::seconds();
  while (state.step < o.recipe.steps) {
    if (o.stop > 0 && state.step >= o.stop) break;
    const double loss = trainer.step();
    if (!std::isfinite(loss)) throw std::runtime_error("the loss is no longer finite");
    progress.step(state.step, loss);
    if (train_text::seconds() - saved < o.save_seconds) continue;
    keep(state, run, o);
    saved = train_text::seconds();
  }
  progress.end();
  std::printf("time         %.0f s on %d thread(s)\n", progress.elapsed(), o.threads);
  if (state.step == o.recipe.steps) return true;
  keep(state, run, o);
  return false;
}

decoder::training_state<float> begin(const options& o, std::uint64_t run) {
  decoder::training_state<float> state(o.shape);
  const bool some = !o.checkpoint.empty() && std::filesystem::exists(o.checkpoint);
  if (some && !o.fresh && !o.baseline)
    decoder::load_checkpoint(state, run, o.checkpoint);
  else
    decoder::initialize(state.model, o.recipe.seed);
  return state;
}

int train(options o) {
  o.shape.check();
  o.recipe.length = o.shape.context;
  const std::vector<unsigned char> text =
      decoder::read_file(o.text.empty() ? HEED_DEFAULT_TEXT : o.text);
  const split parts = cut(text, o);
  const std::uint64_t run = decoder::run_of(o.shape, o.recipe, text);
  decoder::training_state<float> state = begin(o, run);
  if (!o.baseline) decoder::check_writable(o.out);

  const double trigrams = train_text::trigram(parts.train).bits_a_byte(parts.held_out);
  std::printf("text         %zu bytes, of which %zu are held out\n", text.size(),
              parts.held_out.size());
  std::printf("trigrams     %.3f bits a byte on what is held out\n", trigrams);
  if (o.baseline) return 0;

  std::printf("decoder      %zu parameters, %td updates of %td bytes\n", state.mean.size(),
              o.recipe.steps, o.recipe.tokens());
  if (state.step > 0) std::printf("going on     at step %td\n", state.step);
  Eigen::ThreadPool pool(o.threads);
  const Eigen::ThreadPoolDevice device(&pool, o.threads);
  const auto executor = heed::on(device);
  if (!learn(state, o, run, parts.train, executor)) return 0;

  const double bits = decoder::bits_a_byte(state.model, parts.held_out, executor);
  std::printf("held out     %.3f bits a byte, %.3f below the trigrams\n", bits, trigrams - bits);
  decoder::save_weights(state.model, o.out);
  if (!o.checkpoint.empty()) std::filesystem::remove(o.checkpoint);
  std::printf("written      %s\n", std::filesystem::absolute(o.out).c_str());
  return o.check && trigrams - bits < least_gain ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trains a small decoder on a text");
  options o;
  train_text::declare(app, o);
  try {
    app.parse(argc, argv);
    return train(o);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_text: %s\n", error.what());
    return 1;
  }
}
