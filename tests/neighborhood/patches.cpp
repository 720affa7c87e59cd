// SPDX-License-Identifier: BSL-1.0
// Driver `patches` against the reference, for neighbourhoods and for masks that list their patches.
#include <heed/eigen.hpp>
#include <heed/kv/extra.hpp>
#include <heed/neighborhood/natten.hpp>
#include <heed/normalizer/sigmoid.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/position/rope.hpp>
#include <heed/reference/attend.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/bias.hpp>
#include <heed/score/softcap.hpp>
#include <heed/similarity/distance.hpp>

#include "support/exact.hpp"
#include "support/executors.hpp"
#include "support/remainders.hpp"

namespace heed::test {

namespace {

// A bias by where a key lies to its query on an image, as neighborhood/relative_position_bias.
struct image_bias {
  operand table;
  index wide, window;
  index entries() const { return (2 * window - 1) * (2 * window - 1); }
  index origin() const { return (entries() - 1) / 2; }
  index place(index token) const { return token / wide * (2 * window - 1) + token % wide; }
  template <class T> T operator()(T s, const position& at) const {
    const index entry = place(at.k) - place(at.q) + origin();
    return s + broadcast::element<T>(table, 0, at.h, std::clamp<index>(entry, 0, entries() - 1), 0);
  }
};

struct sizes {
  index b = 1, h = 1, kv = 1, d = 8, dv = 8;
};

void poison(workspace& scratch) {
  scratch.for_each_arena([](arena& a) {
    for (std::size_t i = 0; i < a.capacity(); ++i) a.data()[i] = std::byte{0xff};
  });
}

// Out and lse of the engine, scratch full of NaN, with one worker and with several.
template <class T, class Arch = simd::best, class Spec>
void check(const Spec& spec, const sizes& x, index tokens, double c = 8,
           const std::string& what = "") {
  using to = std::conditional_t<std::is_same_v<T, double>, double, float>;
  static_assert(detail::patches<to, Arch, Spec>::possible);
  const auto q = random<T>({x.b, x.h, tokens, x.d}, 1), k = random<T>({x.b, x.kv, tokens, x.d}, 2),
             v = random<T>({x.b, x.kv, tokens, x.dv}, 3);
  auto out = unwritten<to>({x.b, x.h, tokens, x.dv}), lse = unwritten<to>({x.b, x.h, tokens, 1});
  auto exact = unwritten<double>(out.extent), exact_lse = unwritten<double>(lse.extent);
  constexpr bool has = has_lse<decltype(Spec::normalizer)>;
  workspace scratch;
  const auto call = [&](const executor_ref& executor) {
    std::fill(out.data.begin(), out.data.end(), std::numeric_limits<to>::quiet_NaN());
    outputs all{.out = out.in()};
    if (has) all.lse = lse.in();
    attend<Arch>(spec, q.in(), k.in(), v.in(), all, executor, scratch);
    poison(scratch);
  };
  call({});
  call({});
  const auto alone = out.data;
  call(shuffled{});
  CHECK(out.data == alone);
  outputs all{.out = exact.in()};
  if (has) all.lse = exact_lse.in();
  reference::attend(spec, q.in(), k.in(), v.in(), all);
  for (index b = 0; b < x.b; ++b)
    for (index h = 0; h < x.h; ++h) {
      check_close(out.head(b, h), exact.head(b, h), tolerance<to>(c, x.d, 8), what);
      if (has)
        check_close(lse.head(b, h), exact_lse.head(b, h), tolerance<to>(c, x.d, 8), what + " lse");
    }
}

template <int N> std::string drawn(const neighborhood<N>& m) {
  std::string s = "neighbourhood";
  for (std::size_t n = 0; n < N; ++n)
    s += " [" + std::to_string(m.size[n]) + " window " + std::to_string(m.window[n]) + " stride " +
         std::to_string(m.stride[n]) + " dilation " + std::to_string(m.dilation[n]) +
         (m.causal[n] ? " causal]" : "]");
  return s;
}
template <class T = float, int N>
void check(const neighborhood<N>& m, const sizes& x = {.b = 1, .h = 2, .kv = 1, .d = 6, .dv = 5}) {
  check<T>(attention{.mask = m}, x, m.tokens(), 8, drawn(m));
}

}  // namespace

TEST_CASE("Every stride, dilation and end of one axis") {
  for (const index window : {1, 2, 3, 7, 8})
    for (const index dilation : {1, 2, 3})
      for (index stride = 1; stride <= window; stride += window > 3 ? 2 : 1)
        for (const bool causal : {false, true})
          for (const index size : {window * dilation, window * dilation + 5, index{61}})
            check<float>(neighborhood<1>{{size}, {window}, {stride}, {dilation}, {causal}},
                         {.b = 1, .h = 1, .kv = 1, .d = 3, .dv = 2});
}

TEST_CASE("Images and volumes") {
  std::mt19937 random(seed());
  const auto draw = [&]<std::size_t N>(std::array<index, N>, index longest) {
    neighborhood<int(N)> m;
    for (std::size_t n = 0; n < N; ++n) {
      const auto below = [&](index count) { return index(random() % unsigned(count)); };
      m.size[n] = 1 + below(longest);
      m.dilation[n] = 1 + below(std::min<index>(m.size[n], 3));
      m.window[n] = 1 + below(m.size[n] / m.dilation[n]);
      m.stride[n] = 1 + below(m.window[n]);
      m.causal[n] = below(3) == 0;
    }
    return m;
  };
  for (int i = 0; i < 60; ++i) check<float>(draw(std::array<index, 2>{}, 15));
  for (int i = 0; i < 30; ++i) check<float>(draw(std::array<index, 3>{}, 8));
  for (int i = 0; i < 10; ++i) check<double>(draw(std::array<index, 2>{}, 15));
  // Patches of several panels, keys of several pieces.
  check<float>(neighborhood<2>{{28, 21}, {7, 7}, {7, 7}});
  check<float>(neighborhood<2>{{40, 26}, {27, 21}, {3, 2}});
  check<float>(neighborhood<1>{{900}, {900}});
  check<float>(neighborhood<2>{{9, 9}, {3, 3}, {2, 2}},
               {.b = 2, .h = 4, .kv = 2, .d = 65, .dv = 33});
  check<Eigen::half>(neighborhood<2>{{9, 9}, {3, 3}, {2, 2}});
  check<Eigen::bfloat16>(neighborhood<2>{{9, 9}, {3, 3}, {2, 2}});
}

TEST_CASE("Masks that list their patches") {
  for (const index by : {1, 2, 7, 50})
    check<float>(attention{.mask = remainders{by, 350}}, {.b = 2, .h = 2, .kv = 1}, 350);
  check<double>(attention{.mask = remainders{3, 10}}, {.b = 1, .h = 2, .kv = 2, .d = 5, .dv = 7},
                10);
}

TEST_CASE("Every policy is as elsewhere") {
  const neighborhood<2> m{{9, 11}, {4, 5}, {2, 3}, {2, 1}, {false, true}};
  const index n = m.tokens();
  const sizes x{.b = 2, .h = 4, .kv = 2, .d = 8, .dv = 6};
  const auto k = random<float>({1, 2, 3, 8}, 4), v = random<float>({1, 2, 3, 6}, 5),
             b = random<float>({1, 4, n, n}, 6);
  const std::vector<float> slopes = alibi_slopes(4), logits{0.5f, -1, 2, 0};
  const auto twice = [](auto* row, index count, const row_position& at) {
    for (index i = 0; i < count; ++i)
      row[i] *= 1 + std::remove_pointer_t<decltype(row)>(at.row % 3);
  };
  check<float>(attention{.mask = m,
                         .score = softcap{20} | alibi{slopes} | bias{b.in()},
                         .normalizer = sink_softmax{.logits = logits},
                         .query = rope{rotations::plain(8)},
                         .key = rope{rotations::plain(8)},
                         .value = twice,
                         .output = twice,
                         .extra = extra_slots{k.in(), v.in()}},
               x, n, 16);
  check<double>(attention{.mask = m,
                          .similarity = direct_distance{},
                          .score = [](auto s, auto at) { return s + (at.k - at.q) * 0.01f; },
                          .normalizer = sigmoid{.bias = -1, .by = divisor::sum},
                          .extra = extra_slots{k.in()}},
                x, n, 32);
  check<float>(attention{.mask = remainders{5, n},
                         .similarity = distance{},
                         .score =
                             [](float s, const position& at) {
                               return s + float(at.row % 5) - float(at.slot % 3);
                             }},
               x, n, 32);
}

TEST_CASE("A bias by place is that of every pair") {
  // Many heads of a group share room for the numbers of one; maps so large that a task has patches
  // of more forms than one.
  for (const index heads : {1, 4, 40}) {
    const auto table = random<float>({1, heads, 81, 1}, 4);
    const index high = heads == 40 ? 12 : 40, wide = heads == 40 ? 14 : 36;
    const neighborhood<2> m{{high, wide}, {5, 4}, {2, 3}};
    const sizes x{.b = 3, .h = heads, .kv = 1, .d = 3, .dv = 2};
    check<float>(attention{.mask = m, .score = softcap{9} | image_bias{table.in(), wide, 5}}, x,
                 m.tokens());
    check<float>(attention{.mask = remainders{13, 60}, .score = image_bias{table.in(), 6, 5}}, x,
                 60);
  }
}

TEST_CASE("Operands of any stride") {
  // [L][H][D + 1] in memory, rows 512 bytes and more apart, channels two apart.
  const neighborhood<2> m{{8, 9}, {3, 4}, {2, 2}};
  const index n = m.tokens();
  const auto q = random<float>({1, n, 2, 33}, 1), k = random<float>({1, n, 3, 64}, 2),
             v = random<float>({1, n, 2, 130}, 3);
  auto out = unwritten<float>({1, n, 2, 40});
  auto exact = unwritten<double>({1, 2, n, 32});
  const extents e{1, 2, n, 32};
  const view<const float> qs{q.data.data(), e, {0, 33, 66, 1}},
      ks{k.data.data(), e, {0, 64, 192, 1}}, vs{v.data.data(), e, {0, 130, 260, 2}};
  const view<float> os{out.data.data(), e, {0, 40, 80, 1}};
  const attention spec{.mask = m};
  attend(spec, qs, ks, vs, os);
  reference::attend(spec, qs, ks, vs, exact.in());
  for (index h = 0; h < 2; ++h)
    for (index i = 0; i < n; ++i)
      for (index c = 0; c < 32; ++c)
        REQUIRE(std::abs(double(os(0, h, i, c)) - exact(0, h, i, c)) < 1e-5);
}

TEST_CASE("What a lane does not see does not leak") {
  const neighborhood<2> m{{12, 12}, {5, 4}, {2, 3}, {1, 2}, {true, false}};
  const index n = m.tokens();
  const attention spec{.mask = m};
  const auto q = random<float>({1, 1, n, 8}, 1), k = random<float>({1, 1, n, 8}, 2),
             v = random<float>({1, 1, n, 5}, 3);
  auto want = unwritten<float>({1, 1, n, 5}), got = want;
  attend(spec, q.in(), k.in(), v.in(), want.in());
  for (const index bad : {index{0}, index{77}, n - 1})
    for (const float with :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      auto dirty_k = k, dirty_v = v;
      for (index c = 0; c < 5; ++c) dirty_k(0, 0, bad, c) = dirty_v(0, 0, bad, c) = with;
      attend(spec, q.in(), dirty_k.in(), dirty_v.in(), got.in());
      index seen = 0;
      for (index i = 0; i < n; ++i) {
        const bool sees = m({.q = i, .k = bad});
        seen += sees;
        for (index c = 0; c < 5; ++c)
          if (sees)
            CHECK_FALSE(std::isfinite(got(0, 0, i, c)));
          else
            CHECK(got(0, 0, i, c) == want(0, 0, i, c));
      }
      CHECK(seen > 0);
    }
}

TEST_CASE("A query whose keys are all taken away gives zeros") {
  const neighborhood<2> m{{6, 6}, {3, 3}, {2, 2}};
  auto b = tensor<float>({1, 1, 36, 36}, 0);
  for (index j = 0; j < 36; ++j) b(0, 0, 14, j) = -std::numeric_limits<float>::infinity();
  const auto x = random<float>({1, 1, 36, 4}, 1);
  auto out = unwritten<float>({1, 1, 36, 4}), lse = unwritten<float>({1, 1, 36, 1});
  attend(attention{.mask = m, .score = bias{b.in()}}, x.in(), x.in(), x.in(),
         outputs{.out = out.in(), .lse = lse.in()});
  for (index i = 0; i < 36; ++i) {
    CHECK((lse(0, 0, i) == -std::numeric_limits<float>::infinity()) == (i == 14));
    for (index c = 0; c < 4; ++c) CHECK((out(0, 0, i, c) == 0) == (i == 14));
  }
}

}  // namespace heed::test
