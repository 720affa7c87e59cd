// SPDX-License-Identifier: BSL-1.0
// Rules stated once. A broken one throws std::invalid_argument that names the operation, the rule
// and every operand with its extents and strides.
#pragma once

#include <heed/core/storage.hpp>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace heed::check {

struct named {
  const char* name;
  operand value;
};

inline std::string print(const extents& e) {
  std::string text = "[";
  for (int i = 0; i < 4; ++i)
    text += (i ? ", " : "") + std::to_string(e[static_cast<std::size_t>(i)]);
  return text + "]";
}

inline const char* print(element e) {
  constexpr const char* names[] = {"float", "double", "half", "bfloat16"};
  return names[static_cast<int>(e)];
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail(const char* operation,
                                                        const std::string& rule,
                                                        std::initializer_list<named> operands) {
  std::string text = std::string(operation) + ": " + rule;
  for (const named& o : operands)
    text += std::string("\n  ") + o.name + " [B,H,L,D] = " + print(o.value.extent) + ", strides " +
            print(o.value.stride) + ", " + print(o.value.type);
  throw std::invalid_argument(text);
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail(const char* policy,
                                                        const std::string& rule) {
  throw std::invalid_argument(std::string(policy) + ": " + rule);
}

}  // namespace heed::check
