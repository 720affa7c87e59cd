// SPDX-License-Identifier: BSL-1.0
// Rows of keys and values of a call, wherever they lie, as the products want them: converted,
// transformed, and keys rewritten by the similarity.
#pragma once

#include <heed/attention/problem.hpp>
#include <heed/attention/rows.hpp>

namespace heed::detail {

template <class Spec>
inline constexpr bool rewrites_keys = !std::is_same_v<decltype(Spec::key), none> ||
                                      requires(const decltype(Spec::similarity)& s, float* row) {
                                        s.template key<simd::scalar>(row, index{}, row_position{});
                                      };
template <class Spec>
inline constexpr bool rewrites_values = !std::is_same_v<decltype(Spec::value), none>;

template <class Arch, class Spec, class T>
void rewrite_key(const Spec& spec, index depth, T* row, const row_position& at) {
  if constexpr (requires { spec.similarity.template key<Arch>(row, depth, at); })
    spec.similarity.template key<Arch>(row, depth, at);
}

// Reads rows of one head in ascending order: a source is asked once a run.
class row_reader {
 public:
  row_reader(const problem& p, index batch, index h) : p_(p), batch_(batch), h_(h) {}

  template <class T> void key(index row, T* out) {
    if (p_.source) {
      find(row);
      load_stored(run_.k, row - first_, p_.shape.depth, out);
    } else {
      p_.load_key(batch_, h_, row, out);
    }
  }
  template <class T> void value(index row, T* out) {
    if (p_.source) {
      find(row);
      load_stored(run_.v, row - first_, p_.shape.value_depth, out);
    } else {
      p_.load_value(batch_, h_, row, out);
    }
  }

 private:
  void find(index row) {
    if (row < first_ || row >= first_ + run_.count)
      run_ = p_.source->run(batch_, h_, row), first_ = row;
  }
  const problem& p_;
  index batch_, h_, first_ = 0;
  kv_run run_{};
};

// Keys of a sequence to rows `width` apart.
template <class Arch, class Spec, class T>
void load_keys(const Spec& spec, const problem& p, const sequence& s, index h, span keys,
               index width, T* out) {
  row_reader from(p, s.batch, h);
  const auto read = [&](index row, T* to) { from.key(row, to); };
  const index most = s.places ? 1 : keys.size();
  for (index j = keys.begin; j < keys.end; j += most, out += most * width)
    load_rows<Arch>(
        read, p.shape.depth, spec.key, {s.b, h, s.key(j), s.slot + j}, most, width, out,
        [&](T* row, const row_position& at) { rewrite_key<Arch>(spec, p.shape.depth, row, at); });
}

// Values of a sequence to rows `width` apart.
template <class Arch, class Spec, class T>
void load_values(const Spec& spec, const problem& p, const sequence& s, index h, span keys,
                 index width, T* out) {
  row_reader from(p, s.batch, h);
  for (index j = keys.begin; j < keys.end; ++j, out += width) {
    from.value(s.slot + j, out);
    simd::transform_row<Arch>(spec.value, out, p.shape.value_depth,
                              row_position{s.b, h, s.key(j), s.slot + j});
  }
}

// These extra slots of kv head `h` of item `b`: keys to rows `width` apart, values `channels`
// apart.
template <class Arch, class Spec, class T>
void load_extra(const Spec& spec, const problem_shape& shape, index b, index h, span slots,
                index width, T* k, index channels, T* v) {
  for (index j = slots.begin; j < slots.end; ++j, k += width, v += channels) {
    spec.extra.key(b, h, j, k);
    rewrite_key<Arch>(spec, shape.depth, k, {b, h, j, j});
    spec.extra.value(b, h, j, v, shape.value_depth);
  }
}
// All of them; nothing where there are none.
template <class Arch, class Spec, class T>
void load_extra(const Spec& spec, const problem_shape& shape, index b, index h, index width, T* k,
                index channels, T* v) {
  if constexpr (!std::is_same_v<decltype(Spec::extra), none>)
    load_extra<Arch>(spec, shape, b, h, {0, spec.extra.slots()}, width, k, channels, v);
}

}  // namespace heed::detail
