// SPDX-License-Identifier: BSL-1.0
// Golden recurrences (tests/golden/recurrence; tests/golden/generate.py names their tensors) and
// the reference that each is a case of.
#pragma once

#include <heed/reference/recurrence/delta.hpp>
#include <heed/reference/recurrence/favor.hpp>
#include <heed/reference/recurrence/gated_delta.hpp>
#include <heed/reference/recurrence/gla.hpp>
#include <heed/reference/recurrence/kda.hpp>
#include <heed/reference/recurrence/linear.hpp>
#include <heed/reference/recurrence/mlstm.hpp>
#include <heed/reference/recurrence/retention.hpp>
#include <heed/reference/recurrence/rwkv6.hpp>
#include <heed/reference/recurrence/rwkv7.hpp>
#include <heed/reference/recurrence/ssd.hpp>
#include <heed/reference/recurrence/taylor.hpp>

#include "support/golden.hpp"

namespace heed::test {

/// The recurrences among the golden cases; "general" has names of its own and is not one of them.
inline std::vector<golden_case> recurrence_cases() {
  auto cases = golden_cases(golden_folder("recurrence"));
  std::erase_if(cases, [](const golden_case& c) { return c.name.starts_with("general/"); });
  return cases;
}

/// What comes before the slash of a case's name: the operator.
inline std::string operator_of(const golden_case& c) { return c.name.substr(0, c.name.find('/')); }

/// One head of one sequence of a case whose outputs have `heads`. Fewer heads of a tensor are
/// shared by consecutive ones, one batch item or token by all.
struct recurrent_head {
  const golden_case& c;
  Eigen::Index b = 0, h = 0;

  Eigen::Index heads() const { return c["out"].shape[1]; }
  Eigen::Index tokens() const { return c["q"].shape[2]; }
  bool has(const std::string& name) const { return c.has(name); }

  /// As it is stored: [1, …] where one token stands for all.
  Eigen::MatrixXd stored(const std::string& name) const {
    const golden_tensor& x = c[name];
    return x.matrix((x.shape[0] == 1 ? 0 : b) * x.shape[1] + h * x.shape[1] / heads());
  }
  /// One row a token.
  Eigen::MatrixXd matrix(const std::string& name) const {
    const Eigen::MatrixXd x = stored(name);
    return x.rows() == tokens() ? x : Eigen::MatrixXd(x.replicate(tokens(), 1));
  }
  /// The same with one column a key channel.
  Eigen::MatrixXd channels(const std::string& name) const {
    const Eigen::MatrixXd x = matrix(name);
    return x.cols() == 1 ? Eigen::MatrixXd(x.replicate(1, c["k"].shape[3])) : x;
  }
  Eigen::VectorXd vector(const std::string& name) const { return matrix(name).col(0); }
  double number(const std::string& name) const { return stored(name)(0, 0); }
  bool flag(const std::string& name) const { return c.scalar_or(name, 0) != 0; }

  reference::recurrence::carried initial() const {
    reference::recurrence::carried state;
    if (has("state")) state.s = stored("state");
    if (has("state_z")) state.z = stored("state_z").row(0);
    if (has("state_m")) state.m = number("state_m");
    return state;
  }
};

/// The reference that the case's operator names, on this head.
inline reference::recurrence::scanned reference_scan(const recurrent_head& x) {
  namespace rec = reference::recurrence;
  const std::string name = operator_of(x.c);
  const Eigen::MatrixXd q = x.matrix("q"), k = x.matrix("k"), v = x.matrix("v");
  const rec::carried initial = x.initial();
  const double scale = x.c.scalar_or("scale", 1), epsilon = x.c.scalar_or("epsilon", 0);
  const auto read = x.flag("count")                           ? rec::readout::count
                    : x.flag("normalised") || name == "favor" ? rec::readout::normalised
                                                              : rec::readout::direct;
  const rec::linear_options options{read, !x.flag("full"), epsilon, scale};

  if (name == "linear") {
    const auto phi = [&](const Eigen::VectorXd& y) -> Eigen::VectorXd {
      if (x.flag("elu1")) return y.unaryExpr([](double e) { return e > 0 ? e + 1 : std::exp(e); });
      return x.flag("relu") ? Eigen::VectorXd(y.cwiseMax(0)) : y;
    };
    return rec::linear(q, k, v, phi, options, initial);
  }
  if (name == "taylor")
    return rec::taylor(q, k, v, int(x.c["n"].scalar()), options.causal, epsilon, initial);
  if (name == "favor") {
    const Eigen::MatrixXd omega = x.c["omega"].matrix();
    const auto phi = [&](const Eigen::VectorXd& y) {
      return x.flag("relu") ? rec::favor_relu_feature(y, omega, epsilon)
                            : rec::favor_feature(y, omega);
    };
    return rec::linear(q, k, v, phi, {read, options.causal}, initial);
  }
  if (name == "retention") return rec::retention(q, k, v, x.number("log_decay"), initial, scale);
  if (name == "gated" || name == "gla")
    return rec::gla(q, k, v, x.channels("log_decay"), initial, scale);
  if (name == "ssd")
    return rec::ssd(q, k, v, x.vector("delta"), x.number("rate"), x.number("skip"), initial);
  if (name == "rwkv6")
    return rec::rwkv6(q, k, v, x.matrix("log_decay"), x.stored("u").row(0), initial);
  if (name == "rwkv7")
    return rec::rwkv7(q, k, v, x.matrix("log_decay"), x.matrix("k_hat"), x.matrix("rate"), initial);
  if (name == "low_rank")
    return rec::low_rank(q, k, v, x.matrix("log_decay"), x.matrix("a"), x.matrix("b"), initial,
                         scale);
  if (name == "mlstm")
    return rec::mlstm(q, k, v, x.vector("log_decay"), x.vector("gain"), initial, scale);
  if (name == "delta") return rec::delta(q, k, v, x.vector("beta"), initial, scale);
  if (name == "gated_delta")
    return rec::gated_delta(q, k, v, x.vector("log_decay"), x.vector("beta"), initial, scale);
  if (name == "kda")
    return rec::kda(q, k, v, x.matrix("log_decay"), x.vector("beta"), initial, scale);
  throw std::out_of_range("no reference for " + x.c.name);
}

}  // namespace heed::test
