// SPDX-License-Identifier: BSL-1.0
#include <functional>
#include <heed/attention/kv_heads.hpp>
#include <heed/attention/spec.hpp>
#include <heed/kv/extra.hpp>
#include <heed/mask/causal.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/similarity/distance.hpp>
#include <limits>

#include "support/catch.hpp"
#include "support/tensor.hpp"

namespace heed::test {

namespace {

using arch = simd::best;
constexpr index key_tile = simd::shape<float, arch>::key_tile;
constexpr index many = simd::shape<float, arch>::packed_queries;
constexpr index far = simd::shape<float, arch>::packed_stride / index(sizeof(float));

struct sizes {
  index batch = 1, heads = 1, kv_heads = 1, queries = 1, depth = 6, value_depth = 5;
};

// The heads of one call on k and v, and the packed memory of one of them.
template <class Spec> struct call {
  Spec spec;
  operand q, k, v;
  outputs to;
  detail::problem p;
  detail::sequences<decltype(Spec::plan)> items{p, spec.plan};
  detail::kv_heads<float, arch, Spec> heads{spec, p, items};
  std::vector<std::byte> memory;
  std::vector<float> staged;

  call(const Spec& s, const sizes& n, const operand& keys, const operand& values)
      : spec(s),
        k(keys),
        v(values),
        p{.shape = {.batch = n.batch,
                    .heads = n.heads,
                    .kv_heads = n.kv_heads,
                    .queries = n.queries,
                    .keys = keys.extent[2],
                    .depth = n.depth,
                    .value_depth = n.value_depth,
                    .offset = keys.extent[2] - n.queries},
          .q = q,
          .k = k,
          .v = v,
          .to = to},
        staged(static_cast<std::size_t>(heads.staged_values())) {}
  call(const call&) = delete;

  // 64 bytes more, which must keep their mark; what is not written is NaN.
  detail::kv_head<float> prepared(index item = 0, index h = 0) {
    memory.assign(static_cast<std::size_t>(heads.bytes()) + 64, std::byte{0xff});
    if (heads.bytes() > 0) heads.start(memory.data());
    const detail::kv_head<float> kv = heads.located(items[item], h, memory.data());
    for (index tile = 0; tile < heads.tiles(); ++tile)
      heads.need(kv, items[item], h, tile, heads.tiles(), staged.data());
    CHECK(std::all_of(memory.end() - 64, memory.end(),
                      [](std::byte b) { return b == std::byte{0xff}; }));
    return kv;
  }
  bool packed(const float* x) const {
    const auto* at = reinterpret_cast<const std::byte*>(x);
    return !std::less<>{}(at, memory.data()) && std::less<>{}(at, memory.data() + memory.size());
  }
};

// Channel c of value row j, wherever it lies.
float value(const detail::kv_head<float>& kv, index j, index c) {
  const index tile = j / key_tile, row = j % key_tile;
  return kv.v[tile * kv.v_tile + c / 4 * kv.v_block + row * kv.v_stride + c % 4];
}

// Whether keys and values are packed for a spec and operands.
struct where {
  bool keys, values;
  friend bool operator==(where, where) = default;
};
template <class Spec>
where packed(const Spec& spec, const sizes& n, const operand& k, const operand& v) {
  call<Spec> c(spec, n, k, v);
  const auto kv = c.prepared();
  const where is{c.packed(kv.k), c.packed(kv.v)};
  if (!is.keys) CHECK(kv.k == k.data);
  if (!is.values) CHECK(kv.v == v.data);
  for (index j = 0; j < k.extent[2]; ++j) {
    INFO("row " << j);
    CHECK(kv.k[j * kv.k_stride] == static_cast<const float*>(k.row(0, 0, j))[0]);
    CHECK(value(kv, j, 4) == static_cast<const float*>(v.row(0, 0, j))[4 * v.stride[3]]);
  }
  return is;
}

constexpr where in_place{false, false}, keys_only{true, false}, values_only{false, true},
    both{true, true};

// Leaves the row as it is, which no one can know beforehand.
struct untouched {
  void operator()(float*, index, const row_position&) const {}
};

}  // namespace

TEST_CASE("few queries read keys and values in place, many pack the values") {
  const auto k = uniform({1, 1, 9, 6}, 1), v = uniform({1, 1, 9, 5}, 2);
  const attention spec{};
  CHECK(packed(spec, {}, k.in(), v.in()) == in_place);
  CHECK(packed(spec, {.queries = many - 1}, k.in(), v.in()) == in_place);
  CHECK(packed(spec, {.queries = many}, k.in(), v.in()) == values_only);
  // Query heads that share a kv head count together.
  CHECK(packed(spec, {.heads = 2, .queries = many / 2 - 1}, k.in(), v.in()) == in_place);
  CHECK(packed(spec, {.heads = 2, .queries = many / 2}, k.in(), v.in()) == values_only);
}

TEST_CASE("keys far apart are packed for many queries, not if they are a row apart") {
  const auto v = uniform({1, 1, 9, 5}, 2), wide = uniform({1, 1, 9, far}, 1);
  const view<const float> apart = wide.in().slice_channels(0, 6);
  const attention spec{};
  CHECK(packed(spec, {.queries = many - 1}, apart, v.in()) == in_place);
  CHECK(packed(spec, {.queries = many}, apart, v.in()) == both);
  CHECK(packed(spec, {.queries = many, .depth = far}, wide.in(), v.in()) == values_only);
  const auto nearer = uniform({1, 1, 9, far - 1}, 1);
  CHECK(packed(spec, {.queries = many}, nearer.in().slice_channels(0, 6), v.in()) == values_only);
}

TEST_CASE("another layout and a row transform are packed for one query too") {
  const auto k = uniform({1, 1, 9, 6}, 1), v = uniform({1, 1, 9, 5}, 2);
  const auto two_k = uniform({1, 1, 9, 12}, 1), two_v = uniform({1, 1, 9, 10}, 2);
  const view<const float> strided_k(two_k.data.data(), {1, 1, 9, 6}, {0, 0, 12, 2}),
      strided_v(two_v.data.data(), {1, 1, 9, 5}, {0, 0, 10, 2});
  CHECK(packed(attention{}, {}, strided_k, v.in()) == keys_only);
  CHECK(packed(attention{}, {}, k.in(), strided_v) == values_only);
  CHECK(packed(attention{.key = untouched{}}, {}, k.in(), v.in()) == keys_only);
  CHECK(packed(attention{.value = untouched{}}, {}, k.in(), v.in()) == values_only);
  CHECK(packed(attention{.similarity = distance{}}, {}, k.in(), v.in()) == keys_only);
  // It has a kernel of its own and takes keys as they are.
  CHECK(packed(attention{.similarity = direct_distance{}}, {}, k.in(), v.in()) == in_place);
}

TEST_CASE("operands of another type are converted") {
  const auto k = random<double>({1, 1, 9, 6}, 1), v = random<double>({1, 1, 9, 5}, 2);
  call c(attention{}, {}, k.in(), v.in());
  const auto kv = c.prepared();
  CHECK((c.packed(kv.k) && c.packed(kv.v)));
  for (index j = 0; j < 9; ++j) {
    for (index d = 0; d < 6; ++d)
      CHECK(kv.k[j * kv.k_stride + d] == static_cast<float>(k.in()(0, 0, j, d)));
    for (index d = 0; d < 5; ++d) CHECK(value(kv, j, d) == static_cast<float>(v.in()(0, 0, j, d)));
  }
}

TEST_CASE("packed rows are as wide as the similarity makes them, values in blocks of four") {
  const index keys = 2 * key_tile + 3;
  const auto k = uniform({2, 2, keys, 6}, 1), v = uniform({2, 2, keys, 5}, 2);
  call c(attention{.similarity = distance{}},
         {.batch = 2, .heads = 2, .kv_heads = 2, .queries = many}, k.in(), v.in());
  CHECK(c.heads.width() == 8);
  CHECK(c.heads.channels() == 8);
  CHECK(c.heads.tiles() == 3);
  for (const index b : {0, 1})
    for (const index h : {0, 1}) {
      const auto kv = c.prepared(b, h);
      CHECK(kv.k_stride == 8);
      CHECK(kv.v_stride == 4);
      CHECK(kv.v_block == 4 * key_tile);
      CHECK(kv.v_tile == 8 * key_tile);
      CHECK(kv.channels == 8);
      index wrong = 0;
      for (index j = 0; j < keys; ++j) {
        double squares = 0;
        for (index d = 0; d < 6; ++d) {
          wrong += kv.k[j * 8 + d] != k.in()(b, h, j, d);
          squares += double(k.in()(b, h, j, d)) * double(k.in()(b, h, j, d));
        }
        wrong += kv.k[j * 8 + 6] != 1 || std::abs(double(kv.k[j * 8 + 7]) - squares) > 1e-6 * 6;
        for (index d = 0; d < 8; ++d)
          wrong += value(kv, j, d) != (d < 5 ? v.in()(b, h, j, d) : 0.f);
      }
      CHECK(wrong == 0);
    }
}

TEST_CASE("nothing packed is no memory, and no keys are one task that reads none") {
  const auto k = uniform({1, 1, 9, 6}, 1), v = uniform({1, 1, 9, 5}, 2);
  CHECK(call(attention{}, {}, k.in(), v.in()).heads.bytes() == 0);
  const tensor<> none_k({1, 1, 0, 6}), none_v({1, 1, 0, 5});
  call c(attention{.mask = causal{}}, {.queries = many}, none_k.in(), none_v.in());
  CHECK(c.heads.tiles() == 1);
  c.prepared();
}

TEST_CASE("a tile with a value that is not finite is flagged, where a mask may hide it") {
  const index keys = 3 * key_tile - 1;
  for (const index queries : {index{1}, many})
    for (const float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()})
      for (const index row : {key_tile, 2 * key_tile - 1}) {
        const auto k = uniform({1, 1, keys, 6}, 1);
        auto v = uniform({1, 1, keys, 5}, 2);
        v(0, 0, row, 4) = bad;
        call c(attention{.mask = causal{}}, {.queries = queries}, k.in(), v.in());
        const auto kv = c.prepared();
        CAPTURE(queries, bad, row);
        CHECK(kv.finite[0] == 1);
        CHECK(kv.finite[1] == 0);
        CHECK(kv.finite[2] == 1);
      }
}

TEST_CASE("finite is what conversion and the transform leave") {
  const index keys = key_tile + 1;
  const auto k = uniform({1, 1, keys, 6}, 1);
  auto v = random<double>({1, 1, keys, 5}, 2);
  v(0, 0, key_tile, 0) = 1e300;
  {
    call c(attention{.mask = causal{}}, {}, k.in(), v.in());
    const auto kv = c.prepared();
    CHECK((kv.finite[0] == 1 && kv.finite[1] == 0));
  }
  const auto clear = [](float* row, index depth, const row_position&) {
    std::fill_n(row, depth, 0.f);
  };
  const attention<causal, dot, none, softmax, none, none, none, decltype(clear)> cleared{.value =
                                                                                             clear};
  call c(cleared, {}, k.in(), v.in());
  const auto kv = c.prepared();
  CHECK((kv.finite[0] == 1 && kv.finite[1] == 1));
}

TEST_CASE("row transforms see the position and the row of the key") {
  const std::vector<int> cu{0, 3, 10};
  const auto k = uniform({1, 1, 10, 6}, 1), v = uniform({1, 1, 10, 5}, 2);
  const auto mark = [](float* row, index, const row_position& at) {
    row[0] = static_cast<float>(100 * at.b + at.pos);
    row[1] = static_cast<float>(at.row);
  };
  call c(attention{.key = mark, .value = mark, .plan = varlen{cu}}, {.batch = 2}, k.in(), v.in());
  const auto kv = c.prepared(1);
  for (index j = 0; j < 7; ++j) {
    CHECK(kv.k[j * kv.k_stride] == float(100 + j));
    CHECK(kv.k[j * kv.k_stride + 1] == float(3 + j));
    CHECK(kv.k[j * kv.k_stride + 2] == k.in()(0, 0, 3 + j, 2));
    CHECK(value(kv, j, 0) == float(100 + j));
    CHECK(value(kv, j, 1) == float(3 + j));
    CHECK(value(kv, j, 2) == v.in()(0, 0, 3 + j, 2));
  }
  // In place, a sequence starts at its first row.
  call plain(attention{.plan = varlen{cu}}, {.batch = 2}, k.in(), v.in());
  CHECK(plain.prepared(1).k == &k.in()(0, 0, 3, 0));
  CHECK(plain.prepared(1).v == &v.in()(0, 0, 3, 0));
}

TEST_CASE("extra slots come with the first tile, rewritten by the similarity alone") {
  const auto more_k = uniform({1, 2, 3, 6}, 3), more_v = uniform({1, 2, 3, 5}, 4);
  for (const index keys : {index{0}, key_tile + 1}) {
    const auto k = uniform({1, 2, keys, 6}, 1), v = uniform({1, 2, keys, 5}, 2);
    const auto clear = [](float* row, index depth, const row_position&) {
      std::fill_n(row, depth, 0.f);
    };
    call c(attention{.similarity = distance{},
                     .key = clear,
                     .value = clear,
                     .extra = extra_slots{more_k.in(), more_v.in()}},
           {.heads = 2, .kv_heads = 2}, k.in(), v.in());
    CHECK(c.heads.extra() == 3);
    const auto kv = c.prepared(0, 1);
    for (index j = 0; j < 3; ++j) {
      for (index d = 0; d < 6; ++d) CHECK(kv.extra_k[j * 8 + d] == more_k.in()(0, 1, j, d));
      CHECK(kv.extra_k[j * 8 + 6] == 1);
      for (index d = 0; d < 5; ++d) CHECK(kv.extra_v[j * 8 + d] == more_v.in()(0, 1, j, d));
    }
  }
  const auto k = uniform({1, 2, 4, 6}, 1), v = uniform({1, 2, 4, 5}, 2);
  call c(attention{.extra = extra_slots{more_k.in()}}, {.heads = 2, .kv_heads = 2}, k.in(), v.in());
  const auto kv = c.prepared();
  for (index j = 0; j < 3; ++j)
    for (index d = 0; d < 5; ++d) CHECK(kv.extra_v[j * 8 + d] == 0);
}

}  // namespace heed::test
