// SPDX-License-Identifier: BSL-1.0
// Text to tokens and back: bytes, or the pieces of a llama2.c tokenizer.
#pragma once

#include <algorithm>
#include <cctype>
#include <optional>
#include <unordered_map>

#include "file.hpp"

namespace decoder {

using ids = std::vector<std::int32_t>;

class tokenizer {
 public:
  virtual ~tokenizer() = default;
  virtual ids encode(const std::string& text) const = 0;
  // What `token` adds to a text whose last token is `before`.
  virtual std::string decode(std::int32_t before, std::int32_t token) const = 0;
  virtual bool ends(std::int32_t token) const = 0;
};

class byte_tokens : public tokenizer {
 public:
  ids encode(const std::string& text) const override {
    ids all;
    for (const char c : text) all.push_back(static_cast<unsigned char>(c));
    return all;
  }
  std::string decode(std::int32_t, std::int32_t token) const override {
    return {static_cast<char>(token)};
  }
  bool ends(std::int32_t) const override { return false; }
};

// tokenizer.bin of llama2.c: the longest piece, then score, length and bytes of each piece.
// Pieces 0, 1 and 2 are unknown, begin and end; 3 to 258 are the bytes.
class pieces : public tokenizer {
 public:
  pieces(bytes data, const std::string& name, index count) {
    detail::reader from(data, name);
    from.get<std::int32_t>();
    for (std::int32_t i = 0; i < count; ++i) {
      scores_.push_back(from.get<float>());
      const auto size = from.get<std::int32_t>();
      if (size < 0 || static_cast<std::size_t>(size) > from.rest().size())
        from.fail("it is too short");
      std::string& text = text_.emplace_back(static_cast<std::size_t>(size), '\0');
      from.get(text.data(), text.size());
      id_.try_emplace(text, i);
    }
    from.expect(0);
    if (count < first_byte + 256) from.fail("it has too few pieces");
  }

  // Characters, or their bytes; then the pair that makes the best piece is joined, again and again.
  ids encode(const std::string& text) const override {
    ids all{begin};
    if (text.empty()) return all;
    if (const auto space = find(" ")) all.push_back(*space);
    for (std::size_t i = 0, next; i < text.size(); i = next) {
      for (next = i + 1; next < text.size() && next - i < 4 && (text[next] & 0xc0) == 0x80;) ++next;
      if (const auto id = find(text.substr(i, next - i))) {
        all.push_back(*id);
        continue;
      }
      for (std::size_t j = i; j < next; ++j)
        all.push_back(first_byte + static_cast<unsigned char>(text[j]));
    }
    while (join_best(all)) continue;
    return all;
  }

  std::string decode(std::int32_t before, std::int32_t token) const override {
    if (token >= first_byte && token < first_byte + 256)
      return {static_cast<char>(token - first_byte)};
    const std::string& text = text_[static_cast<std::size_t>(token)];
    return before == begin && text.starts_with(' ') ? text.substr(1) : text;
  }
  bool ends(std::int32_t token) const override { return token == begin || token == end; }

 private:
  static constexpr std::int32_t begin = 1, end = 2, first_byte = 3;

  std::optional<std::int32_t> find(const std::string& text) const {
    const auto at = id_.find(text);
    return at == id_.end() ? std::nullopt : std::optional(at->second);
  }

  bool join_best(ids& all) const {
    std::optional<std::int32_t> best;
    std::size_t where = 0;
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
      const auto id = find(text_[static_cast<std::size_t>(all[i])] +
                           text_[static_cast<std::size_t>(all[i + 1])]);
      if (id && (!best ||
                 scores_[static_cast<std::size_t>(*id)] > scores_[static_cast<std::size_t>(*best)]))
        best = id, where = i;
    }
    if (!best) return false;
    all[where] = *best;
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(where) + 1);
    return true;
  }

  std::vector<std::string> text_;
  std::vector<float> scores_;
  std::unordered_map<std::string, std::int32_t> id_;
};

}  // namespace decoder
