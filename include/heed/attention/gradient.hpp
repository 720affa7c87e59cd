// SPDX-License-Identifier: BSL-1.0
// Gradients of what policies learn.
//
// A policy with learned numbers has
//   struct gradient { result …; };                          // where the caller wants them
//   index sums(const gradient&) const;                // sums it needs, 0 if none are wanted
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
// Sums are kept once for each share of the work, cut by shape alone, and added in fixed order.
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

namespace detail {

// The sums of a call: `units` of them, each for a share of the work, added up in order at the end.
template <class Spec> class gradient_sums {
 public:
  index score, similarity, normalizer, weights, query, key, value, output, extra;  // where

  gradient_sums(const Spec& spec, const spec_gradients<Spec>& g) : spec_(spec), g_(g) {
    const auto place = [this](index count) {
      const index at = size_;
      size_ += count;
      return at;
    };
    score = place(sums_of(spec.score, g.score));
    similarity = place(sums_of(spec.similarity, g.similarity));
    normalizer = place(sums_of(spec.normalizer, g.normalizer));
    weights = place(sums_of(spec.weights, g.weights));
    query = place(sums_of(spec.query, g.query));
    key = place(sums_of(spec.key, g.key));
    value = place(sums_of(spec.value, g.value));
    output = place(sums_of(spec.output, g.output));
    extra = place(sums_of(spec.extra, g.extra));
    turns_ = in_place(spec.score, g.score) || in_place(spec.weights, g.weights);
  }

  index bytes() const { return simd::most_units * size_ * index(sizeof(double)); }
  void start(std::byte* memory) {
    at_ = reinterpret_cast<double*>(memory);
    std::fill_n(at_, simd::most_units * size_, 0.0);
    clear_gradient(spec_.score, g_.score);
    clear_gradient(spec_.weights, g_.weights);
    clear_gradient(spec_.output, g_.output);
  }
  // Whether shares of the work must be taken one after another: all, and those of query rows.
  bool any() const { return turns_ || size_ > 0; }
  bool by_row() const {
    return weights > normalizer || extra > output || in_place(spec_.output, g_.output);
  }
  // Key range `range` of kv head `kv` belongs to one unit of so many.
  index units(index ranges) const { return turns_ ? ranges : simd::most_units; }
  index unit(index kv, index range, index ranges) const {
    return turns_ ? range : (kv * ranges + range) % simd::most_units;
  }
  double* of(index unit) const { return at_ + unit * size_; }

  void add_row(const row_position& at, double lse, double delta, index unit) const {
    if (weights > normalizer)
      spec_.normalizer.add_gradient(g_.normalizer, at, lse, delta, of(unit) + normalizer);
  }
  void deliver() const {
    for (index u = 1; u < simd::most_units; ++u)
      for (index i = 0; i < size_; ++i) at_[i] += of(u)[i];
    heed::deliver(spec_.score, g_.score, at_ + score);
    heed::deliver(spec_.similarity, g_.similarity, at_ + similarity);
    heed::deliver(spec_.normalizer, g_.normalizer, at_ + normalizer);
    heed::deliver(spec_.weights, g_.weights, at_ + weights);
    heed::deliver(spec_.query, g_.query, at_ + query);
    heed::deliver(spec_.key, g_.key, at_ + key);
    heed::deliver(spec_.value, g_.value, at_ + value);
    heed::deliver(spec_.output, g_.output, at_ + output);
    heed::deliver(spec_.extra, g_.extra, at_ + extra);
  }

 private:
  const Spec& spec_;
  const spec_gradients<Spec>& g_;
  index size_ = 0;
  bool turns_ = false;
  double* at_ = nullptr;
};

}  // namespace detail

}  // namespace heed
