// SPDX-License-Identifier: BSL-1.0
// heads/mla: multi-head latent attention (DeepSeek-V2, 2024). A token leaves one row [c, k_R] for
// all heads: r latent channels, from which head h has k_h = W_UK,h c and v_h = W_UV,hᵀ c, and Dr
// rotated ones that all heads share. Queries are rows [q_C, RoPE(q_R)] of Dc + Dr channels.
//
//   s = (q_C·k_h + q_R·k_R) / √(Dc + Dr) = ((W_UK,hᵀ q_C)·c + q_R·k_R) / √(Dc + Dr)
//   o_h = Σ p v_h = W_UV,hᵀ Σ p c
//
// Decoding needs no expanded key: it is multi-query attention whose values are channels of its
// keys,
//   mla::absorb(q, w_uk, a);                                              // [B,H,L,r+Dr]
//   attend({.scale = mla::scale(Dc, Dr)}, a, rows, rows.slice_channels(0, r), latent);
//   mla::expand(latent, w_uv, out);
// or over a cache of rows, `latent_source` (kv/latent.hpp). For long prompts the products with
// expanded rows are fewer:
//   mla::expand_rows(rows, w_uk, w_uv, k, v);  attend(attention{}, q, k, v, out);
//
// W_UK [H,Dc,r] and W_UV [H,r,Dv] as "HLD". Rotations are those of the caller, done before. Without
// rotated channels (Dr = 0) this is attention without positions, or, where c was compressed from
// rotated inputs, the PreRoPE form. Computes in double if everything is double, else in float.
// Throws std::invalid_argument, before anything is written, if a shape does not fit.
#pragma once

#include <cmath>
#include <heed/heads/mla_shapes.hpp>
#include <heed/heads/products.hpp>

namespace heed::mla {

inline double scale(index content, index rope) { return 1 / std::sqrt(double(content + rope)); }

// Gradients; what is absent is not computed.
struct absorb_gradients {
  result dq{}, dw_uk{};
};
struct expand_gradients {
  result d_latent{}, dw_uv{};
};
struct rows_gradients {
  result d_rows{}, dw_uk{}, dw_uv{};
};

// q [B,H,L,Dc+Dr] -> to [B,H,L,r+Dr]: W_UKᵀ q_C beside q_R.
template <class Arch = simd::best>
void absorb(const operand& q, const operand& w_uk, const result& to,
            const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const auto [dc, r, dr] = detail::absorbed("heed::mla::absorb", q, w_uk, to);
  detail::compute<Arch>({q, w_uk, to}, r, executor, scratch, [&](auto& by) {
    by.multiply({{channels_of(q, 0, dc), w_uk}}, channels_of(to, 0, r));
    by.copy(channels_of(q, dc, dr), channels_of(to, r, dr));
  });
}
template <class Arch = simd::best>
void absorb_backward(const operand& q, const operand& w_uk, const operand& d_to,
                     const absorb_gradients& g, const executor_ref& executor = {},
                     const workspace_ref& scratch = {}) {
  constexpr auto who = "heed::mla::absorb_backward";
  const auto [dc, r, dr] = detail::absorbed(who, q, w_uk, d_to);
  detail::check_gradient(who, "dq", g.dq, q), detail::check_gradient(who, "dw_uk", g.dw_uk, w_uk);
  detail::compute<Arch>({q, w_uk, d_to}, std::max(dc, r), executor, scratch, [&](auto& by) {
    if (g.dq.present()) {
      by.multiply({{channels_of(d_to, 0, r), transpose_of(w_uk)}}, channels_of(g.dq, 0, dc));
      by.copy(channels_of(d_to, r, dr), channels_of(g.dq, dc, dr));
    }
    if (g.dw_uk.present())
      by.multiply_rows(channels_of(q, 0, dc), channels_of(d_to, 0, r), g.dw_uk);
  });
}

// latent [B,H,L,r] -> out [B,H,L,Dv]: W_UVᵀ of it.
template <class Arch = simd::best>
void expand(const operand& latent, const operand& w_uv, const result& out,
            const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  detail::check_expand("heed::mla::expand", latent, w_uv, out);
  detail::compute<Arch>({latent, w_uv, out}, out.extent[3], executor, scratch,
                        [&](auto& by) { by.multiply({{latent, w_uv}}, out); });
}
template <class Arch = simd::best>
void expand_backward(const operand& latent, const operand& w_uv, const operand& d_out,
                     const expand_gradients& g, const executor_ref& executor = {},
                     const workspace_ref& scratch = {}) {
  constexpr auto who = "heed::mla::expand_backward";
  detail::check_expand(who, latent, w_uv, d_out);
  detail::check_gradient(who, "d_latent", g.d_latent, latent);
  detail::check_gradient(who, "dw_uv", g.dw_uv, w_uv);
  const index widest = std::max(latent.extent[3], d_out.extent[3]);
  detail::compute<Arch>({latent, w_uv, d_out}, widest, executor, scratch, [&](auto& by) {
    if (g.d_latent.present()) by.multiply({{d_out, transpose_of(w_uv)}}, g.d_latent);
    if (g.dw_uv.present()) by.multiply_rows(latent, d_out, g.dw_uv);
  });
}

// rows [B,1,N,r+Dr] -> k [B,H,N,Dc+Dr] and v [B,H,N,Dv] of every head.
template <class Arch = simd::best>
void expand_rows(const operand& rows, const operand& w_uk, const operand& w_uv, const result& k,
                 const result& v, const executor_ref& executor = {},
                 const workspace_ref& scratch = {}) {
  const auto [dc, r, dr] = detail::expanded("heed::mla::expand_rows", rows, w_uk, w_uv, k, v);
  const operand c = channels_of(rows, 0, r);
  detail::compute<Arch>({rows, w_uk, w_uv, k, v}, std::max(dc, v.extent[3]), executor, scratch,
                        [&](auto& by) {
                          by.multiply({{c, transpose_of(w_uk)}}, channels_of(k, 0, dc));
                          by.copy(channels_of(rows, r, dr), channels_of(k, dc, dr));
                          by.multiply({{c, w_uv}}, v);
                        });
}
template <class Arch = simd::best>
void expand_rows_backward(const operand& rows, const operand& w_uk, const operand& w_uv,
                          const operand& dk, const operand& dv, const rows_gradients& g,
                          const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  constexpr auto who = "heed::mla::expand_rows_backward";
  const auto [dc, r, dr] = detail::expanded(who, rows, w_uk, w_uv, dk, dv);
  detail::check_gradient(who, "d_rows", g.d_rows, rows);
  detail::check_gradient(who, "dw_uk", g.dw_uk, w_uk);
  detail::check_gradient(who, "dw_uv", g.dw_uv, w_uv);
  const operand c = channels_of(rows, 0, r), d_content = channels_of(dk, 0, dc);
  detail::compute<Arch>(
      {rows, w_uk, w_uv, dk, dv}, std::max(r, dv.extent[3]), executor, scratch, [&](auto& by) {
        if (g.d_rows.present()) {
          by.multiply({{d_content, w_uk}, {dv, transpose_of(w_uv)}}, channels_of(g.d_rows, 0, r));
          by.copy(channels_of(dk, dc, dr), channels_of(g.d_rows, r, dr));
        }
        if (g.dw_uk.present()) by.multiply_rows(d_content, c, g.dw_uk);
        if (g.dw_uv.present()) by.multiply_rows(c, dv, g.dw_uv);
      });
}

}  // namespace heed::mla
