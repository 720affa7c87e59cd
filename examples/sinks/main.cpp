// SPDX-License-Identifier: BSL-1.0
// Where a trained decoder looks: for every layer and head the share that later tokens give to the
// first one, whether that makes it a sink, the entropy of rows, and the mass of each column.
//
//   example.sinks MODEL.bin TOKENIZER.bin [TEXT.txt [FOLDER]]
//
// A model and tokenizer in the format of llama2.c: stories260K.bin and tok512.bin of
// huggingface.co/karpathy/tinyllamas. Writes heads.csv (a line a head), columns.csv (a line a head
// and key) and columns.ppm (a row a head, a column a key, layers apart) to FOLDER.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <heed/observe/column_mass.hpp>
#include <heed/observe/row_entropy.hpp>
#include <heed/observe/sink_rate.hpp>
#include <iterator>

#include "llama.hpp"
#include "picture.hpp"
#include "spec.hpp"

namespace {

using heed::index;

constexpr double epsilon = 0.3;  // a key that gets more of a mean row is a sink

const char* const story =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. She wanted to play with it, but it was too high.";

std::string text_of(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(std::string("cannot open ") + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What a model that knows the text well keeps low; a wrong forward pass does not.
double loss(const std::vector<float>& logits, const std::vector<int>& tokens, index vocabulary) {
  double sum = 0;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    const float* const row = logits.data() + static_cast<index>(i) * vocabulary;
    double all = 0;
    for (index c = 0; c < vocabulary; ++c) all += std::exp(double(row[c]));
    sum += std::log(all) - double(row[tokens[i + 1]]);
  }
  return sum / double(tokens.size() - 1);
}

void run(int argc, char** argv) {
  const auto model = sinks::llama::read(argv[1]);
  const auto words = sinks::tokenizer::read(argv[2], model.vocabulary);
  auto tokens = words.encode(argc > 3 ? text_of(argv[3]) : story);
  if (static_cast<index>(tokens.size()) > model.longest)
    tokens.resize(static_cast<std::size_t>(model.longest));
  const auto length = static_cast<index>(tokens.size());
  if (length < 2) throw std::runtime_error("the text is too short");
  const std::filesystem::path folder = argc > 4 ? argv[4] : ".";
  std::filesystem::create_directories(folder);

  const auto spec = sinks::attention_of(model);
  std::vector<float> entropies(static_cast<std::size_t>(model.heads * length)), masses = entropies;
  const heed::view<float> h(entropies.data(), {1, model.heads, length, 1}),
      a(masses.data(), {1, model.heads, length, 1});
  heed::row_entropy entropy(h);

  std::ofstream heads(folder / "heads.csv"), columns(folder / "columns.csv");
  heads << "layer,head,first_key_mass,is_sink,mean_entropy,uniform_entropy,centralisation\n";
  columns << "layer,head,key,token,mean_of_later_rows\n";
  sinks::heat_map map(static_cast<int>(model.layers * model.heads), static_cast<int>(length));
  double uniform = 0, rate = 0;
  for (index i = 0; i < length; ++i) uniform += std::log(double(i + 1)) / double(length);

  std::printf("%ld tokens, %ld layers of %ld heads; sink: the first key gets more than %g\n\n",
              long(length), long(model.layers), long(model.heads), epsilon);
  std::printf("layer  sink rate  mean entropy (causal uniform: %.2f)\n", uniform);
  const auto after = [&](const sinks::llama::layer& l) {
    heed::column_mass(spec, l.q, l.k, l.lse, {.mass = a}, {.later = true, .mean = true});
    const double sinks_here = heed::sink_rate(a, 0, epsilon);
    double layer_entropy = 0;
    for (index head = 0; head < model.heads; ++head) {
      double mean = 0;
      for (index i = 0; i < length; ++i) mean += double(h(0, head, i)) / double(length);
      layer_entropy += mean / double(model.heads);
      heads << l.number << ',' << head << ',' << a(0, head, 0) << ','
            << (double(a(0, head, 0)) > epsilon) << ',' << mean << ',' << uniform << ','
            << heed::centralisation(a, 0, head) << '\n';
      for (index j = 0; j < length; ++j) {
        columns << l.number << ',' << head << ',' << j << ',' << tokens[std::size_t(j)] << ','
                << a(0, head, j) << '\n';
        map(static_cast<int>(l.number * model.heads + head), static_cast<int>(j)) =
            double(a(0, head, j));
      }
    }
    rate += sinks_here / double(model.layers);
    std::printf("%5ld  %9.3f  %12.3f\n", long(l.number), sinks_here, layer_entropy);
  };
  const auto logits = model.run(tokens, [&](index) -> heed::observer* { return &entropy; }, after);
  // The last rows are few, so late columns are means of little: the scale leaves them out.
  map.write((folder / "columns.ppm").string(), 0.5, std::max(1, 800 / int(length)), 12,
            static_cast<int>(model.heads));
  heads.flush(), columns.flush();
  if (!heads || !columns) throw std::runtime_error("cannot write to " + folder.string());
  std::printf("\nsink rate of the model %.3f; loss on this text %.3f nats a token\n", rate,
              loss(logits, tokens, model.vocabulary));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s MODEL.bin TOKENIZER.bin [TEXT.txt [FOLDER]]\n", argv[0]);
    return 2;
  }
  try {
    run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", argv[0], e.what());
    return 1;
  }
}
