// SPDX-License-Identifier: BSL-1.0
// mask/per_head: a mask for each query head, from a short list of masks.
//
//   per_head(of, causal{}, causal{} && (window{.left = 1} || first_keys{1})), of = 1 0
//   head 0   head 1
//   x....    x....
//   xx...    xx...
//   xxx..    xxx..
//   x.xx.    xxxx.
//   x..xx    xxxxx
//
// of[h / group] is the number of the mask of head h: retrieval heads see all, streaming heads a
// sink and a window. Spans are those of the head's mask: every head costs what its own mask costs.
// Masks of one type whose numbers differ are a list of any_mask. `of` is borrowed for the call.
// Throws if `of` does not fit the heads or names a mask that is not there. DuoAttention, Xiao et
// al. 2024.
#pragma once

#include <heed/attention/hide.hpp>
#include <heed/core/check.hpp>
#include <heed/mask/combine.hpp>
#include <span>
#include <tuple>

namespace heed {

template <mask... M>
  requires(sizeof...(M) > 0)
struct per_head {
  std::span<const int> of{};
  std::tuple<M...> masks{};
  index group = 1;  // query heads that share an entry

  constexpr per_head() = default;
  constexpr explicit per_head(std::span<const int> numbers, const M&... m)
      : of(numbers), masks(m...) {}

  static constexpr bool exact = (exact_mask<M>() && ...);
  constexpr bool is_exact() const {
    return std::apply([](const M&... m) { return (heed::is_exact(m) && ...); }, masks);
  }
  constexpr bool operator()(const position& at) const {
    bool allowed = false;
    with(at.h, [&](const auto& m) { allowed = m(at); });
    return allowed;
  }
  template <class At>
    requires(detail::vectorised<M, At> && ...)
  auto vector(const At& at) const {
    auto flags = lanewise(at, at.q != at.q);
    with(at.h, [&](const auto& m) { flags = lanewise(at, m.vector(at)); });
    return flags;
  }
  // Masks with a vector form beside others that have none.
  template <class T> void hide(const tile& at, T* scores) const {
    with(at.h, [&](const auto& m) { detail::mask_elements(m, at, scores); });
  }
  template <class F> constexpr void intervals(const position& at, index keys, F emit) const {
    with(at.h, [&](const auto& m) { heed::intervals(m, at, keys, emit); });
  }
  constexpr cover covers(const block& x) const {
    cover known = cover::some;
    with(x.h, [&](const auto& m) { known = detail::known(m, x); });
    return known;
  }
  void check(const problem_shape& shape) const {
    if (group < 1 || index(of.size()) * group != shape.heads)
      check::fail("heed::per_head",
                  "there must be a number for each group of heads: " + std::to_string(of.size()) +
                      " numbers for groups of " + std::to_string(group) + ", " +
                      std::to_string(shape.heads) + " heads");
    for (std::size_t i = 0; i < of.size(); ++i)
      if (of[i] < 0 || of[i] >= int(sizeof...(M)))
        check::fail("heed::per_head", "of[" + std::to_string(i) + "] = " + std::to_string(of[i]) +
                                          " names none of the " + std::to_string(sizeof...(M)) +
                                          " masks");
    std::apply([&](const M&... m) { (check_policy(m, shape), ...); }, masks);
  }

 private:
  template <class F> constexpr void with(index h, F f) const {
    const int number = of[static_cast<std::size_t>(h / group)];
    int i = 0;
    std::apply([&](const M&... m) { ((number == i++ ? f(m) : void()), ...); }, masks);
  }
};

template <mask... M> per_head(std::span<const int>, M...) -> per_head<M...>;

}  // namespace heed
