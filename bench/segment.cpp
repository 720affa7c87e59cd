// SPDX-License-Identifier: BSL-1.0
// Attention along the edges of a graph.
//   segment/<kind>/h<H>/d<D>/e<edges>/t<threads>   dot, gat, gatv2, softmax on a power-law graph of
//                                                  65 536 nodes (exponent 2.5 both ways)
//   segment/dot/backward/…                         dq, dk and dv
//   segment/dot/hub/…                              all edges come to one node
// `share` is of the rate at which as many threads read the rows of K and V (gat: of x) of every
// edge once, in the order of the graph's edges, doing nothing else; `share_uniform` of the rate for
// rows at random. The plain loop over the same edges with Eigen's rows is `vs_eigen`.
#define EIGEN_USE_THREADS
#include "support/graphs.hpp"

#include <heed/segment/dot_backward.hpp>
#include <heed/segment/gatv2.hpp>
#include <heed/segment/softmax.hpp>

namespace {

using bench::graph;
using bench::trial;
using heed::index;

enum class kind { dot, gat, gatv2, softmax };

struct layer {
  kind what;
  index heads, depth, edges;
  bool backward = false, hub = false;

  index width() const { return heads * depth; }
  const char* name() const {
    constexpr const char* names[] = {"dot", "gat", "gatv2", "softmax"};
    return names[static_cast<int>(what)];
  }
};

struct operands {
  layer l;
  graph g;
  heed::transposed by;
  bench::buffer<float> q, k, v, a, out, peer, lse, d_out, gradients, peer_gradients;

  operands(const layer& of, index nodes)
      : l(of),
        g(bench::power_law(nodes, of.edges, 2.5, of.hub)),
        by(g.in(), nodes),
        q(bench::normal_numbers(nodes * of.width(), 1)),
        k(bench::normal_numbers(nodes * of.width(), 2)),
        v(bench::normal_numbers(nodes * of.width(), 3)),
        a(bench::normal_numbers(of.width(), 4)),
        out(of.what == kind::softmax ? std::size_t(of.edges * of.heads) : q.size(), 0.f),
        peer(out.size(), 0.f) {
    if (of.backward) {
      lse.resize(std::size_t(nodes * of.heads)), gradients.resize(3 * q.size());
      peer_gradients.resize(3 * q.size());
      d_out = bench::normal_numbers(nodes * of.width(), 6);
    }
    if (of.what == kind::softmax) k = bench::normal_numbers(of.edges * of.heads, 5);
  }
  template <class T> heed::view<T> rows(T* data) const {
    return bench::heads_inside(data, 1, l.heads, g.nodes(), l.depth);
  }
  heed::view<const float> in(const bench::buffer<float>& x) const { return rows(x.data()); }
  template <class T> heed::view<T> edges(T* data) const {
    return bench::heads_inside(data, 1, l.heads, l.edges, 1);
  }

  void forward(const heed::executor_ref& on, heed::workspace& scratch) {
    const heed::view<const float> learned =
        bench::heads_outside(std::as_const(a).data(), 1, l.heads, 1, l.depth);
    switch (l.what) {
      case kind::dot:
        return heed::attend_edges(heed::segment_dot{.graph = g.in()}, in(q), in(k), in(v),
                                  outputs(), on, scratch);
      case kind::gat:
        return heed::attend_edges(heed::gat{.graph = g.in(), .target = learned, .source = learned},
                                  in(q), in(k), {.out = rows(out.data())}, on, scratch);
      case kind::gatv2:
        return heed::attend_edges(heed::gatv2{.graph = g.in(), .weight = learned}, in(q), in(k),
                                  {.out = rows(out.data())}, on, scratch);
      case kind::softmax:
        return heed::normalize_edges(heed::segment_softmax{.graph = g.in()},
                                     edges(std::as_const(k).data()), {.out = edges(out.data())}, on,
                                     scratch);
    }
  }

  heed::edge_outputs outputs() {
    heed::edge_outputs to{.out = rows(out.data())};
    if (l.backward) to.lse = bench::heads_inside(lse.data(), 1, l.heads, g.nodes(), 1);
    return to;
  }
  void backward(const heed::executor_ref& on, heed::workspace& scratch) {
    const heed::edge_outputs forward = outputs();
    float* const to = gradients.data();
    heed::attend_edges_backward(
        heed::segment_dot{.graph = g.in()}, by, in(q), in(k), in(v), {forward.out, forward.lse},
        in(d_out), {.dq = rows(to), .dk = rows(to + q.size()), .dv = rows(to + 2 * q.size())}, on,
        scratch);
  }
  // The same, scattered by one thread.
  void plain_backward() {
    using row = Eigen::Map<const Eigen::RowVectorXf>;
    using mutable_row = Eigen::Map<Eigen::RowVectorXf>;
    const index H = l.heads, D = l.depth;
    const float scale = 1 / std::sqrt(float(D));
    std::fill(peer_gradients.begin(), peer_gradients.end(), 0.f);
    const auto of = [&](const bench::buffer<float>& x, index i, index h) {
      return row(x.data() + i * H * D + h * D, D);
    };
    const auto to = [&](int which, index i, index h) {
      return mutable_row(peer_gradients.data() + which * index(q.size()) + i * H * D + h * D, D);
    };
    for (index i = 0; i < g.nodes(); ++i)
      for (index e = g.in().begin(i); e < g.in().end(i); ++e)
        for (index h = 0; h < H; ++h) {
          const index from = g.in().source(e);
          const float p =
              std::exp(of(q, i, h).dot(of(k, from, h)) * scale - lse[std::size_t(i * H + h)]);
          const float ds = scale * p * of(d_out, i, h).dot(of(v, from, h) - of(out, i, h));
          to(0, i, h) += ds * of(k, from, h);
          to(1, from, h) += ds * of(q, i, h);
          to(2, from, h) += p * of(d_out, i, h);
        }
  }

  // The definition in plain loops over Eigen's rows.
  void plain(bench::crew& team) {
    using row = Eigen::Map<const Eigen::RowVectorXf>;
    using mutable_row = Eigen::Map<Eigen::RowVectorXf>;
    const index H = l.heads, D = l.depth;
    constexpr index some = 64;
    team.each((g.nodes() + some - 1) / some, [&](bench::index task, int) {
      Eigen::ArrayXXf s;  // [edge][head], columns are heads
      const auto of = [&](const bench::buffer<float>& x, index i, index h) {
        return row(x.data() + i * H * D + h * D, D);
      };
      for (index i = task * some; i < std::min<index>(g.nodes(), (task + 1) * some); ++i) {
        const index first = g.in().begin(i), n = g.in().degree(i);
        if (l.what != kind::softmax) mutable_row(peer.data() + i * H * D, H * D).setZero();
        if (n == 0) continue;
        s.resize(n, H);
        for (index e = 0; e < n; ++e)
          for (index h = 0; h < H; ++h) {
            const index from = g.in().source(first + e);
            if (l.what == kind::dot)
              s(e, h) = of(q, i, h).dot(of(k, from, h)) / std::sqrt(float(D));
            else if (l.what == kind::softmax)
              s(e, h) = k[std::size_t((first + e) * H + h)];
            else if (l.what == kind::gat) {
              const float z = of(a, 0, h).dot(of(q, i, h)) + of(a, 0, h).dot(of(k, from, h));
              s(e, h) = z < 0 ? 0.2f * z : z;
            } else {
              const auto z = (of(q, i, h) + of(k, from, h)).array();
              s(e, h) = (of(a, 0, h).array() * z.max(0.2f * z)).sum();
            }
          }
        for (index h = 0; h < H; ++h) {
          s.col(h) = (s.col(h) - s.col(h).maxCoeff()).exp();
          s.col(h) /= s.col(h).sum();
        }
        for (index e = 0; e < n; ++e)
          for (index h = 0; h < H; ++h)
            if (l.what == kind::softmax)
              peer[std::size_t((first + e) * H + h)] = s(e, h);
            else
              mutable_row(peer.data() + i * H * D + h * D, D) +=
                  s(e, h) * of(l.what == kind::dot ? v : k, g.in().source(first + e), h);
      }
    });
  }
  void check() const {
    for (std::size_t i = 0; i < out.size(); ++i)
      if (!(std::abs(out[i] - peer[i]) <= 2e-4f))
        bench::fail(std::string(l.name()) + " is wrong at " + std::to_string(i) + ": " +
                    std::to_string(out[i]) + " instead of " + std::to_string(peer[i]));
  }
  void check_gradients() const {
    for (std::size_t i = 0; i < gradients.size(); ++i)
      if (!(std::abs(gradients[i] - peer_gradients[i]) <= 1e-3f * (1 + std::abs(gradients[i]))))
        bench::fail("a gradient is wrong at " + std::to_string(i) + ": " +
                    std::to_string(gradients[i]) + " instead of " +
                    std::to_string(peer_gradients[i]));
  }
  index tables() const { return l.what == kind::dot ? 2 : 1; }

  // Seconds to read what the edges name.
  double read(int threads, bench::crew& team, const std::vector<int>& list) const {
    return bench::seconds_to_read({k.data(), v.data()}, tables(), l.width(), list, threads, team);
  }
};

void run(trial& t, layer l) {
  if (!t.timed()) l.edges = 5000;
  operands o(l, t.timed() ? 65536 : 900);
  heed::workspace scratch;
  const int threads = t.form().threads;
  bench::crew team(threads);
  const auto call = [&](const heed::executor_ref& on) {
    l.backward ? o.backward(on, scratch) : o.forward(on, scratch);
  };
  o.forward({}, scratch);
  o.plain(team);
  o.check();
  if (l.backward) {
    o.backward({}, scratch);
    o.plain_backward();
    o.check_gradients();
  }
  std::vector<bench::contender> field{
      {"heed",
       [&](int times) {
         const bench::leading here(threads);
         return bench::seconds_per_call(
             times, [&] { threads == 1 ? call({}) : call(heed::on(bench::device(threads))); });
       }},
      {"eigen", [&](int times) {
         const bench::leading here(threads);
         return bench::seconds_per_call(times,
                                        [&] { l.backward ? o.plain_backward() : o.plain(team); });
       }}};
  if (l.backward && threads > 1) field.pop_back();  // it scatters
  if (l.what == kind::softmax) {
    t.measure_bytes(field, double(8 * l.edges * l.heads));
    return;
  }
  std::vector<int> uniform(o.g.sources.size());
  std::mt19937 bits(7);
  for (int& i : uniform) i = int(bits() % unsigned(o.g.nodes()));
  const heed::csr by_source = o.by.by_source();
  const std::vector<int> back(by_source.sources.begin(), by_source.sources.end());
  double listed = 1e9, random = 1e9;
  const auto bound = [&] {
    for (int i = 0; i < 3 && t.timed(); ++i) {
      listed = std::min(listed, o.read(threads, team, o.g.sources) +
                                    (l.backward ? o.read(threads, team, back) : 0));
      random = std::min(random, (l.backward ? 2 : 1) * o.read(threads, team, uniform));
    }
  };
  bound();
  const double bytes =
      (l.backward ? 2 : 1) * double(o.tables() * l.edges * l.width()) * sizeof(float);
  const double best = t.measure_bytes(field, bytes);
  bound();
  t.note("read_gbps", bytes / listed * 1e-9);
  t.note("random_gbps", bytes / random * 1e-9);
  t.note("share", listed / best);
  t.note("share_uniform", random / best);
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2})
    for (const layer& l : {layer{kind::dot, 8, 32, 1000000},
                           {kind::dot, 8, 32, 1000000, false, true},
                           {kind::dot, 8, 32, 1000000, true},
                           {kind::gat, 8, 32, 1000000},
                           {kind::gatv2, 8, 32, 1000000},
                           {kind::softmax, 8, 32, 1000000}}) {
      const std::string name = std::string("segment/") + l.name() +
                               (l.backward ? "/backward" : "") + (l.hub ? "/hub" : "") + "/h" +
                               std::to_string(l.heads) + "/d" + std::to_string(l.depth) + "/e" +
                               bench::count(l.edges) + "/t" + std::to_string(threads);
      all.add(name, {.threads = threads}, [l](trial& t) { run(t, l); });
    }
  return all.run();
}
