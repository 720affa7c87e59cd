// SPDX-License-Identifier: BSL-1.0
// observe/head_output: the output of single heads before W_O, on the tensor that `attend` wrote.
//
//   of_head(out, h)                        a view [B,1,Lq,Dv]: export, probes
//   patch_head(out, h, from)               import: what another run, or a mean, gave
//   ablate_head(out, h)                    zero ablation
//   head_mean(out, h)                      what mean ablation patches in
//   project_head(out, h, w_o, to)          what the head adds to the layer, o_h W_O,h
//
// out [B,H,Lq,Dv] in any layout. Throw std::invalid_argument where shapes do not fit. Michel et
// al., Are Sixteen Heads Really Better than One?, 2019.
#pragma once

#include <algorithm>
#include <heed/core/check.hpp>
#include <heed/core/view.hpp>
#include <string>
#include <vector>

namespace heed {

namespace detail {
template <class T> void check_head(const char* who, const view<T>& out, index h) {
  if (h < 0 || h >= out.extent[1])
    check::fail(who,
                "there is no head " + std::to_string(h) + " of " + std::to_string(out.extent[1]));
}
template <class T, class F> void each_row(const view<T>& x, F f) {
  for (index b = 0; b < x.extent[0]; ++b)
    for (index l = 0; l < x.extent[2]; ++l) f(b, l);
}
}  // namespace detail

template <class T> view<T> of_head(const view<T>& out, index h) {
  detail::check_head("heed::of_head", out, h);
  return {
      out.data + h * out.stride[1], {out.extent[0], 1, out.extent[2], out.extent[3]}, out.stride};
}

// from [B|1, 1, Lq|1, Dv]: extents of 1 are repeated.
template <class T, class U> void patch_head(const view<T>& out, index h, const view<U>& from) {
  const view<T> to = of_head(out, h);
  const auto fits = [](index n, index wanted) { return n == 1 || n == wanted; };
  if (!fits(from.extent[0], to.extent[0]) || from.extent[1] != 1 ||
      !fits(from.extent[2], to.extent[2]) || from.extent[3] != to.extent[3])
    check::fail("heed::patch_head", "the patch must be [B|1,1,Lq|1,Dv], not " +
                                        check::print(from.extent) + " for " +
                                        check::print(to.extent));
  detail::each_row(to, [&](index b, index l) {
    for (index d = 0; d < to.extent[3]; ++d)
      to(b, 0, l, d) =
          static_cast<T>(from(from.extent[0] == 1 ? 0 : b, 0, from.extent[2] == 1 ? 0 : l, d));
  });
}
template <class T> void ablate_head(const view<T>& out, index h) {
  const view<T> to = of_head(out, h);
  detail::each_row(to, [&](index b, index l) {
    for (index d = 0; d < to.extent[3]; ++d) to(b, 0, l, d) = T(0);
  });
}
// [Dv], over batch and queries.
template <class T> std::vector<double> head_mean(const view<T>& out, index h) {
  const view<T> from = of_head(out, h);
  std::vector<double> mean(static_cast<std::size_t>(from.extent[3]), 0.0);
  detail::each_row(from, [&](index b, index l) {
    for (std::size_t d = 0; d < mean.size(); ++d) mean[d] += double(from(b, 0, l, index(d)));
  });
  const auto rows = static_cast<double>(from.extent[0] * from.extent[2]);
  for (double& x : mean) x = rows > 0 ? x / rows : 0;
  return mean;
}

// to [B,1,Lq,C] = o_h W_O,h; w_o [1,1,H·Dv,C], rows h·Dv to (h + 1)·Dv - 1 are those of the head.
// Plain loops.
template <class T, class W, class U>
void project_head(const view<T>& out, index h, const view<W>& w_o, const view<U>& to) {
  const view<T> from = of_head(out, h);
  const index depth = from.extent[3];
  if (w_o.extent[2] != out.extent[1] * depth || to.extent[0] != from.extent[0] ||
      to.extent[1] != 1 || to.extent[2] != from.extent[2] || to.extent[3] != w_o.extent[3])
    check::fail("heed::project_head", "w_o must be [1,1,H·Dv,C] and the result [B,1,Lq,C], not " +
                                          check::print(w_o.extent) + " and " +
                                          check::print(to.extent));
  std::vector<double> sum(static_cast<std::size_t>(to.extent[3]));
  detail::each_row(from, [&](index b, index l) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (index d = 0; d < depth; ++d)
      for (std::size_t c = 0; c < sum.size(); ++c)
        sum[c] += double(from(b, 0, l, d)) * double(w_o(0, 0, h * depth + d, index(c)));
    for (std::size_t c = 0; c < sum.size(); ++c) to(b, 0, l, index(c)) = static_cast<U>(sum[c]);
  });
}

}  // namespace heed
