// SPDX-License-Identifier: BSL-1.0
// What the pieces of the guide share: tensors, and the distance to what the reference says.
#pragma once

#define EIGEN_USE_THREADS
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <heed/eigen.hpp>
#include <heed/reference/attend.hpp>

namespace guide {

template <int Rank> using tensor = Eigen::Tensor<float, Rank, Eigen::RowMajor>;

// Numbers of [-1, 1), the same in every run.
template <class... Sizes> tensor<sizeof...(Sizes)> random(Sizes... sizes) {
  static unsigned state = 1;
  tensor<sizeof...(Sizes)> x(sizes...);
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    x.data()[i] = float(state >> 8) / float(1 << 23) - 1;
  }
  return x;
}

template <int Rank> float difference(const tensor<Rank>& a, const tensor<Rank>& b) {
  float worst = 0;
  for (Eigen::Index i = 0; i < a.size(); ++i) {
    const float apart = std::abs(a.data()[i] - b.data()[i]);
    worst = apart <= worst ? worst : apart;  // NaN stays
  }
  return worst;
}

// Σ a · b
inline double product(const tensor<4>& a, const tensor<4>& b) {
  double sum = 0;
  for (Eigen::Index i = 0; i < a.size(); ++i) sum += double(a.data()[i]) * double(b.data()[i]);
  return sum;
}

inline int failures = 0;
inline void report(const char* name, float error, float most = 1e-5f) {
  const bool right = error < most;
  failures += !right;
  std::printf("%-24s off by %.1e%s\n", name, double(error), right ? "" : "  WRONG");
}

// Inputs of all pieces: q [2,4,30,16], k and v [2,2,40,16].
struct inputs {
  tensor<4> q = random(2, 4, 30, 16), k = random(2, 2, 40, 16), v = random(2, 2, 40, 16);
  tensor<4> out = tensor<4>(2, 4, 30, 16);

  inputs() { out.setConstant(NAN); }
  explicit inputs(Eigen::Index keys) : inputs() {
    k = random(2, 2, keys, 16), v = random(2, 2, keys, 16);
  }
  // The output, or another, against the reference.
  template <class Spec> void check(const char* name, const Spec& spec, const tensor<4>& got) const {
    using heed::as;
    tensor<4> expected(2, 4, 30, 16);
    heed::reference::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
                            as<"BHLD">(expected));
    report(name, difference(got, expected));
  }
};

void sdpa();
void decoder();
void flex();
void natten();
void linear();
void algebra();

}  // namespace guide
