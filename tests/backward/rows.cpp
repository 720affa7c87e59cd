// SPDX-License-Identifier: BSL-1.0
// Gradients through transforms of the rows of q, k and v, alone and with everything else, and of
// what they learn.
#include <heed/heads/output_gate.hpp>
#include <heed/kv/extra.hpp>
#include <heed/mask/causal.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/position/rope.hpp>
#include <heed/position/rope_axes.hpp>
#include <heed/similarity/qk_norm.hpp>

#include "support/gradients.hpp"

using namespace heed::test;
using heed::attention;

namespace {

struct scaled_rows {
  template <class T> void operator()(T* x, heed::index depth, const heed::row_position& at) const {
    for (heed::index i = 0; i < depth; ++i) x[i] *= T(0.5) * T(1 + at.pos % 4 + at.h);
  }
  template <class Arch, class T>
  void row_backward(const T*, T* dx, heed::index depth, const heed::row_position& at) const {
    (*this)(dx, depth, at);
  }
};

}  // namespace

TEST_CASE("gradients through rotary positions") {
  const heed::rope neox{heed::rotations::yarn(8, 10000, 4, 64)};
  const heed::rope pairs{heed::rotations::plain(6), heed::rope_pairs::interleaved};
  check_gradients("rope", attention{.mask = heed::causal{}, .query = neox, .key = neox});
  check_gradients("pairs", attention{.query = pairs, .key = pairs});
  std::vector<heed::index> ids;
  for (heed::index i = 0; i < 3 * 53; ++i) ids.push_back(i * 7 % 31);
  const heed::view<const heed::index> of_q(ids.data(), {1, 3, 37, 1}),
      of_k(ids.data(), {1, 3, 53, 1});
  const heed::rotation by = heed::rotations::plain(8);
  check_gradients("axes", attention{.query = heed::rope_axes{by, {1, 2, 1}, of_q},
                                    .key = heed::rope_axes{by, {1, 2, 1}, of_k}});
  const learned angles(heed::extents{1, 4, 37, 3});
  check_gradients("angles", attention{.query = heed::rope_angles{angles.table(), {}, 1.5}});
}

TEST_CASE("gradients through norms of queries and keys") {
  learned gq(9, 0.2, 1), gk(18, 0.2, 1, 12);
  const heed::rope turn{heed::rotations::plain(8)};
  check_gradients("gains",
                  attention{.mask = heed::causal{},
                            .query = heed::qk_norm{gq.list()} | turn,
                            .key = turn | heed::qk_norm{gk.list(), 1e-3}},
                  {.query = {{gq.to_list()}, {}}, .key = {{}, {gk.to_list()}}}, {&gq, &gk},
                  {.lq = 137, .lk = 211});
  check_gradients("no gains", attention{.query = heed::qk_norm{}, .key = heed::qk_norm{}});
}

TEST_CASE("gradients through transforms of values") {
  learned gain(6, 0.2, 1);
  check_gradients(
      "rotated", attention{.mask = heed::causal{}, .value = heed::rope{heed::rotations::plain(6)}});
  check_gradients("learned", attention{.value = scaled_rows{} | heed::qk_norm{gain.list()}},
                  {.value = {{}, {gain.to_list()}}}, {&gain});
}

TEST_CASE("gradients through a transform of the user's in every place") {
  const scaled_rows f;
  check_gradients("four",
                  attention{.query = f, .key = f, .value = f, .output = heed::qk_norm{} | f});
}

TEST_CASE("gradients of everything at once, packed") {
  learned gain(9, 0.2, 1), k(heed::extents{3, 2, 2, 9}, 1, 0, 12), v(heed::extents{3, 1, 2, 6}),
      g(heed::extents{1, 4, 37, 6}, 1, 0, 13);
  const std::vector<int> cu_q{0, 12, 12, 37}, cu_k{0, 9, 30, 53};
  const heed::rope turn{heed::rotations::plain(8)};
  check_gradients("all",
                  attention{.mask = heed::causal{},
                            .query = heed::qk_norm{gain.list()} | turn,
                            .key = turn,
                            .value = scaled_rows{},
                            .output = heed::output_gate{g.table()},
                            .extra = heed::extra_slots{k.table(), v.table()},
                            .plan = heed::varlen{cu_q, cu_k}},
                  {.query = {{gain.to_list()}, {}}, .output = {g.to()}, .extra = {k.to(), v.to()}},
                  {&gain, &k, &v, &g}, {.b = 1});
}
