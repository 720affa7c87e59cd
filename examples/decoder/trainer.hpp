// SPDX-License-Identifier: BSL-1.0
// A training step: gradients of fixed shares of the batch, added in fixed order, then Adam.
// The bits do not depend on the number of threads.
#pragma once

#include <heed/core/executor.hpp>
#include <numeric>

#include "pass.hpp"
#include "state.hpp"

namespace decoder {

template <class T> class trainer {
 public:
  trainer(training_state<T>& state, const recipe& r, std::span<const unsigned char> text,
          heed::executor_ref executor)
      : state_(state), recipe_(r), text_(text), executor_(executor) {
    gradients_.resize(static_cast<std::size_t>(r.shares), buffer<T>(state.model.parameters.size()));
    for (index w = 0; w < std::min(executor.workers(), r.shares); ++w)
      workers_.emplace_back(state.model.shape, r.sequences, r.length);
    for (const slice& s : state.model.layout.all)
      for (index done = 0; done < s.size(); done += block)
        blocks_.push_back({s.first + done, std::min(block, s.size() - done), s.decays});
  }

  // The mean of -ln p over the batch, before the update.
  double step() {
    std::vector<double> losses(gradients_.size());
    executor_.for_each(recipe_.shares, [&](index share, index worker) {
      losses[static_cast<std::size_t>(share)] = share_backward(share, worker);
    });
    update();
    ++state_.step;
    return std::accumulate(losses.begin(), losses.end(), 0.0) / double(recipe_.tokens());
  }

 private:
  static constexpr index block = 8192;
  struct piece {
    index first, size;
    bool decays;
  };
  struct crew_member {
    decoder::pass<T> pass;
    std::vector<std::int32_t> tokens, targets;
    crew_member(const shape& s, index sequences, index length)
        : pass(s, sequences, length),
          tokens(static_cast<std::size_t>(sequences * length)),
          targets(tokens.size()) {}
  };

  // Where a sequence starts follows from seed, step and share alone: nothing else to restore.
  double share_backward(index share, index number) {
    crew_member& w = workers_[static_cast<std::size_t>(number)];
    random_numbers draw(recipe_.seed,
                        static_cast<std::uint64_t>(1 + state_.step * recipe_.shares + share));
    const auto length = static_cast<std::size_t>(recipe_.length);
    for (std::size_t i = 0; i < w.tokens.size(); i += length) {
      const std::size_t start = draw.below(text_.size() - length);
      std::copy_n(text_.data() + start, length, w.tokens.data() + i);
      std::copy_n(text_.data() + start + 1, length, w.targets.data() + i);
    }
    buffer<T>& gradient = gradients_[static_cast<std::size_t>(share)];
    std::fill(gradient.begin(), gradient.end(), T(0));
    w.pass.forward(state_.model, w.tokens);
    return w.pass.backward(state_.model, w.tokens, w.targets,
                           static_cast<T>(1 / double(recipe_.tokens())), gradient);
  }

  using row = Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>>;

  void update() {
    std::vector<double> squares(blocks_.size());
    const auto count = static_cast<index>(blocks_.size());
    executor_.for_each(count, [&](index b, index) {
      const piece& p = blocks_[static_cast<std::size_t>(b)];
      row sum(gradients_.front().data() + p.first, p.size);
      for (std::size_t i = 1; i < gradients_.size(); ++i)
        sum += row(gradients_[i].data() + p.first, p.size);
      squares[static_cast<std::size_t>(b)] = sum.template cast<double>().square().sum();
    });
    const double norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
    const T shrink = static_cast<T>(std::min(1.0, recipe_.clip / (norm + 1e-12)));
    executor_.for_each(count,
                       [&](index b, index) { adam(blocks_[static_cast<std::size_t>(b)], shrink); });
  }

  // Adam with decoupled decay.
  void adam(const piece& p, T shrink) {
    const recipe& r = recipe_;
    const double n = double(state_.step + 1), rate = r.rate_at(state_.step);
    const T a = static_cast<T>(r.beta1), b = static_cast<T>(r.beta2);
    const T step = static_cast<T>(rate / (1 - std::pow(r.beta1, n)));
    const T by = static_cast<T>(1 / (1 - std::pow(r.beta2, n))), e = static_cast<T>(r.epsilon);
    const T keep = static_cast<T>(1 - (p.decays ? rate * r.decay : 0));
    row g(gradients_.front().data() + p.first, p.size);
    row x(state_.model.parameters.data() + p.first, p.size);
    row mean(state_.mean.data() + p.first, p.size), square(state_.square.data() + p.first, p.size);
    mean = a * mean + (1 - a) * shrink * g;
    square = b * square + (1 - b) * (shrink * g).square();
    x = keep * x - step * mean / ((square * by).sqrt() + e);
  }

  training_state<T>& state_;
  recipe recipe_;
  std::span<const unsigned char> text_;
  heed::executor_ref executor_;
  std::vector<crew_member> workers_;
  std::vector<buffer<T>> gradients_;
  std::vector<piece> blocks_;
};

}  // namespace decoder
