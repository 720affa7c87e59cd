// SPDX-License-Identifier: BSL-1.0
// Scratch memory: one aligned arena per worker and one that a call shares, kept between calls.
#pragma once

#include <cassert>
#include <cstddef>
#include <heed/core/position.hpp>
#include <memory>
#include <new>
#include <vector>

namespace heed {

// Grows to the largest request it has seen. `take` hands out pieces of the last `reserve`.
class arena {
 public:
  static constexpr std::size_t alignment = 64;

  static constexpr std::size_t rounded(std::size_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
  }
  void reserve(std::size_t bytes) {
    used_ = 0;
    if (bytes <= size_) return;
    block_.reset();
    size_ = 0;
    block_.reset(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{alignment})));
    size_ = bytes;
  }
  template <class T> T* take(index count) {
    assert(used_ + static_cast<std::size_t>(count) * sizeof(T) <= size_);
    T* piece = reinterpret_cast<T*>(block_.get() + used_);
    used_ += rounded(static_cast<std::size_t>(count) * sizeof(T));
    return piece;
  }
  std::size_t capacity() const { return size_; }
  std::byte* data() { return block_.get(); }

 private:
  struct release {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{alignment}); }
  };
  std::unique_ptr<std::byte, release> block_;
  std::size_t size_ = 0, used_ = 0;
};

// Takes the place of an arena to find out how much one needs: its pieces are null.
class arena_size {
 public:
  template <class T> T* take(index count) {
    bytes_ += arena::rounded(static_cast<std::size_t>(count) * sizeof(T));
    return nullptr;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

// Reuse one workspace to make repeated calls free of allocation. Not for two calls at once.
class workspace {
 public:
  arena& shared() { return shared_; }
  arena& worker(index i) { return workers_[static_cast<std::size_t>(i)]; }
  void crew(index n) {
    if (static_cast<std::size_t>(n) > workers_.size()) workers_.resize(static_cast<std::size_t>(n));
  }
  // With so many bytes for each of them.
  void crew(index n, std::size_t bytes) {
    crew(n);
    for (index i = 0; i < n; ++i) worker(i).reserve(bytes);
  }
  std::size_t capacity() const {
    std::size_t sum = shared_.capacity();
    for (const arena& a : workers_) sum += a.capacity();
    return sum;
  }
  // Every reserved byte, for tests that fill scratch before a call.
  template <class F> void for_each_arena(F f) {
    f(shared_);
    for (arena& a : workers_) f(a);
  }

 private:
  arena shared_;
  std::vector<arena> workers_;
};

// Where a call takes its scratch from; nothing means: allocate for this call.
struct workspace_ref {
  workspace* scratch = nullptr;
  workspace_ref() = default;
  workspace_ref(workspace& w) : scratch(&w) {}  // NOLINT: a workspace is one
};

namespace detail {

// Gives what `take(memory)` gives, which is called twice: to count, then to have.
template <class F> auto lay_out(arena& memory, const F& take) {
  arena_size size;
  take(size);
  memory.reserve(size.bytes());
  return take(memory);
}

inline index aligned_bytes(index count, std::size_t size) {
  return static_cast<index>(arena::rounded(static_cast<std::size_t>(count) * size));
}

}  // namespace detail

}  // namespace heed
