// SPDX-License-Identifier: BSL-1.0
// What the operators of local/ have in common: every position of a grid sums the inputs around it,
// each times a weight of its kernel. They differ in where kernels lie:
//
//   y[p,c] = bias + Σ_j w[p, kernel(c), j] x[p + j - before, c]      c ↦ c / (channels / kernels)
//
// Nothing lies beyond the grid: such taps are left out. A line of tokens is a grid of height 1.
#pragma once

#include <array>
#include <heed/core/check.hpp>

namespace heed::detail {

// What becomes of the weights of a kernel before they are used.
enum class weighting { as_given, softmax, less_mean };

struct local_problem {
  const char* operation;
  operand x;                              // [B,H,Y·X,D]
  operand weight;                         // [B|1,G,1|Y·X,ky·kx]
  std::array<index, 2> size, taps, left;  // Y, X; ky, kx; taps before the position itself
  weighting rule = weighting::as_given;
  operand share{};      // [1,G,1,1]: of the mean, before the sigmoid
  operand bias{};       // [1,G,1,1]
  bool add = false;     // to what `out` holds
  bool turned = false;  // the transposed operator, from y to x

  index batch() const { return x.extent[0]; }
  index heads() const { return x.extent[1]; }
  index tokens() const { return x.extent[2]; }
  index depth() const { return x.extent[3]; }
  index channels() const { return heads() * depth(); }
  index kernels() const { return weight.extent[1]; }
  index group() const { return kernels() > 0 ? channels() / kernels() : 0; }
  index weights() const { return taps[0] * taps[1]; }
  index before(std::size_t axis) const { return turned ? taps[axis] - 1 - left[axis] : left[axis]; }
  // Whether every position has kernels of its own.
  bool each() const { return weight.extent[2] != 1; }
  index item(index b) const { return weight.extent[0] == 1 ? 0 : b; }
};

// The side of a square kernel of `weights` weights; throws unless it is odd.
inline index odd_side(const char* operation, const operand& weight) {
  index side = 1;
  while (side * side < weight.extent[3]) side += 2;
  if (side * side != weight.extent[3])
    check::fail(operation, "a kernel must have k x k weights, k odd", {{"weight", weight}});
  return side;
}

inline void check_local(const local_problem& p) {
  const auto broken = [&](const char* rule) {
    check::fail(p.operation, rule, {{"x", p.x}, {"weight", p.weight}});
  };
  const extents &x = p.x.extent, &w = p.weight.extent;
  for (std::size_t i = 0; i < 4; ++i)
    if (x[i] < 0 || w[i] < 0) broken("extents must not be negative");
  const index lines = p.size[0], columns = p.size[1];
  if (lines < 0 || columns < 0 ||
      (columns == 0 ? x[2] != 0 : x[2] % columns != 0 || x[2] / columns != lines))
    check::fail(p.operation,
                "a grid of " + std::to_string(p.size[0]) + " x " + std::to_string(p.size[1]) +
                    " needs as many tokens of x",
                {{"x", p.x}});
  if ((w[0] != 1 && w[0] != x[0]) || (w[2] != 1 && w[2] != x[2]) || w[3] < 1)
    broken("weights must be [B|1,kernels,1|tokens,K], K at least 1");
  if (p.channels() > 0 && (w[1] < 1 || w[1] % x[1] != 0 || p.channels() % w[1] != 0))
    broken("kernels must divide the channels, and the heads of x the kernels");
  const bool empty = x[0] * x[1] * x[2] * x[3] == 0;
  if (!empty && !p.x.present()) broken("x must not be null");
  if (!empty && !p.weight.present()) broken("weight must not be null");
  const auto numbers = [&](const char* name, const operand& o) {
    if (!o.present() && o.extent == extents{}) return;
    if (o.extent != extents{1, w[1], 1, 1} || (!o.present() && w[1] > 0))
      check::fail(p.operation, std::string(name) + " must be [1,kernels,1,1]",
                  {{name, o}, {"weight", p.weight}});
  };
  numbers("lambda", p.share), numbers("bias", p.bias);
}
inline void check_like(const local_problem& p, const char* name, const operand& got, const char* of,
                       const operand& table) {
  if (got.extent != table.extent)
    check::fail(p.operation, std::string(name) + " must have the shape of " + of,
                {{name, got}, {of, table}});
}
inline void check_rows(const local_problem& p, const char* name, const operand& rows) {
  check_like(p, name, rows, "x", p.x);
  if (p.batch() * p.channels() * p.tokens() > 0 && !rows.present())
    check::fail(p.operation, std::string(name) + " must not be null", {{name, rows}});
}

}  // namespace heed::detail
