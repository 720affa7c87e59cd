// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cmath>
#include <limits>

#include <heed/reference/matrix.hpp>

/// The recurrences, token by token on one head: q, k [L×Dk], v [L×Dv], S [Dk×Dv], gates [L] or
/// [L×Dk]. Decays are logarithms, ≤ 0; minus infinity makes exactly 0 of whatever it meets.
namespace heed::reference::recurrence {

/// What a head carries from one token to the next. An empty S or z stands for zeros.
struct carried {
  matrix s;  // [Dk×Dv]
  vector z;  // [Dk]: the sum of keys of a normalised readout, mLSTM's n
  double m = -std::numeric_limits<double>::infinity();  // mLSTM: S and z are stored times e^{−m}
  index tokens = 0;
};

struct scanned {
  matrix out;  // [L×Dv]
  carried state;
};

/// Room for the outputs of `tokens`, and the state before the first of them.
inline scanned before(index tokens, index dk, index dv, const carried& initial) {
  scanned x{matrix::Zero(tokens, dv), initial};
  if (initial.s.size() == 0) x.state.s = matrix::Zero(dk, dv);
  if (initial.z.size() == 0) x.state.z = vector::Zero(dk);
  return x;
}

/// S ← e^{log} S, and 0 even where S is infinite if log is.
inline void forget(matrix& s, double log) {
  if (std::isinf(log))
    s.setZero();
  else
    s *= std::exp(log);
}

/// S ← diag(e^{log}) S.
inline void forget(matrix& s, const vector& log) {
  for (index c = 0; c < s.rows(); ++c) {
    if (std::isinf(log(c)))
      s.row(c).setZero();
    else
      s.row(c) *= std::exp(log(c));
  }
}

}  // namespace heed::reference::recurrence
