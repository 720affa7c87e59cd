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
#include <heed/select/moba.hpp>

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

// `attend(on)` over what `select(on)` chose; one without a choice has no `select`.
struct call {
  std::function<void(const heed::executor_ref&)> attend, select{};
};

void measure(trial& t, const bench::inputs& in, const call& ours, double pairs) {
  const bench::shape& form = t.form();
  bench::dense_peer dense(form, in);
  std::vector<bench::contender> field;
  field.push_back(led("heed", form.threads, [&](const heed::executor_ref& on) {
    if (ours.select) ours.select(on);
    ours.attend(on);
  }));
  field.push_back(led("dense", form.threads, [&](const heed::executor_ref& on) { dense(on); }));
  if (ours.select) {
    field.push_back(led("select", form.threads, ours.select));
    field.push_back(led("attend", form.threads, ours.attend));
  }
  const double all = bench::useful_pairs(form) * static_cast<double>(form.heads);
  t.measure(std::move(field), 4 * pairs * static_cast<double>(form.dim),
            {.least_rounds = 3, .shortest_sample = 1e-3});
  if (!t.timed()) return;
  t.note("visited", pairs / all);
  t.note("promise", t.noted("vs_dense") * dense.parts(form) * pairs / all);
  if (ours.select) t.note("selection", t.noted("vs_select") / t.noted("vs_attend"));
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
  const call ours{.attend = [&](const heed::executor_ref& on) {
    heed::attend(spec, x.q, x.k, x.v, x.o, on, x.scratch);
  }};
  ours.attend({});
  bench::check_listed("block_map", form, x.in, x.out, lists.lists());
  measure(t, x.in, ours, bench::listed_pairs(form, lists.lists()));
}

// Attention to the lists that `select(operands, executor)` makes.
template <class Select> void selected(trial& t, const char* name, const Select& select) {
  const bench::shape& form = t.form();
  operands x(form);
  heed::block_selection chosen;
  const call ours{
      .attend =
          [&](const heed::executor_ref& on) {
            bench::with_mask(form, [&](const auto& inside) {
              const heed::attention spec{.mask = heed::selected{chosen.lists(), inside}};
              heed::attend(spec, x.q, x.k, x.v, x.o, on, x.scratch);
            });
          },
      .select = [&](const heed::executor_ref& on) { chosen = select(x, on); }};
  ours.select({}), ours.attend({});
  bench::check_listed(name, form, x.in, x.out, chosen.lists());
  measure(t, x.in, ours, bench::listed_pairs(form, chosen.lists()));
}
void moba(trial& t) {
  const heed::moba spec{.block = t.timed() ? 512 : 16, .top = 3};
  selected(t, "moba", [&](const operands& x, const heed::executor_ref& on) {
    return heed::select_moba(spec, x.q, x.k, on);
  });
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
  for (const index dim : {64, 128})
    for (const index length : {8192, 32768})
      all.add("sparse/moba" + sized(dim, length, threads),
              bench::square(bench::masking::causal, 4, 4, dim, length, threads), moba);
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
