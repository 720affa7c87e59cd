// expect: no matching function
// SPDX-License-Identifier: BSL-1.0
#define EIGEN_USE_THREADS
#include <heed/eigen.hpp>

int main() {
  Eigen::ThreadPool pool(2);
  const Eigen::ThreadPoolDevice device(&pool, 2);
  float x[4] = {}, out[4] = {};
  const heed::view<const float> v(x, {1, 1, 2, 2});
  const heed::view<float> to(out, {1, 1, 2, 2});
#ifdef MUST_FAIL
  heed::attend(heed::attention<>{}, v, v, v, to, device);
#else
  heed::attend(heed::attention<>{}, v, v, v, to, heed::on(device));
#endif
}
