// SPDX-License-Identifier: BSL-1.0
// Policies of a call over a shared prefix, against the oracle on prefix and own tokens joined.
#include <heed/kv/extra.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/chunk.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/position/rope.hpp>

#include "support/shared_prefix.hpp"

using namespace heed::test;
using heed::attention;

TEST_CASE("masks see positions of the whole") {
  for (const prefix_sizes& x : prefix_sizes_to_test()) {
    const prefix_model<double> m(x);
    m.check(attention{.mask = heed::causal{} && heed::window{.left = 6}});
    m.check(attention{.mask = heed::chunk{.size = 7, .previous = 1}});
    m.check(attention{.mask = heed::where([](const heed::position& at) {
                        return (at.b + at.h + 2 * at.q + at.k * at.k + at.row + at.slot) % 3 != 0;
                      })});
    std::vector<int> keys;
    for (heed::index b = 0; b < x.b; ++b)
      keys.push_back(int(std::max<heed::index>(x.p + x.n - 3 * b - 1, 0)));
    m.check(attention{.mask = heed::lengths{.keys = keys}});
    m.check(attention{.mask = heed::causal{}, .offset = std::max<heed::index>(x.p - 2, 0)});
  }
}

TEST_CASE("row transforms, sinks, slots and scores of a call in parts") {
  for (const prefix_sizes& x : prefix_sizes_to_test()) {
    const prefix_model<double> m(x);
    const heed::rope turn{heed::rotations::plain(4, 50)};
    m.check(attention{.mask = heed::causal{}, .query = turn, .key = turn});
    std::vector<heed::index> of_q, of_k;
    for (heed::index i = 0; i < x.b * x.lq; ++i) of_q.push_back(i * i % 23);
    for (heed::index i = 0; i < x.p + x.n; ++i) of_k.push_back(i * 7 % 19);
    heed::rope queries = turn, keys = turn;
    if (x.b > 0) {
      queries.ids = {of_q.data(), {x.b, 1, x.lq, 1}};
      keys.ids = {of_k.data(), {1, 1, x.p + x.n, 1}};
      m.check(attention{.query = queries, .key = keys});
    }
    const std::vector<double> z{0.5, -1, 2, 0};
    const std::span<const double> logits(z.data(), std::size_t(x.h));
    m.check(attention{.mask = heed::causal{}, .normalizer = heed::sink_softmax{logits}});
    const auto slots = random<double>({1, x.kv, 3, x.d}, 8),
               values = random<double>({1, x.kv, 3, x.dv}, 9);
    m.check(attention{.extra = heed::extra_slots{.k = slots.in(), .v = values.in()}});
    m.check(attention{.score = heed::softcap{2} | heed::clamp{-1, 1}, .scale = 0.7});
  }
}
