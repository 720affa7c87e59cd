// SPDX-License-Identifier: BSL-1.0
// Operands of recurrences from one seed, ways to call, and the check of one named recurrence over
// awkward shapes.
#pragma once

#include <functional>

#include "support/recurrences.hpp"
#include "support/recurrent.hpp"

namespace heed::test {

struct recurrent_shape {
  index b = 1, q = 1, k = 1, v = 1, l = 5, d = 3, dv = 2;

  index state_heads() const { return std::max(k, v); }
  index heads() const { return std::max(q, state_heads()); }
};

/// Queries of normal numbers, keys of length 1, gates of their ranges.
template <class T> struct recurrent_inputs {
  recurrent_shape shape;
  tensor<T> q, k, v, log, channels, lambda, gain, beta, a, b, u;

  explicit recurrent_inputs(const recurrent_shape& s, unsigned stream = 1)
      : shape(s),
        q(random<T>({s.b, s.q, s.l, s.d}, stream)),
        k(random<T>({s.b, s.k, s.l, s.d}, stream + 1)),
        v(random<T>({s.b, s.v, s.l, s.dv}, stream + 2)),
        log(random<T>(gate(1), stream + 3, 0.3)),
        channels(random<T>(gate(s.d), stream + 4, 0.3)),
        lambda(random<T>({1, s.state_heads(), 1, 1}, stream + 5, 0.1)),
        gain(random<T>(gate(1), stream + 6, 3)),
        beta(uniform<T>(gate(1), stream + 7)),
        a(random<T>(gate(s.d), stream + 8)),
        b(unwritten<T>(gate(s.d))),
        u(random<T>({1, s.state_heads(), 1, s.d}, stream + 9)) {
    for (tensor<T>* x : {&log, &channels, &lambda})
      for (T& y : x->data) y = -std::abs(y);
    for (T& y : beta.data) y = std::abs(y);
    normalise(k), normalise(a);
    // What a reads is removed, at most once.
    const auto rate = uniform<T>(b.extent, stream + 10);
    for (std::size_t i = 0; i < b.data.size(); ++i) b.data[i] = -std::abs(rate.data[i]) * a.data[i];
  }
  extents gate(index channels_) const { return {shape.b, shape.state_heads(), shape.l, channels_}; }
  extents out() const { return {shape.b, shape.heads(), shape.l, shape.dv}; }
  static void normalise(tensor<T>& x) {
    const auto d = std::size_t(x.extent[3]);
    for (std::size_t r = 0; d > 0 && r < x.data.size(); r += d) {
      double squares = 0;
      for (std::size_t c = 0; c < d; ++c) squares += double(x.data[r + c]) * double(x.data[r + c]);
      for (std::size_t c = 0; c < d; ++c)
        x.data[r + c] = T(double(x.data[r + c]) / std::sqrt(squares));
    }
  }
};

/// The same policies for tokens [first, first + count) of `length`.
inline operand tokens_of(operand x, index length, index first, index count) {
  if (x.extent[2] != length || length == 1) return x;
  x.data = x.row(0, 0, first), x.extent[2] = count;
  return x;
}
template <class Spec> Spec tokens_of(Spec spec, index length, index first, index count) {
  const auto cut = [&](operand& x) { x = tokens_of(x, length, first, count); };
  if constexpr (requires { spec.decay.log; }) cut(spec.decay.log);
  if constexpr (requires { spec.decay.gain; }) cut(spec.decay.gain);
  if constexpr (requires { spec.update.beta; }) cut(spec.update.beta);
  if constexpr (requires { spec.update.a; }) cut(spec.update.a), cut(spec.update.b);
  return spec;
}

template <class T> struct recurrent_outcome {
  tensor<T> out;
  recurrent_state<T> state;
};

/// One call of scan, or of step.
template <class T, class Spec>
recurrent_outcome<T> run(const Spec& spec, const recurrent_inputs<T>& x, bool by_step = false,
                         const recurrent_state<T>& initial = {}) {
  recurrent_outcome<T> y{unwritten<T>(x.out()), initial};
  if (by_step)
    step(spec, x.q.in(), x.k.in(), x.v.in(), y.out.in(), y.state);
  else
    scan(spec, x.q.in(), x.k.in(), x.v.in(), y.out.in(), y.state);
  return y;
}
/// Calls on consecutive pieces that end at `cuts` and at the end, by scan and step in turn or by
/// one of them.
template <class T, class Spec>
recurrent_outcome<T> run_pieces(const Spec& spec, const recurrent_inputs<T>& x,
                                std::vector<index> cuts, int first_by_step, int then_by_step,
                                const recurrent_state<T>& initial = {}) {
  recurrent_outcome<T> y{unwritten<T>(x.out()), initial};
  cuts.push_back(x.shape.l);
  index first = 0;
  int by_step = first_by_step;
  for (const index end : cuts) {
    const index n = end - first;
    const Spec part = tokens_of(spec, x.shape.l, first, n);
    const auto q = x.q.in().slice_rows(first, n), k = x.k.in().slice_rows(first, n),
               v = x.v.in().slice_rows(first, n);
    if (by_step)
      step(part, q, k, v, y.out.in().slice_rows(first, n), y.state);
    else
      scan(part, q, k, v, y.out.in().slice_rows(first, n), y.state);
    first = end, by_step = then_by_step;
  }
  return y;
}

/// A state that a call of that specification takes, of normal numbers, seven tokens on.
template <class T, class Spec>
recurrent_state<T> random_state(const Spec& spec, const recurrent_inputs<T>& x, unsigned stream) {
  const auto none = [](const tensor<T>& t) { return t.in().slice_rows(0, 0); };
  recurrent_state<T> state;
  auto out = unwritten<T>(x.out());
  scan(tokens_of(spec, x.shape.l, 0, 0), none(x.q), none(x.k), none(x.v), out.in().slice_rows(0, 0),
       state);
  const state_format& f = state.format();
  const auto numbers = random<T>({state.batch(), f.heads, 1, f.head_size()}, stream);
  for (index b = 0; b < state.batch(); ++b) {
    std::copy_n(&numbers.data[std::size_t(b * f.size())], f.size(), state.head(b, 0));
    // The sum of keys of a normaliser is not far from 0.
    for (index h = 0; h < f.heads && f.side >= f.rows; ++h)
      for (index c = 0; c < f.rows; ++c) state.side(b, h)[c] = T(1) + std::abs(state.side(b, h)[c]);
    state.tokens(b) = 7;
  }
  return state;
}

/// What the references of heed::reference::recurrence are called with: one head, no feature yet.
template <class T> struct plain_head {
  const recurrent_inputs<T>& x;
  index b, h;
  reference::recurrence::carried initial;

  MatrixXd of(const tensor<T>& t) const {
    return t.head(t.extent[0] == 1 ? 0 : b, h * t.extent[1] / x.shape.heads());
  }
  MatrixXd q() const { return of(x.q); }
  MatrixXd k() const { return of(x.k); }
  MatrixXd v() const { return of(x.v); }
  VectorXd vector(const tensor<T>& t) const { return of(t).col(0); }
  double number(const tensor<T>& t) const { return of(t)(0, 0); }
};

/// make(inputs) -> specification; reference(plain_head) -> scanned, of one head. By scan in chunks
/// and by step, from zero and, if `carries`, from another state on. With HEED_WORST in the
/// environment it prints how much of what is allowed was needed.
template <class T, class Make, class Reference>
void check_named(const char* name, Make make, Reference reference, bool carries = true,
                 const std::vector<std::pair<index, index>>& sizes = {
                     {1, 1}, {3, 16}, {16, 3}, {37, 37}, {64, 1}, {16, 64}, {64, 64}, {128, 128}}) {
  double worst = 0;
  for (const auto& [d, dv] : sizes)
    for (const index l : {0, 1, 5, 16, 17, 33, 64, 130}) {
      if (d == 128 && l != 33 && l != 64) continue;
      const index heads = d > 16 ? 1 : 2;
      const recurrent_inputs<T> x(
          {.b = heads, .q = heads, .k = heads, .v = heads, .l = l, .d = d, .dv = dv},
          unsigned(20 * l + d));
      auto spec = make(x);
      for (const bool zero : {true, false}) {
        if (!zero && (!carries || l == 130)) continue;
        const recurrent_state<T> initial = zero ? recurrent_state<T>{} : random_state(spec, x, 77);
        recurrent_expectation expected(spec, x.q.in(), x.k.in(), x.v.in(), initial);
        for (index b = 0; b < x.shape.b; ++b)
          for (index h = 0; h < x.shape.heads(); ++h) {
            plain_head<T> head{x, b, h, {}};
            if (!zero) {
              const state_format& f = initial.format();
              using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
              head.initial.s = Eigen::Map<const row_major>(initial.head(b, h), f.rows, f.columns)
                                   .template cast<double>();
              if (f.side >= f.rows)
                head.initial.z = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, 1>>(
                                     initial.side(b, h), f.rows)
                                     .template cast<double>();
              if (f.logarithm) head.initial.m = double(initial.side(b, h)[f.side - 1]);
              head.initial.tokens = initial.tokens(b);
            }
            const auto by_paper = reference(head);
            expected.answer(b, h).out = by_paper.out;
            recurrent_head_state& last = expected.state(b, h);
            if (by_paper.state.s.rows() != d) continue;  // features in another order
            last.s.leftCols(dv) = by_paper.state.s;
            if (!initial.empty() && initial.format().side > 1) last.s.col(dv) = by_paper.state.z;
            if (!initial.empty() && initial.format().logarithm) last.m = by_paper.state.m;
          }
        for (const index chunk : {0, 1, 7, 16, 33, 64, -1}) {
          if (chunk > l + 16 && l > 0) continue;
          spec.chunk = std::max<index>(chunk, 0);
          const auto got = run(spec, x, chunk < 0, initial);
          const std::string where = std::string(name) + (chunk < 0 ? " by step" : "") + ", L " +
                                    std::to_string(l) + ", D " + std::to_string(d) + ", Dv " +
                                    std::to_string(dv) + ", chunk " + std::to_string(chunk) +
                                    (zero ? "" : ", carried on");
          expected.check_out(got.out.in(), where);
          expected.check_state(got.state, where);
        }
        worst = std::max(worst, expected.worst);
      }
    }
  if (std::getenv("HEED_WORST")) std::printf("%s: error / allowed %.3f\n", name, worst);
}

}  // namespace heed::test
