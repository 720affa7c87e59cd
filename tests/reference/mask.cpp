// SPDX-License-Identifier: BSL-1.0
// Every mask beside its drawing: rows are queries, columns are keys, x is allowed.
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/chunk.hpp>
#include <heed/reference/mask/document.hpp>
#include <heed/reference/mask/first_keys.hpp>
#include <heed/reference/mask/full.hpp>
#include <heed/reference/mask/lengths.hpp>
#include <heed/reference/mask/prefix.hpp>
#include <heed/reference/mask/rectangle.hpp>
#include <heed/reference/mask/types.hpp>
#include <heed/reference/mask/window.hpp>

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace heed::reference::mask;

namespace {

using drawing = std::vector<std::string>;

drawing draw(const heed::reference::allowed& a) {
  drawing rows;
  for (Eigen::Index r = 0; r < a.rows(); ++r) {
    rows.emplace_back();
    for (Eigen::Index j = 0; j < a.cols(); ++j) rows.back() += a(r, j) ? 'x' : '.';
  }
  return rows;
}

}  // namespace

TEST_CASE("full allows every pair") { CHECK(draw(full(2, 3)) == drawing{"xxx", "xxx"}); }

TEST_CASE("causal in its alignments") {
  CHECK(draw(causal(3, 3)) == drawing{"x..", "xx.", "xxx"});
  CHECK(draw(causal(2, 4)) == drawing{"xxx.", "xxxx"});
  CHECK(draw(causal(4, 2)) == drawing{"..", "..", "x.", "xx"});
  CHECK(draw(causal_top_left(2, 4)) == drawing{"x...", "xx.."});
  CHECK(draw(causal(2, 4, 1)) == drawing{"xx..", "xxx."});
  CHECK(draw(causal(2, 2, -1)) == drawing{"..", "x."});
}

TEST_CASE("window around the query's position") {
  CHECK(draw(window(4, 4, 1, 0)) == drawing{"x...", "xx..", ".xx.", "..xx"});
  CHECK(draw(window(4, 4, 1, 1)) == drawing{"xx..", "xxx.", ".xxx", "..xx"});
  CHECK(draw(window(2, 5, 2, 0)) == drawing{".xxx.", "..xxx"});
  CHECK(draw(window(2, 5, 0, 1, 0)) == drawing{"xx...", ".xx.."});
  CHECK(draw(window(3, 3, 0, -1)) == drawing{"...", "...", "..."});
}

TEST_CASE("first keys beside a causal window make the streaming mask") {
  CHECK(draw(first_keys(2, 4, 2)) == drawing{"xx..", "xx.."});
  CHECK(draw(causal(6, 6) && (window(6, 6, 1, 0) || first_keys(6, 6, 2))) ==
        drawing{"x.....", "xx....", "xxx...", "xxxx..", "xx.xx.", "xx..xx"});
  CHECK(draw(!causal(3, 3)) == drawing{".xx", "..x", "..."});
}

TEST_CASE("chunk") {
  CHECK(draw(chunk(5, 5, 2)) == drawing{"xx...", "xx...", "..xx.", "..xx.", "....x"});
  CHECK(draw(chunk(5, 5, 2) && causal(5, 5)) ==
        drawing{"x....", "xx...", "..x..", "..xx.", "....x"});
  CHECK(draw(chunk_with_previous(5, 5, 2)) == drawing{"xx...", "xx...", "xxxx.", "xxxx.", "..xxx"});
  CHECK(draw(block_causal(5, 5, 2)) == drawing{"xx...", "xx...", "xxxx.", "xxxx.", "xxxxx"});
  CHECK(draw(chunk(2, 5, 2)) == drawing{"..xx.", "....x"});
  CHECK(draw(block_causal(2, 4, 2, 1)) == drawing{"xx..", "xxxx"});
}

TEST_CASE("chunks of rows before the first key count downwards") {
  CHECK(chunk_of(-1, 2) == -1);
  CHECK(chunk_of(-2, 2) == -1);
  CHECK(chunk_of(-3, 2) == -2);
  CHECK(draw(chunk(3, 1, 2)) == drawing{".", ".", "x"});
  CHECK(draw(chunk_with_previous(2, 1, 2, -1)) == drawing{".", "x"});
}

TEST_CASE("document from ids and from cumulative lengths") {
  CHECK(document_ids({0, 2, 2, 5}) == heed::reference::indices{0, 0, 2, 2, 2});
  const auto ids = document_ids({0, 2, 5});
  CHECK(draw(document(ids, ids)) == drawing{"xx...", "xx...", "..xxx", "..xxx", "..xxx"});
  CHECK(draw(document(ids, ids) && causal(5, 5)) ==
        drawing{"x....", "xx...", "..x..", "..xx.", "..xxx"});
  CHECK(draw(document({7, 3}, {3, 7, 7})) == drawing{".xx", "x.."});
}

TEST_CASE("lengths cut rows and keys") {
  CHECK(draw(lengths(3, 4, 2, 3)) == drawing{"xxx.", "xxx.", "...."});
  CHECK(draw(lengths(1, 2, 1, 0)) == drawing{".."});
}

TEST_CASE("prefix, for a sequence and for each document") {
  CHECK(draw(prefix(4, 4, 2)) == drawing{"xx..", "xx..", "xxx.", "xxxx"});
  CHECK(draw(prefix(2, 4, 0)) == drawing{"xxx.", "xxxx"});
  CHECK(draw(prefix(2, 4, 3, 0)) == drawing{"xxx.", "xxx."});
  CHECK(draw(prefix_per_document({0, 3, 5}, {2, 1})) ==
        drawing{"xx...", "xx...", "xxx..", "...x.", "...xx"});
}

TEST_CASE("rectangles beside causal") {
  CHECK(draw(rectangle(4, 4, {{0, 2, 2, 4}})) == drawing{"x.xx", "xxxx", "xxx.", "xxxx"});
  CHECK(draw(rectangle(4, 4, {{0, 1, 3, 4}, {1, 2, 2, 3}})) ==
        drawing{"x..x", "xxx.", "xxx.", "xxxx"});
  CHECK(draw(rectangle(2, 4, {{2, 3, 3, 4}})) == drawing{"xxxx", "xxxx"});
}

TEST_CASE("types and spans") {
  const std::vector<bool> all(5, true);
  CHECK(draw(types(5, {0, 1, 1, 0, 1}, all, 1)) ==
        drawing{"x....", "xxx.x", "xxx.x", "xxxx.", "xxxxx"});
  CHECK(draw(types(2, {0, 1, 1, 0, 1}, all, 1)) == drawing{"xxxx.", "xxxxx"});
  CHECK(draw(types(3, {0, 1, 1}, {true, false, true}, 1)) == drawing{"x..", "...", "x.x"});
  CHECK(draw(spans(5, {-1, 0, 0, 1, 1}, all)) ==
        drawing{"x....", "xxx..", "xxx..", "xxxxx", "xxxxx"});
  CHECK(draw(spans(2, {-1, -1}, {true, true})) == drawing{"x.", "xx"});
}
