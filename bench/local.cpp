// SPDX-License-Identifier: BSL-1.0
// Convolutions whose kernels depend on the input, and that of the values beside attention.
//   local/<kind>/k<K>/c<C>/n<N>/t<threads>         lines of N tokens: lightweight, dynamic (8
//   heads) local/<kind>/k<K>/c<C>/m<M>/t<threads>         maps of M x M: atconv (a kernel a
//   channel),
//                                                  involution (16 channels a kernel), value (8
//                                                  heads)
//   local/<kind>/backward/…                        gradients of everything
// `share` counts 2 K a channel and position (backward 4 K: inputs and weights) and is of the
// multiply-add rate; `gbps` counts inputs, outputs and weights once.
#define EIGEN_USE_THREADS
#include "support/calls.hpp"

#include <heed/local/dynamic_convolution_backward.hpp>
#include <heed/local/dynamic_depthwise_backward.hpp>
#include <heed/local/value_depthwise_backward.hpp>

namespace {

using bench::index;
using bench::trial;

enum class kind { lightweight, dynamic, atconv, involution, value };

struct layer {
  kind what;
  index side, channels, k;
  bool backward;

  bool line() const { return what == kind::lightweight || what == kind::dynamic; }
  bool each() const { return what == kind::dynamic || what == kind::involution; }
  index height() const { return line() ? 1 : side; }
  index tokens() const { return height() * side; }
  index kernels() const {
    return line() ? 8 : what == kind::involution ? std::max<index>(1, channels / 16) : channels;
  }
  index taps() const { return line() ? k : k * k; }
  const char* name() const {
    constexpr const char* names[] = {"lightweight", "dynamic", "atconv", "involution", "value"};
    return names[static_cast<int>(what)];
  }
};

// x, out, their gradients and kernels, as views of one call or another.
struct operands {
  layer l;
  bench::buffer<float> x, weight, out, dx, dw;

  explicit operands(const layer& of)
      : l(of),
        x(bench::normal_numbers(of.tokens() * of.channels, 1)),
        weight(bench::normal_numbers(of.kernels() * (of.each() ? of.tokens() : 1) * of.taps(), 2)),
        out(x.size(), 0.f),
        dx(x.size(), 0.f),
        dw(weight.size(), 0.f) {}

  // Channels of heads, as attention has them, for `value`.
  template <class T> heed::view<T> rows(T* data) const {
    const index heads = l.what == kind::value ? 8 : 1;
    return bench::heads_inside(data, 1, heads, l.tokens(), l.channels / heads);
  }
  template <class T> heed::view<T> kernels(T* data) const {
    if (l.each()) return bench::heads_inside(data, 1, l.kernels(), l.tokens(), l.taps());
    return {data, {1, l.kernels(), 1, l.taps()}};
  }
  void forward(const heed::executor_ref& on, heed::workspace& scratch) {
    const heed::view<const float> in = rows(std::as_const(x).data());
    const heed::view<const float> w = kernels(std::as_const(weight).data());
    const auto to = rows(out.data());
    if (l.line())
      heed::convolve(heed::dynamic_convolution{.weight = w}, in, to, on, scratch);
    else if (l.what == kind::value)
      heed::add_convolution(heed::value_depthwise{{l.side, l.side}, w}, in, to, on, scratch);
    else
      heed::convolve(heed::dynamic_depthwise{{l.side, l.side}, w}, in, to, on, scratch);
  }
  void backward(const heed::executor_ref& on, heed::workspace& scratch) {
    const heed::view<const float> in = rows(std::as_const(x).data());
    const heed::view<const float> w = kernels(std::as_const(weight).data());
    const auto by_x = rows(dx.data()), by_w = kernels(dw.data());
    if (l.line())
      heed::convolve_backward(heed::dynamic_convolution{.weight = w}, in, in,
                              {.dx = by_x, .spec = {.weight = by_w}}, on, scratch);
    else if (l.what == kind::value)
      heed::add_convolution_backward(heed::value_depthwise{{l.side, l.side}, w}, in, in,
                                     {.dv = by_x, .spec = {.weight = by_w}}, on, scratch);
    else
      heed::convolve_backward(heed::dynamic_depthwise{{l.side, l.side}, w}, in, in,
                              {.dx = by_x, .spec = {.weight = by_w}}, on, scratch);
  }

  // The weights that a channel's kernel has at a position, from the definition.
  std::vector<double> kernel(index p, index c) const {
    const index g = c / (l.channels / l.kernels()), n = l.taps();
    const float* const from = weight.data() + (l.each() ? (p * l.kernels() + g) * n : g * n);
    std::vector<double> w(from, from + n);
    if (!l.line()) return w;
    double sum = 0;
    for (double& each : w) sum += each = std::exp(each);
    for (double& each : w) each /= sum;
    return w;
  }
  // f(tap, position) for the taps of a position that lie on the grid.
  template <class F> void each_tap(index p, const F& f) const {
    const index y = p / l.side, at = p % l.side, lines = l.line() ? 1 : l.k;
    for (index i = 0; i < lines; ++i)
      for (index j = 0; j < l.k; ++j) {
        const index v = y + i - lines / 2, u = at + j - (l.k - 1) / 2;
        if (v >= 0 && v < l.height() && u >= 0 && u < l.side) f(i * l.k + j, v * l.side + u);
      }
  }
  // y where forward; where backward dx, with x for dy.
  void check() const {
    const index step = std::max<index>(1, l.tokens() * l.channels / 2000) | 1;
    const double allowed =
        16 * double(std::numeric_limits<float>::epsilon()) * std::sqrt(double(l.taps()));
    for (index i = 0; i < l.tokens() * l.channels; i += step) {
      const index p = i / l.channels, c = i % l.channels;
      const auto at = [&](index q) { return double(x[std::size_t(q * l.channels + c)]); };
      double y = 0, size = 1;
      const auto add = [&](double product) { y += product, size += std::abs(product); };
      if (!l.backward) {
        const auto w = kernel(p, c);
        each_tap(p, [&](index j, index q) { add(w[std::size_t(j)] * at(q)); });
      } else {
        const index reach = l.line() ? 0 : l.k;
        for (index v = -reach; v <= reach; ++v)
          for (index u = -l.k; u <= l.k; ++u) {
            const index row = p / l.side + v, column = p % l.side + u;
            if (row < 0 || row >= l.height() || column < 0 || column >= l.side) continue;
            const index q = row * l.side + column;
            const auto w = kernel(q, c);
            each_tap(q, [&](index j, index r) {
              if (r == p) add(w[std::size_t(j)] * at(q));
            });
          }
      }
      const double got = double((l.backward ? dx : out)[std::size_t(i)]);
      if (!(std::abs(got - y) <= allowed * size))
        bench::fail(std::string(l.name()) + " is wrong at position " + std::to_string(p) +
                    ", channel " + std::to_string(c) + ": " + std::to_string(got) + " instead of " +
                    std::to_string(y));
    }
  }
};

void run(trial& t, layer l) {
  if (!t.timed()) l.side = std::min<index>(l.side, l.line() ? 300 : 12), l.channels = 64;
  operands o(l);
  heed::workspace scratch;
  const int threads = t.form().threads;
  const auto call = [&](const heed::executor_ref& on) {
    l.backward ? o.backward(on, scratch) : o.forward(on, scratch);
  };
  call({});
  o.check();
  const auto products = double(l.taps() * l.tokens() * l.channels);
  const double best =
      t.measure({{"heed",
                  [&](int times) {
                    const bench::leading here(threads);
                    return bench::seconds_per_call(times, [&] {
                      if (threads == 1)
                        call({});
                      else
                        call(heed::on(bench::device(threads)));
                    });
                  }}},
                (l.backward ? 4 : 2) * products, {.least_rounds = 7, .shortest_sample = 2e-3});
  const auto bytes = double(sizeof(float) * (o.x.size() + o.out.size() + o.weight.size()));
  if (t.timed()) t.note("gbps", (l.backward ? 2 : 1) * bytes / best * 1e-9);
}

void add_all(bench::suite& all, int threads) {
  for (const bool backward : {false, true})
    for (const layer& l : {layer{kind::lightweight, 4096, 512, 7, backward},
                           {kind::lightweight, 4096, 512, 31, backward},
                           {kind::dynamic, 4096, 512, 7, backward},
                           {kind::dynamic, 4096, 512, 31, backward},
                           {kind::atconv, 56, 256, 3, backward},
                           {kind::atconv, 128, 64, 7, backward},
                           {kind::involution, 56, 256, 7, backward},
                           {kind::value, 56, 256, 3, backward},
                           {kind::value, 56, 256, 5, backward}}) {
      const std::string name = std::string("local/") + l.name() + (backward ? "/backward" : "") +
                               "/k" + std::to_string(l.k) + "/c" + std::to_string(l.channels) +
                               (l.line() ? "/n" : "/m") + std::to_string(l.side) + "/t" +
                               std::to_string(threads);
      all.add(name, {.threads = threads}, [l](trial& t) { run(t, l); });
    }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
