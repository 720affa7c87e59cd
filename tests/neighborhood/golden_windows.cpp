// SPDX-License-Identifier: BSL-1.0
// Windows, lines and crosses of grids against NumPy (tests/golden/neighborhood_windows), in float
// and in double.
#include <heed/neighborhood/axial.hpp>
#include <heed/neighborhood/criss_cross.hpp>
#include <heed/neighborhood/relative_position_bias.hpp>
#include <heed/neighborhood/shifted_window.hpp>
#include <heed/similarity/cosine.hpp>

#include "support/exact.hpp"
#include "support/golden.hpp"

namespace heed::test {
namespace {

template <class T> tensor<T> tensor_of(const golden_tensor& x) {
  tensor<T> y({x.shape.at(0), x.shape.at(1), x.shape.at(2), x.shape.at(3)});
  std::transform(x.data.begin(), x.data.end(), y.data.begin(), [](double e) { return T(e); });
  return y;
}

template <int N> std::array<index, N> sizes(const golden_case& c, const char* name) {
  const auto list = c[name].integers();
  REQUIRE(list.size() == N);
  std::array<index, N> x{};
  std::copy(list.begin(), list.end(), x.begin());
  return x;
}

/// `call(q, k, v, outputs)` gives the case's out and lse; scores and values are below 10, those of
/// version 2 below 116.
template <class T, class Call> void check(const golden_case& c, Call call) {
  const auto q = tensor_of<T>(c["q"]), k = tensor_of<T>(c["k"]), v = tensor_of<T>(c["v"]);
  auto out = unwritten<T>(tensor_of<T>(c["out"]).extent),
       lse = unwritten<T>(tensor_of<T>(c["lse"]).extent);
  call(q.in(), k.in(), v.in(), outputs{.out = out.in(), .lse = lse.in()});
  const double allowed = tolerance<T>(8, q.extent[3], c.has("logit") ? 116 : 10);
  for (index b = 0; b < q.extent[0]; ++b)
    for (index h = 0; h < q.extent[1]; ++h) {
      const index n = b * q.extent[1] + h;
      check_close(out.head(b, h), c["out"].matrix(n), allowed, c.name + " out");
      check_close(lse.head(b, h), c["lse"].matrix(n), allowed, c.name + " lse");
    }
}

template <class T, int N> void check_swin(const golden_case& c) {
  const shifted_window<N> m{sizes<N>(c, "size"), sizes<N>(c, "window"), sizes<N>(c, "shift")};
  const tensor<T> table = tensor_of<T>(c["table"]);
  view<const T> backwards = table.in();  // from q - k to k - q
  backwards.data += backwards.extent[2] - 1;
  backwards.stride[2] = -1;
  const relative_position_bias<N> bias{backwards, m.size, m.window};
  const auto run = [&](const auto& spec) {
    check<T>(c, [&](const auto&... x) { attend(spec, x...); });
  };
  if (!c.has("logit")) return run(attention{.mask = m, .score = bias});
  if constexpr (N == 2) {
    std::vector<double> beta;
    for (const double t : c["logit"].data) beta.push_back(cosine::swin(t));
    run(attention{.mask = m, .similarity = cosine{beta}, .score = bias});
  }
}

template <class T, int N> void check_axial(const golden_case& c) {
  const axial<N> a{sizes<N>(c, "size"), int(c["along"].scalar())};
  check<T>(c, [&](const auto&... x) { attend_along(a, attention{}, x...); });
}

template <class T> void check_case(const golden_case& c) {
  const std::string kind = c.name.substr(0, c.name.find('/'));
  const std::size_t axes = c["size"].data.size();
  if (kind == "swin")
    axes == 1 ? check_swin<T, 1>(c) : axes == 2 ? check_swin<T, 2>(c) : check_swin<T, 3>(c);
  else if (kind == "axial")
    axes == 2 ? check_axial<T, 2>(c) : check_axial<T, 3>(c);
  else if (kind == "criss_cross")
    check<T>(c, [&](const auto&... x) {
      attend(attention{.mask = criss_cross<2>{sizes<2>(c, "size")}}, x...);
    });
  else
    FAIL("unknown case " << c.name);
}

}  // namespace

TEST_CASE("golden windows, lines and crosses") {
  int seen = 0;
  for (const golden_case& c : golden_cases(golden_folder("neighborhood_windows"))) {
    check_case<float>(c);
    check_case<double>(c);
    ++seen;
  }
  CHECK(seen == 14);
}

}  // namespace heed::test
