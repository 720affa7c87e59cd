// SPDX-License-Identifier: BSL-1.0
// attend_backward against libtorch's autograd; tests/golden/gradients holds it.
#include <heed/attention/attend_backward.hpp>
#include <heed/mask/causal.hpp>
#include <heed/score/bias.hpp>

#include "support/exact.hpp"
#include "support/golden_tensors.hpp"

namespace heed::test {
namespace {

// Sums of D, Dv and of all rows or keys, of terms of the size of the largest gradient.
template <class T>
void check_tensor(const std::string& name, const tensor<T>& got, const golden_tensor& golden,
                  index terms) {
  INFO(name);
  const auto want = tensor_of<double>(golden);
  double largest = 1;
  for (const double x : want.data) largest = std::max(largest, std::abs(x));
  REQUIRE(got.extent == want.extent);
  for (index b = 0; b < want.extent[0]; ++b)
    for (index h = 0; h < want.extent[1]; ++h)
      check_close(got.head(b, h), want.head(b, h), tolerance<T>(4, terms, largest), name);
}

template <class T, class Spec>
void check_case(const golden_case& c, const Spec& spec, const spec_gradients<Spec>& to) {
  const auto q = tensor_of<T>(c["q"]), k = tensor_of<T>(c["k"]), v = tensor_of<T>(c["v"]),
             d_out = tensor_of<T>(c["d_out"]);
  auto dq = unwritten<T>(q.extent), dk = unwritten<T>(k.extent), dv = unwritten<T>(v.extent);
  attend_backward(spec, q.in(), k.in(), v.in(), {}, d_out.in(),
                  {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = to});
  const index terms = q.extent[3] + v.extent[3];
  check_tensor("dq", dq, c["dq"], terms);
  check_tensor("dk", dk, c["dk"], terms);
  check_tensor("dv", dv, c["dv"], terms);
}

template <class T> void check_libtorch() {
  int seen = 0;
  for (const golden_case& c : golden_cases(golden_folder("gradients"))) {
    INFO(c.name);
    ++seen;
    const auto with = [&](const auto& mask) {
      if (!c.has("bias")) return check_case<T>(c, attention{.mask = mask}, {});
      const auto b = tensor_of<T>(c["bias"]);
      auto db = unwritten<T>(b.extent);
      check_case<T>(c, attention{.mask = mask, .score = bias{b.in()}}, {.score = {db.in()}});
      check_tensor("d_bias", db, c["d_bias"], c["q"].shape[2] * c["q"].shape[1]);
    };
    c.has("causal") ? with(causal{}) : with(full{});
  }
  CHECK(seen == 10);
}

}  // namespace

TEST_CASE("libtorch: gradients in float") { check_libtorch<float>(); }

TEST_CASE("libtorch: gradients in double") { check_libtorch<double>(); }

}  // namespace heed::test
