// SPDX-License-Identifier: BSL-1.0
// Learned queries, two hops and agents: against the references, and gradients in double.
#include <heed/mask/causal.hpp>
#include <heed/pool/agent.hpp>
#include <heed/reference/pool/two_hop.hpp>
#include <heed/score/bias.hpp>

#include "support/differences.hpp"
#include "support/lists.hpp"

using namespace heed::test;
using heed::attention;
using heed::two_hop;
namespace oracle = heed::reference::pool;

namespace {

double dot(const tensor<double>& x, const tensor<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i) sum += x.data[i] * y.data[i];
  return sum;
}

struct hop_shape {
  heed::index b, h, kv, m, lq, lk, d, dv;
  bool shared;
};
const std::vector<hop_shape> shapes{{1, 1, 1, 1, 1, 1, 1, 1, true},
                                    {3, 4, 2, 5, 13, 29, 7, 3, true},
                                    {2, 2, 1, 17, 61, 40, 16, 33, false},
                                    {2, 2, 2, 3, 5, 300, 8, 8, true}};

template <class T> void agree() {
  for (const hop_shape& s : shapes) {
    const auto a = random<T>({s.shared ? 1 : s.b, s.h, s.m, s.d}, 1),
               q = random<T>({s.b, s.h, s.lq, s.d}, 2), k = random<T>({s.b, s.kv, s.lk, s.d}, 3),
               v = random<T>({s.b, s.kv, s.lk, s.dv}, 4);
    const auto b1 = random<T>({1, s.h, s.m, s.lk}, 5), b2 = random<T>({1, s.h, s.lq, s.m}, 6);
    auto out = unwritten<T>({s.b, s.h, s.lq, s.dv}), again = out;
    auto pooled = unwritten<T>({s.b, s.h, s.m, s.dv});
    const two_hop spec{attention{.score = heed::bias{b1.in()}},
                       attention{.score = heed::bias{b2.in()}}};
    heed::two_hop_workspace<T> scratch;
    attend_two_hop(spec, a.in(), q.in(), k.in(), v.in(), out.in(), {}, &scratch);
    attend_two_hop(spec, a.in(), q.in(), k.in(), v.in(), again.in(), backwards{});
    CHECK(out.data == again.data);
    if (s.shared) attend(attention{}, latents(a.in(), s.b), k.in(), v.in(), pooled.in());
    for (heed::index b = 0; b < s.b; ++b)
      for (heed::index h = 0; h < s.h; ++h) {
        const heed::index kv = h / (s.h / s.kv);
        const auto own = a.head(s.shared ? 0 : b, h);
        check_close(out.head(b, h),
                    oracle::two_hop(own, q.head(b, h), k.head(b, kv), v.head(b, kv), b1.head(0, h),
                                    b2.head(0, h)),
                    tolerance<T>(16, std::max(s.lk, s.d)));
        if (s.shared)
          check_close(pooled.head(b, h),
                      oracle::softmax_attention(own, k.head(b, kv), v.head(b, kv)),
                      tolerance<T>(16, std::max(s.lk, s.d)));
      }
  }
}

}  // namespace

TEST_CASE("latent queries and two hops") {
  agree<double>();
  agree<float>();
}

TEST_CASE("the gradient of latent queries is summed over the batch") {
  for (const heed::index batch : {1, 3}) {
    auto q = random<double>({1, 2, 4, 3}, 1), k = random<double>({batch, 1, 7, 3}, 2),
         v = random<double>({batch, 1, 7, 2}, 3);
    const auto g = random<double>({batch, 2, 4, 2}, 4);
    const auto loss = [&] {
      auto out = unwritten<double>(g.extent);
      attend(attention{}, latents(q.in(), batch), k.in(), v.in(), out.in());
      return dot(out, g);
    };
    auto dq = unwritten<double>(q.extent), dk = unwritten<double>(k.extent),
         dv = unwritten<double>(v.extent), again = dq;
    attend_latents_backward(attention{}, q.in(), k.in(), v.in(), {}, g.in(),
                            {.dq = dq.in(), .dk = dk.in(), .dv = dv.in()});
    attend_latents_backward(attention{}, q.in(), k.in(), v.in(), {}, g.in(), {.dq = again.in()},
                            backwards{});
    CHECK(again.data == dq.data);
    check_gradient(dq.data, differences(q.data, loss), "dq");
    check_gradient(dk.data, differences(k.data, loss), "dk");
    check_gradient(dv.data, differences(v.data, loss), "dv");
  }
}

TEST_CASE("gradients through two hops") {
  for (const bool shared : {true, false}) {
    auto a = random<double>({shared ? 1 : 2, 2, 3, 4}, 1), q = random<double>({2, 2, 5, 4}, 2),
         k = random<double>({2, 1, 7, 4}, 3), v = random<double>({2, 1, 7, 3}, 4),
         bias = random<double>({1, 2, 3, 7}, 5);
    const auto g = random<double>({2, 2, 5, 3}, 6);
    const two_hop spec{attention{.score = heed::bias{bias.in()}}, attention{.scale = 0.7}};
    const auto loss = [&] {
      auto out = unwritten<double>(g.extent);
      attend_two_hop(spec, a.in(), q.in(), k.in(), v.in(), out.in());
      return dot(out, g);
    };
    auto da = unwritten<double>(a.extent), dq = unwritten<double>(q.extent),
         dk = unwritten<double>(k.extent), dv = unwritten<double>(v.extent),
         db = unwritten<double>(bias.extent);
    attend_two_hop_backward(spec, a.in(), q.in(), k.in(), v.in(), g.in(),
                            {.da = da.in(),
                             .dq = dq.in(),
                             .dk = dk.in(),
                             .dv = dv.in(),
                             .first = {.score = {db.in()}}});
    check_gradient(da.data, differences(a.data, loss), "da");
    check_gradient(dq.data, differences(q.data, loss), "dq");
    check_gradient(dk.data, differences(k.data, loss), "dk");
    check_gradient(dv.data, differences(v.data, loss), "dv");
    check_gradient(db.data, differences(bias.data, loss), "dbias");
  }
}

TEST_CASE("agents are averages of queries") {
  const heed::pooled_regions image{{5, 7}, {2, 3}};
  auto q = random<double>({2, 2, 35, 4}, 1);
  const auto k = random<double>({2, 2, 35, 4}, 2), v = random<double>({2, 2, 35, 3}, 3),
             g = random<double>({2, 2, 35, 3}, 4);
  auto agents = unwritten<double>({2, 2, 6, 4}), out = unwritten<double>(g.extent);
  const auto forward = [&](const auto& executor) {
    pool_regions(image, q.in(), agents.in(), executor);
    attend_two_hop(two_hop{}, agents.in(), q.in(), k.in(), v.in(), out.in(), executor);
    return dot(out, g);
  };
  forward(backwards{});
  for (heed::index b = 0; b < 2; ++b)
    for (heed::index h = 0; h < 2; ++h)
      check_close(out.head(b, h),
                  oracle::two_hop(oracle::pooled(q.head(b, h), 5, 7, 2, 3), q.head(b, h),
                                  k.head(b, h), v.head(b, h)),
                  1e-13);
  auto da = unwritten<double>(agents.extent), dq = unwritten<double>(q.extent);
  attend_two_hop_backward(two_hop{}, agents.in(), q.in(), k.in(), v.in(), g.in(),
                          {.da = da.in(), .dq = dq.in()});
  spread_regions(image, da.in(), dq.in());
  check_gradient(dq.data, differences(q.data, [&] { return forward(heed::serial{}); }), "dq");
}

TEST_CASE("latents that do not fit are refused before anything is written") {
  const auto a = random<float>({2, 1, 3, 4}, 1), x = random<float>({3, 1, 5, 4}, 2);
  auto out = unwritten<float>(x.extent);
  const auto refused = [&](auto call, const std::string& text) {
    CHECK_THROWS_WITH(call(), Catch::Contains(text));
    CHECK(std::isnan(out.data[0]));
  };
  refused([&] { latents(a.in(), 3); }, "[1,H,M,D]");
  refused([&] { attend_two_hop(two_hop{}, a.in(), x.in(), x.in(), x.in(), out.in()); }, "batch");
  const auto narrow = random<float>({1, 1, 3, 3}, 3), one = random<float>({1, 1, 3, 4}, 4);
  refused([&] { attend_two_hop(two_hop{}, narrow.in(), x.in(), x.in(), x.in(), out.in()); },
          "same channels");
  refused(
      [&] {
        attend_latents_backward(attention{}, one.in(), x.in(), x.in(), {}, x.in().slice_rows(0, 3),
                                {.dq = out.in()});
      },
      "dq must");
  refused(
      [&] {
        attend_two_hop_backward(two_hop{}, one.in(), x.in(), x.in(), x.in(), x.in(),
                                {.da = out.in()});
      },
      "da must be");
  const auto b = random<float>({1, 1, 3, 5}, 5);
  const two_hop biased{attention{.score = heed::bias{b.in()}}, attention{}};
  refused(
      [&] {
        attend_two_hop_backward(biased, one.in(), x.in(), x.in(), x.in(), x.in(),
                                {.dq = out.in(), .first = {.score = {out.in()}}});
      },
      "heed::bias");
  refused([&] { pool_regions({{5, 1}, {6, 1}}, x.in(), out.in()); }, "no 6 regions");
  refused([&] { pool_regions({{5, 1}, {2, 1}}, x.in(), out.in()); }, "[B,H,regions,D]");
  const heed::view<const float> absent(nullptr, x.extent);
  refused([&] { pool_regions({{5, 1}, {5, 1}}, absent, out.in()); }, "rows must not be null");
  refused([&] { spread_regions({{5, 1}, {5, 1}}, absent, out.in()); }, "regions must not be null");
}

TEST_CASE("latent queries without latents or without items have gradients of nothing") {
  for (const auto& [batch, latent] : {std::pair<heed::index, heed::index>{0, 4}, {3, 0}, {0, 0}}) {
    const auto q = random<float>({1, 2, latent, 5}, 1), k = random<float>({batch, 1, 6, 5}, 2),
               v = random<float>({batch, 1, 6, 3}, 3),
               d_out = random<float>({batch, 2, latent, 3}, 4);
    auto out = unwritten<float>(d_out.extent), lse = unwritten<float>({batch, 2, latent, 1});
    auto dq = unwritten<float>(q.extent), dk = unwritten<float>(k.extent);
    attend(attention{}, heed::latents(q.in(), batch), k.in(), v.in(),
           {.out = out.in(), .lse = lse.in()});
    heed::attend_latents_backward(attention{}, q.in(), k.in(), v.in(),
                                  {.out = out.in(), .lse = lse.in()}, d_out.in(),
                                  {.dq = dq.in(), .dk = dk.in()});
    for (const float x : dq.data) CHECK(x == 0);
    for (const float x : dk.data) CHECK(x == 0);
  }
}
