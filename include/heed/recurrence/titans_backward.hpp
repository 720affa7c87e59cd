// SPDX-License-Identifier: BSL-1.0
// Gradients of recurrence/titans: the front, and the order of its blocks. States are not kept by
// the forward pass: one a stretch of √n of n blocks is made anew, then those of a stretch, so a
// head needs 2 √n states for the price of two more passes without outputs.
#pragma once

#include <heed/recurrence/titans.hpp>
#include <heed/recurrence/titans_block_backward.hpp>

namespace heed {

// Absent: not wanted. Those of the gates are [B,H,L], also where a gate stands for many tokens.
struct titans_gradients {
  result dq{}, dk{}, dv{};
  result d_log_momentum{}, d_log_keep{}, d_rate{};
};

namespace detail {

template <class T, class Arch> class titans_backward_head {
  using block = titans_block_backward<T, Arch>;

 public:
  titans_backward_head(const titans_call& call, arena& a, index length, std::int64_t seen)
      : call_(call),
        length_(length),
        seen_(seen),
        x_(prepared(a), call.depth(), call.v.extent[3]) {}

  // `d`: the gradient of the final state, then of the initial one.
  void run(index b, index h, index first, const operand& d_out, const T* initial, T* d,
           const titans_gradients& to) {
    const index dv = call_.v.extent[3], columns = x_.columns, depth = call_.depth();
    T *const now = states_ + 2 * stretch_ * matrices_ * size_, *const gradient =
                                                                   now + matrices_ * size_;
    std::fill_n(now, (matrices_ + 3) * size_, T(0));
    const auto each_row = [&](T* padded, auto* rows, const auto& f) {
      for (index r = 0; r < matrices_ * depth; ++r) f(padded + r * columns, rows + r * dv);
    };
    each_row(now, initial, [&](T* x, const T* y) { std::copy_n(y, dv, x); });
    each_row(gradient, d, [&](T* x, T* y) { std::copy_n(y, dv, x); });
    forward(b, h, first, now, 0, blocks_, stretch_, states_);
    T* const near = states_ + stretch_ * matrices_ * size_;
    const titans_state<T> of{gradient, gradient + size_, gradient + 2 * size_, columns};
    for (index s = (blocks_ + stretch_ - 1) / stretch_ - 1; s >= 0; --s) {
      const index begin = s * stretch_, end = std::min(blocks_, begin + stretch_);
      std::copy_n(kept(states_, s), matrices_ * size_, now);
      forward(b, h, first, now, begin, end, 1, near);
      for (index i = end - 1; i >= begin; --i) {
        load(i, b, h, first);
        for (index t = 0; t < x_.count; ++t)
          detail::load(d_out, b, h, first + starts_[i] + t, x_.d_o + t * columns);
        x_.run(state(kept(near, i - begin)), of);
        if (call_.starts_chunk(seen_ + starts_[i])) {
          simd::blend<Arch>(T(1), T(1), of.w, size_, of.m);
          std::fill_n(of.w, size_, T(0));
        }
        store(b, h, first + starts_[i], to);
      }
    }
    each_row(gradient, d, [&](T* x, T* y) { std::copy_n(x, dv, y); });
  }

 private:
  arena& prepared(arena& a) {
    for (index l = 0; l < length_; l += size_of_block(l)) ++blocks_;
    while (stretch_ * stretch_ < blocks_) ++stretch_;
    const index depth = call_.depth(), dv = call_.v.extent[3];
    size_ = depth * block::padded(dv);
    matrices_ = call_.spec.chunk == 1 ? 2 : 3;
    const index kept = matrices_ * size_ * (2 * stretch_ + 1) + 3 * size_;
    a.reserve(std::size_t(block::bytes(depth, dv) + aligned_bytes(kept, sizeof(T)) +
                          aligned_bytes(blocks_ + 1, sizeof(index))));
    starts_ = a.take<index>(blocks_ + 1);
    states_ = a.take<T>(kept);
    starts_[0] = 0;
    for (index i = 0; i < blocks_; ++i) starts_[i + 1] = starts_[i] + size_of_block(starts_[i]);
    return a;
  }
  index size_of_block(index l) const { return call_.block(seen_ + l, length_ - l, block::most); }
  T* kept(T* from, index i) const { return from + i * matrices_ * size_; }
  titans_state<T> state(T* x) const {
    return {x, x + size_, matrices_ > 2 ? x + 2 * size_ : x, x_.columns};
  }
  void load(index i, index b, index h, index first) {
    call_.load_rows(static_cast<titans_block<T, Arch>&>(x_), b, h, first + starts_[i],
                    starts_[i + 1] - starts_[i]);
  }
  // Blocks [begin, end) onto `now`; keeps the state before each `every`th.
  void forward(index b, index h, index first, T* now, index begin, index end, index every, T* to) {
    const titans_state<T> s = state(now);
    for (index i = begin; i < end; ++i) {
      if (s.w != s.m && call_.starts_chunk(seen_ + starts_[i])) std::copy_n(s.m, size_, s.w);
      if ((i - begin) % every == 0)
        std::copy_n(now, matrices_ * size_, kept(to, (i - begin) / every));
      load(i, b, h, first);
      x_.absorb(s);
    }
  }
  void store(index b, index h, index l, const titans_gradients& to) const {
    for (index t = 0; t < x_.count; ++t) {
      if (to.dq.present()) detail::store(to.dq, b, h, l + t, x_.dq + t * x_.width);
      if (to.dk.present()) detail::store(to.dk, b, h, l + t, x_.dk + t * x_.width);
      if (to.dv.present()) detail::store(to.dv, b, h, l + t, x_.dr + t * x_.columns);
      if (to.d_log_momentum.present()) detail::store(to.d_log_momentum, b, h, l + t, x_.d_eta + t);
      if (to.d_log_keep.present()) detail::store(to.d_log_keep, b, h, l + t, x_.d_alpha + t);
      if (to.d_rate.present()) detail::store(to.d_rate, b, h, l + t, x_.d_theta + t);
    }
  }

  const titans_call& call_;
  index length_;
  std::int64_t seen_;
  index blocks_ = 0, stretch_ = 1, size_ = 0, matrices_ = 3;
  index* starts_ = nullptr;
  T* states_ = nullptr;  // before stretches, before blocks, now, gradients
  block x_;
};

template <class T, class Arch>
HEED_NOINLINE void titans_backward(const titans_call& call, const recurrent_state<T>& initial,
                                   const operand& d_out, const titans_gradients& to,
                                   recurrent_state<T>& d_state, const executor_ref& executor,
                                   const workspace_ref& scratch) {
  constexpr const char* operation = "heed::scan_backward(titans)";
  call.check(operation, d_out, "d_out");
  const extents &x = call.k.extent, tokens{x[0], x[1], x[2], 1};
  const auto wanted = [&](const char* name, const result& y, const extents& like) {
    if (y.present() && y.extent != like)
      check::fail(operation, std::string(name) + " must be " + check::print(like),
                  {{"q", call.q}, {"k", call.k}, {"v", call.v}, {name, y}});
  };
  wanted("dq", to.dq, x), wanted("dk", to.dk, x), wanted("dv", to.dv, call.v.extent);
  wanted("d_log_momentum", to.d_log_momentum, tokens);
  wanted("d_log_keep", to.d_log_keep, tokens), wanted("d_rate", to.d_rate, tokens);
  check_state(operation, initial, call.format(), call.list.count());
  claim_state_gradient(operation, d_state, call.format(), call.list.count());
  const recurrent_state<T> zero(call.format(), initial.empty() ? 1 : 0);
  workspace own;
  workspace& memory = scratch.scratch ? *scratch.scratch : own;
  memory.crew(executor.workers());
  executor.for_each(call.list.count() * call.heads(), [&](index task, index worker) {
    const index h = task % call.heads(), i = task / call.heads();
    const auto at = call.list[i];
    const bool fresh = initial.empty();
    titans_backward_head<T, Arch>(call, memory.worker(worker), at.length,
                                  fresh ? 0 : initial.tokens(i))
        .run(at.b, h, at.first, d_out, fresh ? zero.head(0, h) : initial.head(i, h),
             d_state.head(i, h), to);
  });
}

}  // namespace detail

// Gradients of L where d_out [B,H,L,Dv] is dL/d out of scan(spec, q, k, v, out, state) from
// `initial` (empty: zero). `d_state` comes in as the gradient of the final state (empty: zero) and
// leaves as that of the initial one. Same bits for any executor. Throws std::invalid_argument,
// before anything is written, if a shape or a state does not fit.
template <class Arch = simd::best, storable Q, storable K, storable V, storable G>
void scan_backward(const titans& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
                   const recurrent_state<compute_type<Q, K, V>>& initial, const view<G>& d_out,
                   const titans_gradients& to, recurrent_state<compute_type<Q, K, V>>& d_state,
                   const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  const detail::titans_call call(spec, view<const Q>(q), view<const K>(k), view<const V>(v));
  detail::titans_backward<compute_type<Q, K, V>, Arch>(call, initial, view<const G>(d_out), to,
                                                       d_state, executor, scratch);
}
template <class Arch = simd::best, storable Q, storable K, storable V, storable G>
void scan_backward(const titans& spec, const view<Q>& q, const view<K>& k, const view<V>& v,
                   const view<G>& d_out, const titans_gradients& to,
                   const executor_ref& executor = {}, const workspace_ref& scratch = {}) {
  recurrent_state<compute_type<Q, K, V>> d_state;
  scan_backward<Arch>(spec, q, k, v, {}, d_out, to, d_state, executor, scratch);
}

}  // namespace heed
