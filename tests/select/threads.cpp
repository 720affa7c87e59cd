// SPDX-License-Identifier: BSL-1.0
// Same bits of selections, of attention to them and of their gradients for any number of threads.
#include <heed/attention/attend_backward.hpp>
#include <heed/mask/causal.hpp>
#include <heed/plan/selected.hpp>
#include <heed/segment/dot_backward.hpp>
#include <heed/select/moba.hpp>

#include "support/weights.hpp"

#include "support/block_lists.hpp"

using namespace heed::test;
using heed::causal;
using heed::selected;

namespace {

using numbers_of = std::vector<float>;

template <class Run> void check_same_bits(const Run& run) {
  const numbers_of alone = run(heed::serial{});
  for (const heed::index count : {2, 16}) CHECK(run(threads{count}) == alone);
}

}  // namespace

TEST_CASE("the number of threads changes no bit of attention to lists, nor of its gradients") {
  for (const listing& x :
       {listing{2, 2, 2, 1, 16}, listing{1, 4, 1, 40, 32}, listing{1, 2, 2, 1, 1}}) {
    const auto made = random_lists(x, 300, 300, 30, 3);
    const heed::attention spec{.mask = selected{made.lists(), causal{}}};
    const auto q = random<float>({2, 4, 300, 16}, 1), k = random<float>({2, 2, 300, 16}, 2),
               v = random<float>({2, 2, 300, 12}, 3), d_out = random<float>({2, 4, 300, 12}, 4);
    check_same_bits([&](const auto& executor) {
      auto out = unwritten<float>(d_out.extent), dq = unwritten<float>(q.extent),
           dk = unwritten<float>(k.extent), dv = unwritten<float>(v.extent);
      heed::attend(spec, q.in(), k.in(), v.in(), out.in(), executor);
      heed::attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                            {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()}, executor);
      numbers_of all = out.data;
      for (const auto* part : {&dq, &dk, &dv})
        all.insert(all.end(), part->data.begin(), part->data.end());
      return all;
    });
  }
}

TEST_CASE("the number of threads changes no choice of blocks") {
  const auto q = random<float>({2, 4, 300, 16}, 1), k = random<float>({2, 2, 300, 16}, 2);
  check_same_bits([&](const auto& executor) {
    const auto chosen = heed::select_moba({.block = 16, .top = 3}, q.in(), k.in(), executor);
    return numbers_of(chosen.blocks.begin(), chosen.blocks.end());
  });
}
