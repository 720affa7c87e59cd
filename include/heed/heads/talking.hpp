// SPDX-License-Identifier: BSL-1.0
// heads/talking: heads mix their scores before the softmax and their weights after it (Shazeer et
// al., Talking-heads attention, 2020):
//
//   J^h = Σ_h' P_l[h,h'] s^h',   Â^h = Σ_h' P_w[h,h'] softmax(J)^h'
//
//   attention{.weights = talking{.before_softmax = as<"LD">(p_l),
//                               .after_softmax = as<"LD">(p_w)}}
//
// P_l and P_w [H,H], either may be left out. A pair that the mask hides from head h has no weight
// there; from h', it counts as 0. Not with extra slots. 4 · H² operations a pair of tokens besides.
#pragma once

#include <heed/heads/head_mix.hpp>

namespace heed {

struct talking {
  operand before_softmax{};
  operand after_softmax{};
  using mixes_heads = void;

  void check(const problem_shape& shape) const {
    if (shape.heads > detail::most_mixed_heads)
      check::fail("heed::talking",
                  "at most 64 heads are mixed, not " + std::to_string(shape.heads));
    const extents want{1, 1, shape.heads, shape.heads};
    for (const check::named& x :
         {check::named{"before", before_softmax}, check::named{"after", after_softmax}})
      if (x.value.present() && x.value.extent != want)
        check::fail("heed::talking", std::string(x.name) + " must be [H,H]", {x});
  }
  index rows_before() const { return 0; }
  index scratch(index, index) const { return 0; }

  template <class Arch, class T> void before(const row_scores<T>& s, T* to, T*) const {
    mix<Arch>(s, s.s, before_softmax, false, to);
  }
  template <class Arch, class T> void after(const row_scores<T>& p, T* to, T*) const {
    mix<Arch>(p, p.s, after_softmax, false, to);
  }

  struct gradient {
    result before{}, after{};  // as the matrices
  };
  index sums(const gradient& g) const { return count(g.before) + count(g.after); }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::talking", before_softmax, g.before);
    broadcast::check_gradient("heed::talking", after_softmax, g.after);
  }
  void deliver(const gradient& g, const double* sum) const {
    broadcast::store_sums(g.before, sum);
    broadcast::store_sums(g.after, sum + count(g.before));
  }
  template <class Arch, class T>
  void after_backward(const row_scores<T>& p, const T* d, T* to, T*, const gradient& g,
                      double* sum) const {
    if (g.after.present()) detail::add_mix_gradient<Arch>(p, d, 0, p.heads, sum + count(g.before));
    mix<Arch>(p, d, after_softmax, true, to);
  }
  template <class Arch, class T>
  void before_backward(const row_scores<T>& s, const T* d, T* to, T*, const gradient& g,
                       double* sum) const {
    if (g.before.present()) detail::add_mix_gradient<Arch>(s, d, 0, s.heads, sum);
    mix<Arch>(s, d, before_softmax, true, to);
  }

 private:
  static index count(const result& g) { return broadcast::sums(g); }
  template <class Arch, class T>
  static void mix(const row_scores<T>& x, const T* from, const operand& matrix, bool transposed,
                  T* to) {
    const detail::mix_matrix<T> m(matrix, 0, x.heads, transposed);
    detail::mix_heads<Arch>(x, from, 0, x.heads, m.at, to);
  }
};

}  // namespace heed
