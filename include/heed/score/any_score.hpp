// SPDX-License-Identifier: BSL-1.0
// score/any_score: a score modifier that is chosen at run time.
//
// Holds any modifier, chain or lambda; an empty one changes nothing. Erased by the panel: one
// virtual call per panel and key tile, and the vectorised code of what it holds inside.
// `attend_backward` asks for any_score::differentiable(score): a derivative is compiled only there.
#pragma once

#include <heed/score/gradient.hpp>
#include <memory>
#include <utility>

namespace heed {

// Vectorised for `Arch`; an engine of another arch calls it element by element.
template <class Arch> class basic_any_score {
 public:
  basic_any_score() = default;
  template <score_modifier S>
    requires(!std::is_same_v<S, basic_any_score>)
  basic_any_score(S score)  // NOLINT: every modifier is one
      : held_(std::make_shared<const holder<S>>(std::move(score))) {}
  // One that goes backward too; what the modifier learns gets no gradient.
  template <score_modifier S> static basic_any_score differentiable(S score) {
    basic_any_score any;
    any.held_ = std::make_shared<const backward_holder<S>>(std::move(score));
    return any;
  }

  float operator()(float s, const position& at) const { return held_ ? held_->value(s, at) : s; }
  double operator()(double s, const position& at) const { return held_ ? held_->value(s, at) : s; }

  template <class Engine, class T> void apply(const tile& in, T* s, T*& scratch) const {
    if (!held_) return;
    if constexpr (std::is_same_v<Engine, Arch>)
      held_->panel(in, s, scratch);
    else
      modify_panel<Engine>([this](T x, const position& at) { return held_->value(x, at); }, in, s,
                           scratch);
  }
  // ds: on entry by the modified scores, on return by s.
  template <class Engine, class T>
  void panel_backward(const tile& in, const T* s, T* ds, T* spare) const {
    if (!held_) return;
    if constexpr (std::is_same_v<Engine, Arch>)
      held_->backward(in, s, ds, spare);
    else
      refuse();
  }
  index scratch(index pitch, index keys) const { return held_ ? held_->scratch(pitch, keys) : 0; }
  void check(const problem_shape& shape) const {
    if (held_) held_->check(shape);
  }

 private:
  struct erased {
    virtual ~erased() = default;
    virtual float value(float, const position&) const = 0;
    virtual double value(double, const position&) const = 0;
    virtual void panel(const tile&, float*, float*&) const = 0;
    virtual void panel(const tile&, double*, double*&) const = 0;
    virtual index scratch(index pitch, index keys) const = 0;
    virtual void check(const problem_shape&) const = 0;
    virtual void backward(const tile&, const float*, float*, float*) const { refuse(); }
    virtual void backward(const tile&, const double*, double*, double*) const { refuse(); }
  };
  [[noreturn]] static void refuse() {
    check::fail("heed::any_score",
                "this score modifier was not made with any_score::differentiable");
  }
  template <class S> struct holder : erased {
    explicit holder(S s) : score(std::move(s)) {}
    float value(float s, const position& at) const override { return modified(score, s, at); }
    double value(double s, const position& at) const override { return modified(score, s, at); }
    void panel(const tile& in, float* s, float*& scratch) const override {
      modify_panel<Arch>(score, in, s, scratch);
    }
    void panel(const tile& in, double* s, double*& scratch) const override {
      modify_panel<Arch>(score, in, s, scratch);
    }
    index scratch(index pitch, index keys) const override { return scratch_of(score, pitch, keys); }
    void check(const problem_shape& shape) const override { check_policy(score, shape); }
    S score;
  };
  template <class S> struct backward_holder final : holder<S> {
    using holder<S>::holder;
    void backward(const tile& in, const float* s, float* ds, float* spare) const override {
      score_backward<Arch>(this->score, gradient_of<S>{}, in, s, ds, nullptr, spare);
    }
    void backward(const tile& in, const double* s, double* ds, double* spare) const override {
      score_backward<Arch>(this->score, gradient_of<S>{}, in, s, ds, nullptr, spare);
    }
    index scratch(index pitch, index keys) const override {
      return holder<S>::scratch(pitch, keys) + links<S>() * pitch * keys;
    }
  };

  std::shared_ptr<const erased> held_;
};

using any_score = basic_any_score<simd::best>;

}  // namespace heed
