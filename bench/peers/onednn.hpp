// SPDX-License-Identifier: BSL-1.0
#pragma once

#if defined(HEED_PEER_ONEDNN)

#include "../support/crew.hpp"
#include "../support/data.hpp"
#include "peer.hpp"

#include <oneapi/dnnl/dnnl.hpp>

#include <cmath>
#include <memory>
#include <unordered_map>
#include <utility>

#include <dlfcn.h>

namespace bench {

// Sets the size of the team of the OpenMP runtime that oneDNN brought along, whichever that is, and
// puts each of its threads on a processor of its own.
inline void use_threads(int threads) {
  using region = void (*)(void*);
  const auto size = reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  const auto parallel = reinterpret_cast<void (*)(region, void*, unsigned, unsigned)>(
      ::dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  static const auto number =
      reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
  if (size) size(threads);
  if (!parallel || !number || static_cast<int>(processors().size()) < threads) return;
  parallel(
      [](void*) {
        if (number() > 0) place({processors()[static_cast<std::size_t>(number())]});
      },
      nullptr, static_cast<unsigned>(threads), 0);
}

// matmul, softmax, matmul over all heads at once. The query heads of a key head are given as rows
// of one matrix, so keys are not repeated. No causal form: masked shapes are not supported.
class onednn_peer final : public peer {
 public:
  std::string name() const override { return "onednn"; }
  bool supports(const shape& form) const override {
    return form.mask == masking::full &&
           form.batch * form.heads * form.queries * form.keys <= (index{1} << 30);
  }

  void prepare(const problem& task) override {
    using dnnl::memory;
    threads_ = task.form.threads;
    use_threads(threads_);
    const shape& form = task.form;
    const memory::dim batch = form.batch * form.kv_heads;
    const memory::dim rows = form.heads / form.kv_heads * form.queries;
    const memory::dim keys = form.keys, dim = form.dim;
    constexpr auto type = memory::data_type::f32;
    const memory::desc q({batch, rows, dim}, type, {rows * dim, dim, 1});
    const memory::desc k({batch, dim, keys}, type, {keys * dim, 1, dim});
    const memory::desc v({batch, keys, dim}, type, {keys * dim, dim, 1});
    const memory::desc s({batch, rows, keys}, type, {rows * keys, keys, 1});

    dnnl::primitive_attr scaled;
    scaled.set_output_scales(0, {1 / std::sqrt(static_cast<float>(dim))});
    chain_ = std::make_unique<chain>(
        chain{dnnl::matmul({{q, k, s}, scaled, engine_}),
              dnnl::softmax_forward({{dnnl::prop_kind::forward_inference, s, 2}, engine_}),
              dnnl::matmul({{s, v, q}, engine_}), on(q, task.q), on(k, task.k), on(v, task.v),
              memory(s, engine_), on(q, task.out)});
  }

  double run(int times) override {
    use_threads(threads_);
    const leading here(threads_);
    const double seconds = seconds_per_call(times, [&] {
      chain& c = *chain_;
      c.scores.execute(stream_,
                       {{DNNL_ARG_SRC, c.q}, {DNNL_ARG_WEIGHTS, c.k}, {DNNL_ARG_DST, c.s}});
      c.softmax.execute(stream_, {{DNNL_ARG_SRC, c.s}, {DNNL_ARG_DST, c.s}});
      c.values.execute(stream_,
                       {{DNNL_ARG_SRC, c.s}, {DNNL_ARG_WEIGHTS, c.v}, {DNNL_ARG_DST, c.out}});
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
    dnnl::memory q, k, v, s, out;
  };

  dnnl::memory on(const dnnl::memory::desc& desc, const float* data) const {
    return {desc, engine_, const_cast<float*>(data)};
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  int threads_ = 1;
  std::unique_ptr<chain> chain_;
};

}  // namespace bench

#endif
