// SPDX-License-Identifier: BSL-1.0
// What every family bench shares: options, the list of cases, the run in smoke mode or under Google
// Benchmark, and the counters.
//
//   --smoke          shrink every case, compare it with the reference, time nothing
//   --peers[=A,B]    time the installed peers, or those named, in turns with ours
//   --ort=FOLDER     where onnxruntime-node is installed (else the variable HEED_ORT)
//   --seconds=S      time spent on a case (default 1)
//   --benchmark_...  Google Benchmark's own
#pragma once

#include "bandwidth.hpp"
#include "check.hpp"
#include "data.hpp"
#include "peak.hpp"
#include "shapes.hpp"
#include "timing.hpp"

#include "../peers/all.hpp"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

namespace bench {

struct options {
  bool smoke = false;
  bool peers = false;
  std::string only;  // names between commas; empty for all
  std::string ort;
  double seconds = 1;

  bool wants(const std::string& peer) const {
    return only.empty() || only.find("," + peer + ",") != std::string::npos;
  }

  // Takes what it knows out of the arguments.
  static options from(int& argc, char** argv) {
    options result;
    if (const char* folder = std::getenv("HEED_ORT")) result.ort = folder;
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
      const std::string_view word = argv[i];
      if (word == "--smoke") {
        result.smoke = true;
      } else if (word == "--peers") {
        result.peers = true;
      } else if (word.starts_with("--peers=")) {
        result.peers = true;
        result.only = "," + std::string(word.substr(8)) + ",";
      } else if (word.starts_with("--ort=")) {
        result.ort = word.substr(6);
      } else if (word.starts_with("--seconds=")) {
        result.seconds = std::atof(argv[i] + 10);
      } else {
        argv[kept++] = argv[i];
      }
    }
    argc = kept;
    return result;
  }
};

// The reported names are the cases' own, without the suffixes for the way of timing.
template <class Reporter> class plain_names final : public Reporter {
 public:
  using Reporter::Reporter;

  void ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run>& runs) override {
    auto renamed = runs;
    for (auto& run : renamed) {
      run.run_name.iterations.clear();
      run.run_name.time_type.clear();
    }
    Reporter::ReportRuns(renamed);
  }
};

class suite;

// One case being run. A case prepares its operands, checks the result of every contender, then
// calls `measure`.
class trial {
 public:
  trial(suite& owner, const shape& form, benchmark::State* state)
      : owner_(owner), form_(form), state_(state) {}

  const shape& form() const { return form_; }
  bool timed() const { return state_ != nullptr; }

  // Contender 0 is ours; each further one gives vs_<name>, how many times as long it takes.
  // `work` is what one run of ours counts as: floating-point operations, if not told the form's.
  // Gives the seconds of the best run, 0 in smoke mode.
  void measure(std::vector<contender> field, const budget& limit = {});
  double measure(std::vector<contender> field, double work, const budget& limit = {});

  // True where the caller asked for this peer.
  bool wants(const std::string& peer) const;

  // One more number to report.
  void note(const std::string& name, double value) {
    if (timed()) state_->counters[name] = value;
  }
  // What was reported so far.
  double noted(const std::string& name) const { return state_->counters[name]; }

  // As `measure`, but the counter is `gbps`, for kernels that only move data. Gives the seconds of
  // the best run, 0 in smoke mode.
  double measure_bytes(std::vector<contender> field, double bytes);

  // The same for calls that read `bytes` of memory; `share` is of the rate at which that many
  // threads can read.
  double measure_reads(std::vector<contender> field, double bytes, const budget& limit = {});

  // Where onnxruntime-node is installed; empty for nowhere.
  const std::string& ort() const;

  // The same, with every peer that can do this problem: checked first, then timed in turns.
  void measure_with_peers(contender ours, const inputs& in);

 private:
  std::vector<samples> time(const std::vector<contender>& field, budget limit);

  suite& owner_;
  const shape& form_;
  benchmark::State* state_;
};

class suite {
 public:
  suite(int argc, char** argv) : argc_(argc), argv_(argv), options_(options::from(argc_, argv)) {}

  void add(std::string name, const shape& form, std::function<void(trial&)> body) {
    cases_.push_back({std::move(name), form, std::move(body)});
  }

  int run() {
    if (options_.smoke) {
      for (const entry& one : cases_) {
        const shape form = shrink(one.form);
        trial small(*this, form, nullptr);
        one.body(small);
      }
      std::printf("%zu cases agree with the reference\n", cases_.size());
      return 0;
    }
    for (const entry& one : cases_) {
      benchmark::RegisterBenchmark(one.name.c_str(),
                                   [this, &one](benchmark::State& state) {
                                     for (auto _ : state) {
                                       trial full(*this, one.form, &state);
                                       one.body(full);
                                     }
                                   })
          ->Iterations(1)
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
    bool to_file = false;
    for (int i = 1; i < argc_; ++i) {
      to_file = to_file || std::string_view(argv_[i]).starts_with("--benchmark_out=");
    }
    benchmark::Initialize(&argc_, argv_);
    if (benchmark::ReportUnrecognizedArguments(argc_, argv_)) return 1;
    for (const int threads : {1, 2}) {
      benchmark::AddCustomContext("fma_gflops_t" + std::to_string(threads),
                                  std::to_string(fma_rate(threads, 40) * 1e-9));
    }
    benchmark::AddCustomContext("instructions", xsimd::default_arch::name());
#if defined(__clang__)
    benchmark::AddCustomContext("compiler", __VERSION__);
#else
    benchmark::AddCustomContext("compiler", "g++ " __VERSION__);
#endif
    plain_names<benchmark::ConsoleReporter> screen(::isatty(STDOUT_FILENO)
                                                       ? benchmark::ConsoleReporter::OO_Color
                                                       : benchmark::ConsoleReporter::OO_None);
    plain_names<benchmark::JSONReporter> file;
    benchmark::RunSpecifiedBenchmarks(&screen, to_file ? &file : nullptr);
    return 0;
  }

  const options& chosen() const { return options_; }
  peer_list& peers() {
    if (!peers_) peers_ = options_.peers ? installed_peers(options_.ort) : peer_list{};
    return *peers_;
  }

 private:
  struct entry {
    std::string name;
    shape form;
    std::function<void(trial&)> body;
  };

  int argc_;
  char** argv_;
  options options_;
  std::vector<entry> cases_;
  std::optional<peer_list> peers_;
};

inline bool trial::wants(const std::string& peer) const {
  return owner_.chosen().peers && owner_.chosen().wants(peer);
}

inline const std::string& trial::ort() const { return owner_.chosen().ort; }

inline std::vector<samples> trial::time(const std::vector<contender>& field, budget limit) {
  limit.seconds = owner_.chosen().seconds;
  neighbours others;
  const auto times = interleave(field, limit, others);
  state_->counters["others"] = others.share();
  state_->SetIterationTime(times[0].median());
  state_->counters["best_us"] = times[0].best() * 1e6;
  for (std::size_t i = 1; i < field.size(); ++i) {
    state_->counters["vs_" + field[i].name] = times[i].median() / times[0].median();
  }
  return times;
}

inline void trial::measure(std::vector<contender> field, const budget& limit) {
  measure(std::move(field), flops(form_), limit);
}

inline double trial::measure(std::vector<contender> field, double work, const budget& limit) {
  if (!timed()) return 0;
  // The clock drifts with what the neighbours do, so the peak is taken right before and after.
  const double before = fma_rate(form_.threads);
  const auto times = time(field, limit);
  const double peak = std::max(before, fma_rate(form_.threads));
  state_->counters["peak_gflops"] = peak * 1e-9;
  state_->counters["gflops"] = work / times[0].best() * 1e-9;
  state_->counters["share"] = work / times[0].best() / peak;
  state_->counters["share_median"] = work / times[0].median() / peak;
  return times[0].best();
}

inline double trial::measure_bytes(std::vector<contender> field, double bytes) {
  if (!timed()) return 0;
  const double best = time(field, {})[0].best();
  state_->counters["gbps"] = bytes / best * 1e-9;
  return best;
}

inline double trial::measure_reads(std::vector<contender> field, double bytes,
                                   const budget& limit) {
  if (!timed()) return 0;
  const double before = read_bandwidth(form_.threads);
  const auto times = time(field, limit);
  const double most = std::max(before, read_bandwidth(form_.threads));
  state_->counters["read_gbps"] = most * 1e-9;
  state_->counters["gbps"] = bytes / times[0].best() * 1e-9;
  state_->counters["share"] = bytes / times[0].best() / most;
  state_->counters["share_median"] = bytes / times[0].median() / most;
  return times[0].best();
}

inline void trial::measure_with_peers(contender ours, const inputs& in) {
  std::vector<contender> field{std::move(ours)};
  std::vector<buffer<float>> outs;
  std::vector<peer*> used;
  outs.reserve(owner_.peers().size());
  for (const auto& one : owner_.peers()) {
    if (!one->supports(form_) || !owner_.chosen().wants(one->name())) continue;
    outs.emplace_back(static_cast<std::size_t>(form_.query_size()), 0.0f);
    one->prepare({form_, in.q.data(), in.k.data(), in.v.data(), outs.back().data()});
    one->run(1);
    one->fetch();
    check(one->name(), form_, in.q.data(), in.k.data(), in.v.data(), outs.back().data());
    used.push_back(one.get());
    field.push_back({one->name(), [p = one.get()](int times) { return p->run(times); }});
  }
  const bool slow = flops(form_) > 5e10;
  measure(std::move(field), {.least_rounds = slow ? 3u : 7u, .shortest_sample = 2e-3});
  for (peer* one : used) one->release();
}

}  // namespace bench
