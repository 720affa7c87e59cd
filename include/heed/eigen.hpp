// SPDX-License-Identifier: BSL-1.0
// The door for Eigen users: Eigen::half and Eigen::bfloat16 as elements, and attend on Eigen
// objects.
//
//   auto out = heed::attend(spec, q, k, v);
//   heed::attend(spec, q, k, v, out, heed::on(device));     // Eigen::ThreadPoolDevice
//   auto out = heed::scan(recurrence, q, k, v, state);
//
// A tensor of rank 4 is [B,H,L,D] if row-major, (D,L,H,B) if column-major; a matrix is one head,
// L × D, in either storage order; views say themselves: as<"BLHD">(x). Maps, refs and blocks are
// taken in place with their strides. A fresh result has the element type and storage order of q and
// the rank of q; beside a view it is a row-major tensor [B,H,L,D].
// For Eigen::ThreadPoolDevice define EIGEN_USE_THREADS before Eigen's Tensor is included.
#pragma once

#include <algorithm>
#include <heed/attention/attend_backward.hpp>
#include <heed/attention/attend_source.hpp>
#include <heed/core/axes.hpp>
#include <heed/recurrence/scan.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

namespace heed {

template <> struct element_of<Eigen::half> {
  static_assert(sizeof(Eigen::half) == 2);
  static constexpr element value = element::f16;
};
template <> struct element_of<Eigen::bfloat16> {
  static_assert(sizeof(Eigen::bfloat16) == 2);
  static constexpr element value = element::bf16;
};

namespace detail {

template <class X> inline constexpr bool is_view = false;
template <class T> inline constexpr bool is_view<view<T>> = true;
template <class... X> inline constexpr bool are_views = (is_view<std::remove_cvref_t<X>> && ...);

template <class X> auto door(X&& x) {
  using object = std::remove_cvref_t<X>;
  if constexpr (is_view<object>)
    return x;
  else if constexpr (!tensor_like<object>)
    return as<"LD">(static_cast<X&&>(x));
  else if constexpr (static_cast<int>(object::Layout) == int(Eigen::RowMajor))
    return as<"BHLD">(static_cast<X&&>(x));
  else
    return as<"DLHB">(static_cast<X&&>(x));
}

template <class D> void of_matrices(const Eigen::DenseBase<D>&);
template <class D> void of_tensors(const Eigen::TensorBase<D, Eigen::ReadOnlyAccessors>&);
template <class X>
concept eigen_matrix = requires(const std::remove_cvref_t<X>& x) { of_matrices(x); };
template <class X>
concept eigen_tensor = requires(const std::remove_cvref_t<X>& x) { of_tensors(x); };
template <class X>
concept enters = is_view<std::remove_cvref_t<X>> || eigen_matrix<X> || eigen_tensor<X>;

template <class T> auto element_type(const view<T>&) -> std::remove_const_t<T>;

// The object that a call without `out` returns.
template <class Q, class T> auto fresh(const extents& e) {
  if constexpr (eigen_matrix<Q>) {
    constexpr int order = std::remove_cvref_t<Q>::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;
    return Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, order>(e[2], e[3]);
  } else if constexpr (eigen_tensor<Q>) {
    constexpr int order = static_cast<int>(std::remove_cvref_t<Q>::Layout);
    if constexpr (order == int(Eigen::RowMajor))
      return Eigen::Tensor<T, 4, Eigen::RowMajor>(e[0], e[1], e[2], e[3]);
    else
      return Eigen::Tensor<T, 4>(e[3], e[2], e[1], e[0]);
  } else {
    return Eigen::Tensor<T, 4, Eigen::RowMajor>(e[0], e[1], e[2], e[3]);
  }
}

}  // namespace detail

// heed::attend into a fresh object. Contract and cost of heed::attend.
template <class Arch = simd::best, class Spec, detail::enters Q, detail::enters K, detail::enters V>
auto attend(const Spec& spec, Q&& q, K&& k, V&& v, const executor_ref& executor = {},
            const workspace_ref& scratch = {}) {
  const auto from = detail::door(static_cast<Q&&>(q));
  const auto keys = detail::door(static_cast<K&&>(k));
  const auto values = detail::door(static_cast<V&&>(v));
  using element_type = decltype(detail::element_type(from));
  const extents &n = from.extent, &d = values.extent;
  auto out = detail::fresh<Q, element_type>({std::max<index>(n[0], 0), std::max<index>(n[1], 0),
                                             std::max<index>(n[2], 0), std::max<index>(d[3], 0)});
  attend<Arch>(spec, from, keys, values, detail::door(out), executor, scratch);
  return out;
}

// heed::attend where at least one operand is an Eigen object.
template <class Arch = simd::best, class Spec, detail::enters Q, detail::enters K, detail::enters V,
          detail::enters Out>
  requires(!detail::are_views<Q, K, V, Out>)
void attend(const Spec& spec, Q&& q, K&& k, V&& v, Out&& out, const executor_ref& executor = {},
            const workspace_ref& scratch = {}) {
  attend<Arch>(spec, detail::door(static_cast<Q&&>(q)), detail::door(static_cast<K&&>(k)),
               detail::door(static_cast<V&&>(v)), detail::door(static_cast<Out&&>(out)), executor,
               scratch);
}
template <class Arch = simd::best, class Spec, detail::enters Q, detail::enters K, detail::enters V>
  requires(!detail::are_views<Q, K, V>)
void attend(const Spec& spec, Q&& q, K&& k, V&& v, const outputs& to,
            const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  attend<Arch>(spec, detail::door(static_cast<Q&&>(q)), detail::door(static_cast<K&&>(k)),
               detail::door(static_cast<V&&>(v)), to, executor, scratch);
}

// heed::attend on a source, such as a cache, into a fresh object, or with Eigen objects.
template <class Arch = simd::best, class Spec, detail::enters Q, kv_source Source>
auto attend(const Spec& spec, Q&& q, const Source& source, const executor_ref& executor = {},
            const workspace_ref& scratch = {}) {
  const auto from = detail::door(static_cast<Q&&>(q));
  using element_type = decltype(detail::element_type(from));
  const extents& n = from.extent;
  auto out =
      detail::fresh<Q, element_type>({std::max<index>(n[0], 0), std::max<index>(n[1], 0),
                                      std::max<index>(n[2], 0), index(source.value_depth())});
  attend<Arch>(spec, from, source, detail::door(out), executor, scratch);
  return out;
}
template <class Arch = simd::best, class Spec, detail::enters Q, kv_source Source,
          detail::enters Out>
  requires(!detail::are_views<Q, Out>)
void attend(const Spec& spec, Q&& q, const Source& source, Out&& out,
            const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  attend<Arch>(spec, detail::door(static_cast<Q&&>(q)), source,
               detail::door(static_cast<Out&&>(out)), executor, scratch);
}

// heed::attend_backward where at least one operand is an Eigen object.
template <class Arch = simd::best, class Spec, detail::enters Q, detail::enters K, detail::enters V,
          detail::enters DOut>
  requires(!detail::are_views<Q, K, V, DOut>)
void attend_backward(const Spec& spec, Q&& q, K&& k, V&& v, const saved& forward, DOut&& d_out,
                     const std::type_identity_t<gradients<Spec>>& to, executor_ref executor = {},
                     workspace_ref scratch = {}) {
  attend_backward<Arch>(spec, detail::door(static_cast<Q&&>(q)), detail::door(static_cast<K&&>(k)),
                        detail::door(static_cast<V&&>(v)), forward,
                        operand(detail::door(static_cast<DOut&&>(d_out))), to, executor, scratch);
}

namespace detail {

// The object that a call of scan without `out` returns.
template <class Q, class From, class K, class V>
auto fresh_scan(const From& q, const K& k, const V& v) {
  const auto some = [](index n) { return std::max<index>(n, 0); };
  const index heads = std::max({q.extent[1], k.extent[1], v.extent[1]});
  return fresh<Q, decltype(element_type(q))>(
      {some(q.extent[0]), some(heads), some(q.extent[2]), some(v.extent[3])});
}

}  // namespace detail

// heed::scan into a fresh object, from the zero state on or from the given one. Contract of
// heed::scan.
template <class Arch = simd::best, class Spec, detail::enters Q, detail::enters K, detail::enters V>
  requires(!requires { Spec::has_no_queries; })
auto scan(const Spec& spec, Q&& q, K&& k, V&& v, executor_ref executor = {},
          workspace_ref scratch = {}) {
  const auto from = detail::door(static_cast<Q&&>(q));
  const auto keys = detail::door(static_cast<K&&>(k));
  const auto values = detail::door(static_cast<V&&>(v));
  auto out = detail::fresh_scan<Q>(from, keys, values);
  scan<Arch>(spec, from, keys, values, detail::door(out), executor, scratch);
  return out;
}
template <class Arch = simd::best, class Spec, detail::enters Q, detail::enters K, detail::enters V,
          class T>
  requires(!requires { Spec::has_no_queries; })
auto scan(const Spec& spec, Q&& q, K&& k, V&& v, recurrent_state<T>& state,
          executor_ref executor = {}, workspace_ref scratch = {}) {
  const auto from = detail::door(static_cast<Q&&>(q));
  const auto keys = detail::door(static_cast<K&&>(k));
  const auto values = detail::door(static_cast<V&&>(v));
  auto out = detail::fresh_scan<Q>(from, keys, values);
  scan<Arch>(spec, from, keys, values, detail::door(out), state, executor, scratch);
  return out;
}
// heed::step into a fresh object.
template <class Arch = simd::best, class Spec, detail::enters Q, detail::enters K, detail::enters V,
          class T>
  requires(!requires { Spec::has_no_queries; })
auto step(const Spec& spec, Q&& q, K&& k, V&& v, recurrent_state<T>& state,
          executor_ref executor = {}, workspace_ref scratch = {}) {
  const auto from = detail::door(static_cast<Q&&>(q));
  const auto keys = detail::door(static_cast<K&&>(k));
  const auto values = detail::door(static_cast<V&&>(v));
  auto out = detail::fresh_scan<Q>(from, keys, values);
  step<Arch>(spec, from, keys, values, detail::door(out), state, executor, scratch);
  return out;
}

}  // namespace heed
