// SPDX-License-Identifier: BSL-1.0
// observe/observers: several observers of one call, and several gradients of one loss.
//
//   observers both{entropy, mass};
//   observed_gradients of_both{by_entropy, by_mass};
#pragma once

#include <algorithm>
#include <heed/attention/observer.hpp>
#include <vector>

namespace heed {

class observers final : public observer {
 public:
  template <class... O> explicit observers(O&... each) : of_{&each...} {}

  needs wants() const override {
    needs most = needs::rows;
    for (const observer* o : of_) most = std::max(most, o->wants());
    return most;
  }
  void start(const observed_call& call) override {
    for (observer* o : of_) o->start(call);
  }
  void panel(const observed_panel<float>& x) override { show(x); }
  void panel(const observed_panel<double>& x) override { show(x); }
  void row(const row_position& at, const row_end& end) override {
    for (observer* o : of_) o->row(at, end);
  }

 private:
  template <class T> void show(const observed_panel<T>& x) {
    for (observer* o : of_)
      if (o->wants() != needs::rows) o->panel(x);
  }
  std::vector<observer*> of_;
};

class observed_gradients final : public observed_gradient {
 public:
  template <class... G> explicit observed_gradients(const G&... each) : of_{&each...} {}

  void add(const tile& at, const float* p, float* dp) const override {
    for (const observed_gradient* g : of_) g->add(at, p, dp);
  }
  void add(const tile& at, const double* p, double* dp) const override {
    for (const observed_gradient* g : of_) g->add(at, p, dp);
  }
  double delta(const row_position& at) const override {
    double sum = 0;
    for (const observed_gradient* g : of_) sum += g->delta(at);
    return sum;
  }

 private:
  std::vector<const observed_gradient*> of_;
};

}  // namespace heed
