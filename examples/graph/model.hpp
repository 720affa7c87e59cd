// SPDX-License-Identifier: BSL-1.0
// Names to sections: a sum of learned rows for the pieces of a name, layers of graph attention, a
// linear map to ten scores. The loss is the mean of -ln p over the packages to train on.
#pragma once

#include "layer.hpp"
#include "names.hpp"

namespace graph {

class model {
 public:
  model(const network& n, const recipe& r, const heed::executor_ref& on)
      : network_(&n),
        recipe_(r),
        on_(on),
        by_source_(n.edges(), n.nodes()),
        names_(n.names),
        all_(7),
        pieces_(all_.add(pieces_known, r.heads * r.depth, 0.5)) {
    for (int i = 0; i < r.layers; ++i) layers_.emplace_back(all_, index(r.heads) * r.depth, r);
    const index width = layers_.back().width();
    out_ = &all_.add(width, index(n.sections.size()), 1 / std::sqrt(double(width)));
    bias_ = &all_.add(1, index(n.sections.size()), 0);
  }

  index parameters_count() const { return all_.count(); }

  // One step of training; the loss before it.
  double train(int epoch, const std::vector<index>& nodes) {
    decoder::random_numbers random(11, std::uint64_t(epoch));
    forward(&random);
    matrix d = matrix::Zero(scores_.rows(), scores_.cols());
    double loss = 0;
    for (const index i : nodes) {
      const int asked = network_->section[std::size_t(i)];
      Eigen::RowVectorXf p = (scores_.row(i).array() - scores_.row(i).maxCoeff()).exp();
      p /= p.sum();
      loss -= std::log(double(p(asked)));
      d.row(i) = p / float(nodes.size());
      d(i, asked) -= 1 / float(nodes.size());
    }
    backward(d);
    all_.step(recipe_);
    return loss / double(nodes.size());
  }

  // The share of nodes whose section has the highest score.
  void score() { forward(nullptr); }
  double accuracy(const std::vector<index>& nodes) const {
    index right = 0;
    for (const index i : nodes) {
      Eigen::Index best;
      scores_.row(i).maxCoeff(&best);
      right += best == network_->section[std::size_t(i)];
    }
    return double(right) / double(nodes.size());
  }

 private:
  // Half of the inputs of each layer are dropped in training: a bit a number.
  static void drop(matrix& x, decoder::random_numbers* random, matrix& kept) {
    if (!random) return;
    kept.resizeLike(x);
    std::uint64_t bits = 0;
    for (index i = 0; i < x.size(); ++i, bits >>= 1) {
      if (i % 64 == 0) bits = random->bits();
      kept.data()[i] = float(bits & 1) * 2;
    }
    x = x.cwiseProduct(kept);
  }

  void forward(decoder::random_numbers* random) {
    const index n = network_->nodes();
    kept_.resize(layers_.size() + 1);
    x_.resize(n, pieces_.value.cols());
    for (index i = 0; i < n; ++i) {
      auto row = x_.row(i);
      row.setZero();
      for (index p = first(i); p < first(i + 1); ++p) row += pieces_.value.row(piece(p));
      row *= share(i);
    }
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      drop(x_, random, kept_[l]);
      x_ = layers_[l].forward(*network_, x_, on_);
    }
    drop(x_, random, kept_.back());
    scores_.noalias() = x_ * out_->value;
    scores_.rowwise() += bias_->value.row(0);
  }

  void backward(const matrix& d) {
    out_->gradient.noalias() += x_.transpose() * d;
    bias_->gradient += d.colwise().sum();
    matrix dx = (d * out_->value.transpose()).cwiseProduct(kept_.back());
    for (std::size_t l = layers_.size(); l-- > 0;)
      dx = layers_[l].backward(*network_, by_source_, dx, on_).cwiseProduct(kept_[l]);
    for (index i = 0; i < dx.rows(); ++i)
      for (index p = first(i); p < first(i + 1); ++p)
        pieces_.gradient.row(piece(p)) += share(i) * dx.row(i);
  }

  index first(index node) const { return names_.first[std::size_t(node)]; }
  index piece(index p) const { return names_.pieces[std::size_t(p)]; }
  float share(index node) const {
    return 1 / std::sqrt(float(std::max<index>(1, first(node + 1) - first(node))));
  }

  const network* network_;
  recipe recipe_;
  heed::executor_ref on_;
  heed::transposed by_source_;
  name_pieces names_;
  parameters all_;
  parameter &pieces_, *out_, *bias_;
  std::deque<layer> layers_;
  std::vector<matrix> kept_;
  matrix x_, scores_;
};

}  // namespace graph
