// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/select/choose_pairs.hpp>
#include <heed/select/choose_pairs.hpp>

#include "support/exact.hpp"

namespace heed::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("pairs that agree most with full scores are chosen") {
  for (const auto layout : {rope_pairs::neox, rope_pairs::interleaved})
    for (const index rotated : {0, 10}) {
      const auto q = random<float>({2, 4, 5, 14}, 1), k = random<float>({2, 2, 41, 14}, 2);
      const pair_agreement how{3, 8, rotated, layout};
      const auto got = choose_pairs(how, q.in(), k.in());
      const index all = rotated == 0 ? 14 : rotated;
      for (index h = 0; h < 2; ++h) {
        Eigen::VectorXd sum = Eigen::VectorXd::Zero(all / 2);
        for (index b = 0; b < 2; ++b)
          for (index r = 0; r < 10; ++r)
            sum +=
                reference::select::pair_agreement(q.head(b, 2 * h + r / 5).row(r % 5).transpose(),
                                                  k.head(b, h).topRows(41 - 5 + r % 5 + 1), 8, all,
                                                  layout == rope_pairs::interleaved);
        const Eigen::VectorXd counts = (8 * sum).array().round();
        std::vector<int> want;
        for (const index c : reference::kv::largest(counts, 3, 0)) {
          const auto [x, y] =
              reference::select::channels_of(c, all, layout == rope_pairs::interleaved);
          want.insert(want.end(), {int(x), int(y)});
        }
        std::sort(want.begin(), want.end());
        CHECK(got[std::size_t(h)] == want);
      }
    }
}

TEST_CASE("choices of pairs refuse what does not fit") {
  const auto q = random<float>({2, 4, 1, 19}, 5), odd = random<float>({2, 3, 1, 19}, 6),
             k = random<float>({2, 2, 9, 19}, 7), many = random<float>({2, 4, 10, 19}, 8);
  CHECK_THROWS_WITH(choose_pairs({2, 4}, q.in(), k.in()), ContainsSubstring("even"));
  CHECK_THROWS_WITH(choose_pairs({10, 4, 18}, q.in(), k.in()), ContainsSubstring("pairs"));
  CHECK_THROWS_WITH(choose_pairs({2, 0, 18}, q.in(), k.in()), ContainsSubstring("top"));
  CHECK_THROWS_WITH(choose_pairs({2, 4, 18}, odd.in(), k.in()), ContainsSubstring("multiple"));
  CHECK_THROWS_WITH(choose_pairs({2, 4, 18}, many.in(), k.in()), ContainsSubstring("every query"));
}

}  // namespace heed::test
