// SPDX-License-Identifier: BSL-1.0
// stories260K of llama2.c gives its published tokens; skipped where HEED_MODELS_DIR is not set.
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "../examples/decoder/llama2c.hpp"
#include "../examples/decoder/pass.hpp"
#include "../examples/decoder/session.hpp"
#include "../examples/decoder/state.hpp"
#include "../examples/decoder/tokens.hpp"
#include "support/catch.hpp"

TEST_CASE("a session gives the logits of a pass over the whole text") {
  const decoder::shape s{.width = 24,
                         .hidden = 20,
                         .layers = 2,
                         .heads = 6,
                         .kv_heads = 2,
                         .vocabulary = 30,
                         .context = 12};
  decoder::model<float> m(s);
  decoder::initialize(m, 3);
  decoder::random_numbers draw(4);
  decoder::ids text(40);
  for (std::int32_t& t : text) t = static_cast<std::int32_t>(draw.below(30));
  decoder::pass<float> pass(s, 1, 40);
  const decoder::matrix<float> all = pass.forward(m, text);
  decoder::session session(m);
  const auto rest = std::span<const std::int32_t>(text);
  // Two layers, each a sum of at most 24 + 20 terms of order one.
  const float bound = 2 * 44 * 1e-7F * all.cwiseAbs().maxCoeff();
  CHECK((session.read(rest.first(17)) - all.row(16)).cwiseAbs().maxCoeff() < bound);
  for (std::size_t i = 17; i < text.size(); ++i) {
    const auto row = static_cast<decoder::index>(i);
    CHECK((session.read(rest.subspan(i, 1)) - all.row(row)).cwiseAbs().maxCoeff() < bound);
  }
}

TEST_CASE("stories260K gives its published text") {
  const char* const models = std::getenv("HEED_MODELS_DIR");
  if (models == nullptr || *models == '\0') {
    WARN("HEED_MODELS_DIR is not set");
    return;
  }
  const std::string folder = std::string(models) + "/stories260K/";
  const auto data = decoder::read_file(folder + "stories260K.bin");
  const decoder::model<float> m = decoder::load_llama2c(data, "stories260K.bin");
  const decoder::pieces pieces(decoder::read_file(folder + "tok512.bin"), "tok512.bin",
                               m.shape.vocabulary);
  std::ifstream list(folder + "greedy-tokens.txt");
  const decoder::ids expected((std::istream_iterator<std::int32_t>(list)), {});
  REQUIRE(expected.size() > 200);

  decoder::session session(m);
  decoder::random_numbers draw(1);
  decoder::ids text = pieces.encode("");
  std::string written;
  while (text.size() < expected.size()) {
    const auto last = std::span<const std::int32_t>(text).last(1);
    const std::int32_t next = decoder::choose(session.read(last), 0, draw);
    written += pieces.decode(text.back(), next);
    text.push_back(next);
  }
  CHECK(text == expected);
  std::ifstream file(folder + "greedy-text.txt");
  const std::string published((std::istreambuf_iterator<char>(file)), {});
  CHECK(published.starts_with(written));
  CHECK(pieces.encode(published.substr(0, 100)) ==
        decoder::ids(expected.begin(),
                     expected.begin() + static_cast<std::ptrdiff_t>(
                                            pieces.encode(published.substr(0, 100)).size())));
}
