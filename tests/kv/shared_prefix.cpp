// SPDX-License-Identifier: BSL-1.0
// Sequences behind a shared prefix, against the oracle on prefix and own tokens joined.
#include <heed/core/check.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/lengths.hpp>
#include <heed/mask/window.hpp>

#include "support/shared_prefix.hpp"

using namespace heed::test;
using heed::attention;

namespace {

// Own tokens of each sequence, of different lengths.
struct ragged {
  const tensor<double>&k, &v;
  std::vector<heed::index> lengths;
  bool gaps = false, broken = false;

  heed::index batch() const { return k.extent[0]; }
  heed::index heads() const { return k.extent[1]; }
  heed::index depth() const { return k.extent[3]; }
  heed::index value_depth() const { return v.extent[3]; }
  heed::index length(heed::index b) const { return lengths[std::size_t(b)]; }
  heed::index end(heed::index b) const { return lengths[std::size_t(b)]; }
  heed::kv_run run(heed::index b, heed::index h, heed::index t) const {
    const heed::operand keys = k.in(), values = v.in();
    heed::kv_run r = heed::kv_tensors{keys, values}.run(b, h, t);
    r.count = length(b) - t;
    return r;
  }
  const heed::index* places(heed::index, heed::index) const {
    return gaps ? lengths.data() : nullptr;
  }
  void check() const {
    if (broken) heed::check::fail("ragged", "is broken");
  }
};

struct backwards {
  heed::index workers() const { return 1; }
  template <class F> void for_each(heed::index n, F&& f) const {
    while (n-- > 0) f(n, heed::index{0});
  }
};

}  // namespace

TEMPLATE_TEST_CASE("a shared prefix is a prefix of each sequence", "", float, double) {
  for (const prefix_sizes& x : prefix_sizes_to_test()) {
    const prefix_model<TestType> m(x);
    m.check(attention{});
    m.check(attention{.mask = heed::causal{}});
  }
}

TEST_CASE("queries in other orders of memory, and other results") {
  const prefix_sizes x{3, 2, 1, 4, 50, 6, 4, 3};
  const prefix_model<float> m(x);
  auto want = unwritten<float>(m.out()), half = want;
  const attention spec{.mask = heed::causal{}};
  heed::attend_shared_prefix(spec, m.q.in(), m.pk.in(), m.pv.in(), m.k.in(), m.v.in(),
                             {.out = want.in()});
  std::vector<float> turned(m.q.data.size());
  // [B,L,H,D], folded as it stands; [L,B,H,D], copied.
  for (const heed::extents& stride : {heed::extents{32, 4, 8, 1}, {8, 4, 24, 1}}) {
    const heed::view<float> q(turned.data(), m.q.extent, stride);
    for (heed::index b = 0; b < 3; ++b)
      for (heed::index h = 0; h < 2; ++h)
        for (heed::index l = 0; l < 4; ++l)
          for (heed::index d = 0; d < 4; ++d) q(b, h, l, d) = m.q.in()(b, h, l, d);
    heed::attend_shared_prefix(spec, q, m.pk.in(), m.pv.in(), m.k.in(), m.v.in(),
                               {.out = half.in()});
    CHECK(half.data == want.data);
  }
}

TEST_CASE("sequences of different lengths behind one prefix") {
  const prefix_sizes x{4, 2, 1, 3, 30, 12, 4, 3};
  const prefix_model<double> m(x);
  const ragged own{m.k, m.v, {12, 3, 0, 7}};
  const attention spec{.mask = heed::causal{} && heed::window{.left = 20}};
  auto got = unwritten<double>(m.out());
  const heed::operand pk = m.pk.in(), pv = m.pv.in();
  heed::attend_shared_prefix(spec, m.q.in(), heed::kv_tensors{pk, pv}, own, {.out = got.in()});
  for (heed::index b = 0; b < x.b; ++b) {
    const auto one = [&](const tensor<double>& t, heed::index rows) {
      tensor<double> part({1, t.extent[1], rows, t.extent[3]});
      for (heed::index h = 0; h < t.extent[1]; ++h)
        for (heed::index l = 0; l < rows; ++l)
          for (heed::index d = 0; d < t.extent[3]; ++d) part(0, h, l, d) = t.in()(b, h, l, d);
      return part;
    };
    const heed::index n = own.length(b);
    const auto q = one(m.q, x.lq), k = prefix_model<double>::joined(m.pk, one(m.k, n)),
               v = prefix_model<double>::joined(m.pv, one(m.v, n));
    auto want = unwritten<double>({1, x.h, x.lq, x.dv});
    heed::reference::attend(spec, q.in(), k.in(), v.in(), want.in());
    for (heed::index h = 0; h < x.h; ++h)
      check_close(got.head(b, h), want.head(0, h), 1e-13, std::to_string(b));
  }
}

TEST_CASE("a workspace is used again, and tasks may run in any order") {
  const prefix_model<float> m({3, 4, 2, 5, 300, 20, 8, 6});
  const attention spec{.mask = heed::causal{}};
  auto one = unwritten<float>(m.out()), two = one;
  heed::shared_prefix_workspace scratch;
  const auto call = [&](tensor<float>& out, const heed::executor_ref& threads) {
    heed::attend_shared_prefix(spec, m.q.in(), m.pk.in(), m.pv.in(), m.k.in(), m.v.in(),
                               {.out = out.in()}, threads, &scratch);
  };
  call(one, {});
  const std::size_t call_size = scratch.call.capacity(), parts = scratch.parts.capacity();
  const backwards order;
  call(two, order);
  CHECK(one.data == two.data);
  CHECK(scratch.call.capacity() == call_size);
  CHECK(scratch.parts.capacity() == parts);
}

TEST_CASE("a shared prefix refuses parts that do not fit, and writes nothing") {
  const prefix_sizes x{3, 4, 2, 2, 10, 4, 6, 5};
  const prefix_model<double> m(x);
  auto out = unwritten<double>(m.out()), lse = unwritten<double>(m.rows());
  const auto two = random<double>({2, 2, 10, 6}, 1), heads = random<double>({1, 4, 10, 6}, 1),
             wide = random<double>({1, 2, 10, 7}, 1), values = random<double>({1, 4, 10, 5}, 1),
             two_v = random<double>({2, 2, 10, 5}, 1);
  const auto refused = [&](const tensor<double>& pk, const tensor<double>& pv,
                           const tensor<double>& k, const tensor<double>& v, heed::outputs to,
                           const std::string& text) {
    CHECK_THROWS_WITH(
        heed::attend_shared_prefix(attention{}, m.q.in(), pk.in(), pv.in(), k.in(), v.in(), to),
        Catch::Matchers::ContainsSubstring("heed::attend_shared_prefix") &&
            Catch::Matchers::ContainsSubstring(text));
  };
  const heed::outputs to{.out = out.in(), .lse = lse.in()};
  refused(two, two_v, m.k, m.v, to, "the prefix must be one sequence");
  refused(heads, values, m.k, m.v, to, "the same heads");
  refused(wide, m.pv, m.k, m.v, to, "the same heads and channels");
  refused(m.pk, m.pv, two, two_v, to, "own tokens for every sequence");
  refused(m.pk, values, m.k, m.v, to, "k and v of a part");
  refused(m.pk, m.pv, m.k, m.v, {.out = lse.in()}, "out must be [B,H,Lq,Dv]");
  refused(m.pk, m.pv, m.k, m.v, {.out = out.in(), .lse = out.in()}, "lse must be [B,H,Lq]");
  const heed::operand pk = m.pk.in(), pv = m.pv.in();
  const ragged gaps{m.k, m.v, {0, 2, 3}, true};
  CHECK_THROWS_WITH(
      heed::attend_shared_prefix(attention{}, m.q.in(), heed::kv_tensors{pk, pv}, gaps, to),
      Catch::Matchers::ContainsSubstring("without gaps"));
  const ragged broken{m.k, m.v, {0, 2, 3}, false, true};
  CHECK_THROWS_WITH(
      heed::attend_shared_prefix(attention{}, m.q.in(), heed::kv_tensors{pk, pv}, broken, to),
      Catch::Matchers::ContainsSubstring("is broken"));
  const std::vector<int> keys{1, 2};
  CHECK_THROWS_WITH(heed::attend_shared_prefix(attention{.mask = heed::lengths{.keys = keys}},
                                               m.q.in(), pk, pv, m.k.in(), m.v.in(), to),
                    Catch::Matchers::ContainsSubstring("heed::lengths"));
  for (const double y : out.data) REQUIRE(std::isnan(y));
}
