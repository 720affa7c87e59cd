// SPDX-License-Identifier: BSL-1.0
// y = ELU(GATv2(x) + x W + b): what a node hears from its neighbours beside what it is. The logit
// of an edge has a learned term of its kind and head, so edges learn as well.
#pragma once

#include <heed/core/axes.hpp>
#include <heed/segment/gatv2_backward.hpp>

#include "parameters.hpp"

namespace graph {

class layer {
 public:
  layer(parameters& all, index in, const recipe& r)
      : heads_(r.heads),
        depth_(r.depth),
        left_(all.add(in, width(), 1 / std::sqrt(double(in)))),
        right_(all.add(in, width(), 1 / std::sqrt(double(in)))),
        attention_(all.add(heads_, depth_, 1 / std::sqrt(double(depth_)))),
        of_kind_(all.add(kinds, heads_, 0)),
        skip_(all.add(in, width(), 1 / std::sqrt(double(in)))),
        bias_(all.add(1, width(), 0)) {}

  index width() const { return heads_ * depth_; }

  template <class M> auto rows(M& m) const {
    return heed::as<"LHD">(m.data(), {m.rows(), heads_, depth_});
  }
  template <class M> auto numbers(M& m) const { return heed::as<"LH">(m); }

  const matrix& forward(const network& n, const matrix& x, const heed::executor_ref& on) {
    x_ = x;
    l_.noalias() = x * left_.value, r_.noalias() = x * right_.value;
    logits_.resize(index(n.sources.size()), heads_);
    for (index e = 0; e < logits_.rows(); ++e)
      logits_.row(e) = of_kind_.value.row(n.kind_of[std::size_t(e)]);
    heard_.resize(x.rows(), width()), lse_.resize(x.rows(), heads_);
    heed::attend_edges(spec(n), rows(l_), rows(r_), {.out = rows(heard_), .lse = numbers(lse_)}, on,
                       memory_);
    y_ = heard_;
    y_.noalias() += x * skip_.value;
    y_.rowwise() += bias_.value.row(0);
    y_ = y_.array().max(0.0f) + y_.array().min(0.0f).exp() - 1;
    return y_;
  }

  // dx, from dy.
  const matrix& backward(const network& n, const heed::transposed& by_source, const matrix& dy,
                         const heed::executor_ref& on) {
    const matrix d = dy.binaryExpr(y_, [](float g, float y) { return y > 0 ? g : g * (y + 1); });
    dl_.resizeLike(l_), dr_.resizeLike(r_), d_logits_.resizeLike(logits_);
    matrix by_attention(heads_, depth_);
    heed::attend_edges_backward(
        spec(n), by_source, rows(l_), rows(r_), {.out = rows(heard_), .lse = numbers(lse_)},
        rows(d),
        {.d_dst = rows(dl_),
         .d_src = rows(dr_),
         .spec = {.weight = heed::as<"HD">(by_attention), .bias = numbers(d_logits_)}},
        on, memory_);
    attention_.gradient += by_attention;
    for (index e = 0; e < d_logits_.rows(); ++e)
      of_kind_.gradient.row(n.kind_of[std::size_t(e)]) += d_logits_.row(e);
    left_.gradient.noalias() += x_.transpose() * dl_;
    right_.gradient.noalias() += x_.transpose() * dr_;
    skip_.gradient.noalias() += x_.transpose() * d;
    bias_.gradient += d.colwise().sum();
    dx_.noalias() = dl_ * left_.value.transpose();
    dx_.noalias() += dr_ * right_.value.transpose();
    dx_.noalias() += d * skip_.value.transpose();
    return dx_;
  }

 private:
  heed::gatv2 spec(const network& n) const {
    return {.graph = n.edges(),
            .weight = heed::as<"HD">(attention_.value),
            .bias = heed::as<"LH">(logits_)};
  }
  index heads_, depth_;
  parameter &left_, &right_, &attention_, &of_kind_, &skip_, &bias_;
  matrix x_, l_, r_, logits_, heard_, lse_, y_, dl_, dr_, d_logits_, dx_;
  heed::workspace memory_;
};

}  // namespace graph
