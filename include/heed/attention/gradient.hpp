// SPDX-License-Identifier: BSL-1.0
// Gradients of what policies learn.
//
// A policy with learned numbers has
//   struct gradient { result …; };                          // where the caller wants them
//   index sums(const gradient&) const;                      // sums it needs, 0 if none are wanted
//   void check(const gradient&) const;                      // the gradient fits
//   void deliver(const gradient&, const double* sum) const; // writes it
// and, by the place it stands in, one member that adds to those sums:
//   .score        add_gradient<Arch>(g, tile, s, ds, sum)            a panel: s before, ds after f
//   .normalizer   add_gradient(g, row_position, lse, delta, sum)     a row
//   .weights      add_gradient<Arch>(g, tile, p, dp, sum)            a panel
//   .query, .key, .value, .output
//                 row_backward<Arch>(x, dx, depth, row_position, g, sum)
//                 which turns dx from the derivative by its result into that by its argument x;
//                 `g` and `sum` are left out where nothing is learned
//   .similarity   query_backward<Arch>, key_backward<Arch>          as row_backward
//   .extra        add_gradient(g, b, h, slot, dk, dv, sum)          a slot
// A call keeps the sums (gradient_sums.hpp).
#pragma once

#include <heed/core/check.hpp>
#include <heed/core/policy.hpp>
#include <heed/simd/pack.hpp>

namespace heed {

namespace detail {

template <class P> struct gradient_type {
  using type = none;
};
template <class P>
  requires requires { typename P::gradient; }
struct gradient_type<P> {
  using type = typename P::gradient;
};
template <class First, class Second> struct gradient_type<chain<First, Second>> {
  using type = chain<typename gradient_type<First>::type, typename gradient_type<Second>::type>;
};

}  // namespace detail

// What the gradient of a policy is called: `none` where it learns nothing; chains stay chains.
template <class P> using gradient_of = typename detail::gradient_type<P>::type;
template <class P> inline constexpr bool learns = !std::is_same_v<gradient_of<P>, none>;

// Sums that the policy needs.
template <class P> index sums_of(const P& policy, const gradient_of<P>& g) {
  if constexpr (is_chain<P>)
    return sums_of(policy.first, g.first) + sums_of(policy.second, g.second);
  else if constexpr (learns<P>)
    return policy.sums(g);
  else
    return 0;
}
template <class P> void deliver(const P& policy, const gradient_of<P>& g, const double* sum) {
  if constexpr (is_chain<P>) {
    deliver(policy.first, g.first, sum);
    deliver(policy.second, g.second, sum + sums_of(policy.first, g.first));
  } else if constexpr (learns<P>) {
    policy.deliver(g, sum);
  }
}
template <class P> void check_gradient(const P& policy, const gradient_of<P>& g) {
  if constexpr (is_chain<P>) {
    check_gradient(policy.first, g.first);
    check_gradient(policy.second, g.second);
  } else if constexpr (learns<P>) {
    policy.check(g);
  }
}
// True where a policy adds to its gradient where that lies, and has no sums: a score modifier whose
// table has a number a key, an output transform whose table has a number a row. Heads take turns at
// such keys and rows. The policy has `in_place(g)`, and `clear(g)`, called once before the rest.
template <class P> bool in_place(const P& policy, const gradient_of<P>& g) {
  if constexpr (is_chain<P>)
    return in_place(policy.first, g.first) || in_place(policy.second, g.second);
  else if constexpr (requires { policy.in_place(g); })
    return policy.in_place(g);
  else
    return false;
}
template <class P> void clear_gradient(const P& policy, const gradient_of<P>& g) {
  if constexpr (is_chain<P>) {
    clear_gradient(policy.first, g.first);
    clear_gradient(policy.second, g.second);
  } else if constexpr (requires { policy.in_place(g); }) {
    if (policy.in_place(g)) policy.clear(g);
  }
}

// Elements of scratch that `transform_row_backward` takes.
template <class F> consteval index links() {
  if constexpr (is_chain<F>)
    return 1 + links<decltype(F::first)>() + links<decltype(F::second)>();
  else
    return 0;
}
// dx: on entry by what the row transform gave for x, on return by x. `scratch`: links<F>() rows.
template <class Arch, class F, class T>
void transform_row_backward(const F& f, const T* x, T* dx, index depth, const row_position& at,
                            const gradient_of<F>& g, double* sum, T* scratch) {
  if constexpr (is_chain<F>) {
    std::copy_n(x, depth, scratch);
    simd::transform_row<Arch>(f.first, scratch, depth, at);
    transform_row_backward<Arch>(f.second, scratch, dx, depth, at, g.second,
                                 sum + sums_of(f.first, g.first), scratch + depth);
    transform_row_backward<Arch>(f.first, x, dx, depth, at, g.first, sum, scratch + depth);
  } else if constexpr (learns<F>) {
    f.template row_backward<Arch>(x, dx, depth, at, g, sum);
  } else if constexpr (!std::is_same_v<F, none>) {
    static_assert(
        requires { f.template row_backward<Arch>(x, dx, depth, at); },
        "this row transform has no row_backward");
    f.template row_backward<Arch>(x, dx, depth, at);
  }
}

// The gradients of a spec's policies, member for member; leave out what is not wanted.
template <class Spec> struct spec_gradients {
  gradient_of<decltype(Spec::similarity)> similarity{};
  gradient_of<decltype(Spec::score)> score{};
  gradient_of<decltype(Spec::normalizer)> normalizer{};
  gradient_of<decltype(Spec::weights)> weights{};
  gradient_of<decltype(Spec::query)> query{};
  gradient_of<decltype(Spec::key)> key{};
  gradient_of<decltype(Spec::value)> value{};
  gradient_of<decltype(Spec::output)> output{};
  gradient_of<decltype(Spec::extra)> extra{};
};

template <class Spec> void check_gradients(const Spec& spec, const spec_gradients<Spec>& g) {
  check_gradient(spec.similarity, g.similarity);
  check_gradient(spec.score, g.score);
  check_gradient(spec.normalizer, g.normalizer);
  check_gradient(spec.weights, g.weights);
  check_gradient(spec.query, g.query);
  check_gradient(spec.key, g.key);
  check_gradient(spec.value, g.value);
  check_gradient(spec.output, g.output);
  check_gradient(spec.extra, g.extra);
}

}  // namespace heed
