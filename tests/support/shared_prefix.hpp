// SPDX-License-Identifier: BSL-1.0
// Sequences behind a shared prefix, and the oracle on prefix and own tokens joined.
#pragma once

#include <heed/kv/shared_prefix.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/kv/shared_prefix.hpp>

#include "support/exact.hpp"

namespace heed::test {

struct prefix_sizes {
  heed::index b, h, kv, lq, p, n, d, dv;
};
inline const std::vector<prefix_sizes>& prefix_sizes_to_test() {
  static const std::vector<prefix_sizes> all{{3, 4, 2, 1, 70, 9, 8, 5},  {2, 2, 1, 5, 40, 5, 6, 7},
                                             {4, 3, 3, 2, 300, 2, 5, 3}, {1, 2, 2, 7, 11, 13, 4, 4},
                                             {3, 2, 1, 4, 20, 0, 4, 3},  {2, 2, 2, 4, 0, 6, 4, 3},
                                             {2, 1, 1, 0, 5, 3, 4, 3},   {0, 2, 1, 3, 5, 3, 4, 3}};
  return all;
}

template <class T> struct prefix_model {
  prefix_sizes x;
  tensor<T> q, pk, pv, k, v;

  explicit prefix_model(const prefix_sizes& s)
      : x(s),
        q(random<T>({s.b, s.h, s.lq, s.d}, 1)),
        pk(random<T>({1, s.kv, s.p, s.d}, 2)),
        pv(random<T>({1, s.kv, s.p, s.dv}, 3)),
        k(random<T>({s.b, s.kv, s.n, s.d}, 4)),
        v(random<T>({s.b, s.kv, s.n, s.dv}, 5)) {}

  static tensor<double> joined(const tensor<T>& prefix, const tensor<T>& own) {
    tensor<double> all(
        {own.extent[0], own.extent[1], prefix.extent[2] + own.extent[2], own.extent[3]});
    for (heed::index b = 0; b < own.extent[0]; ++b)
      for (heed::index h = 0; h < own.extent[1]; ++h) {
        const Eigen::MatrixXd m = heed::reference::kv::joined(prefix.head(0, h), own.head(b, h));
        for (heed::index l = 0; l < m.rows(); ++l)
          for (heed::index d = 0; d < m.cols(); ++d) all(b, h, l, d) = m(l, d);
      }
    return all;
  }
  heed::extents out() const { return {x.b, x.h, x.lq, x.dv}; }
  heed::extents rows() const { return {x.b, x.h, x.lq, 1}; }

  template <class Spec> void check(const Spec& spec) const {
    auto want = unwritten<double>(out()), want_lse = unwritten<double>(rows());
    tensor<double> queries(q.extent);
    std::copy(q.data.begin(), q.data.end(), queries.data.begin());
    heed::reference::attend(spec, queries.in(), joined(pk, k).in(), joined(pv, v).in(),
                            {.out = want.in(), .lse = want_lse.in()});
    auto got = unwritten<T>(out()), lse = unwritten<T>(rows());
    heed::attend_shared_prefix(spec, q.in(), pk.in(), pv.in(), k.in(), v.in(),
                               {.out = got.in(), .lse = lse.in()});
    for (heed::index b = 0; b < x.b; ++b)
      for (heed::index h = 0; h < x.h; ++h) {
        const std::string where = std::to_string(b) + ", " + std::to_string(h);
        check_close(got.head(b, h), want.head(b, h), tolerance<T>(16, x.d), where);
        check_close(lse.head(b, h), want_lse.head(b, h), tolerance<T>(16, x.d, 4), where);
      }
  }
};

}  // namespace heed::test
