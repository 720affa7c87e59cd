// SPDX-License-Identifier: BSL-1.0
// Gradients of weights that every position has of its own:
//
//   dw[p,j] = Σ_c dy[p,c] x[p + s_j, c]
//
// over the channels of a kernel, and over the batch where items share the weights: one task.
#pragma once

#include <heed/local/channel_gradient.hpp>

namespace heed::detail {

template <class T, class Arch> class position_gradient {
  using plan = local_plan<T, Arch>;

 public:
  position_gradient(const local_problem& p, const operand& d_out, const local_gradients& to)
      : p_(p), d_out_(d_out), to_(to), plan_(p) {}

  void run(const executor_ref& executor, workspace& memory) {
    const index items = p_.weight.extent[0], kernels = p_.kernels(), tiles = plan_.tiles();
    memory.shared().reserve(
        static_cast<std::size_t>(aligned_bytes(items * tiles * kernels, sizeof(T))));
    by_share_ = memory.shared().template take<T>(items * tiles * kernels);
    memory.crew(executor.workers());
    executor.for_each(items * tiles * kernels, [&](index task, index worker) {
      by_share_[task] = one(task / kernels / tiles, plan_.tile(task / kernels % tiles),
                            task % kernels, memory.worker(worker));
    });
    for (index g = 0; g < kernels && to_.share.present(); ++g) {
      T total(0);
      for (index i = 0; i < items * tiles; ++i) total += by_share_[i * kernels + g];
      simd::store_row(to_.share.type, &total, 1, to_.share.row(0, g, 0), 1);
    }
  }

 private:
  struct scratch {
    T *w, *d, *room, *share, *by_share, *x, *e;
    template <class Memory> scratch(Memory& from, const local_problem& p, const plan& at) {
      const index line = plan::whole(at.columns()), taps = p.weights();
      w = from.template take<T>(taps * at.lines() * line);
      d = from.template take<T>(taps * at.lines() * line);
      room = from.template take<T>(taps * line);
      share = from.template take<T>(line), by_share = from.template take<T>(line);
      x = from.template take<T>(at.patch_lines() * at.patch_columns() * at.pitch());
      e = from.template take<T>(at.lines() * at.columns() * at.pitch());
    }
  };

  // Gives what reaches the share of the mean.
  T one(index item, const local_tile& t, index kernel, arena& from) const {
    arena_size size;
    scratch(size, p_, plan_);
    from.reserve(size.bytes());
    const scratch s(from, p_, plan_);
    const index taps = p_.weights(), line = plan::whole(t.columns()), plane = t.lines() * line;
    std::fill_n(s.d, taps * plane, T(0));
    const bool all = p_.weight.extent[0] == 1;
    const index blocks = p_.channels() > 0 ? plan_.blocks() : 0;
    for (index b = all ? 0 : item; b < (all ? p_.batch() : item + 1); ++b)
      for (index i = 0; i < blocks; ++i) {
        const local_unit u = plan_.unit(kernel * plan_.blocks() + i);
        const local_patch<T> x = plan_.patch(p_.x, u, b, plan_.around(t), {}, s.x);
        const local_patch<T> e = plan_.patch(d_out_, u, b, t, {}, s.e);
        for (index y = t.y0; y < t.y1; ++y)
          for (index at = t.x0; at < t.x1; ++at)
            dots(x, e, y, at, u.vectors, s.d + (y - t.y0) * line + at - t.x0, plane);
      }
    load_position_weights<T, Arch>(p_, item, kernel, t, s.w, s.room, s.share);
    T by_share(0);
    for (index y = t.y0; y < t.y1; ++y) {
      T* const d = s.d + (y - t.y0) * line;
      std::fill_n(s.by_share, line, T(0));
      lane_weights<T, Arch>{p_, s.w + (y - t.y0) * line, t.columns(), plane, s.share}.reverse(
          d, s.by_share);
      for (index at = t.x0; at < t.x1; ++at) {
        by_share += s.by_share[at - t.x0];
        for (index j = 0; j < taps; ++j) s.room[j] = d[j * plane + at - t.x0];
        if (to_.weight.present())
          simd::store_row(to_.weight.type, s.room, taps,
                          to_.weight.row(item, kernel, y * p_.size[1] + at), to_.weight.stride[3]);
      }
    }
    return by_share;
  }

  void dots(const local_patch<T>& x, const local_patch<T>& e, index y, index at, index channels,
            T* d, index plane) const {
    const index top = y - p_.before(0), left = at - p_.before(1), columns = p_.taps[1];
    const index first = std::max<index>(0, x.of.x0 - left);
    const index last = std::min(columns, x.of.x1 - left);
    for (index v = std::max<index>(0, x.of.y0 - top); v < std::min(p_.taps[0], x.of.y1 - top); ++v)
      add_dots<T, Arch>(e.data + e.at(y, at), x.data + x.at(top + v, left + first), x.column,
                        last - first, channels, d + (v * columns + first) * plane, plane);
  }

  const local_problem& p_;
  const operand& d_out_;
  const local_gradients& to_;
  plan plan_;
  T* by_share_ = nullptr;
};

}  // namespace heed::detail
