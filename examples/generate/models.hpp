// SPDX-License-Identifier: BSL-1.0
// A model with its tokenizer: the one built in, a file of train_text, or a model of llama2.c.
#pragma once

#include "../decoder/llama2c.hpp"
#include "../decoder/model_file.hpp"
#include "../decoder/tokens.hpp"

namespace generate {

struct speaker {
  decoder::model<float> model;
  std::unique_ptr<decoder::tokenizer> tokenizer;
  bool llama2c = false;
};

inline speaker of_bytes(decoder::bytes data, const std::string& name) {
  speaker s{decoder::load_weights(data, name), std::make_unique<decoder::byte_tokens>()};
  if (s.model.shape.vocabulary != 256)
    throw std::runtime_error("cannot read '" + name + "': its tokens are not bytes");
  return s;
}

inline std::string tokenizer_beside(const std::string& model, heed::index pieces) {
  const std::filesystem::path folder = std::filesystem::path(model).parent_path();
  const std::filesystem::path own = folder / ("tok" + std::to_string(pieces) + ".bin");
  return (std::filesystem::exists(own) ? own : folder / "tokenizer.bin").string();
}

inline speaker load(const std::string& path, const std::string& tokenizer) {
  const std::vector<unsigned char> data = decoder::read_file(path);
  if (decoder::is_weights(data)) return of_bytes(data, path);
  speaker s{decoder::load_llama2c(data, path), nullptr, true};
  const heed::index pieces = s.model.shape.vocabulary;
  const std::string name = tokenizer.empty() ? tokenizer_beside(path, pieces) : tokenizer;
  s.tokenizer = std::make_unique<decoder::pieces>(decoder::read_file(name), name, pieces);
  return s;
}

}  // namespace generate
