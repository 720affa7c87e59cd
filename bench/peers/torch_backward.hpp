// SPDX-License-Identifier: BSL-1.0
#pragma once

#if defined(HEED_PEER_LIBTORCH)

#include "torch.hpp"

namespace bench {

// libtorch's autograd of matmul, softmax, matmul; the graph is kept, so that a run is the backward
// pass alone.
class torch_backward {
 public:
  torch_backward(const shape& form, const inputs& in, const buffer<float>& d_out) : form_(form) {
    if (!fits()) return;
    const index kv = form.batch * form.kv_heads, group = form.heads / form.kv_heads;
    const auto leaf = [](const buffer<float>& data, torch::IntArrayRef sizes) {
      return torch::from_blob(const_cast<float*>(data.data()), sizes).clone().requires_grad_();
    };
    q_ = leaf(in.q, {kv, group * form.queries, form.dim});
    k_ = leaf(in.k, {kv, form.keys, form.dim});
    v_ = leaf(in.v, {kv, form.keys, form.dim});
    d_out_ = torch::from_blob(const_cast<float*>(d_out.data()), q_.sizes());
    torch::Tensor scores =
        torch::bmm(q_ / std::sqrt(static_cast<float>(form.dim)), k_.transpose(1, 2));
    if (form.mask == masking::causal)
      scores =
          scores + torch::full({form.queries, form.keys}, -std::numeric_limits<float>::infinity())
                       .triu(1)
                       .repeat({group, 1});
    out_ = torch::bmm(torch::softmax(scores, -1), v_);
  }
  bool fits() const {
    return form_.mask != masking::window &&
           form_.batch * form_.heads * form_.queries * form_.keys <= (index{1} << 28);
  }
  double run(int times) {
    torch::set_num_threads(form_.threads);
    const double seconds = seconds_per_call(
        times, [&] { grads_ = torch::autograd::grad({out_}, {q_, k_, v_}, {d_out_}, true); });
    rest_after_spinning(form_.threads);
    return seconds;
  }
  const float* dq() const { return data(0); }
  const float* dk() const { return data(1); }
  const float* dv() const { return data(2); }

 private:
  const float* data(std::size_t i) const {
    grads_[i] = grads_[i].contiguous();
    return grads_[i].data_ptr<float>();
  }

  shape form_;
  torch::Tensor q_, k_, v_, d_out_, out_;
  mutable std::vector<torch::Tensor> grads_;
};

}  // namespace bench

#endif
