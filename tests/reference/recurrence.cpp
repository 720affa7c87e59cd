// SPDX-License-Identifier: BSL-1.0
// The references of recurrences against each other, and against ONNX Runtime (float) and NumPy
// (double, parallel forms); tests/golden/recurrence holds both.
#include <heed/reference/mask/causal.hpp>
#include <heed/reference/mask/full.hpp>
#include <heed/reference/recurrence/general.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/recurrences.hpp"

using namespace heed::reference;
using namespace heed::reference::recurrence;
using heed::test::golden_case;
using heed::test::recurrent_head;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double in_float = 1e-6, in_double = 2e-14;

/// Largest difference as a share of the largest magnitude.
double deviation(const matrix& x, const matrix& expected) {
  if (x.rows() != expected.rows() || x.cols() != expected.cols() || !x.allFinite() ||
      !expected.allFinite())
    return infinity;
  return (x - expected).cwiseAbs().maxCoeff() / std::max(1.0, expected.cwiseAbs().maxCoeff());
}
void same(const scanned& x, const scanned& expected) {
  CHECK(deviation(x.out, expected.out) < in_double);
  CHECK(deviation(x.state.s, expected.state.s) < in_double);
}

/// One head of 13 tokens, gates included.
struct inputs {
  static constexpr Eigen::Index length = 13, dk = 4, dv = 3;
  matrix q, k, v, log_channels, s;
  vector log_decay, beta, gain;

  inputs() {
    std::srand(7);
    q = matrix::Random(length, dk), k = matrix::Random(length, dk), v = matrix::Random(length, dv);
    k.rowwise().normalize();
    log_channels = -matrix::Random(length, dk).cwiseAbs();
    log_decay = -vector::Random(length).cwiseAbs();
    beta = vector::Random(length).array() + 1;
    gain = 5 * vector::Random(length);
    s = matrix::Random(dk, dv);
  }
  carried initial() const {
    carried state;
    state.s = s;
    return state;
  }
  matrix every_channel() const { return log_decay.replicate(1, dk); }
  matrix none() const { return matrix::Zero(length, dk); }
};

/// The scan of all tokens, and of the first n and then the rest; f(first, tokens, state).
template <class F> void splits(const char* name, F f) {
  INFO(name);
  const scanned whole = f(Eigen::Index{0}, inputs::length, carried{});
  for (const Eigen::Index n : {0, 1, 5, 12, 13}) {
    const scanned a = f(Eigen::Index{0}, n, carried{});
    const scanned b = f(n, inputs::length - n, a.state);
    CHECK(deviation(b.state.s, whole.state.s) < in_double);
    CHECK(deviation(b.state.z, whole.state.z) < in_double);
    CHECK((b.state.m == whole.state.m || std::abs(b.state.m - whole.state.m) < in_double));
    CHECK(b.state.tokens == whole.state.tokens);
    matrix out(inputs::length, inputs::dv);
    out << a.out, b.out;
    CHECK(deviation(out, whole.out) < in_double);
  }
}

}  // namespace

TEST_CASE("gla with equal channels is retention") {
  const inputs x;
  same(gla(x.q, x.k, x.v, matrix::Constant(x.length, x.dk, -0.3), x.initial(), 0.5),
       retention(x.q, x.k, x.v, -0.3, x.initial(), 0.5));
}

TEST_CASE("ssd is gla of q = C, k = B, v = Δx, decays ΔA, and Dx") {
  const inputs x;
  const double a = -0.7, d = 1.5;
  scanned expected =
      gla(x.q, x.k, x.beta.asDiagonal() * x.v, (a * x.beta).replicate(1, x.dk), x.initial());
  expected.out += d * x.v;
  same(ssd(x.q, x.k, x.v, x.beta, a, d, x.initial()), expected);
}

TEST_CASE("delta is gated_delta without decay, which is kda with equal channels") {
  const inputs x;
  same(gated_delta(x.q, x.k, x.v, vector::Zero(x.length), x.beta, x.initial(), 0.5),
       delta(x.q, x.k, x.v, x.beta, x.initial(), 0.5));
  same(kda(x.q, x.k, x.v, x.every_channel(), x.beta, x.initial(), 0.5),
       gated_delta(x.q, x.k, x.v, x.log_decay, x.beta, x.initial(), 0.5));
}

TEST_CASE("rwkv7 removes what the delta rule removes, and its two forms agree") {
  const inputs x;
  const matrix written = x.beta.asDiagonal() * x.k;
  const scanned expected = delta(x.q, x.k, x.v, x.beta, x.initial());
  same(low_rank(x.q, written, x.v, x.none(), -x.k, written, x.initial()), expected);
  same(rwkv7(x.q, written, x.v, x.none(), x.k, x.beta.replicate(1, x.dk), x.initial()), expected);

  const matrix rates = matrix::Random(x.length, x.dk).cwiseAbs(),
               k = matrix::Random(x.length, x.dk);
  same(rwkv7(x.q, k, x.v, x.log_channels, x.k, rates, x.initial()),
       low_rank(x.q, k, x.v, x.log_channels, -x.k, rates.cwiseProduct(x.k), x.initial()));
  same(low_rank(x.q, k, x.v, x.log_channels, x.none(), x.k, x.initial(), 0.5),
       gla(x.q, k, x.v, x.log_channels, x.initial(), 0.5));
}

TEST_CASE("rwkv6 reads what gla leaves, and the token itself through the bonus") {
  const inputs x;
  const vector u = vector::Random(x.dk);
  const scanned got = rwkv6(x.q, x.k, x.v, x.log_channels, u, x.initial());
  matrix s = x.s;
  for (Eigen::Index t = 0; t < x.length; ++t) {
    const matrix token = x.k.row(t).transpose() * x.v.row(t);
    CHECK(deviation(got.out.row(t), x.q.row(t) * (s + u.asDiagonal() * token)) < in_double);
    carried state;
    state.s = s;
    s = gla(x.q.row(t), x.k.row(t), x.v.row(t), x.log_channels.row(t), state).state.s;
  }
  CHECK(deviation(got.state.s, s) < in_double);
  const vector w = x.log_channels.row(0);
  same(rwkv5(x.q, x.k, x.v, w, u, x.initial()),
       rwkv6(x.q, x.k, x.v, w.transpose().replicate(x.length, 1), u, x.initial()));
}

TEST_CASE("linear and delta are cases of general, S as one vector of its columns") {
  const inputs x;
  const matrix eye = matrix::Identity(x.dv, x.dv);
  // The column-major S as h: what acts on its rows is eye ⊗ it.
  const auto blocks = [&](const matrix& a) {
    matrix out = matrix::Zero(a.rows() * x.dv, a.cols() * x.dv);
    for (Eigen::Index c = 0; c < x.dv; ++c)
      out.block(c * a.rows(), c * a.cols(), a.rows(), a.cols()) = a;
    return out;
  };
  const auto key = [&](Eigen::Index t) { return blocks(x.k.row(t).transpose()); };
  const auto query = [&](Eigen::Index t) { return blocks(x.q.row(t)); };
  const auto nothing = [&](Eigen::Index) { return matrix(matrix::Zero(x.dv, x.dv)); };
  const vector h = x.s.reshaped();
  {
    const auto stays = [&](Eigen::Index) { return vector(vector::Ones(x.dk * x.dv)); };
    const auto got = general(x.v, stays, key, query, nothing, h);
    const auto expected = linear(x.q, x.k, x.v, identity, {}, x.initial());
    CHECK(deviation(got.out, expected.out) < in_double);
    CHECK(deviation(got.h, expected.state.s.reshaped()) < in_double);
  }
  const auto reflects = [&](Eigen::Index t) {
    return blocks(matrix::Identity(x.dk, x.dk) - x.beta(t) * x.k.row(t).transpose() * x.k.row(t));
  };
  const auto written = [&](Eigen::Index t) { return matrix(x.beta(t) * key(t)); };
  const auto got = general(x.v, reflects, written, query, nothing, h);
  CHECK(deviation(got.out, delta(x.q, x.k, x.v, x.beta, x.initial()).out) < in_double);
}

TEST_CASE("a normalised readout is general with the decay η_{t-1} / η_t") {
  const inputs x;
  const matrix k = x.k.cwiseAbs(), q = x.q.cwiseAbs();
  const vector sums = [&] {
    vector z = vector::Zero(x.dk), out(x.length);
    for (Eigen::Index t = 0; t < x.length; ++t) out(t) = (z += k.row(t).transpose()).sum();
    return out;
  }();
  // Queries of ones, so that η depends on keys alone.
  const matrix ones = matrix::Ones(x.length, x.dk);
  const auto decay = [&](Eigen::Index t) {
    return vector(vector::Constant(x.dk, t == 0 ? 0 : sums(t - 1) / sums(t)));
  };
  const auto got = general(
      x.v.col(0), decay, [&](Eigen::Index t) { return matrix(k.row(t).transpose() / sums(t)); },
      [&](Eigen::Index t) { return matrix(ones.row(t)); },
      [&](Eigen::Index) { return matrix(matrix::Zero(1, 1)); }, vector::Zero(x.dk));
  const auto expected =
      linear(ones, k, x.v.col(0), identity, {.read = recurrence::readout::normalised});
  CHECK(deviation(got.out, expected.out) < in_double);
}

TEST_CASE("mlstm without its stabiliser, and whatever is added to every gain") {
  const inputs x;
  const scanned got = mlstm(x.q, x.k, x.v, x.log_decay, x.gain, {}, 0.5);
  matrix c = matrix::Zero(x.dk, x.dv);
  vector n = vector::Zero(x.dk);
  for (Eigen::Index t = 0; t < x.length; ++t) {
    const double f = std::exp(x.log_decay(t)), i = std::exp(x.gain(t));
    c = f * c + i * x.k.row(t).transpose() * x.v.row(t);
    n = f * n + i * x.k.row(t).transpose();
    const matrix expected = 0.5 * x.q.row(t) * c / std::max(std::abs(0.5 * x.q.row(t).dot(n)), 1.0);
    CHECK(deviation(got.out.row(t), expected) < in_double);
  }
  CHECK(deviation(std::exp(got.state.m) * got.state.s, c) < in_double);
  CHECK(deviation(std::exp(got.state.m) * got.state.z, n) < in_double);

  // Gains so large that nothing without a maximum stands them: the bound no longer matters. In
  // eighths, which sums keep exactly.
  const vector decays = (8 * x.log_decay.array()).round() / 8;
  const vector large = (8 * x.gain.array()).round() / 8 + 2000, larger = large.array() + 3000;
  same(mlstm(x.q, x.k, x.v, decays, large), mlstm(x.q, x.k, x.v, decays, larger));
  // And so small that only the bound is left.
  CHECK(mlstm(x.q, x.k, x.v, x.log_decay, x.gain.array() - 2000).out.isZero(0));
  CHECK(mlstm(x.q, x.k, x.v, x.log_decay, vector::Constant(x.length, -infinity)).out.isZero(0));
}

TEST_CASE("a decay of minus infinity leaves nothing of the state, not even infinities") {
  const inputs x;
  carried broken;
  broken.s = matrix::Constant(x.dk, x.dv, infinity);
  vector forgets = x.log_decay;
  forgets(0) = -infinity;
  const matrix channels = forgets.replicate(1, x.dk);
  same(gla(x.q, x.k, x.v, channels, broken), gla(x.q, x.k, x.v, channels));
  same(retention(x.q, x.k, x.v, -infinity, broken), retention(x.q, x.k, x.v, -infinity));
  same(gated_delta(x.q, x.k, x.v, forgets, x.beta, broken),
       gated_delta(x.q, x.k, x.v, forgets, x.beta));
  same(kda(x.q, x.k, x.v, channels, x.beta, broken), kda(x.q, x.k, x.v, channels, x.beta));
  broken.z = vector::Constant(x.dk, infinity), broken.m = 3;
  same(mlstm(x.q, x.k, x.v, forgets, x.gain, broken), mlstm(x.q, x.k, x.v, forgets, x.gain));
  same(ssd(x.q, x.k, x.v, x.beta, -infinity, 0),
       gla(x.q, x.k, x.beta.asDiagonal() * x.v, matrix::Constant(x.length, x.dk, -infinity)));
}

TEST_CASE("taylor sums its series, favor is normalised whatever stabilises it") {
  const inputs x;
  for (const bool causal : {true, false}) {
    const allowed a = causal ? mask::causal(x.length, x.length) : mask::full(x.length, x.length);
    for (const int n : {1, 2}) {
      const matrix z = x.q * x.k.transpose() / std::sqrt(double(x.dk));
      matrix series = matrix::Ones(x.length, x.length) + z;
      if (n == 2) series += z.cwiseProduct(z) / 2;
      const matrix p = a.select(series, 0);
      const vector sums = p.rowwise().sum();
      CHECK(deviation(taylor(x.q, x.k, x.v, n, causal).out,
                      sums.cwiseInverse().asDiagonal() * p * x.v) < in_double);
    }
    std::srand(3);
    const matrix omega = 2 * matrix::Random(9, x.dk);
    const auto phi = [&](const vector& y) { return favor_feature(y, omega); };
    const auto got =
        linear(x.q, x.k, x.v, phi, {.read = recurrence::readout::normalised, .causal = causal});
    CHECK(deviation(got.out, favor(x.q, x.k, x.v, omega, a)) < in_double);
    // Where no double holds the features any more.
    CHECK(favor(1e4 * x.q, 1e4 * x.k, x.v, omega, a).allFinite());
  }
}

TEST_CASE("a sequence split anywhere gives the same") {
  const inputs x;
  const vector u = vector::Random(x.dk);
  const auto rows = [](const auto& m, Eigen::Index first, Eigen::Index n) {
    return m.middleRows(first, n).eval();
  };
#define HEED_SPLITS(name, ...)                                                 \
  splits(name, [&](Eigen::Index first, Eigen::Index n, const carried& state) { \
    const auto of = [&](const auto& m) { return rows(m, first, n); };          \
    return __VA_ARGS__;                                                        \
  })
  HEED_SPLITS("count", linear(of(x.q), of(x.k), of(x.v), identity,
                              {.read = recurrence::readout::count}, state));
  HEED_SPLITS("normalised", linear(
                                of(x.q), of(x.k), of(x.v),
                                [](const vector& y) { return vector(y.array().exp()); },
                                {.read = recurrence::readout::normalised}, state));
  HEED_SPLITS("retention", retention(of(x.q), of(x.k), of(x.v), -0.2, state));
  HEED_SPLITS("gla", gla(of(x.q), of(x.k), of(x.v), of(x.log_channels), state));
  HEED_SPLITS("ssd", ssd(of(x.q), of(x.k), of(x.v), of(x.beta), -0.5, 2, state));
  HEED_SPLITS("rwkv6", rwkv6(of(x.q), of(x.k), of(x.v), of(x.log_channels), u, state));
  HEED_SPLITS("rwkv7",
              rwkv7(of(x.q), of(x.k), of(x.v), of(x.log_channels), of(x.k), of(x.q), state));
  HEED_SPLITS("low_rank",
              low_rank(of(x.q), of(x.k), of(x.v), of(x.log_channels), of(x.q), of(x.k), state));
  HEED_SPLITS("mlstm", mlstm(of(x.q), of(x.k), of(x.v), of(x.log_decay), of(x.gain), state));
  HEED_SPLITS("delta", delta(of(x.q), of(x.k), of(x.v), of(x.beta), state));
  HEED_SPLITS("gated_delta",
              gated_delta(of(x.q), of(x.k), of(x.v), of(x.log_decay), of(x.beta), state));
  HEED_SPLITS("kda", kda(of(x.q), of(x.k), of(x.v), of(x.log_channels), of(x.beta), state));
#undef HEED_SPLITS
}

TEST_CASE("golden recurrences") {
  int seen = 0;
  for (const golden_case& c : heed::test::recurrence_cases()) {
    ++seen;
    const double bound = c.name.find("/onnx") != std::string::npos ? in_float : in_double;
    const auto& shape = c["out"].shape;
    for (Eigen::Index b = 0; b < shape[0]; ++b)
      for (Eigen::Index h = 0; h < shape[1]; ++h) {
        INFO(c.name << " batch " << b << " head " << h);
        const recurrent_head x{c, b, h};
        const scanned got = heed::test::reference_scan(x);
        CHECK(deviation(got.out, x.stored("out")) < bound);
        if (c.has("final")) CHECK(deviation(got.state.s, x.stored("final")) < bound);
        if (c.has("final_z"))
          CHECK(deviation(got.state.z.transpose(), x.stored("final_z")) < bound);
        if (c.has("final_m")) CHECK(std::abs(got.state.m - x.number("final_m")) < bound);
      }
  }
  CHECK(seen == 51);
}

TEST_CASE("golden general recurrence") {
  for (const char* name : {"general/diagonal", "general/matrix"}) {
    INFO(name);
    for (const golden_case& c : heed::test::golden_cases(heed::test::golden_folder("recurrence"))) {
      if (c.name != name) continue;
      const auto at = [&](const char* tensor) {
        return [&c, tensor](Eigen::Index t) { return matrix(c[tensor].matrix(t)); };
      };
      const auto run = [&](const auto& lambda) {
        return general(c["u"].matrix(), lambda, at("b"), at("c"), at("d"), c["state"].vector());
      };
      const matrix rows = c["transition"].matrix();
      const auto diagonal = [&](Eigen::Index t) { return vector(rows.row(t)); };
      const auto got = c["transition"].shape.size() == 2 ? run(diagonal) : run(at("transition"));
      CHECK(deviation(got.out, c["out"].matrix()) < in_double);
      CHECK(deviation(got.h, c["final"].vector()) < in_double);
    }
  }
}
