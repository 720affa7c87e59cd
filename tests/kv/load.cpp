// SPDX-License-Identifier: BSL-1.0
// Rows of codes against the definition, code by code, in heap memory of exactly their size.
#include <heed/kv/load.hpp>

#include "simd/buffer.hpp"
#include "support/catch.hpp"

using namespace heed::test;
using heed::kv_type;

TEMPLATE_TEST_CASE("load_stored: codes with scales of groups", "", float, double) {
  std::mt19937 generator(3);
  for (const kv_type type : {kv_type::i8, kv_type::i4})
    for (const heed::index channels : {1, 2, 7, 16, 33, 64, 97, 128, 200})
      for (const heed::index group : {1, 2, 16, 40, 64, 100, 256})
        for (const bool with_zeros : {false, true}) {
          const auto bytes = static_cast<std::size_t>(heed::bytes_of(type, channels));
          std::vector<unsigned char> data(bytes);
          for (auto& b : data) b = static_cast<unsigned char>(generator());
          const heed::index groups = (channels + group - 1) / group;
          const auto scales = matrix<float>::random(1, groups, groups),
                     zeros = matrix<float>::random(1, groups, groups);
          heed::stored_rows rows{.data = data.data(), .type = type, .stride = heed::index(bytes)};
          rows.scales = scales.begin(), rows.zeros = with_zeros ? zeros.begin() : nullptr;
          rows.group = group, rows.scale_stride = groups;
          std::vector<TestType> out(static_cast<std::size_t>(channels));
          heed::load_stored(rows, 0, channels, out.data());
          for (heed::index c = 0; c < channels; ++c) {
            const double want = double(scales(0, c / group)) * heed::code_of(type, data.data(), c) +
                                (with_zeros ? double(zeros(0, c / group)) : 0.0);
            INFO("type " << int(type) << ", channel " << c << " of " << channels << ", group "
                         << group);
            // Of the product and of the sum; the product is below 128.
            REQUIRE(std::abs(double(out[static_cast<std::size_t>(c)]) - want) <=
                    2 * 128 * double(std::numeric_limits<TestType>::epsilon()));
          }
        }
}
