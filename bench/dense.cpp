// SPDX-License-Identifier: BSL-1.0
// Dense softmax attention. Cases:
//   dense/<mask>/...           against every peer
//   dense/kv_half, kv_bfloat16 16-bit keys and values; vs_float
//   dense/bias, alibi, lambda  score modifiers; vs_none
//   dense/rope                 rotated queries and keys; vs_plain
//   dense/blhd                 [batch, length, head, dim] strides; vs_bhld
//   dense/additive             additive similarity; vs_tanh, a loop of as many tanh
//   dense/scaling              two threads; vs_t1
//   dense/small                one head of a few queries; vs_eigen
// vs_<name> is how many times as long <name> takes, by medians of runs in turns.
#define EIGEN_USE_THREADS
#include "support/calls.hpp"

#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>
#include <heed/position/rope.hpp>
#include <heed/reference/attend.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/bias.hpp>
#include <heed/similarity/additive.hpp>

namespace {

using bench::buffer;
using bench::check;
using bench::device;
using bench::heads_inside;
using bench::heads_outside;
using bench::index;
using bench::inputs;
using bench::led;
using bench::masking;
using bench::room;
using bench::shape;
using bench::timed;
using bench::trial;
using bench::with_mask;

constexpr auto masks = {masking::full, masking::causal};

// Everything one call of heed needs, kept between calls.
template <class Spec, class KV = float> struct call {
  Spec spec;
  heed::view<const float> q;
  heed::view<const KV> k, v;
  heed::view<float> out;
  int threads;
  std::shared_ptr<heed::workspace> scratch = std::make_shared<heed::workspace>();

  void operator()() const {
    if (threads == 1) {
      heed::attend(spec, q, k, v, out, heed::serial{}, *scratch);
    } else {
      heed::attend(spec, q, k, v, out, heed::on(device(threads)), *scratch);
    }
  }
};

template <class Spec, class KV>
call<Spec, KV> make_call(const shape& form, const Spec& spec, const float* q, const KV* k,
                         const KV* v, float* out) {
  return {.spec = spec,
          .q = heads_outside(q, form.batch, form.heads, form.queries, form.dim),
          .k = heads_outside(k, form.batch, form.kv_heads, form.keys, form.dim),
          .v = heads_outside(v, form.batch, form.kv_heads, form.keys, form.dim),
          .out = heads_outside(out, form.batch, form.heads, form.queries, form.dim),
          .threads = form.threads};
}

template <class Mask> void against_peers(trial& t, const Mask& mask) {
  const shape& form = t.form();
  const inputs in(form);
  auto out = room(form);
  const heed::attention spec{.mask = mask};
  const auto ours = make_call(form, spec, in.q.data(), in.k.data(), in.v.data(), out.data());
  ours();
  check("heed", form, in.q.data(), in.k.data(), in.v.data(), out.data());
  t.note("scratch_mib", static_cast<double>(ours.scratch->capacity()) * 0x1p-20);
  t.measure_with_peers(led(ours), in);
}

void plain(trial& t) {
  with_mask(t.form(), [&](auto mask) { against_peers(t, mask); });
}

void windowed(trial& t) {
  against_peers(t, heed::causal{} && heed::window{.left = t.form().window - 1});
}

// `exact(s, head, q, k)` is the modifier in double.
template <class Score, class Exact>
void scored(trial& t, const inputs& in, const Score& score, const Exact& exact) {
  const shape& form = t.form();
  auto out = room(form), unscored = room(form);
  with_mask(form, [&](auto mask) {
    const heed::attention spec{.mask = mask, .score = score};
    const heed::attention none{.mask = mask};
    const auto ours = make_call(form, spec, in.q.data(), in.k.data(), in.v.data(), out.data());
    const auto without =
        make_call(form, none, in.q.data(), in.k.data(), in.v.data(), unscored.data());
    ours();
    check("heed with a score", form, in.q.data(), in.k.data(), in.v.data(), out.data(), exact);
    t.measure({led(ours), timed("none", without)}, {.least_rounds = 15});
  });
}

buffer<float> slopes(const shape& form) {
  buffer<float> result;
  for (index h = 0; h < form.heads; ++h) {
    result.push_back(std::exp2(-8 * static_cast<float>(h + 1) / static_cast<float>(form.heads)));
  }
  return result;
}

void alibi(trial& t) {
  const auto slope = slopes(t.form());
  scored(t, inputs(t.form()), heed::alibi{{slope.begin(), slope.end()}},
         [&](double s, index h, index q, index k) {
           return s + double{slope[static_cast<std::size_t>(h)]} * static_cast<double>(k - q);
         });
}

void lambda(trial& t) {
  const auto slope = slopes(t.form());
  scored(
      t, inputs(t.form()),
      [&](auto s, auto at) { return s + slope[static_cast<std::size_t>(at.h)] * (at.k - at.q); },
      [&](double s, index h, index q, index k) {
        return s + double{slope[static_cast<std::size_t>(h)]} * static_cast<double>(k - q);
      });
}

void bias(trial& t) {
  const shape& form = t.form();
  const auto table = bench::normal_numbers(form.heads * form.queries * form.keys, 4);
  const heed::view<const float> view(table.data(), {1, form.heads, form.queries, form.keys});
  scored(t, inputs(form), heed::bias{view}, [&](double s, index h, index q, index k) {
    return s + double{table[static_cast<std::size_t>((h * form.queries + q) * form.keys + k)]};
  });
}

template <class Storage> void stored(trial& t) {
  const shape& form = t.form();
  const inputs in(form);
  const auto k = bench::converted<Storage>(in.k), v = bench::converted<Storage>(in.v);
  auto out = room(form), wide = room(form);
  with_mask(form, [&](auto mask) {
    const heed::attention spec{.mask = mask};
    const auto ours = make_call(form, spec, in.q.data(), k.data(), v.data(), out.data());
    const auto floats = make_call(form, spec, in.q.data(), in.k.data(), in.v.data(), wide.data());
    ours();
    check("heed with 16-bit keys", form, in.q.data(), k.data(), v.data(), out.data());
    t.measure({led(ours), timed("float", floats)}, {.least_rounds = 15});
  });
}

void strided(trial& t) {
  const shape& form = t.form();
  const inputs in(form);
  const auto q = heads_inside(in.q, form.batch, form.heads, form.queries, form.dim);
  const auto k = heads_inside(in.k, form.batch, form.kv_heads, form.keys, form.dim);
  const auto v = heads_inside(in.v, form.batch, form.kv_heads, form.keys, form.dim);
  auto out = room(form), contiguous_out = room(form);
  with_mask(form, [&](auto mask) {
    const heed::attention spec{.mask = mask};
    auto ours = make_call(form, spec, q.data(), k.data(), v.data(), out.data());
    ours.q = heads_inside(q.data(), form.batch, form.heads, form.queries, form.dim);
    ours.k = heads_inside(k.data(), form.batch, form.kv_heads, form.keys, form.dim);
    ours.v = heads_inside(v.data(), form.batch, form.kv_heads, form.keys, form.dim);
    ours.out = heads_inside(out.data(), form.batch, form.heads, form.queries, form.dim);
    const auto contiguous =
        make_call(form, spec, in.q.data(), in.k.data(), in.v.data(), contiguous_out.data());
    ours();
    const auto outside = heads_inside(out, form.batch, form.queries, form.heads, form.dim);
    check("heed with strides", form, in.q.data(), in.k.data(), in.v.data(), outside.data());
    t.measure({led(ours), timed("bhld", contiguous)}, {.least_rounds = 15});
  });
}

// Rotary position embedding in double: channel pairs (i, i + dim / 2).
buffer<float> rotated(const buffer<float>& from, index length, index dim) {
  buffer<float> to(from.size());
  const index rows = static_cast<index>(from.size()) / dim;
  for (index row = 0; row < rows; ++row) {
    for (index i = 0; i < dim / 2; ++i) {
      const double angle =
          static_cast<double>(row % length) *
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
      const auto a = static_cast<std::size_t>(row * dim + i),
                 b = a + static_cast<std::size_t>(dim / 2);
      to[a] = static_cast<float>(from[a] * std::cos(angle) - from[b] * std::sin(angle));
      to[b] = static_cast<float>(from[b] * std::cos(angle) + from[a] * std::sin(angle));
    }
  }
  return to;
}

void rope(trial& t) {
  const shape& form = t.form();
  const inputs in(form);
  const auto q = rotated(in.q, form.queries, form.dim), k = rotated(in.k, form.keys, form.dim);
  auto out = room(form), unrotated = room(form);
  with_mask(form, [&](auto mask) {
    const heed::rope turn{heed::rotations::plain(form.dim)};
    const heed::attention spec{.mask = mask, .query = turn, .key = turn};
    const heed::attention none{.mask = mask};
    const auto ours = make_call(form, spec, in.q.data(), in.k.data(), in.v.data(), out.data());
    const auto without =
        make_call(form, none, in.q.data(), in.k.data(), in.v.data(), unrotated.data());
    ours();
    check("heed with rope", form, q.data(), k.data(), in.v.data(), out.data());
    t.measure({led(ours), timed("plain", without)}, {.least_rounds = 15});
  });
}

void scaling(trial& t) {
  const shape& form = t.form();
  const inputs in(form);
  auto out = room(form), alone = room(form);
  with_mask(form, [&](auto mask) {
    const heed::attention spec{.mask = mask};
    const auto ours = make_call(form, spec, in.q.data(), in.k.data(), in.v.data(), out.data());
    const auto one = make_call(bench::on_threads(form, 1), spec, in.q.data(), in.k.data(),
                               in.v.data(), alone.data());
    ours();
    one();
    if (out != alone) bench::fail("the number of threads changes the result");
    t.measure({led(ours), timed("t1", one)}, {.least_rounds = 15});
  });
}

// Additive similarity against the tanh loop that it cannot do without: as many tanh, on data in L1.
void additive(trial& t) {
  const shape& form = t.form();
  const inputs in(form);
  const auto weight = bench::normal_numbers(form.dim, 4);
  auto out = room(form), exact = room(form);
  const heed::attention spec{.similarity = heed::additive<>{.weight = weight}};
  const auto ours = make_call(form, spec, in.q.data(), in.k.data(), in.v.data(), out.data());
  ours();
  const index rows = std::min<index>(form.queries, 16);
  heed::reference::attend(spec, ours.q.slice_rows(0, rows), ours.k, ours.v,
                          heads_outside(exact.data(), form.batch, form.heads, rows, form.dim));
  for (index h = 0; h < form.heads; ++h) {
    for (index i = 0; i < rows * form.dim; ++i) {
      const float got = out[static_cast<std::size_t>(h * form.queries * form.dim + i)];
      const float want = exact[static_cast<std::size_t>(h * rows * form.dim + i)];
      if (!(std::abs(got - want) < 1e-4f)) bench::fail("heed with additive similarity is wrong");
    }
  }
  namespace simd = heed::simd;
  constexpr index lanes = simd::width<float, simd::best>;
  auto block = bench::normal_numbers(4096, 5);
  const index blocks = form.heads * form.queries * form.keys * form.dim / 4096;
  const auto loop = [&] {
    for (index b = 0; b < blocks; ++b) {
      for (index i = 0; i < 4096; i += lanes) {
        simd::store(block.data() + i, simd::tanh(simd::load<float, simd::best>(block.data() + i)));
      }
    }
  };
  t.measure({led(ours), timed("tanh", loop)}, {.least_rounds = 15});
}

// One head, few queries: the cost of a call. The rival is the plain Eigen expression on kept
// memory.
void small(trial& t) {
  const shape& form = t.form();
  const inputs in(form);
  auto out = room(form), theirs = room(form);
  const auto ours =
      make_call(form, heed::attention{}, in.q.data(), in.k.data(), in.v.data(), out.data());
  bench::eigen_peer eigen;
  eigen.prepare({form, in.q.data(), in.k.data(), in.v.data(), theirs.data()});
  ours();
  check("heed", form, in.q.data(), in.k.data(), in.v.data(), out.data());
  t.measure({led(ours), {"eigen", [&](int times) { return eigen.run(times); }}},
            {.least_rounds = 101, .most_rounds = 1001, .shortest_sample = 50e-6});
}

// The variants of a kind: full and causal, one thread.
void add_variant(bench::suite& all, const std::string& kind, void (*body)(trial&)) {
  for (const masking mask : masks) {
    for (const index dim : {64, 128}) {
      const shape form = bench::square(mask, 8, 8, dim, 2048, 1);
      all.add("dense/" + kind + "/" + mask_name(form) + "/" + size_name(form), form, body);
    }
  }
}

void add_all(bench::suite& all) {
  const auto add = [&](const shape& form) {
    all.add("dense/" + mask_name(form) + "/" + size_name(form), form,
            form.mask == masking::window ? windowed : plain);
  };
  for (const int threads : {1, 2}) {
    for (const masking mask : masks) {
      for (const index dim : {64, 128}) {
        for (const index length : {512, 1024, 2048, 4096, 8192}) {
          add(bench::square(mask, 8, 8, dim, length, threads));
        }
      }
      for (const index length : {512, 2048}) add(bench::models::decoder_8b(mask, length, threads));
    }
    add(bench::models::vit_base(threads));
    add(bench::models::diffusion_cross(threads));
    for (const index length : {8192, 16384, 32768})
      add(bench::models::sliding(512, length, threads));
    for (const index window : {256, 1024}) add(bench::models::sliding(window, 16384, threads));
  }
  add_variant(all, "kv_half", stored<Eigen::half>);
  add_variant(all, "kv_bfloat16", stored<Eigen::bfloat16>);
  add_variant(all, "bias", bias);
  add_variant(all, "alibi", alibi);
  add_variant(all, "lambda", lambda);
  add_variant(all, "rope", rope);
  add_variant(all, "blhd", strided);
  const shape additive_form = bench::square(masking::full, 8, 8, 64, 512, 1);
  all.add("dense/additive/full/" + size_name(additive_form), additive_form, additive);
  for (const masking mask : masks) {
    const shape form = bench::square(mask, 8, 8, 64, 2048, 2);
    all.add("dense/scaling/" + mask_name(form) + "/" + size_name(form), form, scaling);
  }
  for (const index dim : {8, 16, 32, 64, 128}) {
    for (const index length : {1, 2, 4, 8, 16, 32, 64, 128, 256}) {
      const shape form = bench::square(masking::full, 1, 1, dim, length, 1);
      all.add("dense/small/" + size_name(form), form, small);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite all(argc, argv);
  add_all(all);
  return all.run();
}
