// SPDX-License-Identifier: BSL-1.0
// mask/any_mask: a mask chosen at run time.
//
//   any_mask m = causal{};
//   if (local) m = causal{} && window{.left = 512};
//
// Holds a copy of any mask, shared between copies of itself. One virtual call a query for the
// spans, one a tile for what they leave open. Composes like any other mask.
#pragma once

#include <heed/attention/hide.hpp>
#include <memory>

namespace heed {

class any_mask {
 public:
  any_mask() : any_mask(full{}) {}
  template <mask M>
    requires(!std::same_as<M, any_mask>)
  any_mask(const M& m) : held_(std::make_shared<const model<M>>(m)) {}  // NOLINT: every mask is one

  static constexpr bool exact = false;
  bool is_exact() const { return held_->is_exact(); }
  bool operator()(const position& at) const { return held_->allows(at); }
  template <class F> void intervals(const position& at, index keys, F emit) const {
    held_->intervals(at, keys, {&emit, [](void* to, span s) { (*static_cast<F*>(to))(s); }});
  }
  cover covers(const block& x) const { return held_->covers(x); }
  template <class T> void hide(const tile& at, T* scores) const { held_->hide(at, scores); }
  void check(const problem_shape& shape) const { held_->check(shape); }

 private:
  struct sink {
    void* to;
    void (*call)(void*, span);
  };
  struct base {
    virtual ~base() = default;
    virtual bool is_exact() const = 0;
    virtual bool allows(const position&) const = 0;
    virtual void intervals(const position&, index keys, sink) const = 0;
    virtual cover covers(const block&) const = 0;
    virtual void hide(const tile&, float*) const = 0;
    virtual void hide(const tile&, double*) const = 0;
    virtual void check(const problem_shape&) const = 0;
  };
  template <class M> struct model final : base {
    explicit model(const M& m) : of(m) {}
    bool is_exact() const override { return heed::is_exact(of); }
    bool allows(const position& at) const override { return of(at); }
    void intervals(const position& at, index keys, sink to) const override {
      heed::intervals(of, at, keys, [to](span s) { to.call(to.to, s); });
    }
    cover covers(const block& x) const override { return detail::known(of, x); }
    void hide(const tile& at, float* s) const override { detail::mask_elements(of, at, s); }
    void hide(const tile& at, double* s) const override { detail::mask_elements(of, at, s); }
    void check(const problem_shape& shape) const override { check_policy(of, shape); }
    M of;
  };

  std::shared_ptr<const base> held_;
};

}  // namespace heed
