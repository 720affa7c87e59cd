// SPDX-License-Identifier: BSL-1.0
// [hello]
#include <heed/heed.hpp>
#include <iostream>

int main() {
  using heed::as;
  using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;  // [B, L, H, D]
  tensor q(1, 128, 8, 64), k(1, 128, 2, 64), v(1, 128, 2, 64), out(1, 128, 8, 64);
  q.setRandom(), k.setRandom(), v.setRandom();
  heed::attend(heed::attention{.mask = heed::causal{}}, as<"BLHD">(q), as<"BLHD">(k),
               as<"BLHD">(v), as<"BLHD">(out));
  std::cout << "first channel of the last token: " << out(0, 127, 0, 0) << '\n';
}
// [/hello]
