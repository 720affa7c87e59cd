// SPDX-License-Identifier: BSL-1.0
// kv/paged over the caller's memory: pages k [P,Hkv,page,D] and v [P,Hkv,page,Dv] of float, double,
// half or bfloat16, a table [B,1,pages a sequence,1] and a length a sequence. Who owns pages is the
// caller's affair: append writes where the table points.
//
//   heed::paged_tensors cache{.k = as<"BLHD">(key_pages), .v = as<"BLHD">(value_pages),
//                             .table = as<"BL">(page_table), .lengths = lengths};
//   cache.append(as<"BLHD">(k_new), as<"BLHD">(v_new));
#pragma once

#include <heed/core/check.hpp>
#include <heed/kv/source.hpp>
#include <heed/simd/convert.hpp>
#include <limits>
#include <span>

namespace heed {

struct paged_tensors {
  result k, v;
  view<const int> table;
  std::span<int> lengths;

  index batch() const { return static_cast<index>(lengths.size()); }
  index heads() const { return k.extent[1]; }
  index depth() const { return k.extent[3]; }
  index value_depth() const { return v.extent[3]; }
  index page() const { return k.extent[2]; }
  index capacity() const { return table.extent[2] * page(); }
  index length(index b) const { return lengths[static_cast<std::size_t>(b)]; }
  index end(index b) const { return length(b); }

  kv_run run(index b, index h, index t) const {
    const index slot = t % page();
    return {rows(k, b, h, t), rows(v, b, h, t), std::min(page() - slot, length(b) - t)};
  }

  // One chunk for every sequence: k [B,Hkv,n,D], v [B,Hkv,n,Dv]. O(n) rows, no allocation. Throws,
  // before anything is written, on other shapes, and where the table has no page for a token.
  void append(const operand& new_k, const operand& new_v) {
    constexpr const char* me = "heed::paged_tensors::append";
    check(me);
    const index n = new_k.extent[2];
    const auto fits = [&](const operand& x, index channels) {
      return x.extent == extents{batch(), heads(), n, channels} && n >= 0 &&
             (x.present() || n * channels == 0);
    };
    if (!fits(new_k, depth()) || !fits(new_v, value_depth()))
      check::fail(me, "k and v must be [sequences, heads of the pages, n, channels of the pages]",
                  {{"k", new_k}, {"v", new_v}});
    for (index b = 0; b < batch(); ++b) check_pages(me, b, length(b) + n);
    for (index b = 0; b < batch(); ++b) {
      for (index l = 0; l < n; ++l)
        for (index h = 0; h < heads(); ++h) {
          write(k, b, h, length(b) + l, new_k, l);
          write(v, b, h, length(b) + l, new_v, l);
        }
      lengths[static_cast<std::size_t>(b)] += static_cast<int>(n);
    }
  }
  // Throws unless the pages fit each other and every token of every sequence has one. O(pages in
  // use); run relies on it.
  void check(const char* operation = "heed::paged_tensors") const {
    const auto fail = [&](const char* rule) {
      check::fail(operation, rule, {{"k", operand(k)}, {"v", operand(v)}});
    };
    if (!k.present() || !v.present()) fail("k and v must have data");
    for (std::size_t axis = 0; axis < 3; ++axis)
      if (k.extent[axis] != v.extent[axis]) fail("k and v must agree in all but their channels");
    if (k.extent[0] < 1 || k.extent[1] < 1 || page() < 1 || depth() < 1)
      fail("pages must not be empty");
    if (table.extent[0] != batch() || table.extent[1] != 1 || table.extent[3] != 1)
      check::fail(operation, "the table is " + check::print(table.extent) + " for " +
                                 std::to_string(batch()) + " sequences");
    if (!table.data && table.extent[2] > 0 && batch() > 0)
      check::fail(operation, "the table must have data");
    for (index b = 0; b < batch(); ++b) check_pages(operation, b, length(b));
  }

 private:
  // Lengths are int.
  void check_pages(const char* operation, index b, index tokens) const {
    const index most = std::min<index>(capacity(), std::numeric_limits<int>::max());
    if (tokens < 0 || tokens > most)
      check::fail(operation, "sequence " + std::to_string(b) + " would have " +
                                 std::to_string(tokens) + " tokens, its row of the table holds " +
                                 std::to_string(most));
    for (index i = 0; i * page() < tokens; ++i)
      if (const int at = table(b, 0, i); at < 0 || at >= k.extent[0])
        check::fail(operation, "page " + std::to_string(i) + " of sequence " + std::to_string(b) +
                                   " is " + std::to_string(at) + ", there are " +
                                   std::to_string(k.extent[0]));
  }
  unsigned char* row(const result& x, index b, index h, index t) const {
    return static_cast<unsigned char*>(x.row(table(b, 0, t / page()), h, t % page()));
  }
  stored_rows rows(const result& x, index b, index h, index t) const {
    return {.data = row(x, b, h, t),
            .type = kv_type_of(x.type),
            .stride = x.stride[2] * size_of(x.type),
            .step = x.stride[3]};
  }
  void write(const result& to, index b, index h, index t, const operand& x, index l) const {
    constexpr index most = 64;
    double some[most];
    for (index c = 0; c < x.extent[3]; c += most) {
      const index n = std::min(most, x.extent[3] - c);
      simd::load_row(
          x.type,
          static_cast<const unsigned char*>(x.row(b, h, l)) + c * x.stride[3] * size_of(x.type),
          x.stride[3], n, some);
      simd::store_row(to.type, some, n, row(to, b, h, t) + c * to.stride[3] * size_of(to.type),
                      to.stride[3]);
    }
  }
};

static_assert(kv_source<paged_tensors>);

}  // namespace heed
