// SPDX-License-Identifier: BSL-1.0
// What observers are held to: the weights of a call in double, head by head, and calls over masks,
// shared heads, sinks, extra slots, packed sequences and score modifiers.
#pragma once

#include <algorithm>
#include <heed/attention/attend_backward.hpp>
#include <heed/kv/extra.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/plan/varlen.hpp>
#include <heed/reference/normalizer/sigmoid.hpp>
#include <heed/reference/normalizer/sink_softmax.hpp>
#include <heed/score/softcap.hpp>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "support/exact.hpp"
#include "support/executors.hpp"

namespace heed::test {

using Eigen::MatrixXd;

/// One head of one sequence: item of the tensors, first row and slot, scores, weights.
struct observed_head {
  index item, h, row, slot;
  MatrixXd s, p;
  reference::allowed a;
  std::string where;
};

template <class Spec>
MatrixXd observed_weights(const Spec& spec, const MatrixXd& s, const reference::allowed& a,
                          const MatrixXd& extra, index h) {
  namespace normal = reference::normalizer;
  using N = decltype(Spec::normalizer);
  if constexpr (std::is_same_v<N, sigmoid>) return normal::sigmoid(s, a, spec.normalizer.bias);
  MatrixXd all(s.rows(), s.cols() + extra.cols());
  all << s, extra;
  reference::allowed seen = reference::allowed::Constant(all.rows(), all.cols(), true);
  seen.leftCols(s.cols()) = a;
  MatrixXd p;
  if constexpr (std::is_same_v<N, sink_softmax>)
    p = normal::sink_softmax(all, seen, spec.normalizer.logits.get(h, 0));
  else
    p = normal::softmax(all, seen);
  return p.leftCols(s.cols());
}

/// The weights of every head, from views of the keys of extra slots where there are any.
template <class T, class Spec>
std::vector<observed_head> observed_heads(const Spec& spec, const tensor<T>& q, const tensor<T>& k,
                                          const tensor<T>* slots = nullptr) {
  std::vector<observed_head> all;
  index sequences = q.extent[0];
  if constexpr (requires { spec.plan.sequences(); }) sequences = spec.plan.sequences();
  for (index i = 0; i < sequences; ++i) {
    span rows{0, q.extent[2]}, keys{0, k.extent[2]};
    index item = i;
    if constexpr (requires { spec.plan.sequences(); })
      rows = spec.plan.query_rows(i), keys = spec.plan.key_rows(i), item = 0;
    for (index h = 0; h < q.extent[1]; ++h) {
      const index kv = h / (q.extent[1] / k.extent[1]), offset = keys.size() - rows.size();
      const MatrixXd queries =
          q.head(item, h).middleRows(rows.begin, rows.size()) / std::sqrt(double(q.extent[3]));
      MatrixXd s = queries * k.head(item, kv).middleRows(keys.begin, keys.size()).transpose();
      MatrixXd extra(rows.size(), 0);
      if (slots) extra = queries * slots->head(0, kv).transpose();
      reference::allowed a(rows.size(), keys.size());
      for (index r = 0; r < rows.size(); ++r)
        for (index j = 0; j < keys.size(); ++j) {
          const position at{i, h, r + offset, j, rows.begin + r, keys.begin + j};
          a(r, j) = spec.mask(at);
          s(r, j) = modified(spec.score, s(r, j), at);
        }
      const MatrixXd p = observed_weights(spec, s, a, extra, h);
      all.push_back({item, h, rows.begin, keys.begin, s, p, a,
                     std::to_string(rows.size()) + " × " + std::to_string(keys.size()) +
                         ", sequence " + std::to_string(i) + ", head " + std::to_string(h)});
    }
  }
  return all;
}

/// The rows of a head that belong to a sequence, of a result [B,H,Lq,n].
template <class T> MatrixXd rows_of(const tensor<T>& x, const observed_head& t) {
  return x.head(t.item, t.h).middleRows(t.row, t.s.rows());
}
/// What a weight may be off by: scores of size S are off by some ε · S · √D.
template <class T> double weight_tolerance(const observed_head& t, index depth) {
  return tolerance<T>(8, depth, t.s.size() ? std::max(1.0, t.s.cwiseAbs().maxCoeff()) : 1);
}

struct no_slots {};

/// f(spec, q, k, v, truths) for each kind of call. `f` is generic.
template <class T, class F> void each_observed_call(F f) {
  struct lengths {
    index b, h, kv, lq, lk, d;
  };
  const auto operands = [](const lengths& x, auto g) {
    // Deviations that move the running maximum more than once.
    const auto q = random<T>({x.b, x.h, x.lq, x.d}, 1, 4),
               k = random<T>({x.b, x.kv, x.lk, x.d}, 2, 2), v = random<T>({x.b, x.kv, x.lk, 5}, 3);
    g(q, k, v);
  };
  const auto run = [&](const auto& spec, const lengths& x) {
    operands(x, [&](const auto& q, const auto& k, const auto& v) {
      f(spec, q, k, v, observed_heads(spec, q, k));
    });
  };
  for (const lengths& x : {lengths{2, 4, 2, 53, 300, 12},
                           {1, 2, 1, 70, 33, 7},
                           {1, 1, 1, 1, 1, 1},
                           {1, 2, 2, 4, 0, 6},
                           {2, 2, 2, 49, 257, 64}}) {
    run(attention{}, x);
    run(attention{.mask = causal{}}, x);
  }
  const lengths plain{2, 4, 2, 130, 290, 9};
  run(attention{.mask = causal{} && window{.left = 40}}, plain);
  const auto odd = [](const position& at) { return (at.q + at.k + at.h) % 3 != 0; };
  run(attention{.mask = odd}, plain);
  run(attention{.mask = causal{}, .score = softcap{5}}, plain);
  const std::vector<float> z{-1, 0, 2, 9};
  run(attention{.mask = causal{}, .normalizer = sink_softmax{z}}, plain);
  run(attention{.mask = causal{}, .normalizer = sink_softmax{z}}, {1, 4, 2, 40, 25, 6});
  operands(plain, [&](const auto& q, const auto& k, const auto& v) {
    const auto slots = random<T>({1, 2, 3, 9}, 4, 2), values = random<T>({1, 2, 3, 5}, 5);
    const attention spec{.mask = causal{}, .extra = extra_slots{.k = slots.in(), .v = values.in()}};
    f(spec, q, k, v, observed_heads(spec, q, k, &slots));
  });
  const std::vector<int> cu_q{0, 3, 3, 60, 110}, cu_k{0, 5, 9, 200, 210};
  run(attention{.mask = causal{}, .plan = varlen{cu_q, cu_k}}, {1, 4, 2, 110, 210, 8});
}

/// make(crew) -> numbers; the same bits for 1, 2 and 16 threads.
template <class F> void same_for_any_crew(F make) {
  const auto one = make(executor_ref{});
  for (const index crew : {2, 16}) {
    const each_thread threads{crew};
    CHECK(make(executor_ref(threads)) == one);
  }
}

/// dq and dk of Σ dO·O + loss(weights), given by `observed`, against central differences in double.
/// value(q, k) computes the loss, gradient(q, k) makes the observed gradient and calls its
/// argument.
template <class Spec, class Value, class With>
void check_observed_gradient(const Spec& spec, Value value, With with, double allowed = 2e-7) {
  const bool packed = requires { spec.plan.sequences(); };
  const index batch = packed ? 1 : 2, lq = packed ? 12 : 9, lk = packed ? 15 : 14;
  auto q = random<double>({batch, 4, lq, 5}, 1), k = random<double>({batch, 2, lk, 5}, 2);
  const auto v = random<double>({batch, 2, lk, 3}, 3);
  const tensor<double> d_out({batch, 4, lq, 3}, 0.0);
  auto dq = unwritten<double>(q.extent), dk = unwritten<double>(k.extent);
  with(q, k, v, [&](const observed_gradient& g) {
    attend_backward(spec, q.in(), k.in(), v.in(), saved{}, operand(d_out.in()),
                    {.dq = dq.in(), .dk = dk.in(), .observed = &g});
  });
  const auto check = [&](tensor<double>& x, const tensor<double>& dx) {
    double worst = 0;
    for (std::size_t i = 0; i < x.data.size(); ++i) {
      const double at = x.data[i], step = 1e-5;
      x.data[i] = at + step;
      const double up = value(q, k, v);
      x.data[i] = at - step;
      const double down = value(q, k, v);
      x.data[i] = at;
      const double off = std::abs((up - down) / (2 * step) - dx.data[i]);
      worst = std::isnan(off) ? 1 : std::max(worst, off);
    }
    CHECK(worst <= allowed);
  };
  check(q, dq);
  check(k, dk);
}
/// f(spec) for the specs whose gradients are checked.
template <class F> void each_observed_gradient(F f) {
  static const std::vector<float> z{-1, 0, 2, 1};
  static const std::vector<int> cu_q{0, 3, 12}, cu_k{0, 4, 15};
  f(attention{});
  f(attention{.mask = causal{}});
  f(attention{.mask = causal{} && window{.left = 3}, .score = softcap{2}});
  f(attention{.mask = causal{}, .normalizer = sink_softmax{z}});
  static const auto slots = random<double>({1, 2, 3, 5}, 4),
                    values = random<double>({1, 2, 3, 3}, 5);
  f(attention{.mask = causal{}, .extra = extra_slots{.k = slots.in(), .v = values.in()}});
  f(attention{.mask = causal{}, .plan = varlen{cu_q, cu_k}});
}

}  // namespace heed::test
