// SPDX-License-Identifier: BSL-1.0
// heed::attend with edited weights against formulas of one head each.
#pragma once

#include <atomic>
#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/dense.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/normalizer/softmax.hpp>
#include <thread>

#include "support/attend.hpp"

namespace heed::test {

/// make(shape) is a spec with the mask `causal` and softmax; edited(p, b, h) is p' [Lq×Lk].
/// `growth`: the largest sum of a row after the edit.
template <class T, class Make, class Edited>
void agree_edited(const Make& make, const Edited& edited, double growth = 4,
                  const std::vector<shape>& shapes = awkward_shapes()) {
  for (const shape& x : shapes) {
    const auto q = random<T>({x.b, x.h, x.lq, x.d}, 1), k = random<T>({x.b, x.kv, x.lk, x.d}, 2),
               v = random<T>({x.b, x.kv, x.lk, x.dv}, 3);
    auto out = unwritten<T>({x.b, x.h, x.lq, x.dv}), again = out;
    const auto spec = make(x);
    attend(spec, q.in(), k.in(), v.in(), out.in());
    reference::attend(spec, q.in(), k.in(), v.in(), again.in());
    const reference::allowed a = reference::mask::causal(x.lq, x.lk);
    for (index b = 0; b < x.b; ++b)
      for (index h = 0; h < x.h; ++h) {
        const index kv = h / (x.h / x.kv);
        const Eigen::MatrixXd s = scaled_dot(q.head(b, h), k.head(b, kv), h),
                              p = edited(reference::normalizer::softmax(s, a), b, h);
        const Eigen::MatrixXd expected = reference::attention(p, v.head(b, kv));
        const double largest = x.lk ? std::max(1.0, s.cwiseAbs().maxCoeff()) : 1;
        const double allowed = tolerance<T>(8, x.d, largest * growth);
        const std::string where =
            std::to_string(x.lq) + " x " + std::to_string(x.lk) + ", head " + std::to_string(h);
        check_close(out.head(b, h), expected, allowed, where);
        check_close(again.head(b, h), expected, allowed, where + ", oracle");
      }
  }
}

/// Threads of its own for each call.
struct threads {
  index count;
  index workers() const { return count; }
  template <class F> void for_each(index n, F&& f) const {
    std::atomic<index> next{0};
    std::vector<std::thread> crew;
    for (index worker = 0; worker < count; ++worker)
      crew.emplace_back([&, worker] {
        for (index i; (i = next++) < n;) f(i, worker);
      });
    for (std::thread& one : crew) one.join();
  }
};

/// Two and sixteen threads give the bits of one.
template <class Spec> void check_threads(const Spec& spec, const shape& x) {
  const auto q = random<float>({x.b, x.h, x.lq, x.d}, 1),
             k = random<float>({x.b, x.kv, x.lk, x.d}, 2),
             v = random<float>({x.b, x.kv, x.lk, x.dv}, 3);
  auto alone = unwritten<float>({x.b, x.h, x.lq, x.dv});
  attend(spec, q.in(), k.in(), v.in(), alone.in());
  for (const index count : {2, 16}) {
    const threads crew{count};
    auto together = unwritten<float>(alone.extent);
    attend(spec, q.in(), k.in(), v.in(), together.in(), crew);
    CHECK(alone.data == together.data);
  }
}

}  // namespace heed::test
