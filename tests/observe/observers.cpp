// SPDX-License-Identifier: BSL-1.0
#include <heed/observe/columns.hpp>
#include <heed/observe/group_mass.hpp>
#include <heed/observe/observers.hpp>
#include <heed/observe/row_entropy.hpp>

#include "support/observed.hpp"

namespace heed::test {

TEST_CASE("observers see what each alone sees") {
  const auto q = random<float>({2, 4, 60, 8}, 1, 3), k = random<float>({2, 2, 300, 8}, 2, 3);
  std::vector<int> labels;
  for (int j = 0; j < 300; ++j) labels.push_back(j / 100);
  auto out = unwritten<float>({2, 4, 60, 8}), pi = unwritten<float>({2, 4, 60, 3}), pi_alone = pi;
  auto h = unwritten<float>({2, 4, 60, 1}), h_alone = h;
  group_mass mass(labels, pi.in()), mass_alone(labels, pi_alone.in());
  row_entropy entropy(h.in()), entropy_alone(h_alone.in());
  observers both(mass, entropy);
  for (observer* o : std::initializer_list<observer*>{&both, &mass_alone, &entropy_alone})
    attend(attention{.mask = causal{}}, q.in(), k.in(), k.in(), {.out = out.in(), .observe = o});
  CHECK(pi.data == pi_alone.data);
  CHECK(h.data == h_alone.data);
}

TEST_CASE("gradients of several observers, and of the output, add up") {
  const auto q = random<double>({1, 2, 20, 6}, 1), k = random<double>({1, 1, 30, 6}, 2),
             v = random<double>({1, 1, 30, 4}, 3), d_out = random<double>({1, 2, 20, 4}, 4),
             dh = random<double>({1, 2, 20, 1}, 5), dm = random<double>({1, 2, 20, 2}, 6);
  const tensor<double> zero({1, 2, 20, 4}, 0.0);
  const std::vector<index> keys{3, 20};
  auto out = unwritten<double>({1, 2, 20, 4}), h = unwritten<double>({1, 2, 20, 1}),
       map = unwritten<double>({1, 2, 20, 2});
  row_entropy entropy(h.in());
  columns some(keys, map.in());
  observers both(entropy, some);
  const attention spec{.mask = causal{}};
  attend(spec, q.in(), k.in(), v.in(), {.out = out.in(), .observe = &both});
  const row_entropy::gradient by_h(entropy, dh.in());
  const columns::gradient by_map(some, dm.in());
  const observed_gradients all(by_h, by_map);
  const auto dq = [&](const tensor<double>& d, const observed_gradient* g) {
    auto x = unwritten<double>(q.extent);
    attend_backward(spec, q.in(), k.in(), v.in(), {.out = out.in()}, operand(d.in()),
                    {.dq = x.in(), .observed = g});
    return x.head(0, 1);
  };
  check_close(dq(d_out, &all), MatrixXd(dq(d_out, nullptr) + dq(zero, &by_h) + dq(zero, &by_map)),
              1e-12);
}

}  // namespace heed::test
