// SPDX-License-Identifier: BSL-1.0
// Gradients against differences along random directions, in double.
#pragma once

#include "fuzz/executors.hpp"

namespace heed::fuzz {

// An operand, and where its gradient goes if it is wanted.
struct learned {
  const char* name;
  memory value, gradient;
  bool wanted;

  learned(const char* of, engine& random, memory x)
      : name(of),
        value(std::move(x)),
        gradient(element::f64, value.extent, use::written, random),
        wanted(!one_in(random, 5)) {}
  view<const double> in() const { return value.as<double>(); }
  result to() { return wanted ? gradient.write() : result{}; }
};

inline double product(const memory& x, const memory& y) {
  double sum = 0;
  x.each([&](index b, index h, index l, index d) { sum += x.get(b, h, l, d) * y.get(b, h, l, d); });
  return sum;
}

// Where functions have kinks, a step over one shows as slopes that differ on its two sides, and
// moves the difference by at most half of that.
enum class curve { smooth, kinked };

// loss() is of the operands as they are; backward(executor, workspace) writes the gradients.
// Numbers that are exactly 0 where `fixed` are not moved.
template <class Loss, class Backward>
void check_slopes(engine& random, const std::vector<learned*>& all, curve kind, const Loss& loss,
                  const Backward& backward, bool fixed = false) {
  std::vector<memory*> to;
  for (learned* x : all) to.push_back(&x->gradient);
  const double here = loss();
  workspace scratch;
  same_bits(random, scratch, to, backward);
  for (learned* x : all) {
    if (!x->wanted) continue;
    const memory kept = x->value;
    memory way = kept;  // what lies in one place moves as one
    way.each([&](index b, index h, index l, index d) {
      const bool still = fixed && kept.get(b, h, l, d) == 0;
      way.set(b, h, l, d, still ? 0 : uniform(random, -1, 1));
    });
    double slope = 0, size = 1;
    way.each([&](index b, index h, index l, index d) {
      const double u = way.get(b, h, l, d);
      const double term = u == 0 ? 0 : u * x->gradient.get(b, h, l, d);
      slope += term, size += std::abs(term);
    });
    const double step = 1e-5;
    const auto moved = [&](double t) {
      x->value.each([&](index b, index h, index l, index d) {
        x->value.set(b, h, l, d, kept.get(b, h, l, d) + t * way.get(b, h, l, d));
      });
      return loss();
    };
    const double up = moved(step), down = moved(-step);
    x->value.bytes = kept.bytes;
    const double want = (up - down) / (2 * step), bend = std::abs(up - 2 * here + down) / step;
    // Third derivatives are of the order of the terms; their sum is off by step² of it.
    const double allowed = 1e-7 * size + (kind == curve::kinked ? bend : 0);
    CAPTURE(x->name, slope, want, allowed, bend, size);
    REQUIRE(std::abs(slope - want) <= allowed);
  }
}

}  // namespace heed::fuzz
