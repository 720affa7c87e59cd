// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <type_traits>
#include <utility>

#include <heed/reference/matrix.hpp>

namespace heed::reference::recurrence {

/// Outputs [L×M] and the last hidden state [N].
struct general_scanned {
  matrix out;
  vector h;
};

/// The form that every other recurrence is a case of (Sieber et al., Understanding the differences
/// in foundation models, DSF): h_t = Λ_t h_{t−1} + B_t u_t, y_t = C_t h_t + D_t u_t, u [L×P].
/// Λ, B, C, D are callables of t: Λ gives [N×N], or a vector [N] for a diagonal one; B [N×P],
/// C [M×N], D [M×P]. An S of Dk×Dv is an h of N = Dk·Dv, its transition Λ ⊗ I.
template <class Lambda, class B, class C, class D>
general_scanned general(const matrix& u, Lambda&& lambda, B&& b, C&& c, D&& d, vector h) {
  general_scanned x{{}, std::move(h)};
  for (index t = 0; t < u.rows(); ++t) {
    const vector input = u.row(t);
    const auto& transition = lambda(t);
    if constexpr (std::is_same_v<std::decay_t<decltype(transition)>, vector>)
      x.h = (transition.cwiseProduct(x.h) + b(t) * input).eval();
    else
      x.h = (transition * x.h + b(t) * input).eval();
    const vector y = c(t) * x.h + d(t) * input;
    if (t == 0) x.out.resize(u.rows(), y.size());
    x.out.row(t) = y;
  }
  return x;
}

}  // namespace heed::reference::recurrence
