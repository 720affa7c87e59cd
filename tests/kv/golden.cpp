// SPDX-License-Identifier: BSL-1.0
// Decoding against ONNX Runtime (float) and NumPy (double), by the engine and by the reference on
// keys and values laid out densely; tests/golden/generate.py names the fields.
#include "support/golden.hpp"

#include <heed/attention/attend_source.hpp>
#include <heed/kv/load.hpp>
#include <heed/kv/tensors.hpp>
#include <heed/mask/any_mask.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/first_keys.hpp>
#include <heed/mask/where.hpp>
#include <heed/mask/window.hpp>
#include <heed/normalizer/sink_softmax.hpp>
#include <heed/position/rope.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/position/rope.hpp>
#include <heed/score/any_score.hpp>
#include <heed/score/softcap.hpp>

#include "support/exact.hpp"

namespace heed::test {
namespace {

using matrices = std::vector<Eigen::MatrixXd>;  // one a head

const std::vector<golden_case>& all_cases() {
  static const auto all = golden_cases(golden_folder("decode"));
  return all;
}

// Calls f(case) for the cases of an operator.
template <class F> int each_case(const std::string& family, const F& f) {
  int seen = 0;
  for (const golden_case& c : all_cases()) {
    if (c.name.substr(0, c.name.find('/')) != family) continue;
    INFO(c.name);
    f(c);
    ++seen;
  }
  return seen;
}

template <class T> tensor<T> of_heads(const matrices& heads) {
  tensor<T> x({1, index(heads.size()), heads[0].rows(), heads[0].cols()});
  for (std::size_t h = 0; h < heads.size(); ++h)
    for (index l = 0; l < heads[h].rows(); ++l)
      for (index d = 0; d < heads[h].cols(); ++d) x(0, index(h), l, d) = T(heads[h](l, d));
  return x;
}
// The heads of sequence b of [B, H, L, D].
matrices heads_of(const golden_tensor& x, index b) {
  matrices heads;
  for (index h = 0; h < x.shape[1]; ++h) heads.push_back(x.matrix(b * x.shape[1] + h));
  return heads;
}
// One matrix of [L, D], or of none.
Eigen::MatrixXd rows_of(const golden_case& c, const std::string& name, index columns) {
  return c.has(name) ? c[name].matrix() : Eigen::MatrixXd(0, columns);
}
Eigen::MatrixXd stacked(const Eigen::MatrixXd& above, const Eigen::MatrixXd& below) {
  Eigen::MatrixXd x(above.rows() + below.rows(), below.cols());
  x << above, below;
  return x;
}

// One sequence in the type that computed the golden; twice the tolerance where the other program
// computed in float too.
template <class T, class Spec>
void agrees(const Spec& spec, const matrices& q, const matrices& k, const matrices& v,
            const matrices& expected, double c = 2, const golden_tensor* lse = nullptr) {
  double largest = 1;
  for (const auto& x : expected) largest = std::max(largest, x.cwiseAbs().maxCoeff());
  const double allowed = tolerance<T>(c, q[0].cols(), largest);
  const auto x = of_heads<T>(q), y = of_heads<T>(k), z = of_heads<T>(v);
  const extents to{1, index(q.size()), q[0].rows(), v[0].cols()};
  const auto check = [&](const char* who, const auto& call) {
    auto out = unwritten<T>(to), sums = unwritten<T>({1, to[1], to[2], 1});
    call(outputs{.out = out.in(), .lse = sums.in()});
    for (std::size_t h = 0; h < q.size(); ++h)
      check_close(out.head(0, index(h)), expected[h], allowed, who);
    if (lse) check_close(sums.head(0, 0), lse->vector(), allowed * 4, who);
  };
  const operand keys = y.in(), values = z.in();
  const kv_tensors source{keys, values};
  check("source", [&](const outputs& o) { attend(spec, x.in(), source, o); });
  check("engine", [&](const outputs& o) { attend(spec, x.in(), y.in(), z.in(), o); });
  check("reference", [&](const outputs& o) { reference::attend(spec, x.in(), y.in(), z.in(), o); });
}

rope turn_of(const golden_case& c) {
  rope turn;
  if (c.has("rotary")) turn.by = rotations::plain(index(c["rotary"].scalar()));
  if (c.scalar_or("interleaved", 0) != 0) turn.pairs = rope_pairs::interleaved;
  return turn;
}
// Rows at consecutive positions from `first` on, by the reference.
Eigen::MatrixXd turned(const golden_case& c, const Eigen::MatrixXd& x, index first) {
  if (!c.has("rotary")) return x;
  namespace at = reference::position;
  const auto pairs =
      c.scalar_or("interleaved", 0) != 0 ? at::pairing::interleaved : at::pairing::neox;
  const Eigen::VectorXd places =
      Eigen::VectorXd::LinSpaced(x.rows(), double(first), double(first + x.rows() - 1));
  return at::rope(x, places, at::unscaled(index(c["rotary"].scalar()), 10000), pairs);
}

// The tokens of sequence b: what the operator left in its cache, and that this is its past with the
// new tokens behind.
matrices cached(const golden_case& c, const std::string& name, index b) {
  const index length = c["lengths"].integers()[std::size_t(b)], added = c["q"].shape[2];
  const bool codes = c.has("bits");
  matrices present = heads_of(c["present_" + name], b);
  const matrices past = heads_of(c["past_" + name], b), fresh = heads_of(c[name + "_new"], b);
  for (std::size_t h = 0; h < present.size(); ++h) {
    present[h] = present[h].topRows(length).eval();
    check_close(present[h].topRows(length - added), past[h].topRows(length - added), 0, "past");
    auto now = name == "k" ? turned(c, fresh[h], length - added) : fresh[h];
    double allowed = name == "k" && c.has("rotary") ? tolerance<float>(4, 1, 4) : 0;
    if (codes) {
      const Eigen::RowVectorXd scales = c[name + "_scale"].matrix().row(index(h));
      const double top = std::ldexp(1.0, int(c["bits"].scalar()) - 1);
      for (index i = 0; i < now.rows(); ++i)
        now.row(i) = now.row(i).cwiseQuotient(scales).cwiseMax(-top).cwiseMin(top - 1);
      allowed = 0.5 + 1e-4;  // of a code
    }
    check_close(present[h].bottomRows(added), now, allowed, "present");
    if (codes) present[h] = present[h] * c[name + "_scale"].matrix().row(index(h)).asDiagonal();
  }
  return present;
}

void check_grouped_query(const golden_case& c) {
  any_mask mask = causal{};
  if (c.has("window")) mask = mask && heed::window{.left = index(c["window"].scalar()) - 1};
  any_score score;
  if (c.has("softcap")) score = softcap{c["softcap"].scalar()};
  std::vector<double> sinks;
  if (c.has("sink")) sinks = c["sink"].data;
  const auto with = [&](const auto& normalizer) {
    const attention spec{.mask = mask,
                         .score = score,
                         .normalizer = normalizer,
                         .scale = c.scalar_or("scale", automatic),
                         .query = turn_of(c)};
    for (index b = 0; b < c["q"].shape[0]; ++b) {
      INFO("sequence " << b);
      agrees<float>(spec, heads_of(c["q"], b), cached(c, "k", b), cached(c, "v", b),
                    heads_of(c["out"], b), 4);
    }
  };
  if (c.has("sink") || c.has("off_by_one"))
    with(sink_softmax{sinks});
  else
    with(softmax{});
}

// Rows of codes as heed stores them, read back.
Eigen::MatrixXd dequantized(const golden_case& c, const std::string& name) {
  const Eigen::MatrixXd codes = c[name + "_codes"].matrix();
  const bool four = c["bits"].scalar() == 4;
  const golden_tensor& bytes = four ? c[name + "_bytes"] : c[name + "_codes"];
  std::vector<unsigned char> data;
  for (const double x : bytes.data) data.push_back(static_cast<unsigned char>(int(x) & 255));
  const auto floats = [&](const std::string& field) {
    const auto& x = c[name + field].data;
    return std::vector<float>(x.begin(), x.end());
  };
  const std::vector<float> scales = floats("_scales");
  std::vector<float> zeros;
  if (c.has(name + "_zeros")) zeros = floats("_zeros");
  const stored_rows rows{.data = data.data(),
                         .type = four ? kv_type::i4 : kv_type::i8,
                         .stride = bytes.shape[1],
                         .scales = scales.data(),
                         .zeros = zeros.empty() ? nullptr : zeros.data(),
                         .scale_type = element::f32,
                         .group = index(c["group"].scalar()),
                         .scale_stride = c[name + "_scales"].shape[1]};
  Eigen::MatrixXd x(codes.rows(), codes.cols());
  for (index l = 0; l < x.rows(); ++l) {
    Eigen::VectorXd row(x.cols());
    load_stored(rows, l, x.cols(), row.data());
    x.row(l) = row;
  }
  return x;
}

}  // namespace

TEST_CASE("ONNX Runtime: GroupQueryAttention with a past") {
  CHECK(each_case("gqa", check_grouped_query) == 20);
}

TEST_CASE("NumPy: keys and values of 8 and 4 bits") {
  const int seen = each_case("quantized", [](const golden_case& c) {
    agrees<double>(attention{.mask = causal{}}, {c["q"].matrix()}, {dequantized(c, "k")},
                   {dequantized(c, "v")}, {c["out"].matrix()}, 2, &c["lse"]);
  });
  CHECK(seen == 6);
}

TEST_CASE("NumPy: a cache of the first and the last tokens") {
  const int seen = each_case("sink_window", [](const golden_case& c) {
    const Eigen::MatrixXd q = c["q"].matrix(), k = c["k"].matrix(), v = c["v"].matrix();
    const auto sinks = index(c["sinks"].scalar()), window = index(c["window"].scalar());
    const rope turn = turn_of(c);
    const auto mask = causal{} && (heed::window{.left = window - 1} || first_keys{sinks});
    agrees<double>(attention{.mask = mask}, {q}, {k}, {v}, {c["out_plain"].matrix()});
    agrees<double>(attention{.mask = mask, .query = turn, .key = turn}, {q}, {k}, {v},
                   {c["out_text"].matrix()});
    for (index t = 0; t < q.rows(); ++t) {
      const index first = std::min(sinks, t + 1);
      const index last = std::clamp<index>(t + 1 - first, 0, window);
      const auto kept = [&](const Eigen::MatrixXd& x) {
        return stacked(x.topRows(first), x.middleRows(t + 1 - last, last));
      };
      agrees<double>(attention{.query = turn, .key = turn}, {q.row(t)}, {kept(k)}, {kept(v)},
                     {c["out"].matrix().row(t)});
    }
  });
  CHECK(seen == 4);
}

TEST_CASE("NumPy: drafted tokens in a tree") {
  const int seen = each_case("tree", [](const golden_case& c) {
    const Eigen::MatrixXd q = c["q"].matrix();
    const auto past = rows_of(c, "past_k", q.cols());
    const auto parents = c["parents"].integers(), positions = c["positions"].integers();
    const auto ancestors = where([&](const position& at) {
      const index drafted = at.slot - past.rows();
      index i = at.row;
      while (i > drafted && i >= 0) i = parents[std::size_t(i)];
      return drafted < 0 || i == drafted;
    });
    std::vector<index> of_q(positions.begin(), positions.end()), of_k;
    for (index t = 0; t < past.rows(); ++t) of_k.push_back(t);
    of_k.insert(of_k.end(), of_q.begin(), of_q.end());
    const auto by_ids = [&](const std::vector<index>& ids) {
      rope turn = turn_of(c);
      turn.ids = {ids.data(), {1, 1, index(ids.size()), 1}};
      return turn;
    };
    agrees<double>(attention{.mask = ancestors, .query = by_ids(of_q), .key = by_ids(of_k)}, {q},
                   {stacked(past, c["k_new"].matrix())},
                   {stacked(rows_of(c, "past_v", q.cols()), c["v_new"].matrix())},
                   {c["out"].matrix()}, 2, &c["lse"]);
  });
  CHECK(seen == 5);
}

TEST_CASE("NumPy: several tokens on sequences of different lengths") {
  const int seen = each_case("ragged", [](const golden_case& c) {
    const rope turn = turn_of(c);
    const auto seen_back = index(c["window"].scalar()) - 1;
    for (index b = 0; b < c["q"].shape[0]; ++b) {
      const index length = c["lengths"].integers()[std::size_t(b)];
      const matrices q = heads_of(c["q"], b);
      matrices k = heads_of(c["k"], b), v = heads_of(c["v"], b);
      for (auto* heads : {&k, &v})
        for (Eigen::MatrixXd& x : *heads) x = x.topRows(length).eval();
      const auto out = [&](const char* name) { return heads_of(c[name], b); };
      agrees<double>(attention{.mask = causal{}}, q, k, v, out("out"));
      agrees<double>(attention{.mask = causal{} && heed::window{.left = seen_back}}, q, k, v,
                     out("out_window"));
      agrees<double>(attention{.mask = causal{}, .query = turn, .key = turn}, q, k, v,
                     out("out_rotary"));
    }
  });
  CHECK(seen == 1);
}

}  // namespace heed::test
