// SPDX-License-Identifier: BSL-1.0
// select/routing: each centroid takes the w queries and the w keys nearest to it, and these attend
// to each other (Roy et al., Routing Transformer, 2021).
//
//   const row_selection chosen = route(routing{.width = w}, q, q, centroids);
//   attend_lists(gathered{.lists = chosen.lists()}, routed_attention(), q, q, v, out);
//   update_centroids(routing{}, q, q, centroids);
//
// x̂ = layer_norm(x); S = μ x̂ᵀ [C,L]; cluster c has the w tokens with the largest S_c, ties to the
// lower number; softmax inside a cluster, causal by the positions in the text; a token's output is
// the mean over its clusters, zeros if it has none. μ_c ← λ μ_c + (1-λ)/2 · Σ (q̂ + k̂) over the
// tokens whose largest S is that of c, ties to the lower c. Causal text shares queries and keys:
// give q for both, and add dq and dk. q [B,H,Lq,D], k [B,H,Lk,D], centroids [1,H,C,D], float or
// double. C ≈ √L and w = L / C cost O(L^1.5 D), for the choice as for the attention.
#pragma once

#include <heed/attention/spec.hpp>
#include <heed/core/executor.hpp>
#include <heed/mask/causal.hpp>
#include <heed/select/data.hpp>
#include <heed/select/row_lists.hpp>
#include <heed/select/token_scores.hpp>
#include <heed/select/top_k.hpp>
#include <heed/similarity/layer_norm.hpp>

namespace heed {

struct routing {
  index width = 1;       // w: queries and keys a cluster, all of them where there are fewer
  double decay = 0.999;  // λ
};

inline auto routed_attention() {
  return attention{.mask = causal{}, .query = layer_norm{}, .key = layer_norm{}};
}

namespace detail {

inline void check_routing(const char* operation, const routing& r, const operand& q,
                          const operand& k, const operand& centroids) {
  const auto broken = [&](const char* rule) {
    check::fail(operation, rule, {{"q", q}, {"k", k}, {"centroids", centroids}});
  };
  const extents &eq = q.extent, &ek = k.extent, &c = centroids.extent;
  if (eq[0] != ek[0] || eq[1] != ek[1] || eq[3] != ek[3])
    broken("q and k must have the same batch, heads and channels");
  if (c != extents{1, eq[1], c[2], eq[3]} || c[2] < 1 || eq[3] < 1)
    broken("centroids must be [1,H,C,D], C and D at least 1");
  if (centroids.type != element::f32 && centroids.type != element::f64)
    broken("centroids must be float or double");
  check_data(operation, {{"q", q}, {"k", k}, {"centroids", centroids}});
  if (r.width < 1) check::fail(operation, "width must be positive: " + std::to_string(r.width));
  if (!(r.decay >= 0 && r.decay <= 1))
    check::fail(operation, "decay must lie in [0, 1]: " + std::to_string(r.decay));
}

// One head of tokens against its centroids; `each(first, rows, scores [rows, L])`, four at a time.
template <class T, class Arch> struct centroid_scores {
  const operand& centroids;
  index tokens, depth;
  std::vector<T> x, mu, s;

  centroid_scores(const operand& of, index most)
      : centroids(of),
        tokens(most),
        depth(of.extent[3]),
        x(static_cast<std::size_t>(most * depth)),
        mu(static_cast<std::size_t>(of.extent[2] * depth)),
        s(static_cast<std::size_t>(5 * most)) {}

  template <class F> void run(const operand& rows, index b, index h, F each) {
    load_head<Arch>(rows, b, h, layer_norm{}, x.data());
    load_head<Arch>(centroids, 0, h, none{}, mu.data());
    const index count = rows.extent[2];
    for (index c = 0; c < centroids.extent[2]; c += 4) {
      const index some = std::min<index>(4, centroids.extent[2] - c);
      token_scores<Arch>(mu.data() + c * depth, some, x.data(), count, depth, s.data());
      for (index i = 0; i < some; ++i) each(c + i, s.data() + i * count);
    }
  }
  T* scratch() { return s.data() + 4 * tokens; }
};

template <class T, class Arch>
void route_side(const routing& r, const operand& x, const operand& centroids,
                const executor_ref& executor, std::vector<index>& offsets, std::vector<int>& rows) {
  const index length = x.extent[2], heads = x.extent[0] * x.extent[1], each = centroids.extent[2];
  const index width = std::min(r.width, length);
  std::vector<centroid_scores<T, Arch>> crew(static_cast<std::size_t>(executor.workers()),
                                             {centroids, length});
  std::vector<index> found(static_cast<std::size_t>(heads * each));
  rows.resize(static_cast<std::size_t>(heads * each * width));
  executor.for_each(heads, [&](index n, index worker) {
    auto& own = crew[static_cast<std::size_t>(worker)];
    own.run(x, n / x.extent[1], n % x.extent[1], [&](index c, const T* s) {
      const index list = n * each + c;
      found[static_cast<std::size_t>(list)] =
          top_k(s, length, width, rows.data() + list * width, own.scratch());
    });
  });
  // NaN is never chosen, so lists may be shorter.
  offsets.assign(1, 0);
  for (index list = 0; list < heads * each; ++list) {
    const index n = found[static_cast<std::size_t>(list)], to = offsets.back();
    if (to != list * width) std::copy_n(rows.data() + list * width, n, rows.data() + to);
    offsets.push_back(to + n);
  }
  rows.resize(static_cast<std::size_t>(offsets.back()));
}

}  // namespace detail

// C lists an item and head. With k the same view as q, keys are listed as queries are. Throws
// std::invalid_argument if shapes or numbers do not fit.
template <class Arch = simd::best, storable Q, storable K, storable M>
row_selection route(const routing& r, const view<Q>& q, const view<K>& k, const view<M>& centroids,
                    const executor_ref& executor = {}) {
  using T = compute_type<Q, K>;
  const operand from_q = view<const Q>(q), from_k = view<const K>(k), mu = view<const M>(centroids);
  detail::check_routing("heed::route", r, from_q, from_k, mu);
  row_selection to{.batch = q.extent[0], .heads = q.extent[1]};
  to.shared = from_q.data == from_k.data && q.extent == k.extent && q.stride == k.stride;
  detail::route_side<T, Arch>(r, from_q, mu, executor, to.query_offsets, to.queries);
  if (!to.shared) detail::route_side<T, Arch>(r, from_k, mu, executor, to.key_offsets, to.keys);
  return to;
}

// Moves the centroids; sums over items and tokens are in double and in their order. Throws as
// `route`, before anything is written. O(L · C · D) a head.
template <class Arch = simd::best, storable Q, storable K, storable M>
  requires(!std::is_const_v<M>)
void update_centroids(const routing& r, const view<Q>& q, const view<K>& k,
                      const view<M>& centroids, const executor_ref& executor = {}) {
  using T = compute_type<Q, K>;
  const operand sides[] = {view<const Q>(q), view<const K>(k)}, mu = view<const M>(centroids);
  detail::check_routing("heed::update_centroids", r, sides[0], sides[1], mu);
  const index depth = mu.extent[3], count = mu.extent[2];
  const index longest = std::max(q.extent[2], k.extent[2]);
  executor.for_each(q.extent[1], [&](index h, index) {
    detail::centroid_scores<T, Arch> scores(mu, longest);
    std::vector<double> sum(static_cast<std::size_t>(count * depth));
    std::vector<T> best(static_cast<std::size_t>(longest));
    std::vector<index> owner(best.size());
    for (index b = 0; b < q.extent[0]; ++b)
      for (const operand& x : sides) {
        std::fill(best.begin(), best.end(), -std::numeric_limits<T>::infinity());
        std::fill(owner.begin(), owner.end(), index{-1});
        scores.run(x, b, h, [&](index c, const T* s) {
          for (std::size_t i = 0; i < static_cast<std::size_t>(x.extent[2]); ++i)
            if (s[i] > best[i]) best[i] = s[i], owner[i] = c;
        });
        for (index i = 0; i < x.extent[2]; ++i)
          if (const index c = owner[static_cast<std::size_t>(i)]; c >= 0)
            for (index d = 0; d < depth; ++d)
              sum[static_cast<std::size_t>(c * depth + d)] +=
                  double(scores.x[static_cast<std::size_t>(i * depth + d)]);
      }
    for (index c = 0; c < count; ++c)
      for (index d = 0; d < depth; ++d) {
        M& m = centroids(0, h, c, d);
        m = static_cast<M>(r.decay * double(m) +
                           (1 - r.decay) / 2 * sum[static_cast<std::size_t>(c * depth + d)]);
      }
  });
}

}  // namespace heed
