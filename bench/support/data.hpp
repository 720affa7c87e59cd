// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "shapes.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <new>
#include <numbers>
#include <vector>

namespace bench {

template <class T> struct page_allocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{4096};

  page_allocator() = default;
  template <class U> page_allocator(const page_allocator<U>&) {}

  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, alignment); }
  friend bool operator==(page_allocator, page_allocator) { return true; }
};

template <class T> using buffer = std::vector<T, page_allocator<T>>;

// Standard normal numbers, the same on every platform for one seed.
class normal_source {
 public:
  explicit normal_source(std::uint64_t seed) : state_{seed} {}

  float operator()() {
    const double u = uniform(), v = uniform();
    return static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v));
  }

 private:
  // splitmix64, mapped to (0, 1].
  double uniform() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (static_cast<double>(z >> 11) + 1) * 0x1p-53;
  }

  std::uint64_t state_;
};

inline buffer<float> normal_numbers(index count, std::uint64_t seed) {
  buffer<float> numbers(static_cast<std::size_t>(count));
  normal_source next(seed);
  for (float& x : numbers) {
    x = next();
  }
  return numbers;
}

template <class T> buffer<T> converted(const buffer<float>& from) {
  buffer<T> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    to[i] = static_cast<T>(from[i]);
  }
  return to;
}

// [batch, heads, length, dim] to [batch, length, heads, dim].
inline buffer<float> heads_inside(const buffer<float>& from, index batch, index heads, index length,
                                  index dim) {
  buffer<float> to(from.size());
  for (index b = 0; b < batch; ++b) {
    for (index h = 0; h < heads; ++h) {
      for (index l = 0; l < length; ++l) {
        for (index d = 0; d < dim; ++d) {
          to[static_cast<std::size_t>(((b * length + l) * heads + h) * dim + d)] =
              from[static_cast<std::size_t>(((b * heads + h) * length + l) * dim + d)];
        }
      }
    }
  }
  return to;
}

// Random inputs of one problem, contiguous [batch, heads, length, dim].
struct inputs {
  explicit inputs(const shape& form)
      : q{normal_numbers(form.query_size(), 1)},
        k{normal_numbers(form.key_size(), 2)},
        v{normal_numbers(form.key_size(), 3)} {}

  buffer<float> q, k, v;
};

}  // namespace bench
