// SPDX-License-Identifier: BSL-1.0
// Choices of blocks and what attention makes of them, against NumPy
// (tests/golden/select_blocks/generate.py names the tensors).
#include <heed/attention/attend_backward.hpp>
#include <heed/select/block_topk.hpp>
#include <heed/select/moba.hpp>
#include <heed/select/nsa_attend.hpp>

#include "support/golden_tensors.hpp"

using namespace heed::test;
using heed::attention;
using heed::causal;
using heed::selected;

namespace {

template <class T> struct golden_call {
  const golden_case& c;
  tensor<T> q, k, v, out;

  explicit golden_call(const golden_case& of)
      : c(of),
        q(tensor_of<T>(of["q"])),
        k(tensor_of<T>(of["k"])),
        v(tensor_of<T>(of["v"])),
        out({q.extent[0], q.extent[1], q.extent[2], v.extent[3]}) {}

  heed::index number(const std::string& name) const { return heed::index(c[name].scalar()); }
  // Softmax over at most 24 keys of numbers up to 4.
  void compare(const std::string& name, const tensor<T>& got) const {
    check_golden(c, name, got, tolerance<T>(16, 24, 4));
  }
  void compare(const heed::block_selection& got) const {
    const golden_tensor& want = c["chosen"];  // [batch, heads, row blocks, blocks]
    const auto lists = got.lists();
    const heed::index heads = want.shape.at(1), rows = want.shape.at(2), blocks = want.shape.at(3);
    for (heed::index i = 0; i < want.shape.at(0) * heads * rows; ++i) {
      std::vector<int> expected;
      for (heed::index n = 0; n < blocks; ++n)
        if (want.data[std::size_t(i * blocks + n)] != 0) expected.push_back(int(n));
      const auto list = lists(i / rows / heads, i / rows % heads * got.group, i % rows);
      CAPTURE(c.name, i);
      CHECK(std::vector<int>(list.begin(), list.end()) == expected);
    }
  }
};

template <class F> void each_case(const std::string& family, F f) {
  for (const golden_case& c : golden_family("select_blocks", family)) {
    f(golden_call<double>(c));
    f(golden_call<float>(c));
  }
}

}  // namespace

TEST_CASE("MoBA is what NumPy gives") {
  each_case("moba", []<class T>(golden_call<T> x) {
    const auto chosen =
        select_moba({.block = x.number("block"), .top = x.number("top")}, x.q.in(), x.k.in());
    x.compare(chosen);
    const attention spec{.mask = selected{chosen.lists(), causal{}}};
    attend(spec, x.q.in(), x.k.in(), x.v.in(), x.out.in());
    x.compare("out", x.out);
    const auto d_out = tensor_of<T>(x.c["d_out"]);
    tensor<T> dq(x.q.extent), dk(x.k.extent), dv(x.v.extent);
    attend_backward(spec, x.q.in(), x.k.in(), x.v.in(), {}, d_out.in(),
                    {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()});
    x.compare("dq", dq), x.compare("dk", dk), x.compare("dv", dv);
  });
}

TEST_CASE("blocks for blocks are what NumPy gives") {
  each_case("block_topk", []<class T>(golden_call<T> x) {
    const heed::index stride = x.number("antidiagonal");
    const auto chosen = select_block_topk(
        {.rows = x.number("rows"),
         .keys = x.number("keys"),
         .top = x.number("top"),
         .sinks = x.number("sinks"),
         .summary = stride ? heed::block_summary::antidiagonal : heed::block_summary::mean,
         .stride = std::max<heed::index>(stride, 1)},
        x.q.in(), x.k.in());
    x.compare(chosen);
    attend(attention{.mask = selected{chosen.lists(), causal{}}}, x.q.in(), x.k.in(), x.v.in(),
           x.out.in());
    x.compare("out", x.out);
  });
}

TEST_CASE("native sparse attention is what NumPy gives") {
  each_case("nsa", []<class T>(golden_call<T> x) {
    const auto n = x.c["sizes"].integers();
    const heed::nsa spec{n.at(0), n.at(1), n.at(2), n.at(3), n.at(4), n.at(5), n.at(6)};
    const heed::index rows = spec.compressed(x.k.extent[2]);
    tensor<T> kc({x.k.extent[0], x.k.extent[1], rows, x.k.extent[3]}),
        vc({x.v.extent[0], x.v.extent[1], rows, x.v.extent[3]});
    compress_mean(spec, x.k.in(), kc.in());
    compress_mean(spec, x.v.in(), vc.in());
    const auto gates = tensor_of<T>(x.c["gates"]);
    const auto in = [](const tensor<T>& of) { return heed::view<const T>(of.in()); };
    heed::nsa_state<T> state;
    attend_nsa(spec, {in(x.q), in(x.k), in(x.v), in(kc), in(vc), in(gates)}, x.out.in(), state);
    x.compare(state.chosen);
    x.compare("out", x.out);
  });
}
