// SPDX-License-Identifier: BSL-1.0
// attend_lists and the selectors of tokens that feed it, against the references.
#include <heed/eigen.hpp>
#include <heed/mask/where.hpp>
#include <heed/position/rope.hpp>

#include "support/lists.hpp"
#include "support/operands.hpp"

using namespace heed::test;
using heed::attention;
using heed::causal;
using heed::gathered;
using heed::overlap;
using heed::row_selection;

namespace {

template <class T> void agree_lists(overlap merge, bool gated) {
  heed::list_workspace scratch;
  for (const list_shape& s : list_shapes()) {
    const auto q = random<T>({s.b, s.h, s.lq, s.d}, 1), k = random<T>({s.b, s.kv, s.lk, s.d}, 2),
               v = random<T>({s.b, s.kv, s.lk, s.dv}, 3), r = random<T>({s.b, s.h, s.lq, 1}, 4);
    const row_selection chosen = random_lists(s, 5);
    const auto lists = chosen.lists();
    gathered g{lists, merge, {}};
    if (gated) g.gate = r.in();
    auto out = unwritten<T>({s.b, s.h, s.lq, s.dv}), again = out;
    attend_lists(g, attention{.mask = causal{}}, q.in(), k.in(), v.in(), out.in(), {}, &scratch);
    attend_lists(g, attention{.mask = causal{}}, q.in(), k.in(), v.in(), again.in(), backwards{});
    CHECK(std::equal(out.data.begin(), out.data.end(), again.data.begin(),
                     [](T x, T y) { return double(x) == double(y); }));
    const auto mask = heed::reference::mask::causal(s.lq, s.lk);
    for (heed::index b = 0; b < s.b; ++b)
      for (heed::index h = 0; h < s.h; ++h) {
        const heed::index kv = h / (s.h / s.kv);
        const Eigen::VectorXd gate =
            gated ? Eigen::VectorXd(r.head(b, h).col(0)) : Eigen::VectorXd::Ones(s.lq);
        // Scores of deviation 1, sums of up to five lists, gates and values of up to 4.
        check_close(
            out.head(b, h),
            by_lists(lists, merge, gate, q.head(b, h), k.head(b, kv), v.head(b, kv), b, h, mask),
            tolerance<T>(16, std::max(s.lk, s.d), gated ? 4 : 1),
            std::to_string(s.lq) + " x " + std::to_string(s.lk));
      }
  }
}

const std::vector<int> everyone{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
const std::vector<heed::index> whole{0, 11};

}  // namespace

TEST_CASE("lists of rows are attended one by one and added up") {
  agree_lists<double>(overlap::mean, false);
  agree_lists<double>(overlap::sum, true);
  agree_lists<float>(overlap::mean, true);
  agree_lists<float>(overlap::sum, false);
}

TEST_CASE("lists with other element types and strides") {
  engine random(3);
  const heed::row_lists all{whole, everyone, whole, everyone};
  const layout any{.permuted = true, .strided_channels = true, .reversed = true};
  const auto q = input<float>({2, 2, 11, 6}, any, random),
             k = input<float>({2, 1, 11, 6}, any, random),
             v = input<float>({2, 1, 11, 5}, any, random);
  auto out = output<float>({2, 2, 11, 5}, any, random);
  auto dense = unwritten<float>({2, 2, 11, 5});
  attend_lists({.lists = all}, attention{.mask = causal{}}, q.read(), k.read(), v.read(),
               out.mutable_view());
  attend(attention{.mask = causal{}}, q.read(), k.read(), v.read(), dense.in());
  for (heed::index b = 0; b < 2; ++b)
    for (heed::index h = 0; h < 2; ++h)
      for (heed::index l = 0; l < 11; ++l)
        for (heed::index d = 0; d < 5; ++d)
          CHECK(out.mutable_view()(b, h, l, d) == Approx(dense(b, h, l, d)).margin(1e-6));
  CHECK(rest_untouched(out));

  const auto half = heed::test::random<Eigen::half>({1, 1, 11, 4}, 6);
  auto short_out = unwritten<Eigen::bfloat16>({1, 1, 11, 4});
  attend_lists({.lists = all}, attention{}, half.in(), half.in(), half.in(), short_out.in());
  const auto x = half.head(0, 0);
  const heed::reference::allowed none_hidden = heed::reference::allowed::Constant(11, 11, true);
  check_close(short_out.head(0, 0),
              by_lists(all, overlap::mean, Eigen::VectorXd::Ones(11), x, x, x, 0, 0, none_hidden),
              3 * 0x1p-9);  // half an ulp of bfloat16 below 4, and rounding of floats
}

TEST_CASE("transforms and masks see the positions of the text") {
  const auto q = random<double>({1, 2, 11, 4}, 1), v = random<double>({1, 2, 11, 3}, 2);
  const std::vector<int> some{1, 4, 5, 9};
  const std::vector<heed::index> ends{0, 4};
  const heed::rope turn{heed::rotations::plain(4, 100)};
  const attention spec{
      .mask = causal{.shift = -1}, .query = turn, .key = heed::layer_norm{} | turn};
  auto out = unwritten<double>({1, 2, 11, 3}), dense = out;
  attend_lists({.lists = {ends, some, ends, some}}, spec, q.in(), q.in(), v.in(), out.in());
  const auto listed = [&](heed::index i) { return std::count(some.begin(), some.end(), i) > 0; };
  const auto pairs = heed::where(
      [&](const heed::position& at) { return listed(at.row) && listed(at.slot) && at.k < at.q; });
  attend(attention{.mask = pairs, .query = spec.query, .key = spec.key}, q.in(), q.in(), v.in(),
         dense.in());
  for (heed::index h = 0; h < 2; ++h) check_close(out.head(0, h), dense.head(0, h), 1e-14);
}

TEST_CASE("routing") {
  for (const heed::index width : {1, 3, 13, 40}) {
    const auto q = random<double>({2, 2, 13, 5}, 1), k = random<double>({2, 2, 13, 5}, 2),
               v = random<double>({2, 2, 13, 4}, 3), mu = random<double>({1, 2, 5, 5}, 4);
    auto out = unwritten<double>(v.extent);
    for (const bool shared : {true, false}) {
      const auto keys = shared ? q : k;
      const auto chosen = shared ? route(heed::routing{width}, q.in(), q.in(), mu.in(), backwards{})
                                 : route(heed::routing{width}, q.in(), keys.in(), mu.in());
      CHECK(chosen.shared == shared);
      attend_lists({.lists = chosen.lists()}, heed::routed_attention(), q.in(), keys.in(), v.in(),
                   out.in());
      for (heed::index b = 0; b < 2; ++b)
        for (heed::index h = 0; h < 2; ++h)
          check_close(out.head(b, h),
                      heed::reference::select::routing(q.head(b, h), keys.head(b, h), v.head(b, h),
                                                       mu.head(0, h), width,
                                                       heed::reference::mask::causal(13, 13)),
                      1e-13);
    }
    auto moved = mu, together = mu;
    update_centroids(heed::routing{.decay = 0.75}, q.in(), k.in(), moved.in());
    update_centroids(heed::routing{.decay = 0.75}, q.in(), k.in(), together.in(), backwards{});
    CHECK(moved.data == together.data);
    for (heed::index h = 0; h < 2; ++h)
      check_close(
          moved.head(0, h),
          heed::reference::select::moved_centroids(
              mu.head(0, h), {q.head(0, h), k.head(0, h), q.head(1, h), k.head(1, h)}, 0.75),
          1e-13);
  }
}

TEST_CASE("expert choice") {
  for (const heed::index count : {1, 4, 9, 20})
    for (const bool first : {false, true}) {
      const auto q = random<float>({2, 3, 9, 5}, 1), k = random<float>({2, 3, 9, 5}, 2),
                 v = random<float>({2, 3, 9, 4}, 3);
      auto r = uniform<float>({2, 3, 9, 1}, 4);
      r(0, 0, 3) = r(0, 0, 5);  // a tie
      auto out = unwritten<float>(v.extent);
      const auto chosen = choose_tokens(heed::expert_choice{count, first}, r.in(), backwards{});
      attend_lists({chosen.lists(), overlap::sum, r.in()}, attention{.mask = causal{}}, q.in(),
                   k.in(), v.in(), out.in());
      for (heed::index b = 0; b < 2; ++b)
        for (heed::index h = 0; h < 3; ++h)
          check_close(out.head(b, h),
                      heed::reference::select::expert_choice(
                          q.head(b, h), k.head(b, h), v.head(b, h), r.head(b, h).col(0), count,
                          first, heed::reference::mask::causal(9, 9)),
                      tolerance<float>(16, 9));
    }
}

TEST_CASE("regions of an image") {
  for (const heed::index top : {1, 3, 6, 9}) {
    const heed::biformer spec{{6, 6}, {2, 3}, top};
    const auto q = random<double>({2, 2, 36, 5}, 1), k = random<double>({2, 2, 36, 5}, 2),
               v = random<double>({2, 2, 36, 4}, 3);
    const auto near = choose_regions(spec, q.in(), k.in(), backwards{});
    const auto tokens = region_tokens(spec, near);
    auto out = unwritten<double>(v.extent);
    attend_lists({.lists = tokens.lists()}, attention{}, q.in(), k.in(), v.in(), out.in());
    const auto of = heed::reference::select::regions(6, 6, 2, 3);
    for (heed::index b = 0; b < 2; ++b) {
      const auto wide = [&](const auto& x) {
        Eigen::MatrixXd all(36, 10);
        all << x.head(b, 0), x.head(b, 1);
        return all;
      };
      const auto expected = heed::reference::select::routed_regions(wide(q), wide(k), of, 6, top);
      for (heed::index h = 0; h < 2; ++h)
        check_close(out.head(b, h),
                    heed::reference::select::biformer(q.head(b, h), k.head(b, h), v.head(b, h), of,
                                                      expected),
                    1e-13);
    }
  }
}

TEST_CASE("everything chosen is dense attention") {
  const auto x = random<float>({1, 2, 30, 8}, 1);
  const auto ones = tensor<float>({1, 2, 30, 1}, 1);
  auto out = unwritten<float>(x.extent), dense = out;
  attend(attention{.mask = causal{}}, x.in(), x.in(), x.in(), dense.in());
  const auto chosen = choose_tokens(heed::expert_choice{30}, ones.in());
  attend_lists({chosen.lists(), overlap::sum, ones.in()}, attention{.mask = causal{}}, x.in(),
               x.in(), x.in(), out.in());
  for (heed::index h = 0; h < 2; ++h)
    check_close(out.head(0, h), dense.head(0, h), tolerance<float>(8, 30));

  attend(heed::routed_attention(), x.in(), x.in(), x.in(), dense.in());
  const auto mu = random<float>({1, 2, 3, 8}, 2);
  const auto routed = route(heed::routing{30}, x.in(), x.in(), mu.in());
  attend_lists({.lists = routed.lists()}, heed::routed_attention(), x.in(), x.in(), x.in(),
               out.in());
  for (heed::index h = 0; h < 2; ++h)
    check_close(out.head(0, h), dense.head(0, h), tolerance<float>(8, 30));

  const heed::biformer spec{{5, 6}, {5, 2}, 10};
  const auto tokens = region_tokens(spec, choose_regions(spec, x.in(), x.in()));
  attend(attention{}, x.in(), x.in(), x.in(), dense.in());
  attend_lists({.lists = tokens.lists()}, attention{}, x.in(), x.in(), x.in(), out.in());
  for (heed::index h = 0; h < 2; ++h)
    check_close(out.head(0, h), dense.head(0, h), tolerance<float>(8, 30));
}

TEST_CASE("ties go to the lower number, and NaN is never chosen") {
  const auto same = tensor<float>({1, 1, 6, 4}, 0);
  const auto mu = random<float>({1, 1, 2, 4}, 2);
  CHECK(route(heed::routing{2}, same.in(), same.in(), mu.in()).queries ==
        std::vector<int>{0, 1, 0, 1});
  auto r = tensor<float>({1, 2, 4, 1}, 1);
  r(0, 0, 1) = r(0, 0, 2) = NAN;
  const auto chosen = choose_tokens(heed::expert_choice{3}, r.in());
  CHECK(chosen.queries == std::vector<int>{0, 3, 0, 1, 2});
  CHECK(chosen.query_offsets == std::vector<heed::index>{0, 2, 5});
  const heed::biformer spec{{2, 3}, {1, 3}, 2};
  CHECK(choose_regions(spec, same.in(), same.in()).blocks == std::vector<int>{0, 1, 0, 1, 0, 1});
}

TEST_CASE("a token without a list gives zeros, whatever its gate") {
  const auto x = random<float>({1, 1, 5, 3}, 1);
  auto r = uniform<float>({1, 1, 5, 1}, 2);
  r(0, 0, 3) = NAN;
  auto out = unwritten<float>(x.extent);
  const auto chosen = choose_tokens(heed::expert_choice{5}, r.in());
  attend_lists({chosen.lists(), overlap::sum, r.in()}, attention{}, x.in(), x.in(), x.in(),
               out.in());
  CHECK(out.head(0, 0).row(3) == Eigen::RowVectorXd::Zero(3));
  CHECK(out.head(0, 0).allFinite());
}

// Lists of 200 rows of 3 · 500 channels: a wave holds one of them.
TEST_CASE("waves of lists are attended one after another") {
  const auto x = random<float>({1, 2, 200, 500}, 1);
  auto out = unwritten<float>(x.extent), dense = out;
  std::vector<int> rows;
  for (int copy = 0; copy < 3; ++copy)
    for (int i = 0; i < 200; ++i) rows.push_back(i);
  const std::vector<heed::index> ends{0, 200, 400, 600};
  attend_lists({.lists = {ends, rows, ends, rows}}, attention{.mask = causal{}}, x.in(), x.in(),
               x.in(), out.in());
  attend(attention{.mask = causal{}}, x.in(), x.in(), x.in(), dense.in());
  for (heed::index h = 0; h < 2; ++h)
    check_close(out.head(0, h), dense.head(0, h), tolerance<float>(8, 500));
}

TEST_CASE("lists that do not fit are refused before anything is written") {
  const auto x = random<float>({1, 2, 11, 4}, 1);
  auto out = unwritten<float>(x.extent);
  const auto refused = [&](const heed::row_lists& lists, const heed::operand& gate,
                           const std::string& text) {
    CHECK_THROWS_WITH(
        attend_lists({lists, overlap::sum, gate}, attention{}, x.in(), x.in(), x.in(), out.in()),
        Catch::Contains(text));
    CHECK(std::isnan(out.data[0]));
  };
  const std::vector<int> twice{0, 2, 2}, beyond{0, 11}, two{0, 1};
  const std::vector<heed::index> three{0, 3}, ends{0, 2}, falling{0, 3, 2}, late{1, 2};
  refused({three, twice, three, twice}, {}, "list 0 of queries must ascend");
  refused({ends, two, ends, beyond}, {}, "list 0 of keys must ascend without repeats within 11");
  refused({falling, two, falling, two}, {}, "offsets must not decrease");
  refused({late, two, ends, two}, {}, "must go from 0");
  refused({ends, two, falling, two}, {}, "as many lists");
  refused({ends, two, ends, two, 2, 1}, {}, "1 or all items");
  refused({ends, two, ends, two, 1, 2}, {}, "as many lists");
  refused({ends, two, ends, two}, x.in(), "the gate must be");
  const auto mu = random<float>({1, 2, 3, 4}, 2);
  CHECK_THROWS_WITH(route(heed::routing{0}, x.in(), x.in(), mu.in()), Catch::Contains("width"));
  CHECK_THROWS_WITH(route(heed::routing{2}, x.in(), x.in(), x.in().slice_channels(0, 2)),
                    Catch::Contains("[1,H,C,D]"));
  CHECK_THROWS_WITH(choose_tokens(heed::expert_choice{0}, mu.in()), Catch::Contains("count"));
  CHECK_THROWS_WITH(choose_tokens(heed::expert_choice{1}, mu.in()), Catch::Contains("[B,E,L,1]"));
  CHECK_THROWS_WITH(choose_regions(heed::biformer{{11, 1}, {2, 1}, 1}, x.in(), x.in()),
                    Catch::Contains("no 2 equal regions"));
  const heed::view<const float> absent(nullptr, x.extent), unrated(nullptr, {1, 2, 11, 1});
  const auto null = Catch::Contains("must not be null");
  CHECK_THROWS_WITH(route(heed::routing{2}, x.in(), absent, mu.in()), null);
  CHECK_THROWS_WITH(update_centroids(heed::routing{2}, absent, x.in(), out.in()), null);
  CHECK_THROWS_WITH(choose_tokens(heed::expert_choice{1}, unrated), null);
  CHECK_THROWS_WITH(choose_regions(heed::biformer{{11, 1}, {11, 1}, 1}, absent, absent), null);
  constexpr heed::index half = heed::index{1} << 32;
  CHECK_THROWS_WITH(choose_regions(heed::biformer{{half, half}, {1, 1}, 1}, x.in().slice_rows(0, 0),
                                   x.in().slice_rows(0, 0)),
                    Catch::Contains("too large"));
}

TEST_CASE("an empty batch and no heads have lists of nothing") {
  for (const heed::extents e : {heed::extents{0, 2, 7, 4}, {2, 0, 7, 4}}) {
    const auto x = random<float>(e, 1), r = random<float>({e[0], e[1], e[2], 1}, 2);
    auto out = unwritten<float>(e);
    const auto chosen = choose_tokens(heed::expert_choice{.count = 2}, r.in());
    CHECK_NOTHROW(attend_lists(gathered{.lists = chosen.lists()}, attention{}, x.in(), x.in(),
                               x.in(), out.in()));
  }
}
