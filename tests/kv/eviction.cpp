// SPDX-License-Identifier: BSL-1.0
// Policies that evict, end to end: a prompt, then steps of append, attend, observe, decide, evict;
// each row against the reference on the tokens that are to be left. In double, so that both decide
// alike.
#include <heed/attention/attend_source.hpp>
#include <heed/kv/contiguous.hpp>
#include <heed/kv/h2o.hpp>
#include <heed/kv/paged.hpp>
#include <heed/kv/quantized.hpp>
#include <heed/kv/snapkv.hpp>
#include <heed/mask/causal.hpp>
#include <heed/observe/column_mass.hpp>
#include <heed/observe/rows.hpp>
#include <heed/reference/kv/h2o.hpp>
#include <heed/reference/kv/snapkv.hpp>

#include "support/exact.hpp"

namespace heed::test {
namespace {

constexpr index B = 2, H = 4, Hkv = 2, D = 8, Dv = 5, tokens = 160, group = H / Hkv;
constexpr attention<causal> spec{};

struct texts {
  tensor<double> q = random<double>({B, H, tokens, D}, 1, 2),
                 k = random<double>({B, Hkv, tokens, D}, 2),
                 v = random<double>({B, Hkv, tokens, Dv}, 3);
  view<const double> rows(const tensor<double>& x, index b, index first, index n) const {
    view<const double> some = x.in();
    some.data += b * some.stride[0] + first * some.stride[2];
    some.extent[0] = 1, some.extent[2] = n;
    return some;
  }
  // Weights that the query of token t of head h gives to the tokens `kept`, by the formula.
  Eigen::VectorXd weights(index b, index h, index t, const std::vector<index>& kept) const {
    const Eigen::MatrixXd all = k.head(b, h / group)(kept, Eigen::all);
    Eigen::VectorXd p = all * q.head(b, h).row(t).transpose() / std::sqrt(double(D));
    p = (p.array() - p.maxCoeff()).exp();
    return p / p.sum();
  }
};

std::vector<index> listed(const kept_tokens& kept, index h) {
  return {kept.head(h), kept.head(h) + kept.count};
}
template <class Cache> std::vector<index> places(const Cache& cache, index b, index h) {
  std::vector<index> all(static_cast<std::size_t>(cache.length(b)));
  const index* const at = cache.places(b, h);
  for (index t = 0; t < cache.length(b); ++t) all[std::size_t(t)] = at ? at[t] : t;
  return all;
}

template <class Cache> void heavy_hitters(Cache cache, const h2o_budget& budget) {
  const texts x;
  h2o policy(budget, B, Hkv, tokens);
  std::vector<reference::kv::h2o> want(std::size_t(B * Hkv));
  kept_tokens kept;
  const index prompt[] = {20, 33};
  const auto left = [&](index b, index h) {
    std::vector<index> all;
    for (const auto& [token, sum] : want[std::size_t(b * Hkv + h)].mass) all.push_back(token);
    return all;
  };
  const auto decide = [&](index b) {
    if (policy.full(b)) {
      policy.keep(b, kept);
      cache.evict(b, kept);
      policy.evict(b, kept);
    }
    for (index h = 0; h < Hkv; ++h) {
      auto& one = want[std::size_t(b * Hkv + h)];
      one.evict(budget.heavy, budget.recent);
      REQUIRE(places(cache, b, h) == left(b, h));
      index t = 0;
      for (const auto& [token, sum] : one.mass)
        CHECK(policy.mass(b, h, t++) == Approx(sum).epsilon(1e-11));
    }
    REQUIRE(policy.length(b) == cache.length(b));
    REQUIRE(cache.length(b) <= budget.heavy + budget.recent);
  };
  // Weights of the token t of both groups, to the model.
  const auto observed = [&](index b, index t) {
    for (index h = 0; h < Hkv; ++h) {
      const auto kept_now = left(b, h);
      Eigen::VectorXd sum = Eigen::VectorXd::Zero(index(kept_now.size()));
      for (index g = 0; g < group; ++g) sum += x.weights(b, h * group + g, t, kept_now);
      want[std::size_t(b * Hkv + h)].add(sum);
    }
  };

  for (index b = 0; b < B; ++b) {
    const index n = prompt[b];
    cache.append(b, x.rows(x.k, b, 0, n), x.rows(x.v, b, 0, n));
    auto mass = unwritten<double>({1, H, n, 1});
    column_mass(spec, x.rows(x.q, b, 0, n), x.rows(x.k, b, 0, n), {}, {.mass = mass.in()});
    policy.append(b, n);
    policy.add(b, mass.in());
    for (index t = 0; t < n; ++t) {
      for (index h = 0; h < Hkv; ++h) want[std::size_t(b * Hkv + h)].append(1);
      observed(b, t);
    }
    decide(b);
  }

  std::vector<double> memory(std::size_t(B * H * tokens));
  for (index step = 0; step < 100; ++step) {
    tensor<double> q({B, H, 1, D}), k({B, Hkv, 1, D}), v({B, Hkv, 1, Dv}), out({B, H, 1, Dv});
    for (index b = 0; b < B; ++b) {
      const index t = prompt[b] + step;
      for (index h = 0; h < H; ++h)
        for (index c = 0; c < D; ++c) q(b, h, 0, c) = x.q.in()(b, h, t, c);
      for (index h = 0; h < Hkv; ++h) {
        for (index c = 0; c < D; ++c) k(b, h, 0, c) = x.k.in()(b, h, t, c);
        for (index c = 0; c < Dv; ++c) v(b, h, 0, c) = x.v.in()(b, h, t, c);
      }
    }
    cache.append(k.in(), v.in());
    const view<double> weights(memory.data(), {B, H, 1, kv_ref(cache).longest()});
    const index newest[] = {0};
    rows seen(newest, weights);
    attend(spec, view<const double>(q.in()), cache, {.out = out.in(), .observe = &seen});
    for (index b = 0; b < B; ++b) {
      const index t = prompt[b] + step;
      policy.append(b, 1);
      policy.add(b, one_row(weights));
      for (index h = 0; h < Hkv; ++h) want[std::size_t(b * Hkv + h)].append(1);
      observed(b, t);
      for (index h = 0; h < H; ++h) {
        const auto now = left(b, h / group);
        const Eigen::MatrixXd row =
            x.weights(b, h, t, now).transpose() * x.v.head(b, h / group)(now, Eigen::all);
        check_close(out.head(b, h), row, 1e-13, "step " + std::to_string(step));
      }
      REQUIRE(cache.end(b) == t + 1);
      decide(b);
    }
  }
}

constexpr kv_shape shape{B, Hkv, D, Dv};

}  // namespace

TEST_CASE("heavy hitters over a hundred steps") {
  for (const h2o_budget& budget : {h2o_budget{8, 6}, {0, 5}, {12, 1}}) {
    heavy_hitters(contiguous_kv(shape, 64, kv_as::whole_double()), budget);
    heavy_hitters(paged_kv(shape, {.pages = 40, .page = 4}, kv_as::whole_double()), budget);
  }
}

TEST_CASE("a prompt that its last rows have looked through, and steps after it") {
  const texts x;
  const index n = 90, window = 8, budget = 14;
  paged_kv cache(shape, {.pages = 60, .page = 8}, kv_as::whole_double());
  view<const double> q = x.q.in(), k = x.k.in(), v = x.v.in();
  q.extent[2] = k.extent[2] = v.extent[2] = n;
  cache.append(k, v);
  tensor<double> mass({B, H, n, 1});
  column_mass(spec, q, k, {}, {.mass = mass.in()}, {.last = window});
  std::vector<std::vector<std::vector<index>>> left(B);
  kept_tokens kept;
  for (index b = 0; b < B; ++b) {
    snapkv{.window = window, .budget = budget, .pool = 3}.keep(mass.in(), b, Hkv, n, kept);
    cache.evict(b, kept);
    std::vector<reference::matrix> p;
    for (index h = 0; h < H; ++h) {
      p.push_back(reference::matrix::Zero(n, n));
      for (index t = 0; t < n; ++t) {
        std::vector<index> before;
        for (index j = 0; j <= t; ++j) before.push_back(j);
        p.back().row(t).head(t + 1) = x.weights(b, h, t, before).transpose();
      }
    }
    left[std::size_t(b)] = reference::kv::snapkv(p, Hkv, window, budget, 3, true);
    REQUIRE(cache.length(b) == window + budget);
    REQUIRE(cache.end(b) == n);
    for (index h = 0; h < Hkv; ++h) {
      CHECK(places(cache, b, h) == left[std::size_t(b)][std::size_t(h)]);
      CHECK(listed(kept, h) == left[std::size_t(b)][std::size_t(h)]);
    }
  }
  CHECK(cache.free_pages() == 60 - B * 3);
  // One by one, and three at once.
  for (index t = n; t < n + 20;) {
    const index some = t % 5 == 0 ? 3 : 1;
    tensor<double> out({B, H, some, Dv});
    for (index b = 0; b < B; ++b) {
      cache.append(b, x.rows(x.k, b, t, some), x.rows(x.v, b, t, some));
      for (auto& list : left[std::size_t(b)])
        for (index i = 0; i < some; ++i) list.push_back(t + i);
    }
    view<const double> rows = x.q.in();
    rows.data += t * D, rows.extent[2] = some;
    attend(spec, rows, cache, out.in());
    for (index b = 0; b < B; ++b)
      for (index h = 0; h < H; ++h)
        for (index i = 0; i < some; ++i) {
          std::vector<index> now = left[std::size_t(b)][std::size_t(h / group)];
          now.resize(now.size() - std::size_t(some - 1 - i));
          const Eigen::MatrixXd row =
              x.weights(b, h, t + i, now).transpose() * x.v.head(b, h / group)(now, Eigen::all);
          check_close(out.head(b, h).row(i), row, 1e-13, "token " + std::to_string(t + i));
        }
    t += some;
  }
}

}  // namespace heed::test
