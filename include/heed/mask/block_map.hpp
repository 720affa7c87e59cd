// SPDX-License-Identifier: BSL-1.0
// mask/block_map: any mask as lists of blocks of keys, each with none, some or all of its pairs
// seen: built once, used by every layer, step and gradient of that shape.
//
//   block_map map(causal{} && window{.left = 3}, shape, {.rows = 2, .keys = 2});
//   x.......     +...     . nothing, # all, + some: the mask is asked there
//   xx......     #+..
//   xxx.....     +#+.
//   xxxx....     .+#+
//   .xxxx...
//   ..xxxx..
//   ...xxxx.
//   ....xxxx
//
// What it sees is what the mask sees; drivers walk the lists (mask/blocks.hpp) and skip whatever is
// not on them, also where the mask has more spans a row than a panel keeps, or none to give. A
// block_csr in place of the executor brings the caller's own lists, for instance of video or FFT
// patterns. With block_bounds blocks have sizes of their own; such a map is a mask like any other,
// by spans, and no list of blocks to drivers. Rows and keys are those of `shape`, whose offset must
// be that of the call: keys - queries where the last query sits at the last key. Not for packed
// sequences. Copies share the lists. Throws where blocks do not fit the shape or lists are out of
// order, naming the first; and at a call of another shape.
// FlexAttention, Dong et al. 2024; FlashInfer, Ye et al. 2025.
#pragma once

#include <heed/mask/block_covers.hpp>
#include <heed/mask/joined.hpp>
#include <memory>
#include <ostream>

namespace heed {

template <mask Inside, class Size = block_size> class block_map {
  using cuts =
      std::conditional_t<std::is_same_v<Size, block_size>, detail::even_cuts, detail::uneven_cuts>;
  using table = detail::block_table<cuts>;

 public:
  block_map(const Inside& of, const problem_shape& shape, const Size& size,
            const executor_ref& executor = {})
      : mask_(of) {
    check_policy(of, shape);
    auto made = std::make_shared<table>(size, shape);
    detail::fill(*made, of, executor);
    table_ = std::move(made);
  }
  block_map(const Inside& of, const problem_shape& shape, const Size& size, const block_csr& lists)
      : mask_(of) {
    check_policy(of, shape);
    auto made = std::make_shared<table>(size, shape);
    made->copy(lists, !std::is_same_v<Inside, full>);
    table_ = std::move(made);
  }

  static constexpr bool exact = exact_mask<Inside>();
  bool is_exact() const { return !table_->partly || heed::is_exact(mask_); }
  bool operator()(const position& at) const {
    const int entry = find(list(at), table_->keys.find(at.k));
    return entry >= 0 && ((entry & 1) || mask_(at));
  }
  template <class F> void intervals(const position& at, index keys, F emit) const {
    detail::joined out(keys, emit);
    const auto blocks = list(at);
    for (auto x = blocks.begin(); x != blocks.end();) {
      // Blocks that touch and are alike.
      span run = table_->keys.at(*x / 2);
      const bool all = *x & 1;
      for (++x; x != blocks.end() && bool(*x & 1) == all; ++x) {
        const span next = table_->keys.at(*x / 2);
        if (next.begin != run.end) break;
        run.end = next.end;
      }
      if (all)
        out.add(run);
      else
        heed::intervals(mask_, at, std::min(run.end, keys),
                        [&](span s) { out.add({std::max(s.begin, run.begin), s.end}); });
    }
    out.flush();
  }
  cover covers(const block& x) const {
    if (x.q.empty() || x.k.empty()) return cover::some;
    const index from = table_->rows.find(x.q.begin - table_->shape.offset),
                to = table_->rows.find(x.q.end - 1 - table_->shape.offset),
                first = table_->keys.find(x.k.begin), last = table_->keys.find(x.k.end - 1);
    bool any = false, every = true;
    for (index row_block = from; row_block <= to; ++row_block) {
      const auto blocks = table_->list(table_->list_of(x.b, x.h, row_block));
      index whole = 0;
      for (auto i = std::lower_bound(blocks.begin(), blocks.end(), 2 * first);
           i != blocks.end() && *i / 2 <= last; ++i)
        any = true, whole += *i & 1;
      every &= whole == last - first + 1;
    }
    return !any ? cover::none : every ? cover::all : cover::some;
  }
  void check(const problem_shape& shape) const {
    if (shape.packed) check::fail("heed::block_map", "a map does not suit packed sequences");
    const problem_shape& own = table_->shape;
    const auto want = [&](bool holds, const char* what, index is, index was) {
      if (!holds)
        check::fail("heed::block_map", std::string("the map is for ") + std::to_string(was) + ' ' +
                                           what + ", the call has " + std::to_string(is));
    };
    want(shape.queries == own.queries, "queries", shape.queries, own.queries);
    want(shape.keys == own.keys, "keys", shape.keys, own.keys);
    want(shape.offset == own.offset, "as the position of the first query", shape.offset,
         own.offset);
    want(table_->heads == 1 || shape.heads == own.heads, "query heads", shape.heads, own.heads);
    want(table_->batch == 1 || shape.batch == own.batch, "items", shape.batch, own.batch);
    check_policy(mask_, shape);
  }

  index block_rows() const
    requires std::is_same_v<Size, block_size>
  {
    return table_->rows.size;
  }
  index block_keys() const
    requires std::is_same_v<Size, block_size>
  {
    return table_->keys.size;
  }
  index block_heads() const { return table_->group; }
  const Inside& inside() const { return mask_; }
  template <class F> void key_blocks(index b, index h, index row_block, F emit) const {
    for (const int entry : table_->list(table_->list_of(b, h, row_block)))
      emit(index{entry / 2}, entry & 1 ? cover::all : cover::some);
  }

  // The share of all pairs that lies in blocks that are visited.
  double density() const {
    double seen = 0;
    for (index i = 0; i < table_->count(); ++i) seen += static_cast<double>(table_->pairs(i));
    const double all = static_cast<double>(table_->batch * table_->heads) *
                       static_cast<double>(table_->shape.queries) *
                       static_cast<double>(table_->shape.keys);
    return all > 0 ? seen / all : 0;
  }
  // A line a block of rows, a mark a block of keys; lists of several items or heads after their
  // name.
  friend std::ostream& operator<<(std::ostream& to, const block_map& map) {
    const table& t = *map.table_;
    std::string line;
    for (index i = 0; i < t.count(); ++i) {
      const index head = i / t.rows.count(), row_block = i % t.rows.count();
      if (row_block == 0 && t.batch * t.heads > 1)
        to << "batch " << head / t.heads << ", head " << head % t.heads << '\n';
      line.assign(static_cast<std::size_t>(t.keys.count()), '.');
      for (const int entry : t.list(i))
        line[static_cast<std::size_t>(entry / 2)] = entry & 1 ? '#' : '+';
      to << line << '\n';
    }
    return to;
  }

 private:
  std::span<const int> list(const position& at) const {
    return table_->list(table_->list_of(at.b, at.h, table_->rows.find(at.row)));
  }
  // The entry of a block, negative where it is not listed.
  static int find(std::span<const int> blocks, index block) {
    const auto at = std::lower_bound(blocks.begin(), blocks.end(), 2 * block);
    return at != blocks.end() && *at / 2 == block ? *at : -1;
  }

  Inside mask_;
  std::shared_ptr<const table> table_;
};

template <mask M>
block_map(const M&, const problem_shape&, const block_size&, const executor_ref& = {})
    -> block_map<M, block_size>;
template <mask M>
block_map(const M&, const problem_shape&, const block_size&, const block_csr&)
    -> block_map<M, block_size>;
template <mask M>
block_map(const M&, const problem_shape&, const block_bounds&, const executor_ref& = {})
    -> block_map<M, block_bounds>;
template <mask M>
block_map(const M&, const problem_shape&, const block_bounds&, const block_csr&)
    -> block_map<M, block_bounds>;

}  // namespace heed
