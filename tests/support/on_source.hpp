// SPDX-License-Identifier: BSL-1.0
// heed::attend on a source against the dense reference.
#pragma once

#include <heed/attention/attend_source.hpp>

#include "support/cached_reference.hpp"
#include "support/exact.hpp"

namespace heed::test {

struct source_call {
  scattered_form form;
  index group = 1, queries = 1;
};

/// Two query counts a source: one for driver `split`, one for `stream`; ragged lengths, one of them
/// 0, and every head's tokens in runs of its own.
inline std::vector<source_call> source_calls(bool positions = true) {
  std::vector<source_call> all;
  for (const index queries : {1, 3, 11}) {
    all.push_back({{.lengths = {70, 0, 5, 131}, .heads = 2, .depth = 24, .value_depth = 17},
                   queries == 3 ? 3 : 4,
                   queries});
    all.back().form.longest_run = queries == 1 ? 7 : 60;
    if (!positions) continue;
    all.push_back(all.back());
    all.back().form.forgotten = 37;
    all.push_back(all.back());
    all.back().form.places = true;
  }
  return all;
}

/// `c` roundings of the largest sum of products and of the largest value.
template <class T = float, class Spec>
void agree_on(const Spec& spec, const source_call& call, double c = 8, unsigned stream = 0) {
  const scattered_source source(call.form, stream);
  const extents shape{source.batch(), source.heads() * call.group, call.queries, source.depth()};
  const auto q = random<T>(shape, 1 + stream);
  auto out = unwritten<T>({shape[0], shape[1], shape[2], source.value_depth()});
  auto lse = unwritten<T>({shape[0], shape[1], shape[2], 1});
  outputs to{.out = out.in()};
  constexpr bool reports = has_lse<decltype(Spec::normalizer)>;
  if constexpr (reports) to.lse = lse.in();
  attend(spec, q.in(), source, to);
  const cached_result expected = reference_on(spec, q.in(), source);
  // Scores of normal numbers are a few units; so are values.
  const double allowed = tolerance<T>(c, std::max(source.depth(), kv_ref(source).longest()), 8);
  for (index b = 0; b < shape[0]; ++b)
    for (index h = 0; h < shape[1]; ++h) {
      const std::string where = "sequence " + std::to_string(b) + " head " + std::to_string(h) +
                                " queries " + std::to_string(call.queries) +
                                (call.form.places ? " places" : "");
      check_close(out.head(b, h), expected.out.head(b, h), allowed, where);
      if (reports) check_close(lse.head(b, h), expected.lse.head(b, h), allowed, where + " lse");
    }
}

}  // namespace heed::test
