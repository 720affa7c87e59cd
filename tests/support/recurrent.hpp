// SPDX-License-Identifier: BSL-1.0
// Calls of heed::scan and heed::step, and what is expected of them by the token form in double.
#pragma once

#include <heed/recurrence/scan.hpp>
#include <heed/simd/feature.hpp>

#include "support/exact.hpp"
#include "support/recurrent_oracle.hpp"

namespace heed::test {

using detail::recurrence_problem;
using detail::token_run;

// Roundings of a feature, relative to its numbers.
template <class F> double feature_roundings(const F& f, index depth) {
  if constexpr (std::is_same_v<F, none>) return 0;
  double exponents = 0;
  if constexpr (requires { f.omega; })  // of |ω_r·y| and ‖y‖²/2 for rows of normal numbers
    for (index r = 0; r < f.features; ++r) {
      double squares = 0;
      for (index c = 0; c < depth; ++c) squares += std::pow(f.omega[r * depth + c], 2);
      exponents = std::max(exponents, 2 * std::sqrt(squares * std::sqrt(double(depth))) +
                                          2 * std::sqrt(double(depth)));
    }
  return 4 + exponents + std::sqrt(double(depth)) / 4;
}

/// Rows of one head of a call, in double: query head `g` of those that read state head h.
template <class Spec>
recurrent_rows rows_of(const Spec& spec, const recurrence_problem& p, const token_run& s, index h,
                       index g) {
  recurrent_rows x;
  const auto table = [&](const operand& from, index channels) {
    MatrixXd m(s.length, channels);
    for (index t = 0; t < s.length; ++t)
      for (index c = 0; c < channels; ++c)
        m(t, c) = broadcast::element<double>(from, s.b, h, s.row(t), c);
    return m;
  };
  const auto rows = [&](const operand& from, index head, feature_role role, index width) {
    MatrixXd m(s.length, width);
    for (index t = 0; t < s.length; ++t) {
      std::vector<double> row(std::size_t(std::max(width, from.extent[3])));
      simd::load_row(from.type, from.row(s.b, head, s.row(t)), from.stride[3], from.extent[3],
                     row.data());
      if (&from != &p.v)
        apply_feature<simd::scalar>(spec.feature, row.data(), from.extent[3], role);
      for (index c = 0; c < width; ++c) m(t, c) = row[std::size_t(c)];
    }
    return m;
  };
  const index heads = p.out.extent[1], out = p.heads == heads ? h : h * (heads / p.heads) + g;
  const auto shared = [](const operand& o, index head, index of) {
    return head * o.extent[1] / of;
  };
  x.q = spec.scale * rows(p.q, shared(p.q, out, heads), feature_role::query, p.width);
  x.k = rows(p.k, shared(p.k, h, p.heads), feature_role::key, p.width);
  x.v = rows(p.v, shared(p.v, h, p.heads), feature_role::key, p.value_depth());
  using Decay = decltype(Spec::decay);
  if constexpr (!std::is_same_v<Decay, none>)
    x.log = table(spec.decay.log, Decay::kind == decay_kind::channel ? p.width : 1);
  if constexpr (has_gain<Decay>) {
    x.gain = table(spec.decay.gain, 1);
    x.gates_in_double = spec.decay.gain.type == element::f64 || spec.decay.log.type == element::f64;
  }
  if constexpr (requires { spec.update.beta; }) x.beta = table(spec.update.beta, 1);
  if constexpr (requires { spec.update.a; })
    x.a = table(spec.update.a, p.width), x.b = table(spec.update.b, p.width);
  if constexpr (requires { spec.readout.u; }) {
    x.u.resize(p.width);
    for (index c = 0; c < p.width; ++c)
      x.u(c) = broadcast::element<double>(spec.readout.u, 0, h, 0, c);
  }
  using Readout = decltype(Spec::readout);
  if constexpr (requires { spec.readout.epsilon; })
    x.read = reading::normalised, x.epsilon = spec.readout.epsilon;
  if constexpr (std::is_same_v<Readout, bounded_readout>) x.read = reading::bounded;
  if constexpr (std::is_same_v<Readout, mean_readout>) x.read = reading::mean;
  x.feature = feature_roundings(spec.feature, p.depth());
  x.causal = spec.causal;
  return x;
}

/// ε of a comparison with references, which are in double: they are as far off as an engine in it.
template <class T>
constexpr double engine_epsilon =
    (std::is_same_v<T, double> ? 2 : 1) * double(std::numeric_limits<T>::epsilon());

/// What a call from `initial` on should give.
class recurrent_expectation {
 public:
  double worst = 0;  // largest error so far, as a share of what is allowed

  template <class T, class Spec>
  recurrent_expectation(const Spec& spec, const operand& q, const operand& k, const operand& v,
                        const recurrent_state<T>& initial, double epsilon = engine_epsilon<T>) {
    const index state_heads = std::max(k.extent[1], v.extent[1]);
    heads_ = std::max(q.extent[1], state_heads), group_ = heads_ / state_heads;
    result out;
    double something = 0;
    out.data = &something;
    out.extent = {q.extent[0], heads_, q.extent[2], v.extent[3]};
    const recurrence_problem p = detail::checked_recurrence("test", spec, q, k, v, out);
    for (index i = 0; i < p.list.count(); ++i) {
      runs_.push_back(p.list[i]);
      for (index h = 0; h < p.heads; ++h) {
        recurrent_head_state before(p.width, p.value_depth()), after;
        if (!initial.empty()) load(initial, i, h, before);
        for (index g = 0; g < group_; ++g) {
          after = before;
          answers_.push_back(recurrent_oracle(rows_of(spec, p, p.list[i], h, g), after, epsilon));
        }
        states_.push_back(after);
      }
    }
  }

  index runs() const { return index(runs_.size()); }
  recurrent_answer& answer(index run, index head) {
    return answers_[std::size_t(run * heads_ + head)];
  }
  recurrent_head_state& state(index run, index head) {
    return states_[std::size_t(run * (heads_ / group_) + head)];
  }

  /// Outputs of any type, rounded to it once; get(b, h, l, d) -> number. What is not finite in the
  /// reference is not compared.
  template <class Get> void check_rows(const Get& get, element type, const std::string& where) {
    for (index i = 0; i < runs(); ++i) {
      const token_run& s = runs_[std::size_t(i)];
      for (index h = 0; h < heads_; ++h)
        for (index t = 0; t < s.length; ++t)
          for (index d = 0; d < answer(i, h).out.cols(); ++d)
            one(get(s.b, h, s.row(t), d), answer(i, h).out(t, d), answer(i, h).allowed(t, d), type,
                where, {i, h, t, d});
    }
    CHECK(worst <= 1);
  }
  template <class Out> void check_out(const view<Out>& out, const std::string& where) {
    check_rows([&](index b, index h, index l, index d) { return double(out(b, h, l, d)); },
               element_of<std::remove_const_t<Out>>::value, where);
  }
  template <class T> void check_state(const recurrent_state<T>& got, const std::string& where) {
    REQUIRE(got.batch() == runs());
    for (index i = 0; i < runs(); ++i) {
      for (index h = 0; h < heads_ / group_; ++h) {
        const recurrent_head_state& want = state(i, h);
        const state_format& f = got.format();
        const index dv = f.columns;
        // S counts from e^-m.
        const ArrayXd off = want.off + want.drift + want.m_off * want.size;
        for (index c = 0; c < f.rows; ++c) {
          for (index d = 0; d < dv; ++d)
            one(double(got.head(i, h)[c * dv + d]), want.s(c, d), off(d), element::f64,
                where + " S", {i, h, c, d});
          if (f.side >= f.rows)
            one(double(got.side(i, h)[c]), want.s(c, dv), off(dv), element::f64, where + " z",
                {i, h, c, 0});
        }
        if (f.logarithm)
          one(double(got.side(i, h)[f.side - 1]), want.m, want.m_off, element::f64, where + " m",
              {i, h, 0, 0});
      }
      CHECK(got.tokens(i) == state(i, 0).tokens);
    }
    CHECK(worst <= 1);
  }

 private:
  // Half the distance between numbers of that type around x, of what was not computed in it.
  static double rounding(element type, double x) {
    if (type == element::f16) return std::max(std::abs(x) * 0x1.01p-11, 0x1.01p-25);
    if (type == element::bf16) return std::max(std::abs(x) * 0x1.01p-8, 0x1.01p-134);
    return type == element::f32 ? std::max(std::abs(x) * 0x1p-24, 0x1p-150) : 0;
  }
  void one(double got, double want, double allowed, element type, const std::string& where,
           const extents& at) {
    if (got == want || !std::isfinite(want) || !std::isfinite(allowed)) return;
    const double largest = type == element::f16 ? 65504 : 3e38;
    if (type != element::f64 && std::abs(want) + allowed > 0.9 * largest) return;
    const double off = std::abs(got - want) - rounding(type, std::abs(want) + allowed);
    if (off <= allowed) {
      if (off > 0) worst = std::max(worst, off / allowed);
      return;
    }
    INFO(where << " at " << check::print(at) << ": " << got << " for " << want << ", allowed "
               << allowed << ", seed " << seed());
    REQUIRE(off <= allowed);
  }
  template <class T>
  static void load(const recurrent_state<T>& from, index i, index h, recurrent_head_state& to) {
    const index rows = from.format().rows, columns = from.format().columns;
    const bool sums = from.format().side >= rows;
    for (index c = 0; c < rows; ++c) {
      for (index d = 0; d < columns; ++d) to.s(c, d) = double(from.head(i, h)[c * columns + d]);
      if (sums) to.s(c, columns) = double(from.side(i, h)[c]);
    }
    if (from.format().logarithm) to.m = double(from.side(i, h)[from.format().side - 1]);
    to.tokens = from.tokens(i);
    to.size = to.s.colwise().norm().transpose().array();
  }

  index heads_ = 0, group_ = 1;
  std::vector<token_run> runs_;
  std::vector<recurrent_answer> answers_;
  std::vector<recurrent_head_state> states_;
};

}  // namespace heed::test
