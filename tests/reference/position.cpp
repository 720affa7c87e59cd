// SPDX-License-Identifier: BSL-1.0
#include <heed/reference/position/rope.hpp>
#include <heed/reference/position/rope_axes.hpp>
#include <heed/reference/position/rope_scaling.hpp>

#include <cmath>
#include <numbers>

#include "support/catch.hpp"

using heed::reference::matrix;
using heed::reference::vector;
using namespace heed::reference::position;

namespace {

constexpr double pi = std::numbers::pi;

const matrix ramp = matrix{{1, 2, 3, 4, 5}};

vector column(std::initializer_list<double> x) {
  return Eigen::Map<const vector>(x.begin(), static_cast<Eigen::Index>(x.size()));
}

}  // namespace

TEST_CASE("rotate pairs channels and leaves the rest") {
  const matrix quarter{{pi / 2, 0}};
  CHECK(rotate(ramp, quarter, pairing::neox).isApprox(matrix{{-3, 2, 1, 4, 5}}));
  CHECK(rotate(ramp, quarter, pairing::interleaved).isApprox(matrix{{-2, 1, 3, 4, 5}}));
  CHECK(rotate(ramp, matrix{{pi / 2}}, pairing::neox, 2).isApprox(matrix{{-4, 2, 3, 4, 5}}));
}

TEST_CASE("rope makes scores depend on the distance alone, and turns back") {
  const frequencies f = unscaled(4, 100);
  const matrix q = matrix::Random(1, 5), k = matrix::Random(1, 5);
  for (pairing pairs : {pairing::neox, pairing::interleaved}) {
    const auto score = [&](double i, double j) {
      return (rope(q, column({i}), f, pairs) * rope(k, column({j}), f, pairs).transpose()).value();
    };
    CHECK(score(7, 3) == Approx(score(104, 100)));
    CHECK(score(7, 3) != Approx(score(7, 4)));
    CHECK(rope(rope(q, column({9}), f, pairs), column({-9}), f, pairs).isApprox(q));
  }
}

TEST_CASE("frequencies without scaling and with linear and NTK scaling") {
  CHECK(unscaled(4, 10000).theta.isApprox(column({1, 0.01})));
  CHECK(unscaled(8, 10000).theta.isApprox(column({1, 0.1, 0.01, 0.001})));
  CHECK(unscaled(2, 10000).theta == column({1}));
  CHECK(linear(4, 10000, 4).theta.isApprox(column({0.25, 0.0025})));
  // The slowest pair is slowed by exactly f, the fastest not at all.
  const vector slowed = ntk(8, 10000, 4).theta, plain = unscaled(8, 10000).theta;
  CHECK(slowed(0) == 1);
  CHECK(slowed(3) == Approx(plain(3) / 4));
  CHECK(dynamic_ntk(8, 10000, 2, 4096, 2048).theta.isApprox(ntk(8, 10000, 3).theta));
  CHECK(dynamic_ntk(8, 10000, 2, 1024, 2048).theta.isApprox(plain));
}

TEST_CASE("yarn interpolates slow pairs, keeps fast ones and raises the magnitude") {
  const frequencies f = yarn(128, 10000, 16, 4096);
  const vector plain = unscaled(128, 10000).theta;
  // d(32) = 20.94…, d(1) = 45.03…: lo = 20, hi = 46.
  for (Eigen::Index c = 0; c <= 20; ++c) CHECK(f.theta(c) == Approx(plain(c)));
  for (Eigen::Index c = 46; c < 64; ++c) CHECK(f.theta(c) == Approx(plain(c) / 16));
  CHECK(f.theta(33) == Approx(plain(33) * (0.5 / 16 + 0.5)));
  CHECK(f.magnitude == Approx(0.1 * std::log(16.0) + 1));
  CHECK(yarn(128, 10000, 1, 4096).theta.isApprox(plain));
  CHECK(yarn(128, 10000, 1, 4096).magnitude == 1);
}

TEST_CASE("llama3 keeps short wavelengths, divides long ones, joins between") {
  const vector plain = unscaled(128, 500000).theta;
  const vector scaled = llama3(128, 500000, 8, 1, 4, 8192).theta;
  for (Eigen::Index c = 0; c < 64; ++c) {
    const double wavelength = 2 * pi / plain(c);
    if (wavelength < 2048) CHECK(scaled(c) == Approx(plain(c)));
    if (wavelength > 8192) CHECK(scaled(c) == Approx(plain(c) / 8));
    if (wavelength >= 2048 && wavelength <= 8192) {
      const double t = (8192 / wavelength - 1) / 3;
      CHECK(scaled(c) == Approx((1 - t) * plain(c) / 8 + t * plain(c)));
    }
  }
}

TEST_CASE("longrope divides each pair by its factor") {
  const frequencies f = longrope(4, 10000, column({1, 4}), 32, 4096);
  CHECK(f.theta.isApprox(column({1, 0.0025})));
  CHECK(f.magnitude == Approx(std::sqrt(1 + 5.0 / 12)));
}

TEST_CASE("rope_axes turns each section by its own position") {
  const matrix ids{{1, 10, 100}, {2, 20, 200}};
  CHECK(axis_angles(ids, {1, 1, 2}, column({1, 0.5, 0.25, 0.125}))
            .isApprox(matrix{{1, 5, 25, 12.5}, {2, 10, 50, 25}}));
  // Equal ids on every axis are plain rope.
  const matrix x = matrix::Random(3, 8);
  const vector position = column({3, 1, 4});
  const frequencies f = unscaled(8, 100);
  const matrix angles = axis_angles(position.replicate(1, 3), {2, 1, 1}, f.theta);
  CHECK(rotate(x, angles, pairing::neox).isApprox(rope(x, position, f, pairing::neox)));
}
