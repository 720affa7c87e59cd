// SPDX-License-Identifier: BSL-1.0
// heads/multi_token: scores that look at neighbouring queries, keys and heads (Golovneva et al.,
// Multi-token attention, 2025):
//
//   ŝ^h_ij = Σ_a Σ_b θ^h[a][b] mask0(s^h)_{i - a, j + ⌊c_k/2⌋ - b},   a < c_q, b < c_k
//   A = softmax(mask(ŝ)), convolved by θ' and masked likewise;  A'^h = Σ_h' w[h,h'] A^h' in groups
//
//   attention{.mask = causal{}, .weights = multi_token{.kernel = as<"HLD">(theta), .mix =
//             as<"HLD">(w)}, .output = …}
//
// kernel and after_kernel [H,c_q,c_k], mix [groups,g,g]; what is left out is the identity. The norm
// and gate of each head's output are `.output` (heads/output_norm, heads/output_gate). A block of
// rows takes c_q - 1 earlier ones along: 2 · c_q · c_k operations a pair of tokens and head.
#pragma once

#include <heed/heads/head_mix.hpp>
#include <heed/heads/row_convolution.hpp>

namespace heed {

struct multi_token {
  operand kernel{};
  operand after_kernel{};
  operand mix{};
  using mixes_heads = void;

  void check(const problem_shape& shape) const {
    first().check("heed::multi_token", "kernel", shape);
    second().check("heed::multi_token", "after_kernel", shape);
    const extents& e = mix.extent;
    if (mix.present() && (e[0] != 1 || e[2] != e[3] || e[1] * e[2] != shape.heads ||
                          e[2] > detail::most_mixed_heads))
      check::fail("heed::multi_token",
                  "mix must be [groups,g,g] with groups * g heads, g at most 64", {{"mix", mix}});
  }
  index rows_before() const { return first().rows_before() + second().rows_before(); }
  index scratch(index keys, index pitch) const {
    return std::max(first().scratch(keys, pitch), second().scratch(keys, pitch));
  }

  template <class Arch, class T> void before(const row_scores<T>& s, T* to, T* scratch) const {
    first().template forward<Arch>(s, s.s, to, scratch);
  }
  template <class Arch, class T> void after(const row_scores<T>& p, T* to, T* scratch) const {
    second().template forward<Arch>(p, p.s, to, scratch);
    groups<Arch>(p, to, false, to);
  }

  struct gradient {
    result kernel{}, after_kernel{}, mix{};  // as the tables
  };
  index sums(const gradient& g) const {
    return broadcast::sums(g.kernel) + broadcast::sums(g.after_kernel) + broadcast::sums(g.mix);
  }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::multi_token", kernel, g.kernel);
    broadcast::check_gradient("heed::multi_token", after_kernel, g.after_kernel);
    broadcast::check_gradient("heed::multi_token", mix, g.mix);
  }
  void deliver(const gradient& g, const double* sum) const {
    broadcast::store_sums(g.kernel, sum);
    sum += broadcast::sums(g.kernel);
    broadcast::store_sums(g.after_kernel, sum);
    broadcast::store_sums(g.mix, sum + broadcast::sums(g.after_kernel));
  }
  template <class Arch, class T>
  void after_backward(const row_scores<T>& p, const T* d, T* to, T* scratch, const gradient& g,
                      double* sum) const {
    double* const of_kernel = sum + broadcast::sums(g.kernel);
    double* const of_mix = of_kernel + broadcast::sums(g.after_kernel);
    if (g.mix.present()) {
      second().template forward<Arch>(p, p.s, to, scratch);
      for (index n = 0, size = mix.extent[2]; n < mix.extent[1]; ++n)
        detail::add_mix_gradient<Arch>(p.of(to), d, n * size, size, of_mix + n * size * size);
    }
    groups<Arch>(p, d, true, to);
    if (!after_kernel.present()) return;
    if (g.after_kernel.present()) second().template add_gradient<Arch>(p, to, scratch, of_kernel);
    second().template backward<Arch>(p, to, to, scratch);
  }
  template <class Arch, class T>
  void before_backward(const row_scores<T>& s, const T* d, T* to, T* scratch, const gradient& g,
                       double* sum) const {
    if (g.kernel.present()) first().template add_gradient<Arch>(s, d, scratch, sum);
    first().template backward<Arch>(s, d, to, scratch);
  }

 private:
  detail::row_convolution first() const { return {kernel}; }
  detail::row_convolution second() const { return {after_kernel}; }
  // In place too: a column of lanes is read before it is written.
  template <class Arch, class T>
  void groups(const row_scores<T>& x, const T* from, bool transposed, T* to) const {
    if (!mix.present()) {
      if (from != to) std::copy_n(from, x.heads * x.head_pitch, to);
      return;
    }
    const index size = mix.extent[2];
    for (index n = 0; n < mix.extent[1]; ++n) {
      const detail::mix_matrix<T> m(mix, n, size, transposed);
      detail::mix_heads<Arch>(x, from, n * size, size, m.at, to);
    }
  }
};

}  // namespace heed
