// SPDX-License-Identifier: BSL-1.0
// First steps with heed. README shows the marked regions; this program runs them and checks them
// against the reference.
#define EIGEN_USE_THREADS
#include <cmath>
#include <cstdio>
#include <heed/heed.hpp>
#include <heed/reference/attend.hpp>
#include <heed/reference/recurrence/gated_delta.hpp>
#include <vector>

namespace {

template <int Rank> using tensor = Eigen::Tensor<float, Rank, Eigen::RowMajor>;

tensor<4> random(Eigen::Index a, Eigen::Index b, Eigen::Index c, Eigen::Index d) {
  tensor<4> x(a, b, c, d);
  x.setRandom();
  return x;
}

float difference(const tensor<4>& a, const tensor<4>& b) {
  const tensor<0> worst = (a - b).abs().maximum();
  return worst();
}

int failures = 0;
void report(const char* name, float error, const tensor<4>& out) {
  const bool right = error < 1e-5f;
  failures += !right;
  std::printf("%-12s first output %9.6f, off the reference by %.1e%s\n", name,
              double(out.data()[0]), double(error), right ? "" : "  WRONG");
}

void causal_gqa() {
  using heed::as;
  const tensor<4> q = random(2, 70, 32, 64), k = random(2, 70, 8, 64), v = random(2, 70, 8, 64);
  tensor<4> out(2, 70, 32, 64), expected(2, 70, 32, 64);

  // [causal_gqa]
  Eigen::ThreadPool threads(8);
  Eigen::ThreadPoolDevice cpu(&threads, 8);

  // q and out [B, L, 32, D], k and v [B, L, 8, D]: four query heads share a key head.
  const heed::attention causal_gqa{.mask = heed::causal{}};
  heed::attend(causal_gqa, as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v), as<"BLHD">(out),
               heed::on(cpu));
  // [/causal_gqa]

  heed::reference::attend(causal_gqa, as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v),
                          as<"BLHD">(expected));
  report("causal_gqa", difference(out, expected), out);
}

void own_score() {
  using heed::as;
  constexpr Eigen::Index L = 90, H = 4;
  const tensor<4> q = random(1, L, H, 32), k = random(1, L, H, 32), v = random(1, L, H, 32);
  tensor<4> out(1, L, H, 32), expected(1, L, H, 32);
  const Eigen::Array4f slope(0.5f, 0.25f, 0.125f, 0.0625f);
  Eigen::ArrayXi doc(L);
  doc << Eigen::ArrayXi::Constant(40, 0), 1, Eigen::ArrayXi::Constant(L - 41, 2);

  // [own_score]
  // Documents packed into one sequence, with a bias that grows with the distance.
  const heed::attention packed{
      .mask = heed::causal{} && heed::where([&](heed::position p) { return doc[p.q] == doc[p.k]; }),
      .score = [&](auto s, auto at) { return s + slope[at.h] * (at.k - at.q); }};
  heed::attend(packed, as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v), as<"BLHD">(out));
  // The oracle takes the same specification.
  heed::reference::attend(packed, as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v),
                          as<"BLHD">(expected));
  // [/own_score]

  report("own_score", difference(out, expected), out);
}

void eigen() {
  const tensor<4> q = random(1, 8, 50, 64), k = random(1, 8, 77, 64), v = random(1, 8, 77, 64);
  tensor<4> expected(1, 8, 50, 64);

  // [eigen]
  // Row-major tensors [B, H, L, D] in, a fresh one out. A matrix is one head, L x D.
  auto out = heed::attend(heed::attention{}, q, k, v);
  // [/eigen]

  using heed::as;
  heed::reference::attend(heed::attention{}, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
                          as<"BHLD">(expected));
  report("eigen", difference(out, expected), out);
}

void workspace() {
  using heed::as;
  const heed::attention spec{.score = heed::softcap{30}};
  const tensor<4> k = random(1, 2, 40, 16), v = random(1, 2, 40, 16);
  tensor<4> q(1, 2, 1, 16), out(1, 2, 1, 16), expected(1, 2, 1, 16);
  tensor<3> lse(1, 2, 1);

  // [workspace]
  heed::workspace scratch;  // only the first call allocates
  for (int step = 0; step < 10; ++step) {
    q.setRandom();
    heed::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
                 {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)}, heed::serial{}, scratch);
  }
  // [/workspace]

  heed::reference::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v), as<"BHLD">(expected));
  report("workspace", difference(out, expected), out);
}

// Decoding: two sequences whose pages lie in one pool, in any order.
void decode() {
  using heed::as;
  constexpr Eigen::Index steps = 40, page = 8, pages = steps / page;
  tensor<4> key_pages(2 * pages, 2, page, 32), value_pages(2 * pages, 2, page, 32);
  Eigen::Tensor<int, 2, Eigen::RowMajor> page_table(2, pages);
  for (int i = 0; i < 2 * pages; ++i) page_table.data()[i] = (i * 3) % (2 * pages);
  std::vector<int> lengths(2, 0);
  const std::vector<float> sinks{0.5f, -1.0f, 0.0f, 2.0f};
  const tensor<4> qs = random(2, 4, steps, 32), ks = random(2, 2, steps, 32),
                  vs = random(2, 2, steps, 32);
  const auto step_of = [](const tensor<4>& x, Eigen::Index t) {
    tensor<4> one = x.chip<2>(t).reshape(Eigen::array<Eigen::Index, 4>{2, x.dimension(1), 1, 32});
    return one;
  };
  tensor<4> q, k_new, v_new, out(2, 4, 1, 32), expected(2, 4, steps, 32);
  Eigen::ThreadPool threads(2);
  Eigen::ThreadPoolDevice cpu(&threads, 2);

  // [decode]
  // Pages [page, head, slot, D] of a pool, the pages of each sequence, one sink logit a query head.
  heed::paged_tensors cache{.k = as<"BHLD">(key_pages),
                            .v = as<"BHLD">(value_pages),
                            .table = as<"BL">(page_table),
                            .lengths = lengths};
  const heed::attention decode{.mask = heed::window{.left = 15},
                               .normalizer = heed::sink_softmax{sinks}};
  for (int t = 0; t < steps; ++t) {
    q = step_of(qs, t), k_new = step_of(ks, t), v_new = step_of(vs, t);  // your projections
    cache.append(as<"BHLD">(k_new), as<"BHLD">(v_new));
    heed::attend(decode, as<"BHLD">(q), cache, as<"BHLD">(out), heed::on(cpu));
  }
  // [/decode]

  heed::reference::attend(decode, as<"BHLD">(qs), as<"BHLD">(ks), as<"BHLD">(vs),
                          as<"BHLD">(expected));
  report("decode", difference(out, step_of(expected, steps - 1)), out);
}

// A gated delta rule over a prompt and one token more, against the recurrence.
void recurrent() {
  using heed::as;
  const Eigen::Index heads = 2, prompt = 75, channels = 32;
  const auto small = [](tensor<4> x, float factor) { return tensor<4>(x * x.constant(factor)); };
  const tensor<4> q = random(1, prompt, heads, channels), q_new = random(1, 1, heads, channels),
                  k = small(random(1, prompt, heads, channels), 0.3f),
                  k_new = small(random(1, 1, heads, channels), 0.3f),
                  v = random(1, prompt, heads, channels), v_new = random(1, 1, heads, channels);
  // Random numbers are those of [0, 1).
  const tensor<4> log_alpha = small(random(1, prompt, heads, 1), -1),
                  log_alpha_new = small(random(1, 1, heads, 1), -1),
                  beta = random(1, prompt, heads, 1), beta_new = random(1, 1, heads, 1);
  tensor<4> out(1, prompt, heads, channels), out_new(1, 1, heads, channels);

  // [recurrent]
  // A prompt at once, all tensors [B, L, H, channels or 1]. The state is a value, empty at first.
  heed::recurrent_state<float> state;
  heed::scan(heed::recurrences::gated_delta(as<"BLHD">(log_alpha), as<"BLHD">(beta), channels),
             as<"BLHD">(q), as<"BLHD">(k), as<"BLHD">(v), as<"BLHD">(out), state);
  // The next token.
  heed::step(
      heed::recurrences::gated_delta(as<"BLHD">(log_alpha_new), as<"BLHD">(beta_new), channels),
      as<"BLHD">(q_new), as<"BLHD">(k_new), as<"BLHD">(v_new), as<"BLHD">(out_new), state);
  // [/recurrent]

  float error = 0;
  for (Eigen::Index h = 0; h < heads; ++h) {
    const auto head = [&](const tensor<4>& x, const tensor<4>& last) {
      Eigen::MatrixXd m(prompt + 1, x.dimension(3));
      for (Eigen::Index t = 0; t <= prompt; ++t)
        for (Eigen::Index d = 0; d < m.cols(); ++d)
          m(t, d) = double(t < prompt ? x(0, t, h, d) : last(0, 0, h, d));
      return m;
    };
    const auto want = heed::reference::recurrence::gated_delta(
        head(q, q_new), head(k, k_new), head(v, v_new), head(log_alpha, log_alpha_new),
        head(beta, beta_new), {}, 1 / std::sqrt(double(channels)));
    error = std::max(error, float((want.out - head(out, out_new)).cwiseAbs().maxCoeff()));
  }
  report("recurrent", error, out);
}

// The change of L = Σ out · d_out along a direction, and what the gradients say it is.
void gradients() {
  using heed::as;
  const tensor<4> q = random(1, 2, 70, 64), k = random(1, 2, 70, 64), v = random(1, 2, 70, 64);
  const tensor<4> d_out = random(1, 2, 70, 64), step = random(1, 2, 70, 64);
  tensor<4> out(1, 2, 70, 64), dq(1, 2, 70, 64), dk(1, 2, 70, 64), dv(1, 2, 70, 64);
  tensor<3> lse(1, 2, 70);
  const heed::attention spec{.mask = heed::causal{}};
  heed::attend(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
               {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)});

  // [gradients]
  // With L a function of out and d_out = dL/d_out.
  heed::attend_backward(spec, as<"BHLD">(q), as<"BHLD">(k), as<"BHLD">(v),
                        {.out = as<"BHLD">(out), .lse = as<"BHL">(lse)}, as<"BHLD">(d_out),
                        {.dq = as<"BHLD">(dq), .dk = as<"BHLD">(dk), .dv = as<"BHLD">(dv)});
  // [/gradients]

  const auto loss = [&](float by) {
    const tensor<4> moved_q = q + step * by, moved_k = k + step * by, moved_v = v + step * by;
    const tensor<0> sum =
        (heed::attend(spec, moved_q, moved_k, moved_v) * d_out).cast<double>().sum().cast<float>();
    return sum();
  };
  const tensor<0> slope = ((dq + dk + dv) * step).sum();
  const float measured = (loss(1.0f / 64) - loss(-1.0f / 64)) * 32;
  const bool right = std::abs(measured - slope()) < 1e-2f * std::abs(measured);
  failures += !right;
  std::printf("%-12s slope %.4f, measured %.4f%s\n", "gradients", double(slope()), double(measured),
              right ? "" : "  WRONG");
}

void image() {
  using heed::as;
  constexpr Eigen::Index height = 24, width = 30;
  tensor<5> pixels(1, height, width, 2, 16), picture(1, height, width, 2, 16);
  tensor<5> expected(1, height, width, 2, 16);
  pixels.setRandom();
  Eigen::ThreadPool threads(2);
  Eigen::ThreadPoolDevice cpu(&threads, 2);

  // [image]
  // Images [B,Y,X,H,D]: every pixel sees the 7 × 7 around it, shifted inwards at the borders.
  const heed::attention local{.mask = heed::neighborhood<2>{{height, width}, {7, 7}}};
  heed::attend(local, as<"BLLHD">(pixels), as<"BLLHD">(pixels), as<"BLLHD">(pixels),
               as<"BLLHD">(picture), heed::on(cpu));
  // [/image]

  heed::reference::attend(local, as<"BLLHD">(pixels), as<"BLLHD">(pixels), as<"BLLHD">(pixels),
                          as<"BLLHD">(expected));
  const tensor<0> worst = (picture - expected).abs().maximum();
  const bool right = worst() < 1e-5f;
  failures += !right;
  std::printf("%-12s first output %9.6f, off the reference by %.1e%s\n", "image",
              double(picture.data()[0]), double(worst()), right ? "" : "  WRONG");
}

}  // namespace

int main() {
  causal_gqa();
  own_score();
  eigen();
  workspace();
  decode();
  gradients();
  recurrent();
  image();
  return failures == 0 ? 0 : 1;
}
