// SPDX-License-Identifier: BSL-1.0
#include <heed/recurrence/general.hpp>
#include <heed/reference/recurrence/general.hpp>

#include "support/recurrent_inputs.hpp"

using namespace heed::test;
namespace rec = heed::reference::recurrence;

// h is S row by row, Λ_t as long, B_t = k_t ⊗ I, C_t = q_tᵀ ⊗ I.
TEMPLATE_TEST_CASE("general by scan and by step", "", float, double) {
  check_named<TestType>(
      "general", [](const auto& x) { return heed::recurrences::general(x.channels.in()); },
      [](const auto& h) {
        const MatrixXd q = h.q(), k = h.k(), v = h.v(), log = h.of(h.x.channels);
        const Eigen::Index dk = k.cols(), dv = v.cols();
        VectorXd start = VectorXd::Zero(dk * dv);
        for (Eigen::Index c = 0; c < dk && h.initial.s.size() > 0; ++c)
          start.segment(c * dv, dv) = h.initial.s.row(c);
        const auto lambda = [&](Eigen::Index t) {
          VectorXd every(dk * dv);
          for (Eigen::Index c = 0; c < dk; ++c)
            every.segment(c * dv, dv).setConstant(std::exp(log(t, c)));
          return every;
        };
        const auto into = [&](Eigen::Index t) {
          MatrixXd b = MatrixXd::Zero(dk * dv, dv);
          for (Eigen::Index c = 0; c < dk; ++c)
            b.middleRows(c * dv, dv).diagonal().setConstant(k(t, c));
          return b;
        };
        const auto out = [&](Eigen::Index t) {
          MatrixXd m = MatrixXd::Zero(dv, dk * dv);
          for (Eigen::Index c = 0; c < dk; ++c)
            m.middleCols(c * dv, dv).diagonal().setConstant(q(t, c));
          return m;
        };
        const auto skip = [&](Eigen::Index) { return MatrixXd(MatrixXd::Zero(dv, dv)); };
        const auto got = rec::general(v, lambda, into, out, skip, start);
        rec::scanned x = rec::before(q.rows(), dk, dv, {});
        if (q.rows() > 0) x.out = got.out;
        for (Eigen::Index c = 0; c < dk; ++c) x.state.s.row(c) = got.h.segment(c * dv, dv);
        return x;
      },
      true, {{1, 1}, {3, 16}, {16, 3}, {20, 7}});
}

TEST_CASE("golden general, k = B u, v = 1, a query head a row of C") {
  int seen = 0;
  for (const golden_case& c : golden_cases(golden_folder("recurrence"))) {
    if (c.name != "general/diagonal") continue;
    ++seen;
    const MatrixXd transition = c["transition"].matrix(), u = c["u"].matrix();
    const heed::index length = u.rows(), states = transition.cols(), rows = c["out"].shape[1];
    tensor<double> q({1, rows, length, states}), k({1, 1, length, states}),
        log({1, 1, length, states}), v({1, 1, length, 1}, 1), out({1, rows, length, 1});
    VectorXd signs = VectorXd::Ones(states);
    for (heed::index t = 0; t < length; ++t)
      for (heed::index n = 0; n < states; ++n) {
        // Transitions of either sign s have decays |Λ| where h_t, B_t and C_t are taken times the
        // signs so far.
        signs(n) *= transition(t, n) < 0 ? -1 : 1;
        for (heed::index m = 0; m < rows; ++m) q(0, m, t, n) = signs(n) * c["c"].matrix(t)(m, n);
        k(0, 0, t, n) = signs(n) * c["b"].matrix(t).row(n).dot(u.row(t));
        log(0, 0, t, n) = std::log(std::abs(transition(t, n)));
      }
    const auto spec = heed::recurrences::general(log.in());
    for (const bool by_step : {false, true}) {
      heed::recurrent_state<double> state;
      const auto none = [](const auto& x) { return x.slice_rows(0, 0); };
      heed::scan(tokens_of(spec, length, 0, 0), none(q.in()), none(k.in()), none(v.in()),
                 none(out.in()), state);
      for (heed::index n = 0; n < states; ++n)
        state.head(0, 0)[n] = c["state"].data[std::size_t(n)];
      by_step ? heed::step(spec, q.in(), k.in(), v.in(), out.in(), state)
              : heed::scan(spec, q.in(), k.in(), v.in(), out.in(), state);
      const double allowed = tolerance<double>(16, length * states, 4);
      for (heed::index n = 0; n < states; ++n)
        CHECK(signs(n) * state.head(0, 0)[n] ==
              Approx(c["final"].vector()(n)).epsilon(0).margin(allowed));
      for (heed::index t = 0; t < length; ++t) {
        const VectorXd skipped = c["d"].matrix(t) * u.row(t).transpose();
        for (heed::index m = 0; m < rows; ++m)
          CHECK(out(0, m, t) + skipped(m) ==
                Approx(c["out"].matrix()(t, m)).epsilon(0).margin(allowed));
      }
    }
  }
  CHECK(seen == 1);
}
