// SPDX-License-Identifier: BSL-1.0
// Attention to few of the keys: masks of blocks and what selectors choose.
//   sparse/block_map/rho<percent>/d<D>/n<N>/t<threads>      blocks of 128, 4 heads; D 64 unless
//   told
// `share` counts 4 · D a visited pair and is of the multiply-add rate, the time of choosing
// included. `promise` is how much of the speed-up over dense attention that visited pairs promise
// is reached: dense time · visited pairs / all pairs / time, dense attention (of a head a thread,
// by its part) timed in turns with ours. `selection` is the time of choosing over the time of the
// attention that it feeds; `visited` the share of pairs.
#define EIGEN_USE_THREADS
#include "support/sparse.hpp"

#include <heed/mask/block_map.hpp>
#include <heed/plan/selected.hpp>
#include <heed/select/block_topk.hpp>
#include <heed/select/moba.hpp>
#include <heed/select/nsa_attend.hpp>

namespace {

using bench::index;
using bench::trial;

template <class F> bench::contender led(std::string name, int threads, F f) {
  return {std::move(name), [threads, f](int times) {
            const bench::leading here(threads);
            return bench::seconds_per_call(times, [&] {
              threads == 1 ? f(heed::executor_ref(heed::serial{}))
                           : f(heed::executor_ref(heed::on(bench::device(threads))));
            });
          }};
}

// What is timed, and the choosing in it by itself where there is some.
struct call {
  std::function<void(const heed::executor_ref&)> run, select{};
};

void measure(trial& t, const bench::inputs& in, const call& ours, double pairs) {
  const bench::shape& form = t.form();
  bench::dense_peer dense(form, in);
  std::vector<bench::contender> field{
      led("heed", form.threads, ours.run),
      led("dense", form.threads, [&](const heed::executor_ref& on) { dense(on); })};
  if (ours.select) field.push_back(led("select", form.threads, ours.select));
  const double all = bench::useful_pairs(form) * static_cast<double>(form.heads);
  t.measure(std::move(field), 4 * pairs * static_cast<double>(form.dim),
            {.least_rounds = 3, .shortest_sample = 1e-3});
  if (!t.timed()) return;
  t.note("visited", pairs / all);
  t.note("promise", t.noted("vs_dense") * dense.parts(form) * pairs / all);
  if (ours.select) t.note("selection", t.noted("vs_select") / (1 - t.noted("vs_select")));
}

struct operands {
  bench::inputs in;
  bench::buffer<float> out;
  heed::workspace scratch;
  heed::view<const float> q, k, v;
  heed::view<float> o;

  explicit operands(const bench::shape& s)
      : in(s),
        out(bench::room(s)),
        q(bench::heads_outside(std::as_const(in.q).data(), 1, s.heads, s.queries, s.dim)),
        k(bench::heads_outside(std::as_const(in.k).data(), 1, s.kv_heads, s.keys, s.dim)),
        v(bench::heads_outside(std::as_const(in.v).data(), 1, s.kv_heads, s.keys, s.dim)),
        o(bench::heads_outside(out.data(), 1, s.heads, s.queries, s.dim)) {}
};

void block_map(trial& t, double density) {
  const bench::shape& form = t.form();
  operands x(form);
  const auto lists = bench::drawn_lists(form, t.timed() ? 128 : 32, density);
  const heed::problem_shape shape{.heads = form.heads,
                                  .kv_heads = form.kv_heads,
                                  .queries = form.queries,
                                  .keys = form.keys,
                                  .depth = form.dim,
                                  .value_depth = form.dim};
  const std::vector<heed::cover> whole(lists.blocks.size(), heed::cover::all);
  const heed::attention spec{
      .mask = heed::block_map(heed::full{}, shape,
                              heed::block_size{lists.rows, lists.keys, lists.heads},
                              heed::block_csr{lists.offsets, lists.blocks, whole})};
  const call ours{.run = [&](const heed::executor_ref& on) {
    heed::attend(spec, x.q, x.k, x.v, x.o, on, x.scratch);
  }};
  ours.run({});
  bench::check_listed("block_map", form, x.in, x.out, lists.lists());
  measure(t, x.in, ours, bench::listed_pairs(form, lists.lists()));
}

// Attention to the lists that `select(operands, executor)` makes.
template <class Select> void selected(trial& t, const char* name, const Select& select) {
  const bench::shape& form = t.form();
  operands x(form);
  heed::block_selection chosen;
  const call ours{
      .run =
          [&](const heed::executor_ref& on) {
            chosen = select(x, on);
            const heed::attention spec{.mask = heed::selected{chosen.lists(), heed::causal{}}};
            heed::attend(spec, x.q, x.k, x.v, x.o, on, x.scratch);
          },
      .select = [&](const heed::executor_ref& on) { chosen = select(x, on); }};
  ours.run({});
  bench::check_listed(name, form, x.in, x.out, chosen.lists());
  measure(t, x.in, ours, bench::listed_pairs(form, chosen.lists()));
}
void moba(trial& t) {
  const heed::moba spec{.block = t.timed() ? 512 : 16, .top = 3};
  selected(t, "moba", [&](const operands& x, const heed::executor_ref& on) {
    return heed::select_moba(spec, x.q, x.k, on);
  });
}

void block_topk(trial& t) {
  const index block = t.timed() ? 128 : 16;
  const heed::block_topk spec{.rows = block, .keys = block, .top = 4};
  selected(t, "block_topk", [&](const operands& x, const heed::executor_ref& on) {
    return heed::select_block_topk(spec, x.q, x.k, on);
  });
}

// Native sparse attention with means for compressed rows and gates drawn at random.
struct nsa_call {
  heed::nsa spec;
  bench::shape past;  // attention to compressed keys
  operands x;
  bench::buffer<float> gates, compressed_k, compressed_v;
  heed::nsa_state<float> state;

  nsa_call(const bench::shape& s, const heed::nsa& of)
      : spec(of),
        past(s),
        x(s),
        gates(bench::normal_numbers(s.heads * s.queries * 3, 5)),
        compressed_k(static_cast<std::size_t>(s.kv_heads * of.compressed(s.keys) * s.dim)),
        compressed_v(compressed_k.size()) {
    past.mask = bench::masking::full, past.keys = of.compressed(s.keys);
  }
  template <class Data> auto rows(Data* data) const {
    return bench::heads_outside(data, 1, past.kv_heads, past.keys, past.dim);
  }
  void run(const heed::executor_ref& on) {
    heed::compress_mean(spec, x.k, rows(compressed_k.data()), on);
    heed::compress_mean(spec, x.v, rows(compressed_v.data()), on);
    heed::attend_nsa(
        spec,
        {x.q, x.k, x.v, rows(std::as_const(compressed_k).data()),
         rows(std::as_const(compressed_v).data()),
         bench::heads_outside(std::as_const(gates).data(), 1, past.heads, past.queries, 3)},
        x.o, state, on, x.scratch);
  }
  void select(const heed::executor_ref& on) {
    const heed::view<const float> lse(state.lse[0].data(), {1, past.heads, past.queries, 1});
    state.chosen = heed::select_nsa(spec, x.q, rows(std::as_const(compressed_k).data()), lse,
                                    1 / std::sqrt(double(past.dim)), x.k.extent[2], on);
  }
  double pairs(const bench::shape& form) const {
    const heed::compressed_past seen{spec.block, spec.stride};
    double sum = 0;
    for (index i = 0; i < form.queries; ++i)
      sum += static_cast<double>(seen.seen(i) + std::min(i + 1, spec.window));
    return sum * static_cast<double>(form.heads) + bench::listed_pairs(form, state.chosen.lists());
  }
  void check(const bench::shape& form) const {
    const auto lists = state.chosen.lists();
    const heed::compressed_past seen{spec.block, spec.stride};
    constexpr double never = -std::numeric_limits<double>::infinity();
    const double work = static_cast<double>(form.heads * form.queries * form.keys * form.dim);
    const index step = std::max<index>(1, static_cast<index>(work / 1e7)) | 1;
    for (index at = 0; at < form.heads * form.queries; at += step) {
      const index head = at / form.queries, row = at % form.queries;
      std::vector<double> want(static_cast<std::size_t>(form.dim), 0.0);
      const auto add = [&](std::size_t gate, const bench::shape& of, const float* k, const float* v,
                           const auto& sees) {
        const double open = 1 / (1 + std::exp(-double(gates[std::size_t(at) * 3 + gate])));
        const auto out = bench::exact_row(
            of, x.in.q.data(), k, v, 0, head, row,
            [&](double s, index, index, index key) { return sees(key) ? s : never; });
        for (std::size_t d = 0; d < out.size(); ++d) want[d] += open * out[d];
      };
      if (seen.seen(row) > 0)
        add(0, past, compressed_k.data(), compressed_v.data(),
            [&](index key) { return key < seen.seen(row); });
      const auto list = lists(0, head, row);
      add(1, form, x.in.k.data(), x.in.v.data(), [&](index key) {
        return std::binary_search(list.begin(), list.end(), int(key / spec.selected));
      });
      add(2, form, x.in.k.data(), x.in.v.data(),
          [&](index key) { return row - key < spec.window; });
      const double allowed = 64 * double(std::numeric_limits<float>::epsilon()) *
                             (3 + std::sqrt(static_cast<double>(form.dim)));
      for (index d = 0; d < form.dim; ++d) {
        const double exact = want[static_cast<std::size_t>(d)],
                     got = double(x.out[static_cast<std::size_t>(at * form.dim + d)]);
        if (!(std::abs(got - exact) <= allowed * (1 + std::abs(exact))))
          bench::fail("nsa is wrong at head " + std::to_string(head) + ", query " +
                      std::to_string(row) + ": " + std::to_string(got) + " instead of " +
                      std::to_string(exact));
      }
    }
  }
};
void nsa(trial& t) {
  const heed::nsa small{
      .block = 8, .stride = 4, .selected = 16, .count = 4, .local = 2, .window = 16};
  nsa_call x(t.form(), t.timed() ? heed::nsa{} : small);
  x.run({});
  x.check(t.form());
  measure(t, x.x.in,
          {.run = [&](const heed::executor_ref& on) { x.run(on); },
           .select = [&](const heed::executor_ref& on) { x.select(on); }},
          x.pairs(t.form()));
}

std::string sized(index dim, index length, int threads) {
  return (dim == 64 ? "" : "/d" + std::to_string(dim)) + "/n" + std::to_string(length) + "/t" +
         std::to_string(threads);
}

void add_all(bench::suite& all, int threads) {
  for (const index dim : {64, 128})
    for (const int percent : {5, 10, 25, 50}) {
      const std::string rho = (percent < 10 ? "0" : "") + std::to_string(percent);
      all.add("sparse/block_map/rho" + rho + sized(dim, 8192, threads),
              bench::square(bench::masking::full, 4, 4, dim, 8192, threads),
              [=](trial& t) { block_map(t, percent / 100.0); });
    }
  const auto causal = [&](index heads, index kv_heads, index dim, index length) {
    return bench::square(bench::masking::causal, heads, kv_heads, dim, length, threads);
  };
  for (const index dim : {64, 128})
    for (const index length : {8192, 32768}) {
      const std::string size = sized(dim, length, threads);
      all.add("sparse/block_topk" + size, causal(4, 4, dim, length), block_topk);
      all.add("sparse/moba" + size, causal(4, 4, dim, length), moba);
      for (const index group : {4, 16})
        all.add("sparse/nsa/g" + std::to_string(group) + size, causal(group, 1, dim, length), nsa);
    }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
