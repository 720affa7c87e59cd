// SPDX-License-Identifier: BSL-1.0
// The recurrences that are timed: how heed is called, the reference, and what ONNX Runtime's
// LinearAttention, which has four rules, is told to do the same.
#pragma once

#include "recurrences.hpp"

#include <heed/recurrence/delta.hpp>
#include <heed/recurrence/gated_delta.hpp>
#include <heed/recurrence/gla.hpp>
#include <heed/recurrence/kda.hpp>
#include <heed/recurrence/linear.hpp>
#include <heed/recurrence/mlstm.hpp>
#include <heed/recurrence/rwkv6.hpp>
#include <heed/recurrence/rwkv7.hpp>
#include <heed/recurrence/ssd.hpp>
#include <heed/reference/recurrence/delta.hpp>
#include <heed/reference/recurrence/gated_delta.hpp>
#include <heed/reference/recurrence/gla.hpp>
#include <heed/reference/recurrence/kda.hpp>
#include <heed/reference/recurrence/linear.hpp>
#include <heed/reference/recurrence/mlstm.hpp>
#include <heed/reference/recurrence/retention.hpp>
#include <heed/reference/recurrence/rwkv6.hpp>
#include <heed/reference/recurrence/rwkv7.hpp>

namespace bench::kinds {

namespace reference = heed::reference::recurrence;
using part = sequences;

struct ort_rule {
  const char* rule = nullptr;  // none: it has no such recurrence
  enum decays { none, constant, scalar, channels } decay = none;
  bool beta = false;
  bool scaled = false;  // by 1/√D
  bool silu = false;    // on q and k, which are handed over with it done
};

// The first `count` tokens of a head in double.
struct head_rows {
  const sequences& x;
  index head, count;
  matrix operator[](sequences::part p) const { return x.rows(p, head, count); }
  vector column(sequences::part p) const { return (*this)[p].col(0); }
  matrix q() const { return (*this)[part::q]; }
  matrix k() const { return (*this)[part::k]; }
  matrix v() const { return (*this)[part::v]; }
};

inline double root_of(const sequences& x) { return 1 / std::sqrt(static_cast<double>(x.dim())); }

struct retention {
  static constexpr const char* name = "retention";
  static constexpr bool corrects = false;
  static constexpr ort_rule ort{.rule = "gated", .decay = ort_rule::constant};
  static auto spec(const some_tokens& x) { return heed::recurrences::retention(x.all.constant()); }
  static reference::scanned exact(const head_rows& x) {
    return reference::retention(x.q(), x.k(), x.v(), double{x.x.constant()(0, x.head, 0)});
  }
};

struct lightning {
  static constexpr const char* name = "lightning";
  static constexpr bool corrects = false;
  static constexpr ort_rule ort{.rule = "gated", .decay = ort_rule::constant, .silu = true};
  static auto spec(const some_tokens& x) { return heed::recurrences::lightning(x.all.constant()); }
  static reference::scanned exact(const head_rows& x) {
    const auto silu = [](const matrix& y) -> matrix {
      return (y.array() / (1 + (-y.array()).exp())).matrix();
    };
    return reference::retention(silu(x.q()), silu(x.k()), x.v(),
                                double{x.x.constant()(0, x.head, 0)});
  }
};

struct ssd {
  static constexpr const char* name = "ssd";
  static constexpr bool corrects = false;
  static constexpr ort_rule ort{.rule = "gated", .decay = ort_rule::scalar};
  static auto spec(const some_tokens& x) { return heed::recurrences::ssd(x[part::scalar]); }
  // With queries, keys and values that hold Mamba-2's C, B and Δx.
  static reference::scanned exact(const head_rows& x) {
    return reference::gla(x.q(), x.k(), x.v(), x[part::scalar].replicate(1, x.x.dim()));
  }
};

struct gla {
  static constexpr const char* name = "gla";
  static constexpr bool corrects = false;
  static constexpr ort_rule ort{.rule = "gated", .decay = ort_rule::channels, .scaled = true};
  static auto spec(const some_tokens& x) {
    return heed::recurrences::gla(x[part::channels], x.all.dim());
  }
  static reference::scanned exact(const head_rows& x) {
    return reference::gla(x.q(), x.k(), x.v(), x[part::channels], {}, root_of(x.x));
  }
};

struct delta {
  static constexpr const char* name = "delta";
  static constexpr bool corrects = true;
  static constexpr ort_rule ort{.rule = "delta", .beta = true};
  static auto spec(const some_tokens& x) { return heed::recurrences::delta(x[part::beta]); }
  static reference::scanned exact(const head_rows& x) {
    return reference::delta(x.q(), x.k(), x.v(), x.column(part::beta));
  }
};

struct gated_delta {
  static constexpr const char* name = "gated_delta";
  static constexpr bool corrects = true;
  static constexpr ort_rule ort{
      .rule = "gated_delta", .decay = ort_rule::scalar, .beta = true, .scaled = true};
  static auto spec(const some_tokens& x) {
    return heed::recurrences::gated_delta(x[part::scalar], x[part::beta], x.all.dim());
  }
  static reference::scanned exact(const head_rows& x) {
    return reference::gated_delta(x.q(), x.k(), x.v(), x.column(part::scalar), x.column(part::beta),
                                  {}, root_of(x.x));
  }
};

struct kda {
  static constexpr const char* name = "kda";
  static constexpr bool corrects = true;
  static constexpr ort_rule ort{
      .rule = "gated_delta", .decay = ort_rule::channels, .beta = true, .scaled = true};
  static auto spec(const some_tokens& x) {
    return heed::recurrences::kda(x[part::channels], x[part::beta], x.all.dim());
  }
  static reference::scanned exact(const head_rows& x) {
    return reference::kda(x.q(), x.k(), x.v(), x[part::channels], x.column(part::beta), {},
                          root_of(x.x));
  }
};

struct linear {
  static constexpr const char* name = "linear";
  static constexpr bool corrects = false;
  static constexpr ort_rule ort{};
  static auto spec(const some_tokens&) { return heed::recurrences::linear(); }
  static reference::scanned exact(const head_rows& x) {
    const auto elu1 = [](const vector& y) -> vector {
      return y.unaryExpr([](double z) { return z > 0 ? z + 1 : std::exp(z); });
    };
    return reference::linear(x.q(), x.k(), x.v(), elu1, {.read = reference::readout::normalised});
  }
};

struct rwkv6 {
  static constexpr const char* name = "rwkv6";
  static constexpr bool corrects = false;
  static constexpr ort_rule ort{};
  static auto spec(const some_tokens& x) {
    return heed::recurrences::rwkv6(x[part::channels], x.all.bonus());
  }
  static reference::scanned exact(const head_rows& x) {
    const float* const u = &x.x.bonus()(0, x.head, 0);
    return reference::rwkv6(x.q(), x.k(), x.v(), x[part::channels],
                            Eigen::Map<const Eigen::VectorXf>(u, x.x.dim()).cast<double>());
  }
};

struct rwkv7 {
  static constexpr const char* name = "rwkv7";
  static constexpr bool corrects = true;
  static constexpr ort_rule ort{};
  static auto spec(const some_tokens& x) {
    return heed::recurrences::rwkv7(x[part::channels], x[part::a], x[part::b]);
  }
  static reference::scanned exact(const head_rows& x) {
    return reference::low_rank(x.q(), x.k(), x.v(), x[part::channels], x[part::a], x[part::b]);
  }
};

struct mlstm {
  static constexpr const char* name = "mlstm";
  static constexpr bool corrects = false;
  static constexpr ort_rule ort{};
  static auto spec(const some_tokens& x) {
    return heed::recurrences::mlstm(x[part::scalar], x[part::gate], x.all.dim());
  }
  static reference::scanned exact(const head_rows& x) {
    return reference::mlstm(x.q(), x.k(), x.v(), x.column(part::scalar), x.column(part::gate), {},
                            root_of(x.x));
  }
};

// Calls f with one of each.
template <class F> void for_each(const F& f) {
  f(retention{}), f(lightning{}), f(ssd{}), f(gla{}), f(delta{}), f(gated_delta{}), f(kda{});
  f(linear{}), f(rwkv6{}), f(rwkv7{}), f(mlstm{});
}

}  // namespace bench::kinds
