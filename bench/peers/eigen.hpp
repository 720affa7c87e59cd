// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/crew.hpp"
#include "peer.hpp"

#include <Eigen/Core>

#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

namespace bench {

using row_matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using rows_in = Eigen::Map<const row_matrix>;
using rows_out = Eigen::Map<row_matrix>;

// Turns scores into exp(scale · (score − row maximum)), masked ones into 0, and gives the row
// sums.
inline void weigh(const shape& form, float scale, row_matrix& scores, Eigen::VectorXf& sums) {
  for (index q = 0; q < form.queries; ++q) {
    auto row = scores.row(q);
    index first = 0, count = form.keys;
    if (form.mask != masking::full) {
      count = std::min(q + 1, form.keys);
      if (form.mask == masking::window) {
        first = std::max<index>(0, q - form.window + 1);
      }
      row.head(first).setZero();
      row.tail(form.keys - count).setZero();
      count -= first;
    }
    auto seen = row.segment(first, count).array();
    const float top = seen.maxCoeff();
    seen = ((seen - top) * scale).exp();
    sums[q] = seen.sum();
  }
}

// Attention one head at a time on matrices kept between calls; threads share heads.
class matrix_peer : public peer {
 public:
  bool supports(const shape& form) const override {
    return form.queries * form.keys <= (index{1} << 27);
  }

  void prepare(const problem& task) override {
    Eigen::setNbThreads(1);
    task_ = task;
    workers_ = std::make_unique<crew>(task.form.threads);
    scores_.assign(static_cast<std::size_t>(task.form.threads),
                   row_matrix(task.form.queries, task.form.keys));
    sums_.assign(scores_.size(), Eigen::VectorXf(task.form.queries));
  }

  double run(int times) override {
    const shape& form = task_.form;
    const leading here(form.threads);
    return seconds_per_call(times, [&] {
      workers_->each(form.batch * form.heads, [&](index head, int worker) {
        const index kv = head / (form.heads / form.kv_heads);
        attend({form, task_.q + head * form.queries * form.dim, task_.k + kv * form.keys * form.dim,
                task_.v + kv * form.keys * form.dim, task_.out + head * form.queries * form.dim},
               scores_[static_cast<std::size_t>(worker)], sums_[static_cast<std::size_t>(worker)]);
      });
    });
  }

  void release() override {
    scores_.clear();
    workers_.reset();
  }

 private:
  // The operands of `head` are those of one head.
  virtual void attend(const problem& head, row_matrix& scores, Eigen::VectorXf& sums) const = 0;

  problem task_{};
  std::unique_ptr<crew> workers_;
  std::vector<row_matrix> scores_;
  std::vector<Eigen::VectorXf> sums_;
};

// Three Eigen expressions.
class eigen_peer final : public matrix_peer {
 public:
  std::string name() const override { return "eigen"; }

 private:
  void attend(const problem& head, row_matrix& scores, Eigen::VectorXf& sums) const override {
    const shape& form = head.form;
    const rows_in q(head.q, form.queries, form.dim);
    const rows_in k(head.k, form.keys, form.dim);
    const rows_in v(head.v, form.keys, form.dim);
    rows_out out(head.out, form.queries, form.dim);
    scores.noalias() = q * k.transpose();
    weigh(form, 1 / std::sqrt(static_cast<float>(form.dim)), scores, sums);
    out.noalias() = scores * v;
    out.array().colwise() /= sums.array();
  }
};

}  // namespace bench
