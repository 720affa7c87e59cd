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
  decoder::session session(m, {.capacity = 40});
  const auto rest = std::span<const std::int32_t>(text);
  // Two layers, each a sum of at most 24 + 20 terms of order one.
  const float bound = 2 * 44 * 1e-7F * all.cwiseAbs().maxCoeff();
  CHECK((session.read(rest.first(17)) - all.row(16)).cwiseAbs().maxCoeff() < bound);
  for (std::size_t i = 17; i < text.size(); ++i) {
    const auto row = static_cast<decoder::index>(i);
    CHECK((session.read(rest.subspan(i, 1)) - all.row(row)).cwiseAbs().maxCoeff() < bound);
  }
}

namespace {

// Empty where there are no models.
std::string models() {
  const char* const folder = std::getenv("HEED_MODELS_DIR");
  if (folder != nullptr && *folder != '\0') return std::string(folder) + "/stories260K/";
  WARN("HEED_MODELS_DIR is not set");
  return "";
}

decoder::model<float> stories(const std::string& folder) {
  return decoder::load_llama2c(decoder::read_file(folder + "stories260K.bin"), "stories260K.bin");
}

}  // namespace

TEST_CASE("stories260K gives its published text") {
  const std::string folder = models();
  if (folder.empty()) return;
  const decoder::model<float> m = stories(folder);
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

namespace {

using tokens = std::span<const std::int32_t>;

constexpr std::int32_t begin = 1, end = 2;

// Stories one after another, each from the start.
decoder::ids many_stories(const decoder::model<float>& m, std::size_t length) {
  decoder::ids all;
  decoder::random_numbers draw(1);
  while (all.size() < length) {
    decoder::session session(m);
    decoder::ids one{begin};
    while (one.size() < 500) {
      const std::int32_t next = decoder::choose(session.read(tokens(one).last(1)), 0.8, draw);
      if (next == begin || next == end) break;
      one.push_back(next);
    }
    all.insert(all.end(), one.begin(), one.end());
  }
  all.resize(length);
  return all;
}

// Mean of -ln p of the tokens from `first` on.
double surprise(const decoder::model<float>& m, const decoder::cache_plan& plan,
                const decoder::ids& text, std::size_t first) {
  decoder::session session(m, plan);
  double sum = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const auto& logits = session.read(tokens(text).subspan(i, 1));
    if (i + 1 >= first) sum += decoder::cross_entropy<float>(logits, tokens(text).subspan(i + 1));
  }
  return sum / double(text.size() - first);
}

// The same, each token told from at least 256 before it and no cache.
double surprise_afresh(const decoder::model<float>& m, const decoder::ids& text,
                       std::size_t first) {
  double sum = 0;
  for (std::size_t from = first; from < text.size(); from += 256) {
    const std::size_t known = std::min<std::size_t>(from, 256);
    const std::size_t count = std::min<std::size_t>(256, text.size() - from) + known - 1;
    decoder::pass<float> pass(m.shape, 1, static_cast<decoder::index>(count));
    const auto& logits = pass.forward(m, tokens(text).subspan(from - known, count));
    sum += decoder::cross_entropy<float>(logits, tokens(text).subspan(from - known + 1, count),
                                         static_cast<decoder::index>(known) - 1);
  }
  return sum / double(text.size() - first);
}

}  // namespace

// Stories of the model itself, 1,200 tokens beyond the 512 that it was trained with: in a streaming
// cache it finds them as likely as from the start, without a window it does not. (On this model a
// window needs no sinks: its training texts begin anywhere.)
TEST_CASE("a streaming cache goes on far beyond the trained length") {
  const std::string folder = models();
  if (folder.empty()) return;
  const decoder::model<float> m = stories(folder);
  constexpr std::size_t trained = 512, length = trained + 1200;
  REQUIRE(m.shape.context == trained);
  const decoder::ids text = many_stories(m, length);
  const double afresh = surprise_afresh(m, text, trained);
  const double streaming = surprise(m, {.kind = decoder::cache_kind::streaming}, text, trained);
  const double small =
      surprise(m, {.kind = decoder::cache_kind::streaming, .window = 128}, text, trained);
  const double unbounded = surprise(m, {.capacity = length, .window = length}, text, trained);
  CAPTURE(afresh, streaming, small, unbounded);
  CHECK(afresh < 1.1);
  CHECK(std::abs(streaming - afresh) < 0.06);
  CHECK(std::abs(small - afresh) < 0.06);
  CHECK(unbounded > streaming + 0.08);
}
