// SPDX-License-Identifier: BSL-1.0
// Neighborhood attention, counted as 4 · pairs · D a head, its gradients as 10: useful pairs only.
//   neighborhood/k<window>/d<D>/m<map>/t<threads>      4 heads of 32 channels, 8 of 64
//   neighborhood3/<window>/d<D>/<grid>/t<threads>
//   neighborhood_strided/k<window>s<stride>/...        GNA: `stride` queries share a window
//   neighborhood_dilated/k<window>x<dilation>/...
//   neighborhood_backward/..., neighborhood3_backward/...
//                                      `of_forward`: their share of peak over the forward's
// With --peers one thread is timed against kernels in the way of NATTEN's: vs_natten.
// --scaling instead times 28² to 512² maps under windows of 3² to 31². The time a pair, `ps_pair`,
// steps up by what reading a pixel costs once the operands leave the cache; it fails where it is
// more than 2.5 times that of the next smaller map, which has a quarter of the pixels.
#define EIGEN_USE_THREADS
#include "peers/natten.hpp"

#include <heed/attention/attend_backward.hpp>

#include <map>
#include <optional>

namespace {

using bench::buffer;
using bench::index;
using bench::trial;
using bench::windows;

// Everything one problem needs, kept between calls.
template <int N> struct call {
  explicit call(const windows& problem)
      : w(problem),
        spec{.mask = w.mask<N>()},
        q(bench::normal_numbers(w.numbers(), 1)),
        k(bench::normal_numbers(w.numbers(), 2)),
        v(bench::normal_numbers(w.numbers(), 3)),
        out(q.size()),
        lse(static_cast<std::size_t>(w.heads * w.tokens())) {}

  template <class F> void on_threads(const F& f) {
    w.threads == 1 ? f(heed::executor_ref(heed::serial{}))
                   : f(heed::executor_ref(heed::on(bench::device(w.threads))));
  }
  void forward() {
    on_threads([&](const heed::executor_ref& on) {
      heed::outputs to{.out = rows(out)};
      if (!d_out.empty()) to.lse = rows(lse);
      heed::attend(spec, rows(q), rows(k), rows(v), to, on, scratch);
    });
  }
  void backward() {
    on_threads([&](const heed::executor_ref& on) {
      heed::attend_backward(spec, rows(q), rows(k), rows(v), {.out = rows(out), .lse = rows(lse)},
                            rows(d_out), {.dq = rows(dq), .dk = rows(dk), .dv = rows(dv)}, on,
                            scratch);
    });
  }
  heed::view<float> rows(buffer<float>& x) const {
    return {x.data(),
            {1, w.heads, w.tokens(), static_cast<index>(x.size()) / (w.heads * w.tokens())}};
  }
  void prepare_backward() {
    d_out = bench::normal_numbers(w.numbers(), 4);
    dq.resize(q.size()), dk.resize(q.size()), dv.resize(q.size());
  }

  windows w;
  heed::attention<heed::neighborhood<N>> spec;
  buffer<float> q, k, v, out, lse, d_out, dq, dk, dv;
  heed::workspace scratch;
};

template <class F> bench::contender led(std::string name, int threads, const F& f) {
  return {std::move(name), [threads, f](int times) {
            const bench::leading here(threads);
            return bench::seconds_per_call(times, f);
          }};
}

template <int N> void check_forward(call<N>& c) {
  for (const index head : {index{0}, c.w.heads - 1}) {
    bench::exact_windows exact(c.w, head, c.q.data(), c.k.data(), c.v.data());
    for (const index token : bench::sampled(c.w))
      bench::compare_row("heed", c.out.data() + (head * c.w.tokens() + token) * c.w.dim,
                         exact.out(token), token, 64);
  }
}

// Gives picoseconds a pair, 0 in smoke mode.
template <int N> double forward(trial& t, const windows& full) {
  call<N> c(t.timed() ? full : bench::shrink(full));
  c.forward();
  check_forward(c);
  std::vector<bench::contender> field{led("heed", c.w.threads, [&] { c.forward(); })};
  std::optional<bench::natten_peer> natten;
  if (!t.timed() || (t.wants("natten") && c.w.threads == 1)) {
    natten.emplace(c.w, c.q.data(), c.k.data(), c.v.data());
    natten->run(1);
    bench::exact_windows exact(c.w, 0, c.q.data(), c.k.data(), c.v.data());
    for (const index token : bench::sampled(c.w))
      bench::compare_row("natten", natten->out() + token * c.w.dim, exact.out(token), token, 64);
    field.push_back({"natten", [&](int times) { return natten->run(times); }});
  }
  const double pairs = c.w.pairs();
  const double best = t.measure(std::move(field), 4 * pairs * static_cast<double>(c.w.dim),
                                {.least_rounds = 7, .shortest_sample = 1e-3});
  t.note("ps_pair", best / pairs * 1e12);
  t.note("scratch_mib", static_cast<double>(c.scratch.capacity()) * 0x1p-20);
  return best / pairs * 1e12;
}

template <int N> void backward(trial& t, const windows& full) {
  call<N> c(t.timed() ? full : bench::shrink(full));
  c.prepare_backward();
  c.forward();
  c.backward();
  const index head = c.w.heads - 1, n = c.w.tokens(), first = head * n * c.w.dim;
  const float* const d_out = c.d_out.data() + first;
  bench::exact_windows exact(c.w, head, c.q.data(), c.k.data(), c.v.data());
  for (const index token : bench::sampled(c.w))
    bench::compare_row("dq", c.dq.data() + first + token * c.w.dim, exact.dq(token, d_out), token,
                       256);
  for (const index key : {index{0}, n / 2 + c.w.size[2] / 3, n - 1}) {
    const auto [dk, dv] = exact.key(key, d_out);
    bench::compare_row("dk", c.dk.data() + first + key * c.w.dim, dk, key, 256);
    bench::compare_row("dv", c.dv.data() + first + key * c.w.dim, dv, key, 256);
  }
  t.measure({led("heed", c.w.threads, [&] { c.backward(); }),
             led("forward", c.w.threads, [&] { c.forward(); })},
            10 * c.w.pairs() * static_cast<double>(c.w.dim),
            {.least_rounds = 7, .shortest_sample = 1e-3});
  if (t.timed()) t.note("of_forward", 2.5 * t.noted("vs_forward"));
}

template <int N> void add(bench::suite& all, const std::string& name, const windows& w) {
  const std::string full = name + "/t" + std::to_string(w.threads);
  all.add("neighborhood" + full, w.form(), [w](trial& t) { forward<N>(t, w); });
}
template <int N> void add_backward(bench::suite& all, const std::string& name, const windows& w) {
  const std::string full = name + "/t" + std::to_string(w.threads);
  const std::string kind = N == 3 ? "neighborhood3_backward" : "neighborhood_backward";
  all.add(kind + full, w.form(), [w](trial& t) { backward<N>(t, w); });
}

std::string number(index n) { return std::to_string(n); }

void add_all(bench::suite& all, int threads) {
  for (const index dim : {32, 64})
    for (const index window : {7, 13})
      for (const index map : {56, 128}) {
        const windows w = bench::square_windows(window, map, dim / 8, dim, threads);
        const std::string name = "/k" + number(window) + "/d" + number(dim) + "/m" + number(map);
        add<2>(all, name, w);
        add_backward<2>(all, name, w);
      }
  const windows deep{
      .size = {16, 32, 32}, .window = {5, 7, 7}, .heads = 4, .dim = 32, .threads = threads};
  add<3>(all, "3/5x7x7/d32/16x32x32", deep);
  add_backward<3>(all, "/5x7x7/d32/16x32x32", deep);
  for (const auto& [window, stride] : {std::pair<index, index>{8, 4}, {16, 8}, {16, 16}}) {
    windows w = bench::square_windows(window, 128, 4, 32, threads);
    w.stride = {1, stride, stride};
    const std::string name = "/k" + number(window) + "s" + number(stride) + "/d32/m128";
    add<2>(all, "_strided" + name, w);
    add_backward<2>(all, name, w);
  }
  for (const auto& [window, dilation] : {std::pair<index, index>{7, 2}, {7, 4}, {13, 4}}) {
    windows w = bench::square_windows(window, 128, 4, 32, threads);
    w.dilation = {1, dilation, dilation};
    const std::string name = "/k" + number(window) + "x" + number(dilation) + "/d32/m128";
    add<2>(all, "_dilated" + name, w);
    if (window == 7) add_backward<2>(all, name, w);
  }
}

// Picoseconds a pair, by window and map.
using costs = std::map<index, std::map<index, double>>;

void add_scaling(bench::suite& all, costs& found) {
  for (const index window : {3, 7, 13, 21, 31})
    for (const index map : {28, 56, 112, 256, 512}) {
      if (window > map) continue;
      const windows w = bench::square_windows(window, map, 1, 32, 1);
      all.add("neighborhood_scaling/k" + number(window) + "/d32/m" + number(map) + "/t1", w.form(),
              [=, &found](trial& t) { found[window][map] = forward<2>(t, w); });
    }
}

bool flat(const costs& found) {
  bool good = true;
  for (const auto& [window, maps] : found) {
    std::printf("window %2td², ps a pair:", static_cast<std::ptrdiff_t>(window));
    double before = 0;
    for (const auto& [map, ps] : maps) {
      std::printf("  %td² %.0f", static_cast<std::ptrdiff_t>(map), ps);
      if (before > 0 && ps > 2.5 * before) good = false;
      before = ps;
    }
    std::printf("\n");
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  char** const end = std::remove(argv + 1, argv + argc, std::string_view("--scaling"));
  const bool scaling = end != argv + argc;
  bench::suite all(static_cast<int>(end - argv), argv);
  costs found;
  if (scaling) {
    add_scaling(all, found);
    const int status = all.run();
    return status != 0 || flat(found) ? status : 1;
  }
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
