// SPDX-License-Identifier: BSL-1.0
// Selectors of tokens, forward and backward, against NumPy (tests/golden/select_tokens/generate.py
// names the tensors).
#include <heed/select/attend_lists_backward.hpp>
#include <heed/select/group_attention.hpp>

#include "support/golden_tensors.hpp"
#include "support/lists.hpp"

using namespace heed::test;
using heed::attention;
using heed::causal;
using heed::overlap;

namespace {

template <class T> struct golden_call {
  const golden_case& c;
  tensor<T> q, k, v, d_out, out, dq, dk, dv;
  explicit golden_call(const golden_case& of)
      : c(of),
        q(tensor_of<T>(of["q"])),
        k(tensor_of<T>(of["k"])),
        v(tensor_of<T>(of["v"])),
        d_out(tensor_of<T>(of["d_out"])),
        out(v.extent),
        dq(q.extent),
        dk(k.extent),
        dv(v.extent) {}

  // Sums of at most 13 terms, of numbers up to 4 and gradients through norms of short rows.
  void compare(const std::string& name, const tensor<T>& got) const {
    check_golden(c, name, got, tolerance<T>(16, 13, 4));
  }
  void compare() const {
    compare("out", out), compare("dq", dq), compare("dk", dk), compare("dv", dv);
  }
  template <class Spec>
  void lists(const heed::gathered& g, const Spec& spec, const heed::result& gate = {}) {
    attend_lists(g, spec, q.in(), k.in(), v.in(), out.in());
    attend_lists_backward(g, spec, q.in(), k.in(), v.in(), d_out.in(),
                          {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .gate = gate});
    compare();
  }
  heed::index number(const std::string& name) const { return heed::index(c[name].scalar()); }
};

template <class F> void each_case(const std::string& family, F f) {
  for (const golden_case& c : golden_family("select_tokens", family)) {
    f(golden_call<double>(c));
    f(golden_call<float>(c));
  }
}

}  // namespace

TEST_CASE("routing is what NumPy gives") {
  each_case("routing", []<class T>(golden_call<T> x) {
    auto mu = tensor_of<T>(x.c["centroids"]);
    const heed::routing spec{.width = x.number("width"), .decay = 0.75};
    const auto chosen = route(spec, x.q.in(), x.k.in(), mu.in());
    if (x.number("causal"))
      x.lists({.lists = chosen.lists()}, heed::routed_attention());
    else
      x.lists({.lists = chosen.lists()},
              attention{.query = heed::layer_norm{}, .key = heed::layer_norm{}});
    update_centroids(spec, x.q.in(), x.k.in(), mu.in());
    x.compare("moved", mu);
  });
}

TEST_CASE("expert choice is what NumPy gives") {
  each_case("expert_choice", []<class T>(golden_call<T> x) {
    const auto r = tensor_of<T>(x.c["r"]);
    auto dr = unwritten<T>(r.extent);
    const auto chosen =
        choose_tokens(heed::expert_choice{x.number("count"), x.number("first") != 0}, r.in());
    x.lists({chosen.lists(), overlap::sum, r.in()}, attention{.mask = causal{}}, dr.in());
    x.compare("dr", dr);
  });
}

TEST_CASE("region routing is what NumPy gives") {
  each_case("biformer", []<class T>(golden_call<T> x) {
    const auto size = x.c["size"].integers(), regions = x.c["regions"].integers();
    const heed::biformer spec{{size[0], size[1]}, {regions[0], regions[1]}, x.number("count")};
    const auto tokens = region_tokens(spec, choose_regions(spec, x.q.in(), x.k.in()));
    x.lists({.lists = tokens.lists()}, attention{});
  });
}

TEST_CASE("group attention is what NumPy gives") {
  each_case("group_attention", []<class T>(golden_call<T> x) {
    auto groups =
        group_keys(heed::group_attention{.count = x.number("count"), .rounds = 0}, x.k.in());
    groups.take_values(x.v.in());
    const auto spec = groups.attention(x.q.extent[1]);
    attend(spec, x.q.in(), groups.keys(), groups.values(), x.out.in());
    auto dr = unwritten<T>(groups.keys().extent), du = unwritten<T>(groups.values().extent);
    attend_backward(spec, x.q.in(), groups.keys(), groups.values(), {}, x.d_out.in(),
                    {.dq = x.dq.in(), .dk = dr.in(), .dv = du.in()});
    groups.spread(dr.in(), x.dk.in());
    groups.spread(du.in(), x.dv.in());
    x.compare();
  });
}
