// SPDX-License-Identifier: BSL-1.0
#include <heed/kv/contiguous.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/kv/rerotate.hpp>
#include <heed/reference/kv/rerotate.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

constexpr kv_shape small{.batch = 2, .heads = 2, .depth = 10, .value_depth = 3};
namespace turning = reference::position;

rope turn(rope_pairs pairs) { return {rotations::plain(8, 100), pairs}; }
// A turned row is off by roundings of its numbers and of angles of a few hundred.
double allowed(kv_type type) {
  return type == kv_type::f64   ? 1e-12
         : type == kv_type::f16 ? 0x1p-11 + 1e-5
         : type == kv_type::f32 ? 1e-5
                                : 0x1p-8 + 1e-5;
}
Eigen::MatrixXd moved(const Eigen::MatrixXd& k, const Eigen::VectorXd& by, rope_pairs pairs) {
  return reference::kv::rerotate(
      k, by, turning::unscaled(8, 100),
      pairs == rope_pairs::neox ? turning::pairing::neox : turning::pairing::interleaved);
}
model as_kept(const model& m, kv_type type) {
  model k = m;
  for (auto& s : k)
    for (auto& h : s.heads)
      for (auto* x : {&h.k, &h.v})
        for (index i = 0; i < x->size(); ++i) {
          unsigned char memory[8];
          simd::store_row(static_cast<element>(type), x->data() + i, 1, memory, 1);
          simd::load_row(static_cast<element>(type), memory, 1, 1, x->data() + i);
        }
  return k;
}

template <class Cache> void segments_move(Cache cache, rope_pairs pairs, kv_type type) {
  model m(2);
  append(cache, m, chunk<float>(cache, 15, 1));
  m = as_kept(m, type);
  cache.fork(0, 1), m[1] = m[0];
  for (const index by : {0, 3, -250}) {
    rerotate(cache, turn(pairs), 0, {4, 11}, by);
    for (auto& h : m[0].heads)
      h.k.middleRows(4, 7) =
          moved(h.k.middleRows(4, 7), Eigen::VectorXd::Constant(7, double(by)), pairs);
    check_cache(cache, m, 2 * allowed(type));
  }
  // The other sequence has its own rows.
  CHECK(read_back(cache, 1, 1).k == m[1].heads[1].k);
}

template <class Cache> void context_shifts(Cache cache, rope_pairs pairs, kv_type type) {
  model m(2);
  append(cache, m, chunk<float>(cache, 15, 1));
  m = as_kept(m, type);
  cache.fork(0, 1), m[1] = m[0];
  evict(cache, m, 0, {{0, 1, 2, 8, 9, 14}, {0, 1, 5, 6, 7, 8}});
  rerotate(cache, turn(pairs), 0);
  for (auto& h : m[0].heads) {
    Eigen::VectorXd by(6);
    for (index t = 0; t < 6; ++t) by(t) = double(t - h.positions[std::size_t(t)]);
    h.k = moved(h.k, by, pairs);
    h.positions = {0, 1, 2, 3, 4, 5};
  }
  m[0].end = 6, m[0].settled = 0;
  check_cache(cache, m, allowed(type));
  CHECK(cache.places(0, 0) == nullptr);
  if (type == kv_type::f32) append(cache, m, 0, chunk<float>(cache, 3, 2, 1));
  check_cache(cache, m, allowed(type));
  rerotate(cache, turn(pairs), 1);  // in place already
  check_cache(cache, m, allowed(type));
}

}  // namespace

TEST_CASE("keys turn by as many positions as their tokens move") {
  for (const auto pairs : {rope_pairs::neox, rope_pairs::interleaved})
    for (const kv_format& f :
         {kv_as::single(), kv_as::whole_double(), kv_as::half(), kv_as::bfloat()}) {
      segments_move(contiguous_kv(small, 20, f), pairs, f.type);
      segments_move(paged_kv(small, {.pages = 12, .page = 4}, f), pairs, f.type);
      context_shifts(contiguous_kv(small, 20, f), pairs, f.type);
      context_shifts(paged_kv(small, {.pages = 12, .page = 4}, f), pairs, f.type);
    }
}

TEST_CASE("what cannot be turned is refused") {
  paged_kv cache(small, {.pages = 4, .page = 4});
  model m(2);
  append(cache, m, 0, chunk<float>(cache, 14, 1, 1));
  fork(cache, m, 0, 1, 14);
  const rope by = turn(rope_pairs::neox);
  const auto refused = [&](const std::string& text, auto call) {
    check_refused(cache, m, text, call);
  };
  refused("heed::rerotate: 3 pages are needed, 0 are free",
          [&] { rerotate(cache, by, 0, {2, 9}, 1); });
  for (const span s : {span{-1, 3}, span{0, 15}, span{4, 3}})
    refused("heed::rerotate: sequence 0 has no tokens", [&] { rerotate(cache, by, 0, s, 1); });
  for (const index b : {-1, 2}) {
    refused("heed::rerotate: there are 2", [&] { rerotate(cache, by, b, {0, 1}, 1); });
    refused("heed::rerotate: there are 2", [&] { rerotate(cache, by, b); });
    refused("there are 2", [&] { cache.renumber(b); });
  }
  refused("do not fit in 10 channels",
          [&] { rerotate(cache, rope{rotations::plain(12)}, 0, {0, 1}, 1); });
  const index ids[1] = {};
  rope with_ids = by;
  with_ids.ids = {ids, {1, 1, 1, 1}};
  refused("does not go by positions", [&] { rerotate(cache, with_ids, 0); });
  contiguous_kv codes(small, 20, kv_as::int8());
  CHECK_THROWS_WITH(rerotate(codes, by, 0, {0, 0}, 1),
                    Catch::Matchers::ContainsSubstring("codes cannot be turned"));
}

}  // namespace heed::test
