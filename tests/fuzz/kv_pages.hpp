// SPDX-License-Identifier: BSL-1.0
// Which pages sequences have, naively: lists of numbers, counted where it matters.
#pragma once

#include <algorithm>
#include <set>
#include <vector>

#include "fuzz/memory.hpp"

namespace heed::fuzz {

struct model_pages {
  index pool, page;  // pages there are, tokens of each; a page of 0 tokens: nothing is counted
  std::vector<std::vector<index>> of;
  index named = 0;

  index used() const {
    std::set<index> all;
    for (const auto& list : of) all.insert(list.begin(), list.end());
    return static_cast<index>(all.size());
  }
  index users(index id) const {
    index n = 0;
    for (const auto& list : of) n += std::count(list.begin(), list.end(), id);
    return n;
  }
  bool fit() const { return used() <= pool; }

  void append(index b, index length, index n) {
    if (page == 0 || n == 0) return;
    auto& list = at(b);
    if (length % page != 0 && users(list.back()) > 1) list.back() = named++;
    while (index(list.size()) * page < length + n) list.push_back(named++);
  }
  void truncate(index b, index length) {
    if (page != 0) at(b).resize(static_cast<std::size_t>((length + page - 1) / page));
  }
  void fork(index from, index to, index length) {
    if (page == 0) return;
    at(to) = at(from);
    truncate(to, length);
  }
  // Tokens [from, to) are written.
  void own(index b, index from, index to) {
    for (index i = page == 0 ? 0 : from / page; page != 0 && i * page < to; ++i)
      if (index& id = at(b)[static_cast<std::size_t>(i)]; users(id) > 1) id = named++;
  }

 private:
  std::vector<index>& at(index b) { return of[static_cast<std::size_t>(b)]; }
};

}  // namespace heed::fuzz
