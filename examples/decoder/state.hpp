// SPDX-License-Identifier: BSL-1.0
// How a run trains, what it starts from, and what it needs to go on.
#pragma once

#include <algorithm>

#include "random.hpp"
#include "shape.hpp"

namespace decoder {

struct recipe {
  std::uint64_t seed = 1;
  index steps = 1200;
  index shares = 8;     // tasks of a step
  index sequences = 2;  // in each of them
  index length = 256;   // bytes of a sequence
  index warmup = 100;
  double rate = 6e-3, least_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.98, epsilon = 1e-8;
  double decay = 0.05;
  double clip = 1;

  bool operator==(const recipe&) const = default;
  index tokens() const { return shares * sequences * length; }
  // Linear up, then half a cosine down.
  double rate_at(index step) const {
    if (step < warmup) return rate * double(step + 1) / double(warmup);
    const double along = double(step - warmup) / double(std::max<index>(1, steps - warmup));
    return least_rate + (rate - least_rate) * 0.5 * (1 + std::cos(std::numbers::pi * along));
  }
};

// What a run needs to go on from here to the same bits.
template <class T> struct training_state {
  decoder::model<T> model;
  buffer<T> mean, square;
  index step = 0;

  explicit training_state(const shape& s)
      : model(s), mean(model.parameters.size()), square(model.parameters.size()) {}
};

template <class T> void initialize(model<T>& m, std::uint64_t seed) {
  random_numbers draw(seed);
  const auto fill = [&](const slice& s, double deviation) {
    auto x = at(m.parameters, s);
    for (index i = 0; i < s.size(); ++i) x.data()[i] = static_cast<T>(deviation * draw.normal());
  };
  const double in = 1 / std::sqrt(double(m.shape.width));
  const double out = 1 / std::sqrt(2.0 * double(m.shape.layers));
  fill(m.layout.embedding, 0.5 * in);
  for (const layer_layout& l : m.layout.layers) {
    at(m.parameters, l.attention_norm).setOnes();
    fill(l.qkv, in);
    fill(l.output, in * out);
    at(m.parameters, l.sinks).setZero();
    at(m.parameters, l.mlp_norm).setOnes();
    fill(l.gate_up, in);
    fill(l.down, out / std::sqrt(double(m.shape.hidden)));
  }
  at(m.parameters, m.layout.norm).setOnes();
  if (!m.shape.tied) fill(m.layout.classifier, in);
}

}  // namespace decoder
