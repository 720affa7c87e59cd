// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "decode.hpp"

namespace bench {

// GroupQueryAttention of ONNX Runtime on a past of float or of float16; the newest token's key and
// value are handed over with the query. Its time includes a copy of the past to the present: see
// ort.mjs.
class ort_decode final : public decode_peer {
 public:
  ort_decode(std::shared_ptr<ort_process> process, bool half)
      : process_(std::move(process)), half_(half) {}

  std::string name() const override { return "ort_gqa"; }
  // The keys and values of `task` are floats; they are rounded on the other side.
  void prepare(const decode_problem& task) override {
    task_ = task;
    const shape& form = task.form;
    process_->put("q", task.q, form.query_size());
    for (std::size_t n = 0; n < task.k.size(); ++n) {
      process_->put("k" + std::to_string(n), task.k[n], form.key_size());
      process_->put("v" + std::to_string(n), task.v[n], form.key_size());
    }
    std::string line = half_ ? "decode ort_gqa float16" : "decode ort_gqa float32";
    for (const index n : {form.batch, form.heads, form.kv_heads, form.keys, form.dim,
                          index{form.threads}, static_cast<index>(task.k.size())})
      line.append(" ").append(std::to_string(n));
    process_->ask(line);
  }
  double run(int times) override {
    const double nanoseconds =
        std::strtod(process_->ask("run ort_gqa " + std::to_string(times)).c_str(), nullptr);
    rest_after_spinning(task_.form.threads, process_->id());
    return 1e-9 * nanoseconds;
  }
  void fetch() override {
    process_->ask("fetch ort_gqa");
    process_->get("out", task_.out, task_.form.query_size());
  }
  void release() override { process_->ask("release ort_gqa"); }

 private:
  std::shared_ptr<ort_process> process_;
  bool half_;
  decode_problem task_{};
};

// The peers for caches of float, or those for caches of 16 bits.
inline std::vector<std::unique_ptr<decode_peer>> decode_peers(
    bool half, const std::shared_ptr<ort_process>& process) {
  std::vector<std::unique_ptr<decode_peer>> all;
  if (!half) {
    all.push_back(std::make_unique<eigen_gemv>());
#if defined(HEED_PEER_OPENBLAS)
    all.push_back(std::make_unique<openblas_gemv>());
#endif
#if defined(HEED_PEER_ONEDNN)
    all.push_back(std::make_unique<onednn_rows>());
#endif
#if defined(HEED_PEER_LIBTORCH)
    all.push_back(std::make_unique<torch_rows>());
#endif
  }
  if (process) all.push_back(std::make_unique<ort_decode>(process, half));
  return all;
}

}  // namespace bench
