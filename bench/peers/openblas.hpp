// SPDX-License-Identifier: BSL-1.0
#pragma once

#if defined(HEED_PEER_OPENBLAS)

#include "eigen.hpp"

#include <cblas.h>

namespace bench {

// sgemm, Eigen's softmax and sgemm; threads share heads, so BLAS itself gets one.
class openblas_peer final : public matrix_peer {
 public:
  std::string name() const override { return "openblas"; }

  void prepare(const problem& task) override {
    openblas_set_num_threads(1);
    matrix_peer::prepare(task);
  }

 private:
  void attend(const problem& head, row_matrix& scores, Eigen::VectorXf& sums) const override {
    const shape& form = head.form;
    const auto m = static_cast<blasint>(form.queries), n = static_cast<blasint>(form.keys);
    const auto d = static_cast<blasint>(form.dim);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, d, 1, head.q, d, head.k, d, 0,
                scores.data(), n);
    weigh(form, 1 / std::sqrt(static_cast<float>(form.dim)), scores, sums);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, d, n, 1, scores.data(), n, head.v, d,
                0, head.out, d);
    rows_out(head.out, form.queries, form.dim).array().colwise() /= sums.array();
  }
};

}  // namespace bench

#endif
