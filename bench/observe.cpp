// SPDX-License-Identifier: BSL-1.0
// What it costs to watch a call. One case a mask and size, one thread:
//   observe/<mask>/<size>   vs_<observer>: how many times as long as the plain call
// column_mass is the plain call, which writes lse, and the second pass.
#include "support/suite.hpp"

#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/observe/column_mass.hpp>
#include <heed/observe/columns.hpp>
#include <heed/observe/group_mass.hpp>
#include <heed/observe/observers.hpp>
#include <heed/observe/relative_mass.hpp>
#include <heed/observe/row_entropy.hpp>
#include <heed/observe/row_top.hpp>
#include <heed/observe/rows.hpp>

#include <map>

namespace {

using bench::buffer;
using bench::index;
using bench::masking;
using bench::shape;
using bench::timed;
using bench::trial;

// The observers of a case and what they write.
struct watched {
  const shape& form;
  std::map<std::string, buffer<float>> memory{};
  std::vector<int> top_keys{}, spans{}, modalities{};
  std::vector<index> some_keys{}, some_rows{};

  explicit watched(const shape& f) : form(f) {
    const auto keys = static_cast<std::size_t>(form.keys);
    top_keys.resize(static_cast<std::size_t>(form.batch * form.heads * form.queries * 8));
    for (std::size_t j = 0; j < keys; ++j) {
      spans.push_back(static_cast<int>(4 * j / keys));
      modalities.push_back(static_cast<int>(j % 2));
    }
    for (index i = 0; i < 8; ++i) {
      some_keys.push_back(i * form.keys / 8);
      some_rows.push_back(form.queries - 1 - i * form.queries / 8);
    }
  }
  heed::view<float> room(const std::string& name, index rows, index n) {
    auto& x = memory[name];
    x.assign(static_cast<std::size_t>(form.batch * form.heads * rows * n), 0.0f);
    return {x.data(), {form.batch, form.heads, rows, n}};
  }
  heed::view<int> top(index n) {
    return {top_keys.data(), {form.batch, form.heads, form.queries, n}};
  }
};

template <class Mask> void costs(trial& t, const Mask& mask) {
  const shape& form = t.form();
  const bench::inputs in(form);
  const heed::attention spec{.mask = mask};
  watched w(form);
  const heed::view<const float> q(in.q.data(), {form.batch, form.heads, form.queries, form.dim}),
      k(in.k.data(), {form.batch, form.kv_heads, form.keys, form.dim}),
      v(in.v.data(), {form.batch, form.kv_heads, form.keys, form.dim});
  const auto out = w.room("out", form.queries, form.dim),
             seen = w.room("seen", form.queries, form.dim);
  const auto lse = w.room("lse", form.queries, 1);
  heed::workspace scratch;
  const auto plain = [&, out] {
    heed::attend(spec, q, k, v, {.out = out, .lse = lse}, heed::serial{}, scratch);
  };
  plain();
  bench::check("heed", form, in.q.data(), in.k.data(), in.v.data(), out.data);

  heed::row_entropy entropy(w.room("entropy", form.queries, 1));
  heed::row_top top1(w.top(1), w.room("top1", form.queries, 1)),
      top8(w.top(8), w.room("top8", form.queries, 8));
  heed::group_mass spans(w.spans, w.room("spans", form.queries, 4)),
      turns(w.modalities, w.room("turns", form.queries, 2));
  heed::relative_mass near(w.room("near", form.queries, 33));
  heed::columns columns(w.some_keys, w.room("columns", form.queries, 8));
  heed::rows rows(w.some_rows, w.room("rows", 8, form.keys));
  heed::observers both(entropy, spans);
  const auto mass = w.room("mass", form.keys, 1);
  std::vector<bench::contender> field{timed("plain", plain)};
  const auto add = [&](const std::string& name, heed::observer* o) {
    const auto run = [&, o] {
      heed::attend(spec, q, k, v, {.out = seen, .lse = lse, .observe = o}, heed::serial{}, scratch);
    };
    run();
    if (w.memory["seen"] != w.memory["out"]) bench::fail(name + " changes the result");
    field.push_back(timed(name, run));
  };
  add("row_entropy", &entropy);
  add("row_top1", &top1);
  add("row_top8", &top8);
  add("group_spans", &spans);
  add("group_turns", &turns);
  add("relative16", &near);
  add("columns8", &columns);
  add("rows8", &rows);
  add("entropy_and_spans", &both);
  const auto replay = [&, plain] {
    plain();
    heed::column_mass(spec, q, k, lse, {.mass = mass}, {}, heed::serial{}, scratch);
  };
  replay();
  double total = 0;
  for (const float x : w.memory["mass"]) total += double{x};
  const auto expected = static_cast<double>(form.batch * form.heads * form.queries);
  if (!(std::abs(total - expected) <= 1e-4 * expected))
    bench::fail("columns do not add up to rows");
  field.push_back(timed("column_mass", replay));
  t.measure(std::move(field), {.seconds = 2, .least_rounds = 15});
}

void add_all(bench::suite& all) {
  for (const masking mask : {masking::full, masking::causal}) {
    for (const index dim : {64, 128}) {
      for (const index length : {512, 2048}) {
        const shape form = bench::square(mask, 8, 8, dim, length, 1);
        all.add("observe/" + mask_name(form) + "/" + size_name(form), form, [](trial& t) {
          t.form().mask == masking::full ? costs(t, heed::full{}) : costs(t, heed::causal{});
        });
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  add_all(all);
  return all.run();
}
