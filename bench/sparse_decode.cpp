// SPDX-License-Identifier: BSL-1.0
// One query over a long cache, attending to few of its pages.
//   sparse/quest/n65536/t<threads>   pages of 16, the best 1/16 of them, f32, against full decoding
// `promise` is how much of the speed-up that bytes promise is reached: time of full decoding ·
// (bytes of the pages visited + bytes of bounds) / bytes of all keys and values / time, selection
// included. `selection` is the time of choosing over that of the attention it feeds. Queries and
// bounds (as of several layers) take turns, so that neither pages nor bounds stay in L3.
#define EIGEN_USE_THREADS
#include "support/caches.hpp"
#include "support/calls.hpp"

#include <heed/attention.hpp>
#include <heed/kv/selected.hpp>
#include <heed/select/quest.hpp>

namespace {

using bench::index;
using bench::trial;

template <class Call> bench::contender in_turns(std::string name, int threads, const Call& call) {
  return {std::move(name), [call, threads, turn = index{0}](int times) mutable {
            const bench::leading here(threads);
            return bench::seconds_per_call(times, [&] {
              if (threads == 1)
                call(turn++, heed::executor_ref(heed::serial{}));
              else
                call(turn++, heed::executor_ref(heed::on(bench::device(threads))));
            });
          }};
}

void quest(trial& t) {
  const bench::shape& form = t.form();
  constexpr index page = 16, layers = 6, asked = 31;
  const heed::quest how{.page = page, .top = std::max<index>(2, form.keys / page / 16)};
  const auto cache =
      bench::contiguous({1, form.kv_heads, form.dim, form.dim}, heed::kv_as::single(), {form.keys});
  std::vector<heed::page_bounds> bounds(1, heed::page_bounds(page));
  bounds[0].update(cache);
  bounds.resize(t.timed() ? layers : 1, bounds[0]);
  const auto many = bench::normal_numbers(asked * form.query_size(), 1);
  auto out = bench::room(form);
  heed::workspace scratch;
  const auto results = bench::heads_outside(out.data(), 1, form.heads, 1, form.dim);
  const auto query = [&](index turn) {
    return bench::heads_outside(many.data() + turn % asked * form.query_size(), 1, form.heads, 1,
                                form.dim);
  };
  const auto choose = [&](index turn, const heed::executor_ref& on) {
    return heed::select_quest(how, query(turn),
                              bounds[static_cast<std::size_t>(turn) % bounds.size()], cache, on);
  };
  const auto attend = [&](index turn, const auto& source, const heed::executor_ref& on) {
    heed::attend(heed::attention{}, query(turn), source, results, on, scratch);
  };
  std::vector<heed::block_selection> chosen;
  for (index n = 0; n < asked; ++n) chosen.push_back(choose(n, {}));
  const heed::selected_source first(cache, chosen[0].lists());
  attend(0, first, {});
  bench::check_decoded("quest", form, many.data(), first, out.data(),
                       bench::float_tolerance(form.dim), [](index, index) { return true; });
  const double row = static_cast<double>(form.kv_heads * form.dim) * 2 * sizeof(float);
  const double all = row * static_cast<double>(form.keys);
  const double read =
      row * static_cast<double>(first.length(0)) + row * static_cast<double>(bounds[0].pages(0));
  std::vector<bench::contender> field;
  field.push_back(in_turns("heed", form.threads, [&](index turn, const heed::executor_ref& on) {
    const auto lists = choose(turn, on);
    attend(turn, heed::selected_source(cache, lists.lists()), on);
  }));
  field.push_back(in_turns("full", form.threads, [&](index turn, const heed::executor_ref& on) {
    attend(turn, cache, on);
  }));
  field.push_back(in_turns("select", form.threads,
                           [&](index turn, const heed::executor_ref& on) { choose(turn, on); }));
  field.push_back(in_turns("attend", form.threads, [&](index turn, const heed::executor_ref& on) {
    attend(turn,
           heed::selected_source(cache, chosen[static_cast<std::size_t>(turn % asked)].lists()),
           on);
  }));
  t.measure_reads(std::move(field), read, {.least_rounds = 5, .shortest_sample = 2e-3});
  if (!t.timed()) return;
  t.note("visited", read / all);
  t.note("promise", t.noted("vs_full") * read / all);
  t.note("selection", t.noted("vs_select") / t.noted("vs_attend"));
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  for (const int threads : {1, 2})
    all.add("sparse/quest/n65536/t" + std::to_string(threads),
            bench::models::decoding(65536, threads), quest);
  return all.run();
}
