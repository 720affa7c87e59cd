// SPDX-License-Identifier: BSL-1.0
// A text that grows: bytes in, logits of the next one out.
#pragma once

#include <memory>

#include "rwkv5.hpp"
#include "rwkv6.hpp"
#include "rwkv7.hpp"

namespace rwkv {

inline std::unique_ptr<model> load(const std::string& path) {
  const model_file file(path);
  if (file.vocabulary() != 256) file.fail("its tokens are not bytes");
  const std::string att = "blocks.0.att.";
  if (file.has(att + "k_k")) return std::make_unique<rwkv7>(file);
  if (file.has(att + "time_maa_x")) return std::make_unique<rwkv6>(file);
  if (file.has(att + "ln_x.weight")) return std::make_unique<rwkv5>(file);
  file.fail("it is not RWKV-5, 6 or 7");
}

class session {
 public:
  explicit session(const model& m) : model_(&m), kept_(m.blank()) {}

  // Tokens that follow what was read, at most `chunk` (0: all) at once.
  const row& read(std::string_view text, form by, std::size_t chunk = 0) {
    if (by == form::step) chunk = 1;
    if (chunk == 0) chunk = text.size();
    call c{by, scratch_, {}};
    for (; !text.empty(); text.remove_prefix(std::min(chunk, text.size()))) {
      const std::string_view part = text.substr(0, chunk);
      logits_ = model_->read({reinterpret_cast<const unsigned char*>(part.data()), part.size()},
                             kept_, c);
    }
    return logits_;
  }

 private:
  const model* model_;
  std::vector<memory> kept_;
  row logits_;
  heed::workspace scratch_;
};

}  // namespace rwkv
