// SPDX-License-Identifier: BSL-1.0
#pragma once

#if defined(HEED_PEER_LIBTORCH)

#include "peer.hpp"

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <utility>

namespace bench {

// matmul, softmax, matmul on tensors of libtorch, as its own unfused attention does. The query
// heads of a key head are given as rows of one matrix.
class torch_peer final : public peer {
 public:
  std::string name() const override { return "torch"; }
  bool supports(const shape& form) const override {
    return form.mask != masking::window &&
           form.batch * form.heads * form.queries * form.keys <= (index{1} << 29);
  }

  void prepare(const problem& task) override {
    torch::InferenceMode inference;
    task_ = task;
    const shape& form = task.form;
    const index group = form.heads / form.kv_heads;
    q_ = on(task.q, {form.batch * form.kv_heads, group * form.queries, form.dim});
    k_ = on(task.k, {form.batch * form.kv_heads, form.keys, form.dim}).transpose(1, 2);
    v_ = on(task.v, {form.batch * form.kv_heads, form.keys, form.dim});
    mask_ = torch::Tensor();
    if (form.mask == masking::causal) {
      mask_ = torch::full({form.queries, form.keys}, -std::numeric_limits<float>::infinity())
                  .triu(1)
                  .repeat({group, 1});
    }
  }

  double run(int times) override {
    torch::InferenceMode inference;
    torch::set_num_threads(task_.form.threads);
    torch::Tensor out;
    const float scale = 1 / std::sqrt(static_cast<float>(task_.form.dim));
    const double seconds = seconds_per_call(times, [&] {
      torch::Tensor scores = torch::bmm(q_ * scale, k_);
      if (mask_.defined()) {
        scores += mask_;
      }
      out = torch::bmm(torch::softmax(scores, -1), v_);
    });
    on(task_.out, out.sizes()).copy_(out);
    rest_after_spinning(task_.form.threads);
    return seconds;
  }

  void release() override { q_ = k_ = v_ = mask_ = torch::Tensor(); }

 private:
  static torch::Tensor on(const float* data, torch::IntArrayRef sizes) {
    return torch::from_blob(const_cast<float*>(data), sizes);
  }

  problem task_{};
  torch::Tensor q_, k_, v_, mask_;
};

}  // namespace bench

#endif
