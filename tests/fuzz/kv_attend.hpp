// SPDX-License-Identifier: BSL-1.0
// A random call on a random cache, against the reference on what a model says the cache holds.
#pragma once

#include <heed/attention/attend_source.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/score/alibi.hpp>
#include <heed/score/softcap.hpp>

#include "fuzz/kv_rows.hpp"
#include "support/cached_reference.hpp"
#include "support/exact.hpp"

namespace heed::fuzz {

// Heads of a model as a source, in double.
struct model_source {
  std::vector<std::vector<reference::kv::head>> all;  // [B][Hkv]
  std::vector<index> ends;
  index head_count, key_depth, values;

  index batch() const { return static_cast<index>(all.size()); }
  index heads() const { return head_count; }
  index depth() const { return key_depth; }
  index value_depth() const { return values; }
  index length(index b) const {
    return all[std::size_t(b)].empty() ? 0 : index(of(b, 0).positions.size());
  }
  index end(index b) const { return ends[std::size_t(b)]; }
  const index* places(index b, index h) const {
    return length(b) > 0 ? of(b, h).positions.data() : nullptr;
  }
  kv_run run(index b, index h, index t) const {
    return {rows(of(b, h).k, t), rows(of(b, h).v, t), length(b) - t};
  }
  // Whether no number is beyond what bounds are made for; NaN stays NaN.
  bool ordinary() const {
    return each([](const Eigen::MatrixXd& x) { return !(x.array().abs() > 2).any(); });
  }
  bool finite() const {
    return each([](const Eigen::MatrixXd& x) { return x.allFinite(); });
  }

 private:
  template <class F> bool each(const F& holds) const {
    for (const auto& sequence : all)
      for (const auto& h : sequence)
        if (!holds(h.k) || !holds(h.v)) return false;
    return true;
  }
  const reference::kv::head& of(index b, index h) const {
    return all[std::size_t(b)][std::size_t(h)];
  }
  static stored_rows rows(const Eigen::MatrixXd& x, index t) {
    return {.data = reinterpret_cast<const unsigned char*>(x.data() + t),
            .type = kv_type::f64,
            .stride = 8,
            .step = x.rows()};
  }
};

// Numbers are within [-1, 1]. Where codes are multiplied, see kv/quantized.hpp: u √D a score twice
// over, and u a code of 64 for weights that sum to 1.
inline double attend_error(const kv_formats& f, index depth, index length) {
  const double codes = f.k.type == kv_type::i8 || f.v.type == kv_type::i8
                           ? 0x1.1p-16 * (4 * std::sqrt(double(depth)) + 64)
                           : 0;
  return test::tolerance<float>(4, std::max(depth, length), 1) + codes;
}

// `want`: what the cache is to hold.
inline void attend_to(const kv_ref& cache, const kv_ref& want, const kv_formats& formats,
                      bool finite, engine& random) {
  const index heads = cache.heads() * between(random, 1, 3), queries = between(random, 1, 12);
  test::tensor<float> q({cache.batch(), heads, queries, cache.depth()}),
      out({cache.batch(), heads, queries, cache.value_depth()}),
      lse({cache.batch(), heads, queries, 1});
  for (float& x : q.data) x = float(uniform(random, -1, 1));
  const auto call = [&](const auto& spec) {
    attend(spec, q.in(), cache, outputs{.out = out.in(), .lse = lse.in()});
    const auto expected = test::reference_on(spec, q.in(), want);
    const double allowed = attend_error(formats, cache.depth(), cache.longest());
    for (index b = 0; b < cache.batch(); ++b)
      for (index h = 0; h < heads; ++h) {
        INFO("sequence " << b << " with " << cache.length(b) << " tokens, head " << h << " of "
                         << heads << ", " << queries << " queries, off by "
                         << (out.head(b, h) - expected.out.head(b, h)).cwiseAbs().sum() << " and "
                         << (lse.head(b, h) - expected.lse.head(b, h)).cwiseAbs().sum()
                         << " in all, allowed " << allowed);
        REQUIRE(test::near(out.head(b, h), expected.out.head(b, h), allowed));
        // A row that sees NaN alone is NaN; its lse may be that of an empty row.
        if (finite) REQUIRE(test::near(lse.head(b, h), expected.lse.head(b, h), allowed));
      }
  };
  std::vector<float> numbers;
  for (index h = 0; h < heads; ++h) numbers.push_back(float(uniform(random, 0, 0.2)));
  const index which = between(random, 0, 3);
  INFO("spec " << which);
  switch (which) {
    case 0:
      return call(attention{.mask = causal{}});
    case 1:
      return call(attention{.mask = causal{} && (window{between(random, 0, 40)} || first_keys{2})});
    case 2:
      return call(attention{.mask = causal{}, .score = softcap{2} | alibi{numbers}});
    default:
      return call(attention{.mask = causal{}, .normalizer = sink_softmax{numbers}});
  }
}

}  // namespace heed::fuzz
