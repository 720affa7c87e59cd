// SPDX-License-Identifier: BSL-1.0
// Gradients of dense softmax attention, counted as 10 · pairs · D a head. Cases:
//   backward/<mask>/...   vs_torch where libtorch is installed: its autograd without the forward
//   backward/scaling      two threads; vs_t1
// vs_<name> is how many times as long <name> takes, by medians of runs in turns.
#define EIGEN_USE_THREADS
#include "support/calls.hpp"
#include "support/gradients.hpp"

#include <heed/attention/attend_backward.hpp>

#include "peers/torch_backward.hpp"

namespace {

using bench::heads_outside;
using bench::index;
using bench::masking;
using bench::shape;
using bench::trial;

// Everything one call needs, kept between calls; the forward pass is done once.
template <class Spec> struct call {
  call(const shape& f, const Spec& s, const bench::inputs& given, const bench::buffer<float>& d)
      : form(f),
        spec(s),
        in(given),
        d_out(d),
        threads(f.threads),
        out(bench::room(f)),
        lse(static_cast<std::size_t>(f.batch * f.heads * f.queries)),
        dq(in.q.size()),
        dk(in.k.size()),
        dv(in.v.size()) {
    heed::attend(spec, q(), k(), v(), {.out = rows(out), .lse = per_row()}, heed::serial{},
                 scratch);
  }
  void operator()() {
    const heed::saved forward{.out = rows(out), .lse = per_row()};
    const heed::gradients<Spec> to{
        .dq = rows(dq), .dk = columns(dk.data()), .dv = columns(dv.data())};
    if (threads == 1)
      heed::attend_backward(spec, q(), k(), v(), forward, queries(d_out.data()), to, heed::serial{},
                            scratch);
    else
      heed::attend_backward(spec, q(), k(), v(), forward, queries(d_out.data()), to,
                            heed::on(bench::device(threads)), scratch);
  }
  template <class T> heed::view<T> queries(T* x) const {
    return heads_outside(x, form.batch, form.heads, form.queries, form.dim);
  }
  template <class T> heed::view<T> columns(T* x) const {
    return heads_outside(x, form.batch, form.kv_heads, form.keys, form.dim);
  }
  heed::view<float> rows(bench::buffer<float>& x) const { return queries(x.data()); }
  heed::view<float> per_row() {
    return heads_outside(lse.data(), form.batch, form.heads, form.queries, 1);
  }
  heed::view<const float> q() const { return queries(in.q.data()); }
  heed::view<const float> k() const { return columns(in.k.data()); }
  heed::view<const float> v() const { return columns(in.v.data()); }

  shape form;
  Spec spec;
  const bench::inputs& in;
  const bench::buffer<float>& d_out;
  int threads;
  bench::buffer<float> out, lse, dq, dk, dv;
  heed::workspace scratch;
};

template <class Call> bench::contender led(Call& ours) {
  return {"heed", [&ours](int times) {
            const bench::leading here(ours.threads);
            return bench::seconds_per_call(times, ours);
          }};
}

double work(const shape& form) { return bench::flops(form) * 2.5; }

void plain(trial& t) {
  const shape& form = t.form();
  const bench::inputs in(form);
  const auto d_out = bench::normal_numbers(form.query_size(), 4);
  bench::with_mask(form, [&](auto mask) {
    call ours(form, heed::attention{.mask = mask}, in, d_out);
    ours();
    bench::check_gradients("heed", form, in, d_out.data(), ours.dq.data(), ours.dk.data(),
                           ours.dv.data());
    t.note("scratch_mib", static_cast<double>(ours.scratch.capacity()) * 0x1p-20);
    std::vector<bench::contender> field{led(ours)};
#if defined(HEED_PEER_LIBTORCH)
    bench::torch_backward torch(form, in, d_out);
    if (t.wants("torch") && torch.fits()) {
      torch.run(1);
      bench::check_gradients("torch", form, in, d_out.data(), torch.dq(), torch.dk(), torch.dv());
      field.push_back({"torch", [&](int times) { return torch.run(times); }});
    }
#endif
    const bool slow = work(form) > 5e10;
    t.measure(std::move(field), work(form),
              {.least_rounds = slow ? 3u : 7u, .shortest_sample = 2e-3});
  });
}

void scaling(trial& t) {
  const shape& form = t.form();
  const bench::inputs in(form);
  const auto d_out = bench::normal_numbers(form.query_size(), 4);
  bench::with_mask(form, [&](auto mask) {
    const heed::attention spec{.mask = mask};
    call ours(form, spec, in, d_out), one(bench::on_threads(form, 1), spec, in, d_out);
    ours();
    one();
    if (ours.dq != one.dq || ours.dk != one.dk || ours.dv != one.dv)
      bench::fail("the number of threads changes the gradients");
    t.measure({led(ours), bench::contender{"t1", led(one).run}}, work(form), {.least_rounds = 9});
  });
}

void add_all(bench::suite& all) {
  const auto add = [&](const shape& form) {
    all.add("backward/" + mask_name(form) + "/" + size_name(form), form, plain);
  };
  for (const int threads : {1, 2})
    for (const masking mask : {masking::full, masking::causal}) {
      for (const index dim : {64, 128})
        for (const index length : {512, 1024, 2048, 4096, 8192})
          add(bench::square(mask, length > 4096 ? 2 : 8, length > 4096 ? 2 : 8, dim, length,
                            threads));
      add(bench::models::decoder_8b(mask, 512, threads));
    }
  for (const masking mask : {masking::full, masking::causal})
    for (const index dim : {64, 128}) {
      const shape form = bench::square(mask, 8, 8, dim, 2048, 2);
      all.add("backward/scaling/" + mask_name(form) + "/" + size_name(form), form, scaling);
    }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  add_all(all);
  return all.run();
}
