// SPDX-License-Identifier: BSL-1.0
// select/nsa: what native sparse attention looks at (Yuan et al., NSA, 2025): compressed keys, and
// the blocks of tokens that weigh most among them.
//
//   K̃_c, Ṽ_c  one row for the tokens [c·stride, c·stride + block): a mean, or what a model makes
//
//   p_ic = softmax over the c that end at or before query i
//
//   P_ij = Σ_c (how many strides of c lie in block j) Σ_{heads of the group} p_ic
//
// Query i attends to the `count` blocks of `selected` tokens with the largest P_ij, the first
// `sinks` and the last `local` up to its own always among them; ties go to the lower block. One
// list for the query heads of a kv head. `select/nsa_attend.hpp` puts the branches together.
#pragma once

#include <heed/mask/concept.hpp>
#include <heed/select/row_choice.hpp>
#include <heed/simd/exp2.hpp>
#include <heed/simd/tile.hpp>

namespace heed {

struct nsa {
  index block = 32, stride = 16;  // of compressed keys
  index selected = 64;            // tokens of a block that is chosen
  index count = 16;
  index sinks = 1, local = 2;  // of the chosen
  index window = 512;          // of the sliding branch, the query itself counted

  // Compressed rows of `keys` tokens.
  constexpr index compressed(index keys) const {
    return keys < block ? 0 : (keys - block) / stride + 1;
  }
  void check(const char* operation) const {
    const auto positive = [&](const char* name, index is) {
      if (is < 1)
        check::fail(operation, std::string(name) + " must be positive: " + std::to_string(is));
    };
    positive("block", block), positive("stride", stride), positive("selected", selected);
    positive("count", count), positive("window", window);
    if (block % stride != 0 || selected % stride != 0)
      check::fail(operation, "block and selected must be multiples of stride " +
                                 std::to_string(stride) + ": " + std::to_string(block) + " and " +
                                 std::to_string(selected));
    if (sinks < 0 || local < 1 || sinks > count - local)
      check::fail(operation, "sinks and at least one local block must be among the " +
                                 std::to_string(count) + " chosen: " + std::to_string(sinks) +
                                 " and " + std::to_string(local));
  }
};

// Compressed keys that end at or before the query: c·stride + block <= q + 1.
struct compressed_past {
  index block = 32, stride = 16;

  static constexpr bool exact = true;
  constexpr index seen(index q) const { return q + 1 < block ? 0 : (q + 1 - block) / stride + 1; }
  constexpr bool operator()(const position& at) const { return at.k < seen(at.q); }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    if (const index end = std::min(seen(at.q), keys); end > 0) emit(span{0, end});
  }
};

namespace detail {

// Shares of compressed keys among blocks of tokens, for panels of queries.
template <class T, class Arch> class nsa_scores {
  using B = simd::batch<T, Arch>;
  using tuned = simd::shape<T, Arch>;
  static constexpr index W = tuned::lanes, widest = tuned::panel, tile = tuned::key_tile;

 public:
  nsa_scores(const nsa& spec, index depth, index blocks)
      : spec_(spec),
        blocks_(blocks),
        q_(static_cast<std::size_t>(depth * widest)),
        rows_(static_cast<std::size_t>(depth * widest)),
        s_(static_cast<std::size_t>(tile * widest)),
        sums_(static_cast<std::size_t>(blocks * widest)) {}

  static constexpr index rows() { return widest; }
  void start() { std::fill(sums_.begin(), sums_.end(), T(0)); }

  // The p of one query head, rows [first, first + count) at positions from `at` on, added.
  // `lse(row)` is that of the compressed branch; `keys` are its K̃, contiguous.
  template <class Lse>
  void add(const operand& q, index b, index h, index first, index count, index at, const T* keys,
           T scale, const Lse& lse) {
    const index depth = q.extent[3], vectors = (count + W - 1) / W, pitch = vectors * W;
    for (index i = 0; i < count; ++i)
      simd::load_row(q.type, q.row(b, h, first + i), q.stride[3], depth, rows_.data() + i * depth);
    for (index v = 0; v < vectors; ++v)
      simd::to_lanes<T, Arch>(rows_.data() + v * W * depth, depth, std::min(W, count - v * W),
                              depth, T(1), q_.data() + v * W, pitch);
    const compressed_past past{spec_.block, spec_.stride};
    const T factor = scale * static_cast<T>(1.44269504088896340736);
    T shift[widest], seen[widest];
    for (index i = 0; i < pitch; ++i) {
      const index r = std::min(i, count - 1);
      const T row = lse(first + r);
      shift[i] = std::isfinite(row) ? -row * static_cast<T>(1.44269504088896340736) : T(0);
      seen[i] = static_cast<T>(i < count ? past.seen(at + r) : 0);
    }
    const index last = past.seen(at + count - 1), ratio = spec_.selected / spec_.stride,
                strides = spec_.block / spec_.stride;
    for (index from = 0; from < last; from += tile) {
      const index some = std::min(tile, last - from);
      simd::scores<T, Arch>(vectors, keys + from * depth, depth, some, q_.data(), pitch, depth,
                            s_.data());
      for (index j = 0; j < some; ++j) {
        const index c = from + j;
        for (index v = 0; v < vectors; ++v) {
          const B x = simd::load<T, Arch>(s_.data() + j * pitch + v * W);
          const B p = simd::select(
              B(static_cast<T>(c)) < simd::load<T, Arch>(seen + v * W),
              B(simd::exp2(B(simd::fma(x, B(factor), simd::load<T, Arch>(shift + v * W))))),
              B(T(0)));
          for (index u = c, next; u < c + strides; u = next) {
            const index block = u / ratio;
            next = std::min((block + 1) * ratio, c + strides);
            if (block >= blocks_) break;
            T* const sum = sums_.data() + block * widest + v * W;
            simd::store(sum,
                        B(simd::fma(p, B(static_cast<T>(next - u)), simd::load<T, Arch>(sum))));
          }
        }
      }
    }
  }
  // P of the rows, [row][block].
  void result(index count, T* to) const {
    simd::transpose<T, Arch>(sums_.data(), widest, blocks_, count, T(1), to, blocks_);
  }

 private:
  nsa spec_;
  index blocks_;
  std::vector<T> q_, rows_, s_, sums_;
};

template <class T, class Arch>
block_selection select_nsa_any(const nsa& spec, const operand& x, const operand& y,
                               const operand& l, double scale, index keys,
                               const executor_ref& executor) {
  constexpr const char* operation = "heed::select_nsa";
  spec.check(operation);
  check_choice(operation, x, y);
  if (keys < 0) check::fail(operation, "tokens must not be negative: " + std::to_string(keys));
  if (y.extent[2] != spec.compressed(keys))
    check::fail(operation,
                std::to_string(keys) + " tokens have " + std::to_string(spec.compressed(keys)) +
                    " compressed keys",
                {{"compressed", y}});
  if (l.extent != extents{x.extent[0], x.extent[1], x.extent[2], 1})
    check::fail(operation, "lse must be [B,H,Lq]", {{"lse", l}});
  check_data(operation, {{"lse", l}});
  const index kv_heads = y.extent[1], group = x.extent[1] / std::max<index>(1, kv_heads),
              offset = keys - x.extent[2], depth = x.extent[3],
              blocks = block_count(keys, spec.selected), nc = y.extent[2];
  std::vector<T> all(static_cast<std::size_t>(y.extent[0] * kv_heads * nc * depth));
  executor.for_each(y.extent[0] * kv_heads * nc, [&](index i, index) {
    const index head = i / nc;
    simd::load_row(y.type, y.row(head / kv_heads, head % kv_heads, i % nc), y.stride[3], depth,
                   all.data() + i * depth);
  });
  using scores = nsa_scores<T, Arch>;
  row_choice<T> choice({x.extent[0], kv_heads, group, x.extent[2]}, spec.count, spec.selected,
                       executor, blocks, scores::rows());
  std::vector<scores> workers(static_cast<std::size_t>(executor.workers()),
                              scores(spec, depth, blocks));
  choice.each_rows(executor, [&](index b, index kv, span rows, auto& at) {
    scores& of = workers[static_cast<std::size_t>(at.number())];
    of.start();
    for (index g = 0; g < group; ++g)
      of.add(x, b, kv * group + g, rows.begin, rows.size(), rows.begin + offset,
             all.data() + (b * kv_heads + kv) * nc * depth, static_cast<T>(scale), [&](index i) {
               T value;
               simd::load_row(l.type, l.row(b, kv * group + g, i), 1, 1, &value);
               return value;
             });
    of.result(rows.size(), at.scores());
    for (index i = rows.begin; i < rows.end; ++i) {
      T* const s = at.scores() + (i - rows.begin) * blocks;
      if (i + offset < 0) continue;
      const index own = (i + offset) / spec.selected;
      for (index n = 0; n < std::min(spec.sinks, own + 1); ++n)
        s[n] = std::numeric_limits<T>::infinity();
      for (index n = std::max<index>(0, own + 1 - spec.local); n <= own; ++n)
        s[n] = std::numeric_limits<T>::infinity();
      at.choose(i, s, own + 1);
    }
  });
  return choice.take();
}

}  // namespace detail

// Lists of blocks for every query row and kv head, from K̃ `compressed` [B,Hkv,Nc,D] and the `lse`
// [B,H,Lq] of attention to it at `scale`; `keys` tokens, the last query at the last of them.
// O(Lq · Nc · D) a query head. Throws std::invalid_argument if shapes or numbers of the spec do not
// fit.
template <class Arch = simd::best, storable Q, storable K, storable L>
block_selection select_nsa(const nsa& spec, const view<Q>& q, const view<K>& compressed,
                           const view<L>& lse, double scale, index keys,
                           const executor_ref& executor = {}) {
  return detail::select_nsa_any<compute_type<Q, K>, Arch>(
      spec, view<const Q>(q), view<const K>(compressed), view<const L>(lse), scale, keys, executor);
}

}  // namespace heed
