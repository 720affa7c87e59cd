// SPDX-License-Identifier: BSL-1.0
// scan and step against ONNX Runtime (float) and the parallel forms of NumPy (double), in float and
// in double; tests/golden/generate.py names the tensors.
#include <heed/recurrence/favor.hpp>
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/kda.hpp>
#include <heed/recurrence/linear.hpp>
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/retention.hpp>
#include <heed/recurrence/rwkv6.hpp>
#include <heed/recurrence/rwkv7.hpp>
#include <heed/recurrence/ssd.hpp>
#include <heed/recurrence/taylor.hpp>

#include "support/catch.hpp"
#include "support/recurrences.hpp"
#include "support/tensor.hpp"

namespace heed::test {
namespace {

template <class T> tensor<T> tensor_of(const golden_tensor& x) {
  tensor<T> y({x.shape.at(0), x.shape.at(1), x.shape.at(2), x.shape.at(3)});
  std::transform(x.data.begin(), x.data.end(), y.data.begin(), [](double e) { return T(e); });
  return y;
}

/// The tensors of a case in type T, as views that live as long as this does.
template <class T> struct typed_case {
  const golden_case& c;
  std::map<std::string, tensor<T>> tensors{};

  explicit typed_case(const golden_case& from) : c(from) {
    for (const auto& [name, x] : c.tensors)
      if (x.shape.size() == 4) tensors.emplace(name, tensor_of<T>(x));
    if (has("delta"))  // ssd: v = Δx, log α = ΔA
      each("delta", [&](index h, index l, index) {
        T& delta = at("delta")(0, h, l);
        for (index d = 0; d < at("v").extent[3]; ++d) at("v")(0, h, l, d) *= delta;
        delta *= at("rate")(0, h, 0);
      });
    if (has("k_hat"))  // rwkv7: a = -k̂, b = rate ⊙ k̂
      each("k_hat", [&](index h, index l, index d) {
        at("rate")(0, h, l, d) *= at("k_hat")(0, h, l, d);
        at("k_hat")(0, h, l, d) *= -1;
      });
    if (has("skip"))  // which is the caller's
      each("out", [&](index h, index l, index d) {
        const double x = c["v"].matrix(h)(l, d);
        at("out")(0, h, l, d) -= T(c["skip"].matrix(h)(0, 0) * x);
      });
  }
  bool has(const char* name) const { return c.has(name); }
  tensor<T>& at(const char* name) { return tensors.at(name); }
  operand operator[](const char* name) { return at(name).in(); }
  template <class F> void each(const char* name, F f) {
    const extents e = at(name).extent;
    for (index h = 0; h < e[1]; ++h)
      for (index l = 0; l < e[2]; ++l)
        for (index d = 0; d < e[3]; ++d) f(h, l, d);
  }

  /// The head-th part of x becomes what a state keeps, or the other way round.
  template <class F> void carried(const char* s, const char* z, const char* m, F f) {
    for (const auto& [name, offset] :
         {std::pair{s, index{0}}, {z, dk() * dv()}, {m, dk() * dv() + dk()}})
      if (has(name)) {
        tensor<T>& x = at(name);
        const index size = x.extent[2] * x.extent[3];
        for (index n = 0; n < x.extent[0] * x.extent[1]; ++n)
          f(n / x.extent[1], n % x.extent[1], offset, x.data.data() + n * size, size, name);
      }
  }
  index dk() { return at("k").extent[3]; }
  index dv() { return at("v").extent[3]; }
};

/// Largest difference as a share of the largest magnitude, at least 1.
template <class T> double deviation(const T* got, const T* expected, index n) {
  double worst = 0, size = 1;
  for (index i = 0; i < n; ++i) {
    const double off = std::abs(double(got[i]) - double(expected[i]));
    worst = std::max(worst, std::isnan(off) ? std::numeric_limits<double>::infinity() : off);
    size = std::max(size, std::abs(double(expected[i])));
  }
  return worst / size;
}

template <class T, class Spec> void check(typed_case<T>& x, Spec spec) {
  // Sums of up to 66 terms in the order of chunks.
  const bool exact = std::is_same_v<T, double> && x.c.name.find("/onnx") == std::string::npos;
  const double bound = exact ? 2e-14 : 2e-6;
  spec.scale = x.c.scalar_or("scale", 1);
  spec.causal = !x.has("full");
  const auto q = std::as_const(x.at("q")).in(), k = std::as_const(x.at("k")).in(),
             v = std::as_const(x.at("v")).in();
  for (const index chunk : {-1, 0, 1, 5, 16, 64}) {  // -1: by step
    INFO((std::is_same_v<T, float> ? "float" : "double") << ", chunk " << chunk);
    spec.chunk = std::max<index>(chunk, 0);
    tensor<T> out = unwritten<T>(x.at("out").extent);
    const auto p = detail::checked_recurrence("test", spec, q, k, v, out.in());
    recurrent_state<T> state(detail::format_of<Spec>(p), p.batch());
    x.carried("state", "state_z", "state_m",
              [&](index b, index h, index offset, T* from, index n, const char*) {
                std::copy_n(from, n, state.head(b, h) + offset);
              });
    if (chunk < 0)
      step(spec, q, k, v, out.in(), state);
    else
      scan(spec, q, k, v, out.in(), state);
    CHECK(deviation(out.data.data(), x.at("out").data.data(), index(out.data.size())) < bound);
    x.carried("final", "final_z", "final_m",
              [&](index b, index h, index offset, T* expected, index n, const char* name) {
                if (state.format().rows != x.dk()) return;  // features of another width
                INFO(name << " of sequence " << b << " head " << h);
                CHECK(deviation(state.head(b, h) + offset, expected, n) < bound);
              });
  }
}

template <class T> bool check_case(const golden_case& c) {
  typed_case<T> x(c);
  const std::string name = operator_of(c);
  const double epsilon = c.scalar_or("epsilon", 0);
  const auto run = [&](const auto& spec) {
    check(x, spec);
    return true;
  };
  if (name == "linear") {
    if (x.has("count")) return run(recurrence{.readout = mean_readout{}});
    if (x.has("elu1")) return run(recurrences::linear(elu1_feature{}, epsilon));
    if (x.has("relu")) return run(recurrences::linear(relu_feature{}, epsilon));
    return run(recurrence{});
  }
  if (name == "taylor") return run(recurrences::taylor(int(c["n"].scalar()), epsilon));
  if (name == "favor") {
    const std::vector<float> omega(c["omega"].data.begin(), c["omega"].data.end());
    if (x.has("relu"))
      return run(recurrence{.feature = random_feature{omega, c["omega"].shape[0], true, epsilon},
                            .readout = normalised_readout{}});
    return run(recurrences::favor(parameters(omega), c["omega"].shape[0]));
  }
  if (name == "retention") return run(recurrences::retention(x["log_decay"]));
  if (name == "gla") return run(recurrences::gla(x["log_decay"], 1));
  if (name == "gated" && x.at("log_decay").extent[3] == 1)
    return run(recurrence{.decay = scalar_decay{x["log_decay"]}});
  if (name == "gated") return run(recurrences::gla(x["log_decay"], 1));
  if (name == "ssd") return run(recurrences::ssd(x["delta"]));
  if (name == "rwkv6") return run(recurrences::rwkv6(x["log_decay"], x["u"]));
  if (name == "rwkv7") return run(recurrences::rwkv7(x["log_decay"], x["k_hat"], x["rate"]));
  if (name == "low_rank") return run(recurrences::rwkv7(x["log_decay"], x["a"], x["b"]));
  if (name == "mlstm") return run(recurrences::mlstm(x["log_decay"], x["gain"], 1));
  if (name == "delta") return run(recurrence{.update = delta_update{x["beta"]}});
  if (name == "gated_delta") return run(recurrences::gated_delta(x["log_decay"], x["beta"], 1));
  if (name == "kda") return run(recurrences::kda(x["log_decay"], x["beta"], 1));
  return false;
}

}  // namespace

TEST_CASE("golden recurrences by scan and step") {
  int seen = 0;
  for (const golden_case& c : recurrence_cases()) {
    INFO(c.name);
    if (check_case<float>(c) && check_case<double>(c)) ++seen;
  }
  CHECK(seen == 51);  // all but the ReLU features of Performer, which have no header
}

}  // namespace heed::test
