// SPDX-License-Identifier: BSL-1.0
// The shape of one random call, and what its policies borrow.
#pragma once

#include <heed/core/position.hpp>
#include <memory>
#include <string>

#include "fuzz/memory.hpp"

namespace heed::fuzz {

class call {
 public:
  engine& random;
  problem_shape shape;  // as policies see it
  index batch = 1;      // of the tensors
  std::vector<int> cu_q, cu_k;
  bool large = false;     // scores of about ±1e4
  bool backward = false;  // every policy must have a derivative
  bool placed = false;    // policies set the positions

  // At most so many pairs of a query and a key: the oracle looks at each, channel by channel.
  explicit call(engine& bits, index most_pairs = 30000) : random(bits) {
    const auto skewed = [&](index most) { return between(random, 1, between(random, 1, most)); };
    shape.batch = batch = one_in(random, 60) ? 0 : skewed(3);
    shape.kv_heads = skewed(3);
    shape.heads = shape.kv_heads * (one_in(random, 20) ? 17 : skewed(6));
    shape.depth = one_in(random, 12) ? between(random, 1, 200) : skewed(40);
    shape.value_depth = one_in(random, 12) ? between(random, 1, 200) : skewed(40);
    shape.queries = one_in(random, 60) ? 0 : one_in(random, 3) ? skewed(330) : skewed(60);
    shape.keys = one_in(random, 30) ? 0 : one_in(random, 3) ? skewed(700) : skewed(80);
    shrink(most_pairs);
    shape.offset = shape.keys - shape.queries;
    large = one_in(random, 6);
  }

  // Cuts the one batch item into sequences, some of them empty.
  void cut() {
    batch = 1;
    shape.batch = between(random, 1, 5);
    shape.offset = 0;
    cu_q = offsets(shape.queries), cu_k = offsets(shape.keys);
  }
  std::vector<int> offsets(index total) {
    std::vector<int> cu{0};
    for (index i = 1; i < shape.batch; ++i) cu.push_back(int(between(random, 0, total)));
    std::sort(cu.begin(), cu.end());
    cu.push_back(int(total));
    return cu;
  }

  bool chance(index n) { return one_in(random, n); }
  index from(index low, index high) { return between(random, low, std::max(low, high)); }
  double real(double low, double high) { return uniform(random, low, high); }
  element any_element() { return static_cast<element>(from(0, 3)); }

  template <class T> const T& keep(T value) {
    const auto held = std::make_shared<const T>(std::move(value));
    kept_.push_back(held);
    return *held;
  }
  template <class T> const std::vector<T>& numbers(index count, double low, double high) {
    std::vector<T> x;
    for (index i = 0; i < count; ++i) x.push_back(static_cast<T>(real(low, high)));
    return keep(std::move(x));
  }
  const std::vector<int>& integers(index count, index low, index high) {
    std::vector<int> x;
    for (index i = 0; i < count; ++i) x.push_back(int(from(low, high)));
    return keep(std::move(x));
  }
  // Of any type and layout; axes fall back to 1 at random.
  operand table(extents e, double low, double high) {
    for (index& n : e)
      if (chance(3)) n = 1;
    return exactly(e, low, high);
  }
  operand exactly(const extents& e, double low, double high) {
    memory x(any_element(), e, use::read, random);
    x.each([&](index b, index h, index l, index d) { x.set(b, h, l, d, real(low, high)); });
    return keep(std::move(x)).read();
  }

  std::string describe() const {
    std::string text;
    const auto add = [&](const char* name, index n) {
      text += std::string(name) + " " + std::to_string(n) + " ";
    };
    add("B", batch), add("H", shape.heads), add("Hkv", shape.kv_heads), add("Lq", shape.queries);
    add("Lk", shape.keys), add("D", shape.depth), add("Dv", shape.value_depth);
    if (!cu_q.empty()) add("sequences", shape.batch);
    return text;
  }

 private:
  void shrink(index most_pairs) {
    const auto pairs = [&] { return batch * shape.heads * shape.queries * shape.keys; };
    while (pairs() > most_pairs && shape.batch > 1) shape.batch = batch = 1;
    while (pairs() > most_pairs && shape.kv_heads > 1)
      shape.heads = shape.heads / shape.kv_heads, shape.kv_heads = 1;
    if (pairs() > most_pairs)
      shape.queries = std::max<index>(1, most_pairs / (shape.heads * shape.keys));
  }

  std::vector<std::shared_ptr<const void>> kept_;
};

}  // namespace heed::fuzz
