// SPDX-License-Identifier: BSL-1.0
// Gradients of weights that all positions share, and of the bias:
//
//   dw[c,j] = Σ_p dy[p,c] x[p + s_j, c],   dbias[c] = Σ_p dy[p,c]
//
// Lanes are channels. Sums over positions are kept for some shares of the tiles, cut by the shape
// alone, and added in order; then those of a kernel's channels, and of the items that share it.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/local/kernels.hpp>
#include <heed/local/tiles.hpp>

namespace heed::detail {

// Where the gradients of a problem go; what is absent is not stored.
struct local_gradients {
  result x{}, weight{}, share{}, bias{};
  bool learned() const { return weight.present() || share.present() || bias.present(); }
};

template <class T, class Arch> class channel_gradient {
  using plan = local_plan<T, Arch>;
  static constexpr index lanes = 64;  // kernels that are finished together

 public:
  channel_gradient(const local_problem& p, const operand& d_out, const local_gradients& to)
      : p_(p), d_out_(d_out), to_(to), plan_(p) {
    shares_ = std::clamp<index>(simd::most_units / std::max<index>(1, plan_.units() * p.batch()), 1,
                                std::max<index>(1, plan_.tiles()));
  }

  void run(const executor_ref& executor, workspace& memory) {
    const index items = p_.weight.extent[0], blocks = (p_.kernels() + lanes - 1) / lanes;
    const index tasks = p_.batch() * shares_ * plan_.units();
    memory.shared().reserve(
        static_cast<std::size_t>(aligned_bytes(tasks * learned_, sizeof(T)) +
                                 aligned_bytes(items * p_.kernels(), sizeof(T))));
    sums_ = memory.shared().template take<T>(tasks * learned_);
    by_share_ = memory.shared().template take<T>(items * p_.kernels());
    memory.crew(executor.workers());
    executor.for_each(tasks, [&](index task, index worker) { one(task, memory.worker(worker)); });
    executor.for_each(items * blocks, [&](index task, index worker) {
      finish(task / blocks, task % blocks * lanes, memory.worker(worker));
    });
    for (index g = 0; g < p_.kernels(); ++g) {
      T total(0);
      for (index item = 0; item < items; ++item) total += by_share_[item * p_.kernels() + g];
      if (to_.share.present()) put(to_.share, g, total);
      if (to_.bias.present()) {
        total = T(0);
        each_sum(g, 0, p_.batch(), [&](const T* sum) { total += sum[p_.weights() * pitch_]; });
        put(to_.bias, g, total);
      }
    }
  }

 private:
  void one(index task, arena& from) const {
    const index units = plan_.units(), share = task / units % shares_, b = task / units / shares_;
    const local_unit u = plan_.unit(task % units);
    const bool in_place = plan::plain(p_.x, u) && plan::plain(d_out_, u);
    const index x_room = in_place ? 0 : plan_.patch_lines() * plan_.patch_columns() * plan_.pitch();
    const index e_room = in_place ? 0 : plan_.lines() * plan_.columns() * plan_.pitch();
    from.reserve(static_cast<std::size_t>(aligned_bytes(x_room, sizeof(T)) +
                                          aligned_bytes(e_room, sizeof(T))));
    T* const room = from.take<T>(x_room);
    T* const reached = from.take<T>(e_room);
    T* const sum = sums_ + task * learned_;
    std::fill_n(sum, learned_, T(0));
    for (index i = plan_.tiles() * share / shares_; i < plan_.tiles() * (share + 1) / shares_;
         ++i) {
      const local_tile t = plan_.tile(i);
      const local_patch<T> x = plan_.patch(p_.x, u, b, plan_.around(t), {}, room);
      const local_patch<T> e = plan_.patch(d_out_, u, b, t, {}, reached);
      for (index y = t.y0; y < t.y1; ++y) {
        const T* const row = e.data + e.at(y, t.x0);
        if (to_.bias.present())
          add_rows<T, Arch>(row, e.column, t.columns(), u.vectors, sum + p_.weights() * pitch_);
        for (index v = 0; v < p_.taps[0]; ++v) {
          const index at = y + v - p_.before(0);
          if (at >= x.of.y0 && at < x.of.y1)
            line(x, e, y, at, u.vectors, sum + v * p_.taps[1] * pitch_);
        }
      }
    }
  }

  // One line of taps: four at a time where all of them lie inside, else one by one.
  void line(const local_patch<T>& x, const local_patch<T>& e, index y, index at, index channels,
            T* sum) const {
    const index left = p_.before(1);
    // Positions whose tap j lies inside.
    const auto first = [&](index j) { return std::max(e.of.x0, x.of.x0 + left - j); };
    const auto last = [&](index j) { return std::min(e.of.x1, x.of.x1 + left - j); };
    const auto add = [&](auto add_some, index j, index from, index to) {
      if (from < to)
        add_some(e.data + e.at(y, from), e.column, x.data + x.at(at, from + j - left), x.column,
                 to - from, channels, sum + j * pitch_, pitch_);
    };
    for (index j = 0; j < p_.taps[1]; j += 4) {
      const index some = std::min<index>(4, p_.taps[1] - j);
      const index from = first(j), to = std::max(from, last(j + some - 1));
      for (index r = j; r < j + some; ++r) {
        add(&add_taps<T, Arch, 1>, r, first(r), std::min(from, last(r)));
        add(&add_taps<T, Arch, 1>, r, std::max(to, first(r)), last(r));
      }
      if (some == 4) add(&add_taps<T, Arch, 4>, j, from, to);
      if (some == 3) add(&add_taps<T, Arch, 3>, j, from, to);
      if (some == 2) add(&add_taps<T, Arch, 2>, j, from, to);
      if (some == 1) add(&add_taps<T, Arch, 1>, j, from, to);
    }
  }

  // f(sums of a channel, from its first tap on) for all that belong to kernel g, in order.
  template <class F> void each_sum(index g, index b0, index b1, const F& f) const {
    const index n = p_.group(), depth = std::max<index>(1, p_.depth()), units = plan_.units();
    for (index c = g * n; c < (g + 1) * n; ++c) {
      const index unit = c / depth * plan_.blocks() + c % depth / plan::most;
      for (index i = b0 * shares_; i < b1 * shares_; ++i)
        f(sums_ + (i * units + unit) * learned_ + c % depth % plan::most);
    }
  }
  void finish(index item, index kernel, arena& from) const {
    const index taps = p_.weights(), count = std::min(lanes, p_.kernels() - kernel);
    from.reserve(static_cast<std::size_t>(3 * aligned_bytes(taps * lanes, sizeof(T)) +
                                          2 * aligned_bytes(lanes, sizeof(T)) +
                                          aligned_bytes(taps, sizeof(T))));
    T *const w = from.take<T>(taps * lanes), *const d = from.take<T>(taps * lanes);
    T* const room = from.take<T>(taps * lanes);
    T *const share = from.take<T>(lanes), *const by_share = from.take<T>(lanes);
    T* const row = from.take<T>(taps);
    std::fill_n(d, taps * lanes, T(0));
    std::fill_n(w, taps * lanes, T(0));
    std::fill_n(by_share, lanes, T(0));
    for (index i = 0; i < lanes; ++i) share[i] = i < count ? share_of<T>(p_, kernel + i) : T(0);
    const bool all = p_.weight.extent[0] == 1;
    for (index i = 0; i < count; ++i)
      each_sum(kernel + i, all ? 0 : item, all ? p_.batch() : item + 1, [&](const T* sum) {
        for (index j = 0; j < taps; ++j) d[j * lanes + i] += sum[j * pitch_];
      });
    const lane_weights<T, Arch> weights{p_, w, count, lanes, share};
    if (p_.weight.present())
      weights.load([&](index i) { return p_.weight.row(item, kernel + i, 0); }, p_.weight.stride[1],
                   room);
    weights.prepare();
    weights.reverse(d, by_share);
    std::copy_n(by_share, count, by_share_ + item * p_.kernels() + kernel);
    for (index i = 0; i < count && to_.weight.present(); ++i) {
      for (index j = 0; j < taps; ++j) row[j] = d[j * lanes + i];
      simd::store_row(to_.weight.type, row, taps, to_.weight.row(item, kernel + i, 0),
                      to_.weight.stride[3]);
    }
  }
  static void put(const result& to, index kernel, T x) {
    simd::store_row(to.type, &x, 1, to.row(0, kernel, 0), 1);
  }

  const local_problem& p_;
  const operand& d_out_;
  const local_gradients& to_;
  plan plan_;
  index pitch_ = plan_.pitch(), learned_ = (p_.weights() + 1) * pitch_, shares_ = 0;
  T *sums_ = nullptr, *by_share_ = nullptr;
};

}  // namespace heed::detail
