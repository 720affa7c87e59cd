// SPDX-License-Identifier: BSL-1.0
// Whole rows and mixed heads, forward and backward, against NumPy (tests/golden/rows/generate.py
// names the tensors).
#include <heed/attention/attend_backward.hpp>
#include <heed/heads/multi_token.hpp>
#include <heed/heads/talking.hpp>
#include <heed/mask/causal.hpp>
#include <heed/normalizer/entmax.hpp>
#include <heed/normalizer/query_axis.hpp>
#include <heed/normalizer/stick_breaking.hpp>
#include <heed/normalizer/topk.hpp>

#include "support/golden_tensors.hpp"

using namespace heed::test;
using heed::attention;
using heed::causal;

namespace {

// Rows of at most 11 terms, two convolutions of 12; what NumPy differentiated is good to 1e-9.
template <class T>
void compare(const golden_case& c, const std::string& name, const tensor<T>& got) {
  check_golden(c, name, got, std::max(1e-9, tolerance<T>(32, 16, 8)));
}

template <class T, class Spec>
void check_case(const golden_case& c, const Spec& spec,
                const heed::spec_gradients<Spec>& learned = {}) {
  const auto q = tensor_of<T>(c["q"]), k = tensor_of<T>(c["k"]), v = tensor_of<T>(c["v"]),
             g = tensor_of<T>(c["d_out"]);
  tensor<T> out(g.extent), dq(q.extent), dk(k.extent), dv(v.extent);
  attend(spec, q.in(), k.in(), v.in(), out.in());
  attend_backward(spec, q.in(), k.in(), v.in(), {}, g.in(),
                  {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = learned});
  compare(c, "out", out), compare(c, "dq", dq), compare(c, "dk", dk), compare(c, "dv", dv);
}

template <class Spec> void check_family(const std::string& family, const Spec& spec) {
  for (const golden_case& c : golden_family("rows", family)) {
    check_case<double>(c, spec);
    check_case<float>(c, spec);
  }
}

}  // namespace

TEST_CASE("normalisers of whole rows are what NumPy gives") {
  check_family("sparsemax", attention{.mask = causal{}, .normalizer = heed::sparsemax()});
  check_family("entmax15", attention{.mask = causal{}, .normalizer = heed::entmax{}});
  check_family("topk", attention{.mask = causal{}, .normalizer = heed::topk{3}});
  check_family("sticks", attention{.mask = causal{}, .normalizer = heed::stick_breaking{}});
  check_family("sticks_self",
               attention{.mask = causal{}, .normalizer = heed::stick_breaking{true}});
  check_family("slots", attention{.normalizer = heed::query_axis{1e-3}});
}

TEST_CASE("talking heads are what NumPy gives") {
  const auto check = []<class T>(const golden_case& c, T) {
    const auto before = tensor_of<T>(c["before"]), after = tensor_of<T>(c["after"]);
    tensor<T> d_before(before.extent), d_after(after.extent);
    check_case<T>(c, attention{.mask = causal{}, .weights = heed::talking{before.in(), after.in()}},
                  {.weights = {d_before.in(), d_after.in()}});
    compare(c, "dbefore", d_before), compare(c, "dafter", d_after);
  };
  for (const golden_case& c : golden_family("rows", "talking"))
    check(c, double{}), check(c, float{});
}

TEST_CASE("multi-token attention is what NumPy gives") {
  const auto check = []<class T>(const golden_case& c, T) {
    const auto kernel = tensor_of<T>(c["kernel"]), after = tensor_of<T>(c["after_kernel"]),
               mix = tensor_of<T>(c["mix"]);
    tensor<T> d_kernel(kernel.extent), d_after(after.extent), d_mix(mix.extent);
    check_case<T>(c,
                  attention{.mask = causal{},
                            .weights = heed::multi_token{kernel.in(), after.in(), mix.in()}},
                  {.weights = {d_kernel.in(), d_after.in(), d_mix.in()}});
    compare(c, "dkernel", d_kernel), compare(c, "dafter_kernel", d_after),
        compare(c, "dmix", d_mix);
  };
  for (const golden_case& c : golden_family("rows", "multi_token"))
    check(c, double{}), check(c, float{});
}
