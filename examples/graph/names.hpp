// SPDX-License-Identifier: BSL-1.0
// What a model is told of a package: the three and four letters in a row that its name has, hashed
// into a table, which learns a row of numbers for each. "^kid3$" has ^ki kid id3 d3$ ^kid kid3
// id3$.
#pragma once

#include <cstdint>
#include <string_view>

#include "network.hpp"

namespace graph {

inline constexpr index pieces_known = 2048;

// Of node i: pieces[first[i]] up to pieces[first[i + 1]].
struct name_pieces {
  std::vector<index> first{0};
  std::vector<int> pieces;

  explicit name_pieces(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      const std::string whole = "^" + name + "$";
      for (std::size_t length = 3; length <= 4; ++length)
        for (std::size_t i = 0; i + length <= whole.size(); ++i)
          pieces.push_back(hash(std::string_view(whole).substr(i, length)));
      first.push_back(index(pieces.size()));
    }
  }

 private:
  static int hash(std::string_view text) {  // FNV-1a
    std::uint64_t h = 14695981039346656037U;
    for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211U;
    return int((h ^ (h >> 32)) % std::uint64_t(pieces_known));
  }
};

}  // namespace graph
