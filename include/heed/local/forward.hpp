// SPDX-License-Identifier: BSL-1.0
// The loop of local/, forward, and backward by the inputs: a task is up to 128 channels of up to
// 1024 positions. Rows that lie as the loops want them are read and written in place, others pass
// through scratch. Each y is one sum, tap after tap, whatever the grid is cut into.
//
// By the inputs, dx[p] = Σ_j w[p - s_j, j] dy[p - s_j] with s_j = j - before: the same loop with
// the taps turned round, whose weights, where positions have their own, are those of what they see.
#pragma once

#include <heed/core/executor.hpp>
#include <heed/local/kernels.hpp>
#include <heed/local/tiles.hpp>

namespace heed::detail {

template <class T, class Arch> class local_forward {
  using plan = local_plan<T, Arch>;
  static constexpr index W = plan::W;

 public:
  // `before`: rows left of a line of tokens, or nothing; [B,H,k-1,D].
  local_forward(const local_problem& p, const result& out, const operand& before = {})
      : p_(p), out_(out), before_(before), plan_(p, before.present() ? before.extent[2] : 0) {}

  void run(const executor_ref& executor, workspace& memory) {
    const index tiles = plan_.tiles(), units = plan_.units();
    memory.crew(executor.workers());
    executor.for_each(p_.batch() * tiles * units, [&](index task, index worker) {
      one(task / units / tiles, plan_.tile(task / units % tiles), plan_.unit(task % units),
          memory.worker(worker));
    });
  }

 private:
  struct scratch {
    T *w, *room, *share, *bias, *x, *y;
    template <class Memory>
    scratch(Memory& from, const local_problem& p, const plan& at, bool in_place) {
      const index lanes =
          p.each() ? at.patch_lines() * plan::whole(at.patch_columns()) : at.pitch();
      w = from.template take<T>(p.weights() * lanes);
      room = from.template take<T>(p.weights() * std::max(at.pitch(), at.patch_columns()));
      share = from.template take<T>(std::max(at.pitch(), plan::whole(at.patch_columns())));
      bias = from.template take<T>(at.pitch());
      x = from.template take<T>(in_place ? 0 : at.patch_lines() * at.patch_columns() * at.pitch());
      y = from.template take<T>(at.columns() * at.pitch());
    }
  };

  void one(index b, const local_tile& t, const local_unit& u, arena& from) const {
    const local_tile seen = plan_.around(t);
    const bool in_place = plan::in_place(p_.x, u, seen);
    arena_size size;
    scratch(size, p_, plan_, in_place);
    from.reserve(size.bytes());
    const scratch s(from, p_, plan_, in_place);
    const local_patch<T> x = plan_.patch(p_.x, u, b, seen, before_, s.x);
    mix_rows<T> m;
    m.x = x.data, m.x_line = x.line, m.x_column = x.column;
    m.bias = s.bias, m.channels = u.vectors, m.add = p_.add;
    load_bias(u, s.bias);
    index w_line = 0;
    if (p_.each())
      load_positions(b, t, p_.turned ? seen : t, u, s, m, w_line);
    else
      load_channels(b, u, s, m);
    const index w_at = m.w_at;
    for (index y = t.y0; y < t.y1; ++y) {
      m.x_at = x.at(y - p_.before(0), t.x0 - p_.before(1));
      m.w_at = w_at + (y - t.y0) * w_line;
      line(b, y, t, u, seen, s, m);
    }
  }

  void line(index b, index y, const local_tile& t, const local_unit& u, const local_tile& seen,
            const scratch& s, mix_rows<T>& m) const {
    const bool write = plan::plain(out_, u);
    m.y = write ? static_cast<T*>(plan_.row(out_, u, b, y, t.x0)) : s.y;
    m.y_column = write ? out_.stride[2] : u.pitch;
    for (index x = t.x0; x < t.x1 && p_.add && !write; ++x)
      plan::load(out_, u, plan_.row(out_, u, b, y, x), s.y + (x - t.x0) * u.pitch);
    const index top = y - p_.before(0), left = p_.before(1), taps = p_.taps[1];
    tap_range some{std::max<index>(0, seen.y0 - top), std::min(p_.taps[0], seen.y1 - top), 0, taps};
    // Columns where no tap lies outside.
    const index inner = std::clamp(seen.x0 + left, t.x0, t.x1);
    const index outer = std::clamp(seen.x1 + left - taps + 1, inner, t.x1);
    const auto mix =
        p_.each() ? &mix_line<T, Arch, position_weights> : &mix_line<T, Arch, channel_weights>;
    const auto edge = [&](index from, index to) {
      for (index x = from; x < to; ++x) {
        some.column = std::max<index>(0, seen.x0 - (x - left));
        some.columns = std::min(taps, seen.x1 - (x - left));
        mix(m, some, x - t.x0, x - t.x0 + 1);
      }
    };
    edge(t.x0, inner);
    some.column = 0, some.columns = taps;
    mix(m, some, inner - t.x0, outer - t.x0);
    edge(outer, t.x1);
    for (index x = t.x0; x < t.x1 && !write; ++x)
      simd::store_row(out_.type, s.y + (x - t.x0) * u.pitch, u.count, plan_.row(out_, u, b, y, x),
                      out_.stride[3]);
  }

  index kernel_of(const local_unit& u, index i) const {
    return (u.head * p_.depth() + u.first + i) / p_.group();
  }
  void load_bias(const local_unit& u, T* bias) const {
    std::fill_n(bias, u.vectors, T(0));
    if (p_.bias.present())
      for (index i = 0; i < u.count; ++i)
        simd::load_row(p_.bias.type, p_.bias.row(0, kernel_of(u, i), 0), 1, 1, bias + i);
  }
  void load_channels(index b, const local_unit& u, const scratch& s, mix_rows<T>& m) const {
    for (index i = 0; i < u.vectors; ++i)
      s.share[i] = i < u.count ? share_of<T>(p_, kernel_of(u, i)) : T(0);
    const lane_weights<T, Arch> lanes{p_, s.w, u.count, u.pitch, s.share};
    lanes.load([&](index i) { return p_.weight.row(p_.item(b), kernel_of(u, i), 0); },
               p_.group() == 1 ? p_.weight.stride[1] : 0, s.room);
    lanes.prepare();
    const index step = p_.turned ? -u.pitch : u.pitch;
    m.w = s.w, m.w_column = step, m.w_line = step * p_.taps[1];
    m.w_at = p_.turned ? (p_.weights() - 1) * u.pitch : 0;
  }
  // Weights of the positions `own`: prepared, or where they need nothing, in place. Turned, taps
  // lie as far apart as positions do, and a copy is faster.
  void load_positions(index b, const local_tile& t, const local_tile& own, const local_unit& u,
                      const scratch& s, mix_rows<T>& m, index& w_line) const {
    const operand& w = p_.weight;
    const bool in_place =
        !p_.turned && p_.rule == weighting::as_given && w.type == element_of<T>::value;
    // From a tap, a position, a line to the next one; and where position (0, 0) would be.
    index tap = 0, step = 1, first = 0;
    if (in_place) {
      tap = w.stride[3], step = w.stride[2], w_line = p_.size[1] * step;
      m.w = static_cast<const T*>(w.row(p_.item(b), u.kernel, 0));
    } else {
      load_position_weights<T, Arch>(p_, p_.item(b), u.kernel, own, s.w, s.room, s.share);
      w_line = plan::whole(own.columns()), tap = own.lines() * w_line;
      first = -own.y0 * w_line - own.x0;
      m.w = s.w;
    }
    m.w_step = step, m.w_column = tap, m.w_line = p_.taps[1] * tap;
    m.w_at = first + t.y0 * w_line + t.x0 * step;
    if (!p_.turned) return;
    // The first tap is the last one, of the position that the first one meets.
    m.w_at += (p_.weights() - 1) * tap - p_.before(0) * w_line - p_.before(1) * step;
    m.w_line = w_line - m.w_line, m.w_column = step - tap;
  }

  const local_problem& p_;
  const result& out_;
  const operand before_;
  plan plan_;
};

}  // namespace heed::detail
