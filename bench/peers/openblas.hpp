// SPDX-License-Identifier: BSL-1.0
#pragma once

#if defined(HEED_PEER_OPENBLAS)

#include "eigen.hpp"

#include <cblas.h>

namespace bench {

// sgemm, Eigen's softmax and sgemm, a head at a time; threads share heads, so BLAS itself gets
// one.
class openblas_peer final : public peer {
 public:
  std::string name() const override { return "openblas"; }
  bool supports(const shape& form) const override {
    return form.queries * form.keys <= (index{1} << 27);
  }

  void prepare(const problem& task) override {
    openblas_set_num_threads(1);
    task_ = task;
    workers_ = std::make_unique<crew>(task.form.threads);
    scores_.assign(static_cast<std::size_t>(task.form.threads),
                   row_matrix(task.form.queries, task.form.keys));
    sums_.assign(scores_.size(), Eigen::VectorXf(task.form.queries));
  }

  double run(int times) override {
    const leading here(task_.form.threads);
    return seconds_per_call(times, [&] {
      workers_->each(task_.form.batch * task_.form.heads, [&](index head, int worker) {
        attend(head, scores_[static_cast<std::size_t>(worker)],
               sums_[static_cast<std::size_t>(worker)]);
      });
    });
  }

  void release() override {
    scores_.clear();
    workers_.reset();
  }

 private:
  void attend(index head, row_matrix& scores, Eigen::VectorXf& sums) const {
    const shape& form = task_.form;
    const index kv = head / (form.heads / form.kv_heads);
    const float* q = task_.q + head * form.queries * form.dim;
    const float* k = task_.k + kv * form.keys * form.dim;
    const float* v = task_.v + kv * form.keys * form.dim;
    float* out = task_.out + head * form.queries * form.dim;
    const auto m = static_cast<blasint>(form.queries), n = static_cast<blasint>(form.keys);
    const auto d = static_cast<blasint>(form.dim);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, d, 1, q, d, k, d, 0, scores.data(),
                n);
    weigh(form, 1 / std::sqrt(static_cast<float>(form.dim)), scores, sums);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, d, n, 1, scores.data(), n, v, d, 0,
                out, d);
    rows_out(out, form.queries, form.dim).array().colwise() /= sums.array();
  }

  problem task_{};
  std::unique_ptr<crew> workers_;
  std::vector<row_matrix> scores_;
  std::vector<Eigen::VectorXf> sums_;
};

}  // namespace bench

#endif
