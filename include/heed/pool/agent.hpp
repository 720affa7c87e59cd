// SPDX-License-Identifier: BSL-1.0
// pool/agent: queries averaged over the regions of an image stand between queries and keys (Han et
// al., Agent Attention, 2024).
//
//   pool_regions(image, q, agents);                       A = Pool(Q) [B,H,n,D]
//   const two_hop hops{attention{.score = bias{b1}}, attention{.score = bias{b2}}};
//   attend_two_hop(hops, agents, q, k, v, out);
//   add_convolution(value_depthwise{…}, v, out);
//
// O = softmax(Q Aᵀ/√D + B₂) softmax(A Kᵀ/√D + B₁) V + DWC(V). A bias is the sum of a block, a row
// and a column table, each stretched to the image: the caller's, as it is made once a model.
// Backward: `attend_two_hop_backward` gives dq and the agents' gradient, which `spread_regions`
// adds to dq. Regions may differ by a row or a column: region i of n along an axis of L covers [⌊i
// L / n⌋, ⌈(i + 1) L / n⌉), as in adaptive pooling, so that neighbours may overlap.
#pragma once

#include <array>
#include <heed/pool/two_hop.hpp>
#include <heed/select/data.hpp>

namespace heed {

struct pooled_regions {
  std::array<index, 2> size{};     // Y, X
  std::array<index, 2> regions{};  // along Y and X

  index count() const { return regions[0] * regions[1]; }
  span along(std::size_t axis, index i) const {
    const index n = regions[axis], length = size[axis];
    return {i * length / n, ((i + 1) * length + n - 1) / n};
  }
  void check(const char* operation, const operand& x, const operand& pooled) const {
    for (std::size_t i = 0; i < 2; ++i)
      if (regions[i] < 1 || regions[i] > size[i])
        check::fail(operation, "an axis of " + std::to_string(size[i]) + " tokens has no " +
                                   std::to_string(regions[i]) + " regions");
    if (x.extent[2] != size[0] * size[1] ||
        pooled.extent != extents{x.extent[0], x.extent[1], count(), x.extent[3]})
      check::fail(operation, "rows must be [B,H,Y*X,D] and those of regions [B,H,regions,D]",
                  {{"rows", x}, {"regions", pooled}});
    detail::check_data(operation, {{"rows", x}, {"regions", pooled}});
  }
};

namespace detail {

// each(b, h, region, token, 1 / tokens of the region), a task a head.
template <class T, class F>
void each_pooled(const pooled_regions& at, const operand& x, const executor_ref& executor, F each) {
  executor.for_each(x.extent[0] * x.extent[1], [&](index n, index) {
    for (index r = 0; r < at.count(); ++r) {
      const span y = at.along(0, r / at.regions[1]), w = at.along(1, r % at.regions[1]);
      const T share = T(1) / T(y.size() * w.size());
      for (index i = y.begin; i < y.end; ++i)
        for (index j = w.begin; j < w.end; ++j) each(n, r, i * at.size[1] + j, share);
    }
  });
}

}  // namespace detail

// Means of the rows of each region. x [B,H,Y·X,D], pooled [B,H,n,D]. O(B · H · Y · X · D), as
// spread_regions. Throws std::invalid_argument, before anything is written, on other shapes and on
// regions that the image does not have.
template <storable X>
void pool_regions(const pooled_regions& at, const view<X>& x,
                  const std::type_identity_t<result>& pooled, const executor_ref& executor = {}) {
  using T = compute_type<X>;
  const operand from = view<const X>(x);
  at.check("heed::pool_regions", from, pooled);
  const index channels = x.extent[3], heads = x.extent[1], each = at.count() * channels;
  std::vector<T> sum(static_cast<std::size_t>(x.extent[0] * heads * (each + channels)));
  T* const rows = sum.data() + x.extent[0] * heads * each;
  detail::each_pooled<T>(at, from, executor, [&](index n, index r, index token, T share) {
    T* const row = rows + n * channels;
    simd::load_row(from.type, from.row(n / heads, n % heads, token), from.stride[3], channels, row);
    simd::add_scaled<simd::best>(share, row, channels, sum.data() + n * each + r * channels);
  });
  sum.resize(static_cast<std::size_t>(x.extent[0] * heads * each));
  detail::store_dense(sum, pooled);
}

// dx += dpooled over the tokens of its region: the gradient by the rows that were averaged. Throws
// as pool_regions.
template <storable X>
void spread_regions(const pooled_regions& at, const view<X>& d_pooled,
                    const std::type_identity_t<result>& dx, const executor_ref& executor = {}) {
  using T = compute_type<X>;
  const operand from = view<const X>(d_pooled);
  at.check("heed::spread_regions", dx, from);
  const index channels = dx.extent[3], heads = dx.extent[1];
  std::vector<T> rows(static_cast<std::size_t>(2 * dx.extent[0] * heads * channels));
  detail::each_pooled<T>(at, dx, executor, [&](index n, index r, index token, T share) {
    T *const row = rows.data() + 2 * n * channels, *const own = row + channels;
    void* const to = dx.row(n / heads, n % heads, token);
    simd::load_row(from.type, from.row(n / heads, n % heads, r), from.stride[3], channels, row);
    simd::load_row(dx.type, to, dx.stride[3], channels, own);
    simd::add_scaled<simd::best>(share, row, channels, own);
    simd::store_row(dx.type, own, channels, to, dx.stride[3]);
  });
}

}  // namespace heed
