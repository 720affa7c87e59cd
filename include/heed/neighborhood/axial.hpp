// SPDX-License-Identifier: BSL-1.0
// neighborhood/axial: attention along one axis of a grid at a time, every line by itself.
//
//   attend_along(axial<2>{{Y, X}, 1}, spec, q, k, v, out)      rows
//   attend_along(axial<2>{{Y, X}, 0}, spec, q, k, v, out)      columns
//   attend_along(axial<3>{{T, Y, X}, 0}, …)                    time, of divided space/time
//   attend_along(axial<3>{{T, Y, X}, 1, 2}, …)                 space: several neighbouring axes
//
// q [B,H,L,D], k [B,Hkv,L,D], v [B,Hkv,L,Dv], out [B,H,L,Dv], lse [B,H,L], L the tokens of the
// grid, the last axis fastest. One call of `attend` with the axis as its length and the other axes,
// in their order, folded into the batch: any spec is taken, policies see positions along the axis,
// and b counts lines. Nothing is copied: strides are free, and where a batch of lines has no stride
// of its own, operands carry several (`batch_axes`). Cost: tokens times the length of the axis. Ho
// et al., Axial Attention; Wang et al., Axial-DeepLab; Bertasius et al., TimeSformer.
// Ho et al. 2019; TimeSformer, Bertasius et al. 2021.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/neighborhood/grid.hpp>

namespace heed {

template <int N>
  requires(N >= 1 && N <= 3)
struct axial {
  std::array<index, N> size{};  // of the grid, the slowest axis first
  int first = 0;                // attend along this axis,
  int last = first;             // up to this one
};

namespace detail {

// Operands of a grid as operands of its lines, which refer to this.
template <int N> class axial_lines {
 public:
  axial_lines(const char* operation, const axial<N>& a) : operation_(operation), a_(a) {
    for (std::size_t n = 0; n < N; ++n)
      if (a.size[n] < 1)
        check::fail(operation,
                    "axis " + std::to_string(n) + " is empty: size " + std::to_string(a.size[n]));
    if (a.first < 0 || a.last < a.first || a.last >= N)
      check::fail(operation, "a grid of " + std::to_string(N) + " axes has none from " +
                                 std::to_string(a.first) + " to " + std::to_string(a.last));
  }

  // An absent one stays as it is.
  template <class Void> basic_operand<Void> of(const char* name, basic_operand<Void> x) {
    if (!x.present() && x.extent == extents{}) return x;
    if (x.extent[2] != grid_tokens(a_.size))
      check::fail(operation_,
                  std::string(name) + " must have the " + std::to_string(grid_tokens(a_.size)) +
                      " tokens of the grid in its length",
                  {{name, operand(x)}});
    batch_axes& axes = axes_[count_++];
    std::size_t used = 0;
    index items = 1;
    const auto add = [&](index extent, index stride) {
      items *= extent;
      if (extent == 1) return;
      if (used > 0 && axes.stride[used - 1] == extent * stride)
        axes.extent[used - 1] *= extent, axes.stride[used - 1] = stride;
      else
        axes.extent[used] = extent, axes.stride[used] = stride, ++used;
    };
    add(x.extent[0], x.stride[0]);
    index step = grid_tokens(a_.size) * x.stride[2], length = 1, along = 0;
    for (int n = 0; n < N; ++n) {
      const index extent = a_.size[static_cast<std::size_t>(n)];
      step /= extent;
      if (n < a_.first || n > a_.last)
        add(extent, step);
      else
        length *= extent, along = step;
    }
    std::rotate(axes.extent.begin(), axes.extent.begin() + used, axes.extent.end());
    std::rotate(axes.stride.begin(), axes.stride.begin() + used, axes.stride.end());
    x.extent[0] = items, x.extent[2] = length;
    x.stride[0] = axes.stride[2], x.stride[2] = along;
    x.batch = used > 1 ? &axes : nullptr;
    return x;
  }

 private:
  const char* operation_;
  const axial<N>& a_;
  batch_axes axes_[10];  // q, k, v and their gradients, out and lse and theirs
  std::size_t count_ = 0;
};

}  // namespace detail

// As `attend`, line by line. Throws std::invalid_argument, before anything is written, if an axis
// is empty, the grid has no such axis, or an operand has another number of tokens.
template <class Arch = simd::best, int N, class Spec, storable Q, storable K, storable V>
void attend_along(const axial<N>& a, const Spec& spec, const view<Q>& q, const view<K>& k,
                  const view<V>& v, const outputs& to, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  detail::axial_lines<N> lines("heed::attend_along", a);
  const operand lq = lines.of("q", operand(q)), lk = lines.of("k", operand(k)),
                lv = lines.of("v", operand(v));
  const outputs lined{lines.of("out", to.out), lines.of("lse", to.lse), to.observe};
  detail::attend_any<compute_type<Q, K, V>, Arch>(spec, lq, lk, lv, lined, executor, scratch);
}
template <class Arch = simd::best, int N, class Spec, storable Q, storable K, storable V>
void attend_along(const axial<N>& a, const Spec& spec, const view<Q>& q, const view<K>& k,
                  const view<V>& v, const result& out, const executor_ref& executor = {},
                  const workspace_ref& scratch = {}) {
  attend_along<Arch>(a, spec, q, k, v, outputs{.out = out}, executor, scratch);
}

// As `attend_backward`, line by line; what policies learn is summed over the lines.
template <class Arch = simd::best, int N, class Spec, storable Q, storable K, storable V>
void attend_along_backward(const axial<N>& a, const Spec& spec, const view<Q>& q, const view<K>& k,
                           const view<V>& v, const saved& forward, const upstream& d,
                           const std::type_identity_t<gradients<Spec>>& to,
                           const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  using T = compute_type<Q, K, V>;
  detail::axial_lines<N> lines("heed::attend_along_backward", a);
  const operand lq = lines.of("q", operand(q)), lk = lines.of("k", operand(k)),
                lv = lines.of("v", operand(v));
  const saved kept{lines.of("out", forward.out), lines.of("lse", forward.lse)};
  gradients<Spec> lined = to;
  lined.dq = lines.of("dq", to.dq);
  lined.dk = lines.of("dk", to.dk);
  lined.dv = lines.of("dv", to.dv);
  detail::attend_backward_any<T, Arch>(spec, lq, lk, lv, kept,
                                       {lines.of("d_out", d.out), lines.of("d_lse", d.lse)}, lined,
                                       executor, scratch);
}

}  // namespace heed
