// SPDX-License-Identifier: BSL-1.0
// Recurrences with loops of their own:
//   recurrence/titans/d<D>/n<tokens>/t<threads>          6 D² a token: M read, judged and written
//   recurrence/local_linear/d<D>/n<tokens>/t<threads>    4 D a pair of query and key: one iteration
//   recurrence/prefix_softmax/d<D>/n<tokens>/t<threads>  bytes of v and out; share of reads
// `ns` is a token of a head. The first tokens are held against the references.
#define EIGEN_USE_THREADS
#include "support/recurrence_kinds.hpp"

#include <heed/recurrence/local_linear.hpp>
#include <heed/recurrence/prefix_softmax.hpp>
#include <heed/recurrence/titans.hpp>
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/recurrence/local_linear.hpp>
#include <heed/reference/recurrence/prefix_softmax.hpp>
#include <heed/reference/recurrence/titans.hpp>

namespace {

using bench::index;
using bench::sequences;
using bench::shape;
using bench::trial;
using part = sequences;
namespace reference = heed::reference::recurrence;

// One number for every token.
struct constant {
  float value;
  heed::view<const float> of(const sequences& x) const {
    return {&value, {1, x.heads(), x.length(), 1}, {0, 0, 0, 0}};
  }
  heed::reference::vector rows(index count) const {
    return heed::reference::vector::Constant(count, double{value});
  }
};

// Checks run(executor, workspace), then times it; `check` looks at head 0 and the last.
template <class Run, class Check, class Measure>
void timed(trial& t, const Run& run, const Check& check, const Measure& measure) {
  const shape& form = t.form();
  heed::workspace scratch;
  const auto call = [&] {
    form.threads == 1 ? run(heed::executor_ref{}, scratch)
                      : run(heed::executor_ref{heed::on(bench::device(form.threads))}, scratch);
  };
  call();
  for (const index head : {index{0}, form.heads - 1}) check(head);
  if (!t.timed()) return;
  const double best = measure(bench::contender{"heed", [&](int times) {
                                                 const bench::leading here(form.threads);
                                                 return bench::seconds_per_call(times, call);
                                               }});
  const double rows = static_cast<double>(form.heads * form.queries);
  t.note("ns", best / rows * 1e9);
}

void titans(trial& t) {
  const shape& form = t.form();
  const sequences x(form.heads, form.queries, form.dim);
  bench::buffer<float> room = bench::room(form);
  const heed::view<float> out{room.data(), {1, form.heads, form.queries, form.dim}};
  const constant momentum{-0.7f}, rate{0.05f};
  const heed::titans spec{
      .log_momentum = momentum.of(x), .log_keep = x[part::scalar], .rate = rate.of(x), .chunk = 64};
  const auto run = [&](const heed::executor_ref& on, heed::workspace& scratch) {
    heed::scan(spec, x[part::q], x[part::k], x[part::v], out, on, scratch);
  };
  const auto check = [&](index head) {
    const index count = std::min<index>(form.queries, 150);
    reference::titans_memory memory;
    bench::check_tokens(
        "titans", out, head,
        reference::titans(x.rows(part::q, head, count), x.rows(part::k, head, count),
                          x.rows(part::v, head, count), momentum.rows(count),
                          x.column(part::scalar, head, count), rate.rows(count), spec.chunk,
                          memory));
  };
  const double d = static_cast<double>(form.dim);
  timed(t, run, check, [&](bench::contender ours) {
    return t.measure({std::move(ours)}, double(form.heads * form.queries) * 6 * d * d);
  });
}

void local_linear(trial& t) {
  const shape& form = t.form();
  const sequences x(form.heads, form.queries, form.dim);
  bench::buffer<float> room = bench::room(form);
  const heed::view<float> out{room.data(), {1, form.heads, form.queries, form.dim}};
  const float ridge = 1;
  const heed::local_linear spec{.ridge =
                                    heed::view<const float>{&ridge, {1, 1, 1, 1}, {0, 0, 0, 0}}};
  const auto run = [&](const heed::executor_ref& on, heed::workspace& scratch) {
    heed::scan(spec, x[part::q], x[part::k], x[part::v], out, on, scratch);
  };
  const auto check = [&](index head) {
    const index count = std::min<index>(form.queries, 100);
    const auto fit = reference::local_linear(
        x.rows(part::q, head, count), x.rows(part::k, head, count), x.rows(part::v, head, count),
        heed::reference::mask::causal(count, count), double{ridge}, bench::kinds::root_of(x));
    bench::check_tokens("local_linear", out, head, fit.out, fit.condition);
  };
  const double pairs = double(form.heads * form.queries) * double(form.queries + 1) / 2;
  timed(t, run, check, [&](bench::contender ours) {
    return t.measure({std::move(ours)}, pairs * 4 * static_cast<double>(form.dim));
  });
}

void prefix_softmax(trial& t) {
  const shape& form = t.form();
  const sequences x(form.heads, form.queries, form.dim);
  bench::buffer<float> room = bench::room(form);
  const heed::view<float> out{room.data(), {1, form.heads, form.queries, form.dim}};
  const auto run = [&](const heed::executor_ref& on, heed::workspace& scratch) {
    heed::scan(heed::prefix_softmax{}, x[part::gate], x[part::v], out, on, scratch);
  };
  const auto check = [&](index head) {
    const index count = std::min<index>(form.queries, 150);
    reference::prefix state;
    bench::check_tokens("prefix_softmax", out, head,
                        reference::prefix_softmax(x.column(part::gate, head, count),
                                                  x.rows(part::v, head, count), state));
  };
  timed(t, run, check, [&](bench::contender ours) {
    const double bytes = 8.0 * double(form.query_size());
    const double best = t.measure_bytes({std::move(ours)}, bytes);
    t.note("share", bytes / best / bench::read_bandwidth(form.threads));
    return best;
  });
}

void add_all(bench::suite& all, int threads) {
  const auto add = [&](const char* name, index dim, index length, index heads, auto run) {
    all.add(std::string("recurrence/") + name + "/d" + std::to_string(dim) + "/n" +
                std::to_string(length) + "/t" + std::to_string(threads),
            bench::square(bench::masking::causal, heads, heads, dim, length, threads), run);
  };
  for (const index dim : {64, 128}) {
    add("titans", dim, 4096, 8, titans);
    add("prefix_softmax", dim, 4096, 32, prefix_softmax);
  }
  add("local_linear", 64, all.chosen().smoke ? 128 : 1024, 2, local_linear);
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2}) add_all(all, threads);
  return all.run();
}
