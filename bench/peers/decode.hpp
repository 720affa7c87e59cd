// SPDX-License-Identifier: BSL-1.0
// One query a sequence against a cache, by others: products of each head, or of the heads that
// share a kv head as rows of one matrix.
#pragma once

#include "eigen.hpp"
#include "onednn.hpp"
#include "openblas.hpp"
#include "ort.hpp"
#include "torch.hpp"

namespace bench {

// q and out [batch, heads, 1, dim]; k and v [batch, kv_heads, keys, dim] of several layers, whose
// turn comes one after the other.
struct decode_problem {
  shape form;
  const float* q;
  std::vector<const float*> k, v;
  float* out;
};

class decode_peer {
 public:
  virtual ~decode_peer() = default;
  virtual std::string name() const = 0;
  virtual void prepare(const decode_problem& task) = 0;
  virtual double run(int times) = 0;
  virtual void fetch() {}
  virtual void release() {}
};

// Head by head: K q, softmax, Vᵀ p. Threads share heads.
class gemv_peer : public decode_peer {
 public:
  void prepare(const decode_problem& task) override {
    Eigen::setNbThreads(1);
    task_ = task;
    workers_ = std::make_unique<crew>(task.form.threads);
    scores_.assign(static_cast<std::size_t>(task.form.threads), Eigen::VectorXf(task.form.keys));
  }
  double run(int times) override {
    const shape& form = task_.form;
    const leading here(form.threads);
    const float scale = 1 / std::sqrt(static_cast<float>(form.dim));
    return seconds_per_call(times, [&] {
      const std::size_t layer = turn_++ % task_.k.size();
      workers_->each(form.batch * form.heads, [&](index head, int worker) {
        const index first = head / (form.heads / form.kv_heads) * form.keys * form.dim;
        Eigen::VectorXf& s = scores_[static_cast<std::size_t>(worker)];
        score(task_.k[layer] + first, task_.q + head * form.dim, s);
        s = ((s.array() - s.maxCoeff()) * scale).exp();
        const float sum = s.sum();
        float* const out = task_.out + head * form.dim;
        add(task_.v[layer] + first, s, out);
        Eigen::Map<Eigen::VectorXf>(out, form.dim) /= sum;
      });
    });
  }
  void release() override {
    scores_.clear();
    workers_.reset();
  }

 protected:
  decode_problem task_{};

 private:
  virtual void score(const float* k, const float* q, Eigen::VectorXf& s) const = 0;
  virtual void add(const float* v, const Eigen::VectorXf& p, float* out) const = 0;

  std::size_t turn_ = 0;
  std::unique_ptr<crew> workers_;
  std::vector<Eigen::VectorXf> scores_;
};

class eigen_gemv final : public gemv_peer {
 public:
  std::string name() const override { return "eigen"; }

 private:
  using vector_in = Eigen::Map<const Eigen::VectorXf>;
  void score(const float* k, const float* q, Eigen::VectorXf& s) const override {
    s.noalias() = rows_in(k, task_.form.keys, task_.form.dim) * vector_in(q, task_.form.dim);
  }
  void add(const float* v, const Eigen::VectorXf& p, float* out) const override {
    Eigen::Map<Eigen::VectorXf>(out, task_.form.dim).noalias() =
        rows_in(v, task_.form.keys, task_.form.dim).transpose() * p;
  }
};

#if defined(HEED_PEER_OPENBLAS)
class openblas_gemv final : public gemv_peer {
 public:
  std::string name() const override { return "openblas"; }
  void prepare(const decode_problem& task) override {
    openblas_set_num_threads(1);
    gemv_peer::prepare(task);
  }

 private:
  void score(const float* k, const float* q, Eigen::VectorXf& s) const override {
    multiply(CblasNoTrans, k, q, s.data());
  }
  void add(const float* v, const Eigen::VectorXf& p, float* out) const override {
    multiply(CblasTrans, v, p.data(), out);
  }
  void multiply(CBLAS_TRANSPOSE how, const float* matrix, const float* x, float* y) const {
    const auto n = static_cast<blasint>(task_.form.keys), d = static_cast<blasint>(task_.form.dim);
    cblas_sgemv(CblasRowMajor, how, n, d, 1, matrix, d, x, 1, 0, y, 1);
  }
};
#endif

#if defined(HEED_PEER_ONEDNN)
// matmul, softmax, matmul over all kv heads; rows are the query heads that share one.
class onednn_rows final : public decode_peer {
 public:
  std::string name() const override { return "onednn"; }
  void prepare(const decode_problem& task) override {
    using dnnl::memory;
    threads_ = task.form.threads;
    use_threads(threads_);
    const shape& form = task.form;
    const memory::dim batch = form.batch * form.kv_heads, rows = form.heads / form.kv_heads;
    const memory::dim keys = form.keys, dim = form.dim;
    constexpr auto type = memory::data_type::f32;
    const memory::desc q({batch, rows, dim}, type, {rows * dim, dim, 1});
    const memory::desc k({batch, dim, keys}, type, {keys * dim, 1, dim});
    const memory::desc v({batch, keys, dim}, type, {keys * dim, dim, 1});
    const memory::desc s({batch, rows, keys}, type, {rows * keys, keys, 1});
    dnnl::primitive_attr scaled;
    scaled.set_output_scales(0, {1 / std::sqrt(static_cast<float>(dim))});
    chain_ = std::make_unique<chain>(chain{
        dnnl::matmul({{q, k, s}, scaled, engine_}),
        dnnl::softmax_forward({{dnnl::prop_kind::forward_inference, s, 2}, engine_}),
        dnnl::matmul({{s, v, q}, engine_}), on(q, task.q), memory(s, engine_), on(q, task.out)});
    for (std::size_t n = 0; n < task.k.size(); ++n)
      chain_->kv.emplace_back(on(k, task.k[n]), on(v, task.v[n]));
  }
  double run(int times) override {
    use_threads(threads_);
    const leading here(threads_);
    const double seconds = seconds_per_call(times, [&] {
      chain& c = *chain_;
      const auto& [k, v] = c.kv[turn_++ % c.kv.size()];
      c.scores.execute(stream_, {{DNNL_ARG_SRC, c.q}, {DNNL_ARG_WEIGHTS, k}, {DNNL_ARG_DST, c.s}});
      c.softmax.execute(stream_, {{DNNL_ARG_SRC, c.s}, {DNNL_ARG_DST, c.s}});
      c.values.execute(stream_,
                       {{DNNL_ARG_SRC, c.s}, {DNNL_ARG_WEIGHTS, v}, {DNNL_ARG_DST, c.out}});
      stream_.wait();
    });
    rest_after_spinning(threads_);
    return seconds;
  }
  void release() override { chain_.reset(); }

 private:
  struct chain {
    dnnl::matmul scores;
    dnnl::softmax_forward softmax;
    dnnl::matmul values;
    dnnl::memory q, s, out;
    std::vector<std::pair<dnnl::memory, dnnl::memory>> kv{};
  };
  dnnl::memory on(const dnnl::memory::desc& desc, const float* data) const {
    return {desc, engine_, const_cast<float*>(data)};
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  int threads_ = 1;
  std::size_t turn_ = 0;
  std::unique_ptr<chain> chain_;
};
#endif

#if defined(HEED_PEER_LIBTORCH)
// bmm, softmax, bmm on the same rows.
class torch_rows final : public decode_peer {
 public:
  std::string name() const override { return "torch"; }
  void prepare(const decode_problem& task) override {
    torch::InferenceMode inference;
    task_ = task;
    const shape& form = task.form;
    const index heads = form.batch * form.kv_heads;
    q_ = on(task.q, {heads, form.heads / form.kv_heads, form.dim});
    for (std::size_t n = 0; n < task.k.size(); ++n)
      kv_.emplace_back(on(task.k[n], {heads, form.keys, form.dim}).transpose(1, 2),
                       on(task.v[n], {heads, form.keys, form.dim}));
  }
  double run(int times) override {
    torch::InferenceMode inference;
    torch::set_num_threads(task_.form.threads);
    torch::Tensor out;
    const float scale = 1 / std::sqrt(static_cast<float>(task_.form.dim));
    const double seconds = seconds_per_call(times, [&] {
      const auto& [k, v] = kv_[turn_++ % kv_.size()];
      out = torch::bmm(torch::softmax(torch::bmm(q_ * scale, k), -1), v);
    });
    on(task_.out, out.sizes()).copy_(out);
    rest_after_spinning(task_.form.threads);
    return seconds;
  }
  void release() override {
    q_ = torch::Tensor();
    kv_.clear();
  }

 private:
  static torch::Tensor on(const float* data, torch::IntArrayRef sizes) {
    return torch::from_blob(const_cast<float*>(data), sizes);
  }
  decode_problem task_{};
  std::size_t turn_ = 0;
  torch::Tensor q_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> kv_;
};
#endif

}  // namespace bench
