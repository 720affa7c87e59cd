// SPDX-License-Identifier: BSL-1.0
// What is written comes back; what is damaged, cut short or something else is refused.
#include "../examples/decoder/model_file.hpp"

#include "../examples/decoder/llama2c.hpp"
#include "../examples/decoder/tokens.hpp"
#include "support/catch.hpp"

namespace {

using Catch::Matchers::ContainsSubstring;
using decoder::load_weights;

const decoder::shape small{
    .width = 8, .hidden = 4, .layers = 1, .heads = 2, .kv_heads = 1, .vocabulary = 5, .context = 6};

std::vector<unsigned char> some_weights() {
  decoder::model<float> m(small);
  decoder::initialize(m, 2);
  const std::string path =
      (std::filesystem::temp_directory_path() / "heed.test.file.weights").string();
  decoder::save_weights(m, path);
  std::vector<unsigned char> data = decoder::read_file(path);
  CHECK_FALSE(std::filesystem::exists(path + ".part"));
  std::filesystem::remove(path);
  const decoder::model<float> again = load_weights(data, "a");
  CHECK(again.shape == m.shape);
  CHECK(again.parameters == m.parameters);
  return data;
}

}  // namespace

TEST_CASE("any changed byte and any other length is noticed") {
  const std::vector<unsigned char> data = some_weights();
  for (std::size_t i = 0; i < data.size(); i += i < 100 ? 1 : 97) {
    std::vector<unsigned char> other = data;
    other[i] ^= 4;
    CHECK_THROWS_WITH(load_weights(other, "a"), ContainsSubstring("cannot read 'a': "));
    CHECK_THROWS_AS(load_weights(decoder::bytes(data).first(i), "a"), std::runtime_error);
  }
  std::vector<unsigned char> longer = data;
  longer.push_back(0);
  CHECK_THROWS_AS(load_weights(longer, "a"), std::runtime_error);
}

TEST_CASE("sizes of a llama2.c model are checked before memory is taken") {
  const auto load = [](std::vector<std::int32_t> head) {
    const auto* raw = reinterpret_cast<const unsigned char*>(head.data());
    decoder::load_llama2c({raw, head.size() * 4}, "b");
  };
  CHECK_THROWS_WITH(load({8, 4, 1, 2}), ContainsSubstring("too short"));
  CHECK_THROWS_WITH(load({8, 4, 1, 2, 1, 5, 6}), ContainsSubstring("more bytes"));
  CHECK_THROWS_WITH(load({8, 4, 1, 3, 1, 5, 6}), ContainsSubstring("heads"));
  CHECK_THROWS_WITH(load({8, 4, 1, 0, 1, 5, 6}), ContainsSubstring("out of range"));
  for (std::size_t i = 0; i < 7; ++i)
    for (const std::int32_t bad : {0, -1, 1 << 30, std::numeric_limits<std::int32_t>::min()}) {
      std::vector<std::int32_t> head{8, 4, 1, 2, 1, 5, 6};
      head[i] = bad;
      CHECK_THROWS_AS(load(head), std::runtime_error);
    }
}

TEST_CASE("a tokenizer joins the best pair first") {
  decoder::detail::writer to;
  to.put(std::int32_t{4});
  const auto piece = [&](float score, const std::string& text) {
    to.put(score);
    to.put(static_cast<std::int32_t>(text.size()));
    to.put(text.data(), text.size());
  };
  for (const char* name : {"<unk>", "\n<s>\n", "\n</s>\n"}) piece(0, name);
  for (int i = 0; i < 256; ++i) piece(0, "<byte>");
  for (const char* one : {" ", "a", "b", "c"}) piece(-9, one);  // 259 to 262
  piece(-3, "ab");
  piece(-2, "bc");
  piece(-1, " a");
  const std::string path = (std::filesystem::temp_directory_path() / "heed.test.file.tok").string();
  to.save(path);
  std::vector<unsigned char> data = decoder::read_file(path);
  std::filesystem::remove(path);
  data.resize(data.size() - 8);  // the check at the end is none of a tokenizer
  const decoder::pieces t(data, "t", 266);
  CHECK(t.encode("") == decoder::ids{1});
  CHECK(t.encode("abc") == decoder::ids{1, 265, 264});
  CHECK(t.encode("\xc3\xa4") == decoder::ids{1, 259, 3 + 0xc3, 3 + 0xa4});
  CHECK(t.decode(1, 265) == "a");
  CHECK(t.decode(264, 265) == " a");
  CHECK(t.decode(264, 3 + 0xc3) == "\xc3");
  CHECK_THROWS_WITH(decoder::pieces(data, "t", 267), ContainsSubstring("too short"));
  CHECK_THROWS_AS(decoder::pieces(data, "t", 265), std::runtime_error);
}
