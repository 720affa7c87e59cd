// SPDX-License-Identifier: BSL-1.0
// weights/column_scale with an additive part: p'_ij = c_j p_ij + a_j where the mask allows the
// pair.
//
// Two calls: that of the weights, and one whose scores are a_j and whose weights are its scores,
// over the keys with a_j != 0 only and at one channel. Few such keys cost little; a gradient by a
// takes all keys. No output transform and no plan; extra slots as without the edit.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/mask/combine.hpp>
#include <heed/normalizer/linear.hpp>
#include <heed/weights/column_scale.hpp>
#include <heed/weights/key_groups.hpp>

namespace heed {

struct column_add {
  operand values;   // a [B|1, H|1, Lk, 1]
  operand scale{};  // c, of the same kind; 1 if absent

  void check(const problem_shape& shape) const {
    broadcast::check("heed::column_add", "the values", values,
                     {shape.batch, shape.heads, shape.keys, 1});
    if (scale.present()) column_scale{scale}.check(shape);
  }
  struct gradient {
    result values, scale;  // as the values, as the scale
  };
  index sums(const gradient&) const { return 0; }
  void check(const gradient& g) const {
    broadcast::check_gradient("heed::column_add", values, g.values, true);
    if (scale.present()) column_scale{scale}.check(column_scale::gradient{g.scale});
    if (!scale.present() && g.scale.present())
      check::fail("heed::column_add", "there is no scale to take a gradient by");
  }
  void deliver(const gradient&, const double*) const {}

  using driver = column_add;
  template <class T, class Arch, class Spec>
  void attend(const Spec& spec, const operand& q, const operand& k, const operand& v,
              const outputs& to, const executor_ref& executor, const workspace_ref& scratch) const {
    std::vector<T> scaled, added;
    outputs first = to;
    first.out = detail::dense_rows(scaled, to.out.extent);
    const result second = detail::dense_rows(added, to.out.extent);
    const edited_keys keys(values, k.extent[2], false);
    detail::attend_any<T, Arch>(scaled_part(spec), q, k, v, first, executor, scratch);
    detail::attend_any<T, Arch>(added_part(spec, keys), one_channel(q), one_channel(k), v,
                                outputs{.out = second}, executor, scratch);
    store_sum(scaled, added, to.out);
  }
  template <class T, class Arch, class Spec>
  void backward(const Spec& spec, const operand& q, const operand& k, const operand& v,
                const saved& forward, const upstream& d, const gradients<Spec>& to,
                const executor_ref& executor, const workspace_ref& scratch) const {
    check(to.spec.weights);
    std::vector<T> scaled, added;
    result dv_first, dv_second;
    if (to.dv.present()) {
      dv_first = detail::dense_rows(scaled, v.extent);
      dv_second = detail::dense_rows(added, v.extent);
    }
    const auto first = scaled_part(spec);
    gradients<std::remove_const_t<decltype(first)>> g{.dq = to.dq, .dk = to.dk, .dv = dv_first};
    g.spec = {.similarity = to.spec.similarity,
              .score = to.spec.score,
              .normalizer = to.spec.normalizer,
              .weights = {to.spec.weights.scale},
              .query = to.spec.query,
              .key = to.spec.key,
              .value = to.spec.value,
              .extra = to.spec.extra};
    g.observed = to.observed;
    const edited_keys keys(values, k.extent[2], to.spec.weights.values.present());
    detail::attend_backward_any<T, Arch>(first, q, k, v, {.lse = forward.lse}, d, g, executor,
                                         scratch);
    if (!to.dv.present() && !to.spec.weights.values.present()) return;
    const auto second = added_part(spec, keys);
    gradients<std::remove_const_t<decltype(second)>> more{.dv = dv_second};
    more.spec.score = {to.spec.weights.values};
    detail::attend_backward_any<T, Arch>(second, one_channel(q), one_channel(k), v, {}, d.out, more,
                                         executor, scratch);
    if (to.dv.present()) store_sum(scaled, added, to.dv);
  }
  void edit(double* p, const position* at, index count) const {
    for (index j = 0; j < count; ++j) {
      if (scale.present())
        p[j] *= broadcast::element<double>(scale, at[j].b, at[j].h, at[j].slot, 0);
      p[j] += broadcast::element<double>(values, at[j].b, at[j].h, at[j].slot, 0);
    }
  }

 private:
  static constexpr float one = 1;

  // Keys with a_j != 0 in group 1, or all of them.
  struct edited_keys {
    std::vector<int> labels;
    detail::group_mask mask;

    edited_keys(const operand& a, index keys, bool all)
        : labels(marked(a, keys, all)), mask({labels, a.extent[0], a.extent[1]}, 1) {}
    edited_keys(const edited_keys&) = delete;
  };
  static std::vector<int> marked(const operand& a, index keys, bool all) {
    std::vector<int> labels;
    for (index b = 0; b < a.extent[0]; ++b)
      for (index h = 0; h < a.extent[1]; ++h)
        for (index l = 0; l < keys; ++l)
          labels.push_back(all || broadcast::element<double>(a, b, h, l, 0) != 0);
    return labels;
  }
  template <class Spec> auto scaled_part(const Spec& s) const {
    static_assert(
        std::is_same_v<decltype(Spec::plan), none> && std::is_same_v<decltype(Spec::output), none>,
        "column_add takes no plan and no output transform");
    static_assert(!learns<decltype(Spec::value)>,
                  "column_add has no gradient of what a value transform learns");
    const column_scale scaled{scale.present() ? scale
                                              : operand(view<const float>(&one, {1, 1, 1, 1}))};
    return detail::exchanged(s, s.mask, scaled, s.value, none{});
  }
  template <class Spec> auto added_part(const Spec& s, const edited_keys& keys) const {
    const auto mask = s.mask && detail::one_group{&keys.mask};
    using edited = attention<std::remove_const_t<decltype(mask)>, dot, key_bias, linear, none, none,
                             none, decltype(Spec::value)>;
    return edited{
        .mask = mask, .score = {values}, .scale = 0, .offset = s.offset, .value = s.value};
  }
  static operand one_channel(operand x) {
    x.extent[3] = 1;
    return x;
  }
  template <class T>
  static void store_sum(std::vector<T>& x, const std::vector<T>& y, const result& to) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    detail::store_dense(x, to);
  }
};

}  // namespace heed
