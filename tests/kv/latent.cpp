// SPDX-License-Identifier: BSL-1.0
// Values that are channels of the keys, from tensors and from codes with scales.
#include <heed/attention/attend_source.hpp>
#include <heed/kv/latent.hpp>
#include <heed/kv/tensors.hpp>
#include <heed/mask/causal.hpp>

#include "support/exact.hpp"

using namespace heed::test;
using heed::attention;

namespace {

// int8 rows [B,1,N,D] with a scale for every `group` channels, pages of 16 tokens.
struct codes {
  heed::extents extent;
  heed::index group;
  std::vector<signed char> code;
  std::vector<float> scale;

  codes(const tensor<float>& x, heed::index g) : extent(x.extent), group(g) {
    const heed::index scales = (extent[3] + g - 1) / g;
    for (heed::index i = 0; i < extent[0] * extent[2]; ++i) {
      const float* const row = x.data.data() + i * extent[3];
      for (heed::index s = 0; s < scales; ++s) {
        float most = 1e-9f;
        for (heed::index c = s * g; c < std::min((s + 1) * g, extent[3]); ++c)
          most = std::max(most, std::abs(row[c]));
        scale.push_back(most / 127);
        for (heed::index c = s * g; c < std::min((s + 1) * g, extent[3]); ++c)
          code.push_back(static_cast<signed char>(std::lround(row[c] / scale.back())));
      }
    }
  }
  heed::index scales() const { return (extent[3] + group - 1) / group; }
  tensor<float> decoded() const {
    tensor<float> x(extent);
    for (std::size_t i = 0; i < x.data.size(); ++i) {
      const heed::index row = heed::index(i) / extent[3], c = heed::index(i) % extent[3];
      x.data[i] = scale[std::size_t(row * scales() + c / group)] * float(code[i]);
    }
    return x;
  }

  heed::index batch() const { return extent[0]; }
  heed::index heads() const { return 1; }
  heed::index depth() const { return extent[3]; }
  heed::index value_depth() const { return 0; }
  heed::index length(heed::index) const { return extent[2]; }
  heed::index end(heed::index) const { return extent[2]; }
  heed::kv_run run(heed::index b, heed::index, heed::index t) const {
    const heed::index row = b * extent[2] + t;
    const heed::stored_rows k{
        .data = reinterpret_cast<const unsigned char*>(code.data()) + row * extent[3],
        .type = heed::kv_type::i8,
        .stride = extent[3],
        .scales = scale.data() + row * scales(),
        .group = group,
        .scale_stride = scales()};
    return {k, {}, std::min<heed::index>(16 - t % 16, extent[2] - t)};
  }
};

struct twice : codes {
  using codes::codes;
  heed::index value_depth() const { return 16; }
  heed::kv_run run(heed::index b, heed::index h, heed::index t) const {
    heed::kv_run r = codes::run(b, h, t);
    r.v = r.k;
    return r;
  }
};

struct with_places : codes {
  using codes::codes;
  std::vector<heed::index> place;
  const heed::index* places(heed::index, heed::index) const { return place.data(); }
};

}  // namespace

TEST_CASE("values are the first channels of the keys") {
  for (const heed::index lq : {1, 4, 60}) {
    const auto q = random<float>({2, 3, lq, 20}, 1), rows = random<float>({2, 1, 90, 20}, 2);
    const attention spec{.mask = heed::causal{}, .scale = 0.3};
    auto out = unwritten<float>({2, 3, lq, 16}), want = out;
    const heed::operand k = rows.in();
    const heed::kv_tensors tensors{k, k};
    const heed::latent_source source(tensors, 16);
    CHECK(source.value_depth() == 16);
    heed::attend(spec, q.in(), source, out.in());
    heed::attend(spec, q.in(), rows.in(), rows.in().slice_channels(0, 16), want.in());
    for (heed::index b = 0; b < 2; ++b)
      for (heed::index h = 0; h < 3; ++h)
        check_close(out.head(b, h), want.head(b, h), tolerance<float>(8, 20));
  }
}

TEST_CASE("codes with scales are read as channels of the same rows") {
  const auto q = random<float>({2, 3, 5, 20}, 1), values = random<float>({2, 1, 90, 20}, 2);
  auto out = unwritten<float>({2, 3, 5, 16}), want = out;
  const codes groups(values, 4);
  const auto rows = groups.decoded();
  heed::attend(attention{}, q.in(), heed::latent_source(groups, 16), out.in());
  heed::attend(attention{}, q.in(), rows.in(), rows.in().slice_channels(0, 16), want.in());
  for (heed::index b = 0; b < 2; ++b)
    for (heed::index h = 0; h < 3; ++h)
      check_close(out.head(b, h), want.head(b, h), tolerance<float>(8, 20));
  // One scale a row is a path of its own, with errors of its own: the bits of a source that says it
  // all by itself.
  const twice one(values, 20);
  heed::attend(attention{}, q.in(), heed::latent_source<codes>(one, 16), out.in());
  heed::attend(attention{}, q.in(), one, want.in());
  CHECK(out.data == want.data);
}

TEST_CASE("a latent source knows what its rows know, and no more channels") {
  with_places cache(random<float>({1, 1, 3, 6}, 2), 6);
  cache.place = {0, 4, 5};
  const heed::latent_source source(cache, 4);
  CHECK(heed::kv_ref(source).places(0, 0) == cache.place.data());
  CHECK(source.length(0) == 3);
  CHECK(source.end(0) == 3);
  CHECK(source.depth() == 6);
  const codes plain(random<float>({1, 1, 3, 6}, 2), 6);
  CHECK(heed::kv_ref(heed::latent_source(plain, 6)).places(0, 0) == nullptr);
  CHECK_THROWS_WITH(heed::latent_source(plain, 7),
                    Catch::Matchers::ContainsSubstring("rank 7 of rows of 6 channels"));
  CHECK_THROWS_AS(heed::latent_source(plain, -1), std::invalid_argument);
}
