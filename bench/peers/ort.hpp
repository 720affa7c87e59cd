// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../support/check.hpp"
#include "../support/folder.hpp"
#include "peer.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {

// A Node process that holds ONNX Runtime sessions and answers one line for each line it is sent.
class ort_process {
 public:
  // `modules` is the folder in which `npm install onnxruntime-node` was run.
  explicit ort_process(const std::string& modules) {
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("heed-ort-") + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    const auto script = folder() / "peers" / "ort.mjs";
    std::array<int, 2> to{}, from{};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) {
      fail("no pipe to ONNX Runtime");
    }
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(to[0], STDIN_FILENO);
      ::dup2(from[1], STDOUT_FILENO);
      ::execlp("node", "node", script.c_str(), modules.c_str(), folder_.c_str(),
               static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    ::signal(SIGPIPE, SIG_IGN);
    commands_ = ::fdopen(to[1], "w");
    answers_ = ::fdopen(from[0], "r");
  }

  ort_process(const ort_process&) = delete;
  ort_process& operator=(const ort_process&) = delete;

  ~ort_process() {
    std::fclose(commands_);
    std::fclose(answers_);
    ::waitpid(child_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  pid_t id() const { return child_; }

  std::string ask(const std::string& line) {
    std::fprintf(commands_, "%s\n", line.c_str());
    std::fflush(commands_);
    std::array<char, 4096> answer{};
    if (std::fgets(answer.data(), answer.size(), answers_) == nullptr) {
      fail("ONNX Runtime's process ended at: " + line);
    }
    const std::string text(answer.data());
    if (text.starts_with("error")) {
      fail("ONNX Runtime: " + line + ": " + text);
    }
    return text;
  }

  void put(const std::string& file, const float* data, index count) const {
    std::ofstream(folder_ / file, std::ios::binary)
        .write(reinterpret_cast<const char*>(data),
               static_cast<std::streamsize>(count * index{sizeof(float)}));
  }

  void get(const std::string& file, float* data, index count) const {
    std::ifstream(folder_ / file, std::ios::binary)
        .read(reinterpret_cast<char*>(data),
              static_cast<std::streamsize>(count * index{sizeof(float)}));
  }

 private:
  std::filesystem::path folder_;
  pid_t child_ = 0;
  std::FILE* commands_ = nullptr;
  std::FILE* answers_ = nullptr;
};

enum class ort_operator { multi_head, grouped_query, attention };

// One operator of ONNX Runtime; the operators share the process.
class ort_peer final : public peer {
 public:
  ort_peer(std::shared_ptr<ort_process> process, ort_operator kind)
      : process_{std::move(process)}, kind_{kind} {}

  std::string name() const override {
    switch (kind_) {
      case ort_operator::multi_head:
        return "ort_mha";
      case ort_operator::grouped_query:
        return "ort_gqa";
      case ort_operator::attention:
        return "ort_attention";
    }
    return {};
  }

  bool supports(const shape& form) const override {
    const bool scores_fit = form.batch * form.heads * form.queries * form.keys <= (index{1} << 30);
    switch (kind_) {
      case ort_operator::multi_head:
        return form.mask == masking::full && form.heads == form.kv_heads;
      case ort_operator::grouped_query:
        return form.mask != masking::full && form.queries == form.keys;
      case ort_operator::attention:
        return form.mask != masking::window && scores_fit;
    }
    return false;
  }

  void prepare(const problem& task) override {
    task_ = task;
    const shape& form = task.form;
    process_->put("q", task.q, form.query_size());
    process_->put("k", task.k, form.key_size());
    process_->put("v", task.v, form.key_size());
    std::string line = "prepare " + name();
    for (const index n :
         {form.batch, form.heads, form.kv_heads, form.queries, form.keys, form.dim}) {
      line.append(" ").append(std::to_string(n));
    }
    process_->ask(line + " " + mask() + " " + std::to_string(form.window) + " " +
                  std::to_string(form.threads));
  }

  double run(int times) override {
    const double nanoseconds =
        std::strtod(process_->ask("run " + name() + " " + std::to_string(times)).c_str(), nullptr);
    rest_after_spinning(task_.form.threads, process_->id());
    return 1e-9 * nanoseconds;
  }

  void fetch() override {
    process_->ask("fetch " + name());
    process_->get("out", task_.out, task_.form.query_size());
  }

  void release() override { process_->ask("release " + name()); }

 private:
  std::string mask() const {
    return task_.form.mask == masking::full     ? "full"
           : task_.form.mask == masking::causal ? "causal"
                                                : "window";
  }

  std::shared_ptr<ort_process> process_;
  ort_operator kind_;
  problem task_{};
};

}  // namespace bench
