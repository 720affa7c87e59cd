// SPDX-License-Identifier: BSL-1.0
// Draws masks and the blocks, patches and lists that the loops make of them. docs/loops.md shows
// the drawings; with --check the program compares them with the page. ctest: --check
#include <heed/mask/block_map.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/chunk.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/document.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/prefix.hpp>
#include <heed/mask/strided.hpp>
#include <heed/mask/window.hpp>
#include <heed/neighborhood/natten.hpp>
#include <heed/plan/selected.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using heed::index;
using lines = std::vector<std::string>;

// A row a query, a column a key; the last query sits at the last key.
template <heed::mask M> lines pairs(const M& mask, index queries, index keys) {
  lines drawn;
  for (index q = 0; q < queries; ++q) {
    std::string line;
    for (index k = 0; k < keys; ++k)
      line += mask({.q = q + keys - queries, .k = k, .row = q, .slot = k}) ? 'x' : '.';
    drawn.push_back(line);
  }
  return drawn;
}

// The same by blocks: # all of it is seen, + some, . nothing.
template <heed::mask M> lines blocks(const M& mask, index tokens, index rows, index keys) {
  const heed::problem_shape shape{
      .batch = 1, .heads = 1, .kv_heads = 1, .queries = tokens, .keys = tokens};
  std::stringstream printed;
  printed << heed::block_map(mask, shape, {.rows = rows, .keys = keys});
  lines drawn;
  for (std::string line; std::getline(printed, line);) drawn.push_back(line);
  return drawn;
}

// A grid: what tokens see, one or several of them.
lines grid(const heed::neighborhood<2>& mask, const std::vector<std::array<index, 2>>& queries) {
  lines drawn;
  for (index y = 0; y < mask.size[0]; ++y) {
    std::string line;
    for (index x = 0; x < mask.size[1]; ++x) {
      const bool seen = std::any_of(queries.begin(), queries.end(), [&](const auto& q) {
        return mask({.q = q[0] * mask.size[1] + q[1], .k = y * mask.size[1] + x});
      });
      const bool asks =
          std::find(queries.begin(), queries.end(), std::array{y, x}) != queries.end();
      line += asks ? (seen ? 'Q' : 'q') : seen ? 'x' : '.';
    }
    drawn.push_back(line);
  }
  return drawn;
}

struct titled {
  std::string title;
  lines drawn;
};

// Side by side, each below its title.
std::string beside(const std::vector<titled>& all) {
  std::size_t height = 0;
  for (const titled& x : all) height = std::max(height, x.drawn.size());
  std::string text;
  for (std::size_t i = 0; i <= height; ++i) {
    std::string line;
    for (const titled& x : all) {
      std::size_t width = x.title.size();
      for (const std::string& each : x.drawn) width = std::max(width, each.size());
      const std::string part = i == 0                ? x.title
                               : i <= x.drawn.size() ? x.drawn[i - 1]
                                                     : std::string();
      line += part + std::string(width + 3 - part.size(), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

struct drawing {
  std::string name, text;
};

std::vector<drawing> drawings() {
  using heed::causal, heed::window, heed::first_keys;
  std::vector<drawing> all;
  const auto add = [&](const char* name, const std::vector<titled>& x) {
    all.push_back({name, beside(x)});
  };

  add("alignment", {{"causal{}", pairs(causal{}, 4, 7)},
                    {"causal{.shift = Lq - Lk}", pairs(causal{.shift = 4 - 7}, 4, 7)},
                    {"causal{}, decoding", pairs(causal{}, 1, 7)}});

  const std::vector<int> document_id{0, 0, 0, 1, 1, 1, 1, 2}, prefix_length{3};
  add("masks", {{"window{.left = 2}", pairs(window{.left = 2}, 8, 8)},
                {"sinks and window", pairs(causal{} && (window{.left = 2} || first_keys{1}), 8, 8)},
                {"document{ids}", pairs(causal{} && heed::document{{document_id}}, 8, 8)},
                {"prefix{3}", pairs(heed::prefix{prefix_length}, 8, 8)},
                {"chunk{3}", pairs(heed::chunk{.size = 3}, 8, 8)},
                {"strided{3}", pairs(heed::strided{3}, 8, 8)}});

  const auto both = causal{} && window{.left = 11};
  add("tiles", {{"causal{}", blocks(causal{}, 32, 4, 4)},
                {"window{.left = 11}", blocks(both, 32, 4, 4)},
                {"with first_keys{2}",
                 blocks(causal{} && (window{.left = 11} || first_keys{2}), 32, 4, 4)}});

  const heed::neighborhood<2> plain{{7, 12}, {3, 3}};
  add("grid",
      {{"inside", grid(plain, {{3, 5}})},
       {"in a corner", grid(plain, {{0, 11}})},
       {"dilation {2, 3}", grid({.size = {7, 12}, .window = {3, 3}, .dilation = {2, 3}}, {{3, 5}})},
       {"causal rows",
        grid({.size = {7, 12}, .window = {3, 3}, .causal = {true, false}}, {{3, 5}})}});
  add("slide", {{"lane 0", grid(plain, {{3, 4}})},
                {"lane 1", grid(plain, {{3, 5}})},
                {"all four", grid(plain, {{3, 4}, {3, 5}, {3, 6}, {3, 7}})}});
  const heed::neighborhood<2> strided{.size = {7, 12}, .window = {4, 4}, .stride = {2, 2}};
  add("patch", {{"two of a stride", grid(strided, {{2, 4}, {3, 5}})},
                {"a patch of 2 × 4",
                 grid(strided, {{2, 4}, {2, 5}, {2, 6}, {2, 7}, {3, 4}, {3, 5}, {3, 6}, {3, 7}})}});

  lines met = pairs(causal{}, 12, 12);  // by products inside a chunk, else through the state
  const lines inside = pairs(causal{} && heed::chunk{.size = 4}, 12, 12);
  for (std::size_t q = 0; q < met.size(); ++q)
    for (std::size_t k = 0; k < met.size(); ++k)
      if (met[q][k] == 'x' && inside[q][k] != 'x') met[q][k] = 's';
  add("chunk", {{"chunks of 4", met}});

  const std::vector<index> offsets{0, 1, 2, 4, 6, 8, 10, 12, 14};
  const std::vector<int> chosen{0, 0, 0, 1, 0, 1, 1, 2, 0, 2, 0, 3, 1, 3};
  const heed::block_lists lists{.offsets = offsets, .blocks = chosen, .rows = 1, .keys = 2};
  lines named;  // a row a block of keys, a column a row of queries
  for (int block = 0; block < 4; ++block) {
    std::string line;
    for (index q = 0; q < 8; ++q) {
      const auto list = lists(0, 0, q);
      line += std::find(list.begin(), list.end(), block) == list.end() ? '.' : 'q';
    }
    named.push_back(line);
  }
  add("lists", {{"a list a row", pairs(heed::selected{lists, causal{}}, 8, 8)}, {"turned", named}});
  return all;
}

// 0 where the page has every drawing as it is, and no other.
int differences(const std::string& page, const std::vector<drawing>& all) {
  std::ifstream file(page);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  int wrong = 0;
  std::size_t marks = 0;
  for (std::size_t at = 0; (at = text.find("<!-- drawing: ", at)) != std::string::npos; ++at)
    ++marks;
  for (const drawing& x : all) {
    const std::string shown = "<!-- drawing: " + x.name + " -->\n```text\n" + x.text + "```\n";
    if (text.find(shown) != std::string::npos) continue;
    std::printf("masks: the page should have\n%s", shown.c_str());
    ++wrong;
  }
  if (marks != all.size()) {
    std::printf("masks: %zu drawings, %zu on the page\n", all.size(), marks);
    ++wrong;
  }
  return wrong;
}

}  // namespace

int main(int count, char** given) {
  const std::vector<drawing> all = drawings();
  if (count > 1 && std::string_view(given[1]) == "--check")
    return differences(HEED_EXAMPLE_DIR "/../docs/loops.md", all) == 0 ? 0 : 1;
  for (const drawing& x : all) std::printf("%s\n\n%s\n", x.name.c_str(), x.text.c_str());
  return 0;
}
