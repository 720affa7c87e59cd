// SPDX-License-Identifier: BSL-1.0
// pool/ forward and backward against NumPy (tests/golden/pool/generate.py names the tensors).
#include <heed/pool/agent.hpp>
#include <heed/score/bias.hpp>

#include "support/golden_tensors.hpp"

using namespace heed::test;
using heed::attention;
using heed::two_hop;

namespace {

// Two softmax rows of at most 16 terms; what NumPy differentiated numerically is good to 1e-9.
template <class T>
void compare(const golden_case& c, const std::string& name, const tensor<T>& got) {
  check_golden(c, name, got, std::max(1e-9, tolerance<T>(16, 16, 4)));
}
template <class F> void each_case(const std::string& family, F f) {
  for (const golden_case& c : golden_family("pool", family)) f(c, double{}), f(c, float{});
}

}  // namespace

TEST_CASE("latent queries are what NumPy gives") {
  each_case("latents", []<class T>(const golden_case& c, T) {
    const auto a = tensor_of<T>(c["a"]), k = tensor_of<T>(c["k"]), v = tensor_of<T>(c["v"]),
               g = tensor_of<T>(c["d_out"]);
    tensor<T> out(g.extent), da(a.extent), dk(k.extent), dv(v.extent);
    attend(attention{}, latents(a.in(), k.extent[0]), k.in(), v.in(), out.in());
    attend_latents_backward(attention{}, a.in(), k.in(), v.in(), {}, g.in(),
                            {.dq = da.in(), .dk = dk.in(), .dv = dv.in()});
    compare(c, "out", out), compare(c, "da", da), compare(c, "dk", dk), compare(c, "dv", dv);
  });
}

TEST_CASE("two hops are what NumPy gives") {
  each_case("two_hop", []<class T>(const golden_case& c, T) {
    const auto a = tensor_of<T>(c["a"]), q = tensor_of<T>(c["q"]), k = tensor_of<T>(c["k"]),
               v = tensor_of<T>(c["v"]), g = tensor_of<T>(c["d_out"]),
               b1 = tensor_of<T>(c["first_bias"]), b2 = tensor_of<T>(c["second_bias"]);
    const two_hop spec{attention{.score = heed::bias{b1.in()}},
                       attention{.score = heed::bias{b2.in()}}};
    tensor<T> out(g.extent), da(a.extent), dq(q.extent), dk(k.extent), dv(v.extent);
    attend_two_hop(spec, a.in(), q.in(), k.in(), v.in(), out.in());
    attend_two_hop_backward(spec, a.in(), q.in(), k.in(), v.in(), g.in(),
                            {.da = da.in(), .dq = dq.in(), .dk = dk.in(), .dv = dv.in()});
    compare(c, "out", out), compare(c, "da", da), compare(c, "dq", dq);
    compare(c, "dk", dk), compare(c, "dv", dv);
  });
}

TEST_CASE("agents are what NumPy gives") {
  each_case("agents", []<class T>(const golden_case& c, T) {
    const auto q = tensor_of<T>(c["q"]), k = tensor_of<T>(c["k"]), v = tensor_of<T>(c["v"]),
               g = tensor_of<T>(c["d_out"]);
    const auto size = c["size"].integers(), regions = c["regions"].integers();
    const heed::pooled_regions image{{size[0], size[1]}, {regions[0], regions[1]}};
    tensor<T> out(g.extent), a({q.extent[0], q.extent[1], image.count(), q.extent[3]}),
        da(a.extent), dq(q.extent), dk(k.extent), dv(v.extent);
    pool_regions(image, q.in(), a.in());
    attend_two_hop(two_hop{}, a.in(), q.in(), k.in(), v.in(), out.in());
    attend_two_hop_backward(two_hop{}, a.in(), q.in(), k.in(), v.in(), g.in(),
                            {.da = da.in(), .dq = dq.in(), .dk = dk.in(), .dv = dv.in()});
    spread_regions(image, da.in(), dq.in());
    compare(c, "out", out), compare(c, "dq", dq), compare(c, "dk", dk), compare(c, "dv", dv);
  });
}
