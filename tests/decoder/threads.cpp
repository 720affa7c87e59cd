// SPDX-License-Identifier: BSL-1.0
// A training step gives the same bits on any number of threads, and from a checkpoint.
#define EIGEN_USE_THREADS
#include <unsupported/Eigen/CXX11/Tensor>

#include "../examples/decoder/evaluate.hpp"
#include "../examples/decoder/model_file.hpp"
#include "../examples/decoder/trainer.hpp"
#include "support/catch.hpp"

namespace {

using state = decoder::training_state<float>;

const decoder::shape small{
    .width = 24, .hidden = 20, .layers = 2, .heads = 6, .kv_heads = 2, .context = 48};
const decoder::recipe plan{.steps = 6, .shares = 5, .sequences = 2, .length = 48, .warmup = 2};

std::vector<unsigned char> some_text() {
  decoder::random_numbers draw(3);
  std::vector<unsigned char> text(1000);
  for (std::size_t i = 0; i < text.size(); ++i)
    text[i] = static_cast<unsigned char>('a' + (i % 7) + draw.below(4));
  return text;
}

state begin() {
  state s(small);
  decoder::initialize(s.model, plan.seed);
  return s;
}

std::vector<double> learn(state& s, decoder::index steps, int threads) {
  const std::vector<unsigned char> text = some_text();
  Eigen::ThreadPool pool(threads);
  const Eigen::ThreadPoolDevice device(&pool, threads);
  const auto executor = heed::on(device);
  decoder::trainer<float> trainer(s, plan, text, executor);
  std::vector<double> losses;
  while (steps-- > 0) losses.push_back(trainer.step());
  return losses;
}

bool same(const decoder::buffer<float>& a, const decoder::buffer<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
bool same(const state& a, const state& b) {
  return a.step == b.step && same(a.model.parameters, b.model.parameters) && same(a.mean, b.mean) &&
         same(a.square, b.square);
}

std::string scratch(const char* name) {
  return (std::filesystem::temp_directory_path() / name).string();
}

}  // namespace

TEST_CASE("training gives the same bits on any number of threads") {
  state alone = begin();
  const std::vector<double> losses = learn(alone, plan.steps, 1);
  CHECK(losses.back() < losses.front());
  for (const int threads : {2, 3, 7}) {
    state together = begin();
    CHECK(learn(together, plan.steps, threads) == losses);
    CHECK(same(alone, together));
  }
}

TEST_CASE("so does the evaluation") {
  const state s = begin();
  const std::vector<unsigned char> text = some_text();
  Eigen::ThreadPool pool(3);
  const Eigen::ThreadPoolDevice device(&pool, 3);
  const double bits = decoder::bits_a_byte<float>(s.model, text, {});
  CHECK(bits == decoder::bits_a_byte<float>(s.model, text, heed::on(device)));
  CHECK(bits > 7);
  CHECK(bits < 10);
}

TEST_CASE("a run that goes on from a checkpoint reaches the same bits") {
  const std::string path = scratch("heed.test.threads.checkpoint");
  const std::uint64_t run = decoder::run_of(small, plan, some_text());
  state whole = begin();
  learn(whole, plan.steps, 2);
  state first = begin();
  learn(first, 2, 2);
  decoder::save_checkpoint(first, run, path);
  state second(small);
  decoder::load_checkpoint(second, run, path);
  CHECK(same(first, second));
  learn(second, plan.steps - 2, 1);
  CHECK(same(whole, second));

  state other(small);
  CHECK_THROWS_WITH(decoder::load_checkpoint(other, run + 1, path),
                    Catch::Matchers::ContainsSubstring("other settings"));
  std::filesystem::remove(path);
}
