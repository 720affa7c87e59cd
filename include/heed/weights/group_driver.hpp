// SPDX-License-Identifier: BSL-1.0
// Driver of weights/group_reweight: attention to each group of keys by itself, then a sum of the
// outputs by the masses that a rule asks for.
//
//   O_g, lse_g   one call a group, its mask restricted to the keys of the group
//   lse = log Σ_g e^{lse_g},  π_g = e^{lse_g - lse},  o = Σ_g m_g(π) O_g
// backward
//   dO_g = m_g dO,  dm_g = dO·O_g,  dπ_g = Σ_f dm_f ∂m_f/∂π_g,  dlse_g = π_g (dπ_g - Σ_f π_f dπ_f)
//
// Memory: the outputs of every group. Sums run in the order of the groups.
#pragma once

#include <heed/attention/attend_backward.hpp>
#include <heed/mask/combine.hpp>
#include <heed/simd/rows.hpp>
#include <heed/weights/key_groups.hpp>

namespace heed::detail {

template <class T, class Arch, class Spec> class group_driver {
  static constexpr index groups = decltype(Spec::weights)::driver::groups;
  static_assert(std::is_same_v<decltype(Spec::normalizer), softmax>,
                "group_reweight needs masses that sum to one: softmax");
  static_assert(std::is_same_v<decltype(Spec::extra), none> &&
                    std::is_same_v<decltype(Spec::plan), none> &&
                    std::is_same_v<decltype(Spec::output), none>,
                "group_reweight takes no extra slots, plan or output transform");

 public:
  group_driver(const Spec& spec, const operand& q, const operand& k, const operand& v,
               const executor_ref& executor, const workspace_ref& scratch)
      : spec_(spec),
        q_(q),
        k_(k),
        v_(v),
        executor_(executor),
        scratch_(scratch.scratch ? *scratch.scratch : own_),
        rows_{q.extent[0], q.extent[1], q.extent[2], 1},
        wide_{q.extent[0], q.extent[1], q.extent[2], v.extent[3]} {
    for (index g = 0; g < groups; ++g) masks_.emplace_back(spec.weights.groups, g);
    for (index g = 0; g < groups; ++g) {
      out_[g] = dense_rows(out_memory_[g], wide_);
      lse_[g] = dense_rows(lse_memory_[g], rows_);
    }
  }

  void attend(const outputs& to) {
    if (to.observe && to.observe->wants() != observer::needs::rows)
      check::fail("heed::group_reweight", "only observers of whole rows see an edited call");
    forward();
    each_row([&](const row_position& at) {
      T total[chunk];
      double mass[groups], m[groups];
      const double lse = masses(at, mass);
      spec_.weights.rule(mass, m, at);
      for (index first = 0; first < wide_[3]; first += chunk) {
        const index count = std::min(chunk, wide_[3] - first);
        std::fill_n(total, count, T(0));
        for (index g = 0; g < groups; ++g)
          if (mass[g] > 0)
            simd::add_scaled<Arch>(T(m[g]), &out_[g](at.b, at.h, at.row, first), count, total);
        const result& x = to.out;
        auto* const row = static_cast<unsigned char*>(x.row(at.b, at.h, at.row));
        simd::store_row(x.type, total, count, row + first * x.stride[3] * size_of(x.type),
                        x.stride[3]);
      }
      if (to.lse.present())
        simd::store_row(to.lse.type, &lse, 1, to.lse.row(at.b, at.h, at.row), 1);
      if (to.observe) {
        const auto state = replayed<double>(lse);
        to.observe->row(at, {state.max, state.sum, 1 / state.sum});
      }
    });
  }

  void backward(const saved& given, const upstream& d, const gradients<Spec>& to) {
    static_assert(!learns_, "group_reweight has no gradients of what other policies learn");
    if (to.observed) check::fail("heed::group_reweight", "no gradients of observed weights");
    check_call(given, d, to);
    forward();
    for (index g = 0; g < groups; ++g) {
      d_out_[g] = dense_rows(d_out_memory_[g], wide_);
      d_lse_[g] = dense_rows(d_lse_memory_[g], rows_);
    }
    each_row([&](const row_position& at) { split(d, at); });
    std::vector<T> sum[3];
    const extents shapes[] = {q_.extent, k_.extent, v_.extent};
    const result wanted[] = {to.dq, to.dk, to.dv};
    for (std::size_t i = 0; i < 3; ++i)
      if (wanted[i].present()) dense_rows(sum[i], shapes[i]);
    std::vector<T> parts[3];
    for (index g = 0; g < groups; ++g) {
      result one[3];
      for (std::size_t i = 0; i < 3; ++i)
        if (wanted[i].present()) one[i] = dense_rows(parts[i], shapes[i]);
      const auto only = restricted(g);
      attend_backward_any<T, Arch>(only, q_, k_, v_, {.out = out_[g], .lse = lse_[g]},
                                   upstream(d_out_[g], d_lse_[g]),
                                   {.dq = one[0], .dk = one[1], .dv = one[2]}, executor_, scratch_);
      for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t x = 0; x < sum[i].size(); ++x) sum[i][x] += parts[i][x];
    }
    for (std::size_t i = 0; i < 3; ++i)
      if (wanted[i].present()) store_dense(sum[i], wanted[i]);
  }

 private:
  static constexpr index chunk = 512;
  static constexpr bool learns_ = learns<decltype(Spec::similarity)> ||
                                  learns<decltype(Spec::score)> || learns<decltype(Spec::query)> ||
                                  learns<decltype(Spec::key)> || learns<decltype(Spec::value)>;

  auto restricted(index g) const {
    const auto mask = spec_.mask && one_group{&masks_[static_cast<std::size_t>(g)]};
    return exchanged(spec_, mask, none{}, spec_.value, none{});
  }
  void forward() {
    for (index g = 0; g < groups; ++g)
      attend_any<T, Arch>(restricted(g), q_, k_, v_, outputs{.out = out_[g], .lse = lse_[g]},
                          executor_, scratch_);
  }
  template <class F> void each_row(F f) const {
    constexpr index rows = 64;
    const index blocks = (rows_[2] + rows - 1) / rows;
    const index offset = spec_.offset == aligned_ends ? k_.extent[2] - rows_[2] : spec_.offset;
    executor_.for_each(rows_[0] * rows_[1] * blocks, [&](index task, index) {
      const index h = task / blocks % rows_[1], first = task % blocks * rows;
      for (index r = first; r < std::min(first + rows, rows_[2]); ++r)
        f(row_position{task / blocks / rows_[1], h, r + offset, r});
    });
  }
  // Of a row that sees no key, all zero and -inf.
  double masses(const row_position& at, double* mass) const {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    const auto lse = [&](index g) { return double(lse_[g](at.b, at.h, at.row)); };
    for (index g = 0; g < groups; ++g) {
      mass[g] = 0;
      top = lse(g) > top || lse(g) != lse(g) ? lse(g) : top;
    }
    if (top == -std::numeric_limits<double>::infinity()) return top;
    for (index g = 0; g < groups; ++g) sum += mass[g] = std::exp(lse(g) - top);
    for (index g = 0; g < groups; ++g) mass[g] /= sum;
    return top + std::log(sum);
  }
  void split(const upstream& d, const row_position& at) {
    double mass[groups], m[groups], d_m[groups] = {}, d_mass[groups], mean = 0, by_lse = 0;
    masses(at, mass);
    spec_.weights.rule(mass, m, at);
    T grad[chunk];
    for (index first = 0; first < wide_[3]; first += chunk) {
      const index count = std::min(chunk, wide_[3] - first);
      const operand& x = d.out;
      const auto* const row = static_cast<const unsigned char*>(x.row(at.b, at.h, at.row));
      simd::load_row(x.type, row + first * x.stride[3] * size_of(x.type), x.stride[3], count, grad);
      for (index g = 0; g < groups; ++g)
        for (index c = 0; c < count; ++c) {
          if (mass[g] > 0)
            d_m[g] += double(grad[c]) * double(out_[g](at.b, at.h, at.row, first + c));
          d_out_[g](at.b, at.h, at.row, first + c) = static_cast<T>(m[g]) * grad[c];
        }
    }
    spec_.weights.rule.backward(mass, d_m, d_mass, at);
    if (d.lse.present()) simd::load_row(d.lse.type, d.lse.row(at.b, at.h, at.row), 1, 1, &by_lse);
    for (index g = 0; g < groups; ++g)
      if (mass[g] > 0) mean += mass[g] * d_mass[g];
    for (index g = 0; g < groups; ++g)
      d_lse_[g](at.b, at.h, at.row) =
          mass[g] > 0 ? static_cast<T>(mass[g] * (d_mass[g] - mean + by_lse)) : T(0);
  }
  void check_call(const saved& given, const upstream& d, const gradients<Spec>& to) const {
    outputs none_written;
    none_written.out.extent = wide_;
    none_written.out.data = const_cast<void*>(d.out.data);  // checked, never written
    const problem p = checked(spec_, q_, k_, v_, none_written);
    check_backward(p, {none_written.out, d.out, d.lse, to.dq, to.dk, to.dv}, given.lse);
  }
  const Spec& spec_;
  const operand &q_, &k_, &v_;
  const executor_ref& executor_;
  workspace own_;
  workspace& scratch_;
  extents rows_, wide_;
  std::vector<group_mask> masks_;
  view<T> out_[groups], lse_[groups], d_out_[groups], d_lse_[groups];
  std::vector<T> out_memory_[groups], lse_memory_[groups], d_out_memory_[groups],
      d_lse_memory_[groups];
};

}  // namespace heed::detail
