// SPDX-License-Identifier: BSL-1.0
// pool/latent_queries: learned queries, the same for every item of the batch, attend to its rows
// (pooling by attention, Lee et al., Set Transformer, 2019; Perceiver, Jaegle et al., 2021;
// Q-Former, Li et al., 2023).
//
//   attend(attention{}, latents(queries, batch), k, v, out);
//   attend_latents_backward(attention{}, queries, k, v, {.out = out, .lse = lse}, d_out,
//                           {.dq = dq, .dk = dk, .dv = dv});
//
// queries [1,H,M,D], k [B,Hkv,L,D], v [B,Hkv,L,Dv], out [B,H,M,Dv]: any spec of `attend`, the
// queries read where they lie. Their gradient is the sum over the batch. MULTI-LANE's summary is
// this with keys and values x and scale 1/√D; more layers are more calls. Latents sit at the last
// keys, as all queries do, unless the spec has an offset. O(L · M · D).
#pragma once

#include <heed/attention/attend_backward.hpp>

namespace heed {

// A view of `batch` items that are all the same. Throws std::invalid_argument if there is not one.
template <class T> view<T> latents(view<T> queries, index batch) {
  if (queries.extent[0] != 1)
    check::fail("heed::latents", "queries must be [1,H,M,D]",
                {{"queries", view<const T>(queries)}});
  queries.extent[0] = batch, queries.stride[0] = 0;
  return queries;
}

namespace detail {

// to[0] = Σ_b from[b], in order and in double.
template <class T>
void sum_over_batch(const view<const T>& from, const result& to, const executor_ref& executor) {
  const index rows = from.extent[2], channels = from.extent[3];
  executor.for_each(from.extent[1], [&](index h, index) {
    std::vector<double> sum(static_cast<std::size_t>(channels));
    for (index l = 0; l < rows; ++l) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (index b = 0; b < from.extent[0]; ++b)
        for (index c = 0; c < channels; ++c)
          sum[static_cast<std::size_t>(c)] += double(from(b, h, l, c));
      simd::store_row(to.type, sum.data(), channels, to.row(0, h, l), to.stride[3]);
    }
  });
}

// Where the gradient of rows that all items share is made before it is summed.
template <class T> class batch_gradient {
 public:
  batch_gradient(const result& to, index batch) : to_(to), apart_(to.present() && batch != 1) {
    if (!apart_) return;
    extents e = to.extent;
    e[0] = batch;
    each_ = dense_rows(memory_, e);
  }
  result target() const { return apart_ ? result(each_) : to_; }
  void sum(const executor_ref& executor) const {
    if (apart_) sum_over_batch<T>(each_, to_, executor);
  }

 private:
  result to_;
  bool apart_;
  std::vector<T> memory_;
  view<T> each_{};
};

}  // namespace detail

// As `attend_backward` with `latents(queries, batch)`; dq [1,H,M,D] is summed over the batch. Same
// bits for any executor. Throws std::invalid_argument, before anything is written, if a shape or a
// policy does not fit. Memory: dq of every item.
template <class Arch = simd::best, class Spec, storable Q, storable K, storable V>
void attend_latents_backward(const Spec& spec, const view<Q>& queries, const view<K>& k,
                             const view<V>& v, const saved& forward, const upstream& d,
                             const std::type_identity_t<gradients<Spec>>& to,
                             const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K, V>;
  const index batch = k.extent[0];
  const auto all = latents(queries, batch);
  if (to.dq.present() && to.dq.extent != queries.extent)
    check::fail("heed::attend_latents_backward", "dq must have the shape of the queries",
                {{"queries", view<const Q>(queries)}, {"dq", to.dq}});
  const detail::batch_gradient<T> dq(to.dq, batch);
  auto each = to;
  each.dq = dq.target();
  attend_backward<Arch>(spec, all, k, v, forward, d, each, executor, scratch);
  dq.sum(executor);
}

}  // namespace heed
