// SPDX-License-Identifier: BSL-1.0
// What the operands of heads/mla must fit, and in which type they are computed.
#pragma once

#include <heed/core/check.hpp>
#include <heed/heads/products.hpp>

namespace heed::mla {

using heed::detail::channels_of;
using heed::detail::transpose_of;

namespace detail {

struct widths {
  index content, latent, rope;  // Dc, r, Dr
};

inline void require(bool rule, const char* who, const char* text,
                    std::initializer_list<check::named> operands) {
  if (!rule) check::fail(who, text, operands);
  for (const check::named& x : operands)
    if (const extents& e = x.value.extent; !x.value.present() && e[0] * e[1] * e[2] * e[3] > 0)
      check::fail(who, std::string(x.name) + " must not be null", operands);
}

inline widths absorbed(const char* who, const operand& q, const operand& w_uk, const operand& to) {
  const extents &x = q.extent, &w = w_uk.extent, &y = to.extent;
  require(w[0] == 1 && w[1] == x[1] && x[0] == y[0] && x[1] == y[1] && x[2] == y[2] &&
              x[3] >= w[2] && x[3] - w[2] == y[3] - w[3],
          who, "q must be [B,H,L,Dc+Dr], w_uk [H,Dc,r] and the absorbed queries [B,H,L,r+Dr]",
          {{"q", q}, {"w_uk", w_uk}, {"absorbed", to}});
  return {w[2], w[3], x[3] - w[2]};
}
inline void check_expand(const char* who, const operand& latent, const operand& w_uv,
                         const operand& out) {
  const extents &x = latent.extent, &w = w_uv.extent, &y = out.extent;
  require(w == extents{1, x[1], x[3], y[3]} && x[0] == y[0] && x[1] == y[1] && x[2] == y[2], who,
          "the latent output must be [B,H,L,r], w_uv [H,r,Dv] and out [B,H,L,Dv]",
          {{"latent", latent}, {"w_uv", w_uv}, {"out", out}});
}
inline widths expanded(const char* who, const operand& rows, const operand& w_uk,
                       const operand& w_uv, const operand& k, const operand& v) {
  const extents &x = rows.extent, &w = w_uk.extent;
  const index heads = w[1], rope = x[3] - w[3];
  require(x[1] == 1 && w[0] == 1 && rope >= 0 &&
              k.extent == extents{x[0], heads, x[2], w[2] + rope} &&
              v.extent == extents{x[0], heads, x[2], v.extent[3]} &&
              w_uv.extent == extents{1, heads, w[3], v.extent[3]},
          who,
          "rows must be [B,1,N,r+Dr], w_uk [H,Dc,r], w_uv [H,r,Dv], k [B,H,N,Dc+Dr] and v "
          "[B,H,N,Dv]",
          {{"rows", rows}, {"w_uk", w_uk}, {"w_uv", w_uv}, {"k", k}, {"v", v}});
  return {w[2], w[3], rope};
}
inline void check_gradient(const char* who, const char* name, const operand& g, const operand& of) {
  if (g.present() && g.extent != of.extent)
    check::fail(who, std::string(name) + " must have the extents of what it is the gradient of",
                {{name, g}, {"operand", of}});
}

// f(products), in double if every operand is.
template <class Arch, class F>
void compute(std::initializer_list<operand> all, index columns, const executor_ref& executor,
             const workspace_ref& scratch, const F& f) {
  workspace own;
  workspace& from = scratch.scratch ? *scratch.scratch : own;
  if (std::all_of(all.begin(), all.end(),
                  [](const operand& x) { return x.type == element::f64; })) {
    heed::detail::products<double, Arch> by(executor, from, columns);
    f(by);
  } else {
    heed::detail::products<float, Arch> by(executor, from, columns);
    f(by);
  }
}

}  // namespace detail

}  // namespace heed::mla
