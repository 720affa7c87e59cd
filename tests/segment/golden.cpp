// SPDX-License-Identifier: BSL-1.0
// segment/ forward and backward against NumPy (tests/golden/segment/generate.py names the tensors),
// and so are the references.
#include <heed/reference/segment/dot.hpp>
#include <heed/reference/segment/gat.hpp>
#include <heed/segment/dot_backward.hpp>
#include <heed/segment/gatv2_backward.hpp>
#include <heed/segment/softmax_backward.hpp>

#include "support/golden_tensors.hpp"
#include "support/graphs.hpp"

using namespace heed::test;
namespace exact = heed::reference::segment;

namespace {

std::vector<golden_case> cases(const std::string& family) {
  return golden_family("segment", family);
}
graph graph_of(const golden_case& c, heed::index sources) {
  graph g{.source_nodes = sources, .name = c.name};
  g.offsets = c["offsets"].integers();
  for (const auto s : c["sources"].integers()) g.sources.push_back(int(s));
  return g;
}
// Sums over at most 19 edges and 8 channels of numbers of order 4; a gradient is a difference.
template <class T>
void compare(const golden_case& c, const std::string& name, const tensor<T>& got) {
  const auto expected = tensor_of<double>(c[name]);
  REQUIRE(got.extent == expected.extent);
  for (heed::index h = 0; h < got.extent[1]; ++h)
    check_close(got.head(0, h), expected.head(0, h), tolerance<T>(16, 32, 4), c.name + "/" + name);
}

}  // namespace

TEMPLATE_TEST_CASE("dot products along edges are NumPy's", "", float, double) {
  using T = TestType;
  for (const golden_case& c : cases("dot")) {
    const auto q = tensor_of<T>(c["q"]), k = tensor_of<T>(c["k"]), v = tensor_of<T>(c["v"]),
               bias = tensor_of<T>(c["bias"]), d_out = tensor_of<T>(c["d_out"]);
    const graph g = graph_of(c, k.extent[2]);
    tensor<T> out(q.extent), lse({1, q.extent[1], q.extent[2], 1}), dq(q.extent), dk(k.extent),
        dv(v.extent), db(bias.extent);
    const heed::segment_dot spec{
        .graph = g.in(), .bias = bias.in(), .order = heed::edge_order::unique};
    heed::attend_edges(spec, q.in(), k.in(), v.in(), {.out = out.in(), .lse = lse.in()});
    heed::attend_edges_backward(
        spec, heed::transposed(g.in(), g.source_nodes), q.in(), k.in(), v.in(),
        {out.in(), lse.in()}, d_out.in(),
        {.dq = dq.in(), .dk = dk.in(), .dv = dv.in(), .spec = {.bias = db.in()}});
    compare(c, "out", out), compare(c, "lse", lse), compare(c, "dq", dq), compare(c, "dk", dk);
    compare(c, "dv", dv), compare(c, "dbias", db);
    for (heed::index h = 0; h < q.extent[1]; ++h)
      check_close(exact::dot(g.list(), q.head(0, h), k.head(0, h), v.head(0, h), numbers(bias, h)),
                  c["out"].matrix(h), tolerance<double>(8, 32, 4), "reference");
  }
}

TEMPLATE_TEST_CASE("graph attention is NumPy's", "", float, double) {
  using T = TestType;
  for (const std::string family : {"gat", "gatv2"})
    for (const golden_case& c : cases(family)) {
      const auto x = tensor_of<T>(c["x_dst"]), y = tensor_of<T>(c["x_src"]),
                 d_out = tensor_of<T>(c["d_out"]);
      const graph g = graph_of(c, y.extent[2]);
      const heed::transposed by(g.in(), g.source_nodes);
      const double slope = c["slope"].scalar();
      const heed::index H = x.extent[1];
      tensor<T> out(x.extent), lse({1, H, x.extent[2], 1}), dx(x.extent), dy(y.extent);
      const Eigen::VectorXd none = Eigen::VectorXd::Zero(g.edges());
      const auto check_reference = [&](heed::index h, const Eigen::VectorXd& logits) {
        check_close(exact::weighted_sum(g.list(), exact::softmax(g.list(), logits), y.head(0, h)),
                    c["out"].matrix(h), tolerance<double>(8, 32, 4), "reference");
      };
      if (family == "gat") {
        const auto a = tensor_of<T>(c["target"]), b = tensor_of<T>(c["source"]);
        tensor<T> da(a.extent), db(b.extent);
        const heed::gat spec{.graph = g.in(), .target = a.in(), .source = b.in(), .slope = slope};
        heed::attend_edges(spec, x.in(), y.in(), {.out = out.in(), .lse = lse.in()});
        heed::attend_edges_backward(
            spec, by, x.in(), y.in(), {out.in(), lse.in()}, d_out.in(),
            {.d_dst = dx.in(), .d_src = dy.in(), .spec = {.target = da.in(), .source = db.in()}});
        compare(c, "dtarget", da), compare(c, "dsource", db);
        for (heed::index h = 0; h < H; ++h)
          check_reference(
              h, exact::gat_logits(g.list(), x.head(0, h), y.head(0, h), a.head(0, h).transpose(),
                                   b.head(0, h).transpose(), none, slope));
      } else {
        const auto a = tensor_of<T>(c["weight"]);
        tensor<T> da(a.extent);
        const heed::gatv2 spec{.graph = g.in(), .weight = a.in(), .slope = slope};
        heed::attend_edges(spec, x.in(), y.in(), {.out = out.in(), .lse = lse.in()});
        heed::attend_edges_backward(
            spec, by, x.in(), y.in(), {out.in(), lse.in()}, d_out.in(),
            {.d_dst = dx.in(), .d_src = dy.in(), .spec = {.weight = da.in()}});
        compare(c, "dweight", da);
        for (heed::index h = 0; h < H; ++h)
          check_reference(h, exact::gatv2_logits(g.list(), x.head(0, h), y.head(0, h),
                                                 a.head(0, h).transpose(), none, slope));
      }
      compare(c, "out", out), compare(c, "dx_dst", dx), compare(c, "dx_src", dy);
    }
}

TEMPLATE_TEST_CASE("weights of edges are NumPy's", "", float, double) {
  using T = TestType;
  for (const golden_case& c : cases("softmax")) {
    const auto logits = tensor_of<T>(c["logits"]), weight = tensor_of<T>(c["weight"]),
               cutoff = tensor_of<T>(c["cutoff"]), sink = tensor_of<T>(c["sink"]),
               d_out = tensor_of<T>(c["d_out"]);
    const graph g = graph_of(c, 1000);
    tensor<T> out(logits.extent), lse({1, logits.extent[1], g.nodes(), 1}), dl(logits.extent),
        dw(weight.extent), dc(cutoff.extent), dz(sink.extent);
    const heed::segment_softmax spec{.graph = g.in(),
                                     .weight = weight.in(),
                                     .cutoff = cutoff.in(),
                                     .sink = sink.in(),
                                     .epsilon = c["epsilon"].scalar()};
    heed::normalize_edges(spec, logits.in(), {.out = out.in(), .lse = lse.in()});
    heed::normalize_edges_backward(
        spec, logits.in(), lse.in(), d_out.in(),
        {.logits = dl.in(), .spec = {.weight = dw.in(), .cutoff = dc.in(), .sink = dz.in()}});
    compare(c, "out", out), compare(c, "dlogits", dl), compare(c, "dweight", dw);
    compare(c, "dcutoff", dc), compare(c, "dsink", dz);
    for (heed::index h = 0; h < logits.extent[1]; ++h)
      check_close(
          exact::softmax(g.list(), numbers(logits, h), numbers(weight, 0), numbers(cutoff, 0),
                         Eigen::VectorXd::Constant(
                             g.nodes(), std::log1p(std::exp(double(sink.in()(0, h, 0)))) +
                                            c["epsilon"].scalar())),
          c["out"].matrix(h), tolerance<double>(8, 32, 4), "reference");
  }
}
