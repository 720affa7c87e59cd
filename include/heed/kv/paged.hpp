// SPDX-License-Identifier: BSL-1.0
// kv/paged: tokens in pages [P, Hkv, page, D] that sequences take from one pool and may share.
//
//   heed::paged_kv cache({.batch = B, .heads = Hkv, .depth = D, .value_depth = D},
//                        {.pages = 1024, .page = 16, .table = 256});
//   cache.append(0, as<"BLHD">(prompt_k), as<"BLHD">(prompt_v));
//   cache.fork(0, 1);          // shares all pages; the first to write into one gets a copy
//   cache.fork(0, 2, 512);     // shares a prefix
//   cache.release(0);
//
// Verbs: append, truncate, fork, evict, see kv/placed.hpp. They throw, too, where the pool has too
// few pages, those that a write to shared pages needs included.
// PagedAttention, Kwon et al. 2023.
#pragma once

#include <heed/kv/placed.hpp>

namespace heed {

struct kv_pages {
  index pages = 0;  // P, for all sequences together
  index page = 16;  // tokens a page
  index table = 0;  // pages that one sequence may have; 0: all

  constexpr index most() const { return table == 0 ? pages : std::min(table, pages); }
};

namespace detail {

class page_table {
 public:
  static constexpr kv_names names{"heed::paged_kv::append", "heed::paged_kv::truncate",
                                  "heed::paged_kv::fork", "heed::paged_kv::evict"};

  // Of extents that have been checked.
  page_table(index batch, const kv_pages& pool)
      : page_(pool.page),
        row_(pool.most()),
        table_(static_cast<std::size_t>(batch * row_)),
        count_(static_cast<std::size_t>(batch)),
        copies_(static_cast<std::size_t>(batch)),
        users_(static_cast<std::size_t>(pool.pages)) {
    for (index p = pool.pages; p-- > 0;) free_.push_back(p);
  }

  index free() const { return static_cast<index>(free_.size()); }
  index page_of(index b, index i) const { return table_[at(b * row_ + i)]; }
  index users(index page) const { return users_[at(page)]; }
  index count(index b) const { return count_[at(b)]; }
  kv_place at(index b, index t) const { return {page_of(b, t / page_), t % page_}; }
  index together(index t) const { return page_ - t % page_; }

  void check_room(const kv_tokens& tokens, index first, index last, index n) {
    for (index b = first; b < last; ++b)
      if (n > row_ * page_ - tokens.length(b))
        check::fail(names.append, "sequence " + std::to_string(b) + " has " +
                                      std::to_string(tokens.length(b)) + " of " +
                                      std::to_string(row_ * page_) + " tokens: no room for " +
                                      std::to_string(n));
    // Copies are counted as the appends will make them: the last user of a page writes into it.
    index needed = 0;
    for (index b = first; b < last; ++b) {
      const index length = tokens.length(b);
      needed += pages_for(length + n) - count(b);
      copies_[at(b)] = n > 0 && shared(b, length);
      if (copies_[at(b)]) ++needed, --users_[at(page_of(b, length / page_))];
    }
    for (index b = first; b < last; ++b)
      if (copies_[at(b)]) ++users_[at(page_of(b, tokens.length(b) / page_))];
    check_free(names.append, needed);
  }
  void make_room(const kv_store& store, index b, index from, index to) {
    if (to > from && shared(b, from)) replace(store, b, from / page_, from % page_);
    while (count(b) < pages_for(to)) {
      table_[at(b * row_ + count(b))] = take();
      ++count_[at(b)];
    }
  }
  // Tokens [from, to) of `length` can be written without anybody else seeing it.
  void own(const kv_store& store, const char* operation, index b, index from, index to,
           index length) {
    index needed = 0;
    for (index i = from / page_; i < pages_for(to); ++i) needed += users(page_of(b, i)) > 1;
    check_free(operation, needed);
    for (index i = from / page_; i < pages_for(to); ++i)
      if (users(page_of(b, i)) > 1) replace(store, b, i, std::min(page_, length - i * page_));
  }
  void truncate(index b, index length) {
    for (; count(b) > pages_for(length); --count_[at(b)]) drop(page_of(b, count(b) - 1));
  }
  void fork(const kv_store&, index from, index to, index length) {
    truncate(to, 0);
    for (index& i = count_[at(to)]; i < pages_for(length); ++i) {
      table_[at(to * row_ + i)] = page_of(from, i);
      ++users_[at(page_of(from, i))];
    }
  }

 private:
  static std::size_t at(index i) { return static_cast<std::size_t>(i); }
  index pages_for(index tokens) const { return (tokens + page_ - 1) / page_; }
  bool shared(index b, index token) const {
    return token % page_ != 0 && users(page_of(b, token / page_)) > 1;
  }
  void check_free(const char* operation, index needed) const {
    if (needed > free())
      check::fail(operation, std::to_string(needed) + " pages are needed, " +
                                 std::to_string(free()) + " are free");
  }
  index take() {
    const index page = free_.back();
    free_.pop_back();
    users_[at(page)] = 1;
    return page;
  }
  void drop(index page) {
    if (--users_[at(page)] == 0) free_.push_back(page);
  }
  void replace(const kv_store& store, index b, index i, index tokens) {
    const index before = page_of(b, i), after = take();
    store.copy_page(before, after, tokens);
    drop(before);
    table_[at(b * row_ + i)] = after;
  }

  index page_, row_;
  std::vector<index> table_, count_;  // [B, row]; pages of each sequence
  std::vector<char> copies_;          // of check_room
  std::vector<index> users_, free_;   // of each page; a stack that never grows beyond P
};

}  // namespace detail

class paged_kv : public placed_kv<detail::page_table> {
 public:
  // Throws on extents that are not positive, and on formats that say two things at once or need
  // another page size.
  paged_kv(const kv_shape& shape, const kv_pages& pool, const kv_formats& formats = {})
      : paged_kv(store(shape, pool, formats), shape, pool) {}

  // Gives the pages of a sequence back, as truncate(b, 0) does.
  void release(index b) { truncate(b, 0); }
  index free_pages() const { return pages_.free(); }
  // Page i of sequence b, and how many sequences have a page.
  index page(index b, index i) const { return pages_.page_of(b, i); }
  index users(index page) const { return pages_.users(page); }

 private:
  paged_kv(kv_store checked, const kv_shape& shape, const kv_pages& pool)
      : placed_kv(std::move(checked), {shape.batch, pool}, shape.batch, pool.page * pool.most()) {}
  static kv_store store(const kv_shape& shape, const kv_pages& pool, const kv_formats& formats) {
    if (pool.table < 0)
      check::fail("heed::paged_kv",
                  "pages of a sequence must not be negative: " + std::to_string(pool.table));
    if (double(shape.batch) * double(pool.most()) >= double(kv_limit))
      check::fail("heed::paged_kv", "a table of " + std::to_string(shape.batch) +
                                        " sequences and " + std::to_string(pool.most()) +
                                        " pages is too large");
    return kv_store("heed::paged_kv", shape, formats, pool.pages, pool.page);
  }
};

static_assert(kv_source<paged_kv>);

}  // namespace heed
