// SPDX-License-Identifier: BSL-1.0
#include <heed/eigen.hpp>
#include <heed/kv/paged_tensors.hpp>

#include "support/kv_model.hpp"

namespace heed::test {
namespace {

// Six pages [page, slot, head, channel] of three tokens for two sequences, in T.
template <class T> struct pages {
  Eigen::Tensor<T, 4, Eigen::RowMajor> k{6, 3, 2, 5}, v{6, 3, 2, 4};
  Eigen::Tensor<int, 2, Eigen::RowMajor> table{2, 3};
  std::vector<int> lengths{0, 0};
  pages() {
    k.setConstant(T(7)), v.setConstant(T(7));
    table.setValues({{4, 0, 2}, {1, 5, 3}});
  }
  paged_tensors cache() {
    return {.k = as<"BLHD">(k), .v = as<"BLHD">(v), .table = as<"BL">(table), .lengths = lengths};
  }
};

template <class T> void appended_and_read() {
  pages<T> memory;
  paged_tensors cache = memory.cache();
  model m(2);
  check_cache(cache, m);
  for (const index n : {2, 1, 0, 4}) {
    // Numbers that the type holds.
    chunk<float> c(cache, n, unsigned(n));
    for (auto* x : {&c.k, &c.v})
      for (float& number : x->data) number = float(T(number));
    append(cache, m, c);
  }
  check_cache(cache, m);
  CHECK(memory.lengths == std::vector<int>{7, 7});
  CHECK(float(memory.k(5, 2, 1, 3)) == float(m[1].heads[1].k(5, 3)));
  CHECK(float(memory.k(3, 1, 0, 0)) == 7);
  memory.lengths = {3, 4};
  m[0].truncate(3), m[1].truncate(4);
  check_cache(cache, m);
}

}  // namespace

TEST_CASE("rows lie where the caller's table says") {
  appended_and_read<float>();
  appended_and_read<double>();
  appended_and_read<Eigen::half>();
  appended_and_read<Eigen::bfloat16>();
}

TEST_CASE("what does not fit is refused before anything is written") {
  pages<float> memory;
  paged_tensors cache = memory.cache();
  model m(2);
  append(cache, m, chunk<float>(cache, 7, 1));
  const auto refused = [&](const std::string& text, auto call) {
    const Eigen::Tensor<float, 4, Eigen::RowMajor> before = memory.k;
    CHECK_THROWS_WITH(call(), Catch::Matchers::ContainsSubstring(text));
    CHECK(memory.lengths == std::vector<int>{7, 7});
    CHECK(std::equal(before.data(), before.data() + before.size(), memory.k.data()));
  };
  const auto grow = [&](index n) {
    const chunk<float> c(cache, n, 3);
    cache.append(c.k.in(), c.v.in());
  };
  refused("sequence 0 would have 10 tokens", [&] { grow(3); });
  memory.table(1, 2) = 6;
  refused("page 2 of sequence 1 is 6, there are 6", [&] { grow(1); });
  memory.table(1, 2) = -1;
  refused("heed::paged_tensors: page 2 of sequence 1 is -1", [&] { cache.check(); });
  memory.table(1, 2) = 3;
  cache.check();
  const auto x = uniform<float>({2, 2, 1, 4}, 1), y = uniform<float>({1, 2, 1, 5}, 2),
             k = uniform<float>({2, 2, 1, 5}, 3), two = uniform<float>({2, 2, 2, 4}, 4);
  refused("k and v must be", [&] { cache.append(x.in(), x.in()); });
  refused("k and v must be", [&] { cache.append(y.in(), x.in()); });
  refused("k and v must be", [&] { cache.append(k.in(), two.in()); });
  refused("k and v must be",
          [&] { cache.append(view<const float>(nullptr, {2, 2, 1, 5}), x.in()); });
  paged_tensors other = cache;
  other.v = result{};
  refused("must have data", [&] { other.check(); });
  other = cache, other.v.extent[2] = 4;
  refused("must agree", [&] { other.check(); });
  other = cache, other.table.extent[0] = 1;
  refused("the table is", [&] { other.check(); });
  other = cache, other.table.data = nullptr;
  refused("the table must have data", [&] { other.check(); });
}

}  // namespace heed::test
