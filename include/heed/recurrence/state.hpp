// SPDX-License-Identifier: BSL-1.0
// What a recurrence carries from one token to the next, as a value: copy it, batch it, take one
// sequence out of it, reset one, save and load it (`state_file.hpp`).
#pragma once

#include <algorithm>
#include <cstdint>
#include <heed/core/check.hpp>
#include <limits>
#include <string>
#include <vector>

namespace heed {

// What the state of one sequence consists of: for every head a matrix S [rows × columns] and `side`
// numbers beside it. Two states may stand for each other if their formats are equal.
struct state_format {
  std::string kind;  // the recurrence it belongs to
  index heads = 0, rows = 0, columns = 0, side = 0;
  bool logarithm = false;  // the last side number is one, and starts at minus infinity

  index head_size() const { return rows * columns + side; }
  index size() const { return heads * head_size(); }
  friend bool operator==(const state_format&, const state_format&) = default;
};

inline std::string print(const state_format& f) {
  return f.kind + " [" + std::to_string(f.heads) + " heads of " + std::to_string(f.rows) + " x " +
         std::to_string(f.columns) + " + " + std::to_string(f.side) + "]";
}

// T is the compute type, float or double. A default-constructed state is empty: the first call that
// is given it makes it the zero state of its recurrence.
template <class T> class recurrent_state {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);

 public:
  recurrent_state() = default;
  recurrent_state(state_format format, index batch)
      : format_(std::move(format)), batch_(batch), tokens_(std::size_t(batch)) {
    values_.resize(std::size_t(batch * format_.size()));
    for (index b = 0; b < batch; ++b) reset(b);
  }

  bool empty() const { return format_.kind.empty(); }
  const state_format& format() const { return format_; }
  index batch() const { return batch_; }
  // Tokens that sequence b has seen.
  std::int64_t& tokens(index b) { return tokens_[std::size_t(b)]; }
  std::int64_t tokens(index b) const { return tokens_[std::size_t(b)]; }

  // S of one head, row by row, then its side numbers.
  T* head(index b, index h) { return values_.data() + at(b, h); }
  const T* head(index b, index h) const { return values_.data() + at(b, h); }
  T* side(index b, index h) { return head(b, h) + format_.rows * format_.columns; }
  const T* side(index b, index h) const { return head(b, h) + format_.rows * format_.columns; }
  // All matrices, [batch, heads, rows, columns].
  view<T> matrices() { return {values_.data(), extent(), stride()}; }
  view<const T> matrices() const { return {values_.data(), extent(), stride()}; }

  // Sequence b starts anew.
  void reset(index b) {
    if (b < 0 || b >= batch_)
      check::fail("heed::recurrent_state",
                  "no sequence " + std::to_string(b) + " among " + std::to_string(batch_));
    tokens(b) = 0;
    std::fill_n(head(b, 0), format_.size(), T(0));
    if (format_.logarithm)
      for (index h = 0; h < format_.heads; ++h)
        side(b, h)[format_.side - 1] = -std::numeric_limits<T>::infinity();
  }
  // One sequence, as a batch of one.
  recurrent_state sequence(index b) const {
    recurrent_state one(format_, 1);
    one.assign(0, *this, b);
    return one;
  }
  // Sequence b becomes sequence `other` of `from`.
  void assign(index b, const recurrent_state& from, index other) {
    if (!(from.format_ == format_))
      check::fail("heed::recurrent_state", "a state of another recurrence: " + print(from.format_) +
                                               " for " + print(format_));
    if (b < 0 || b >= batch_ || other < 0 || other >= from.batch_)
      check::fail("heed::recurrent_state", "no such sequence");
    std::copy_n(from.head(other, 0), format_.size(), head(b, 0));
    tokens(b) = from.tokens(other);
  }
  friend bool operator==(const recurrent_state&, const recurrent_state&) = default;

 private:
  std::size_t at(index b, index h) const {
    return std::size_t(b * format_.size() + h * format_.head_size());
  }
  extents extent() const { return {batch_, format_.heads, format_.rows, format_.columns}; }
  extents stride() const { return {format_.size(), format_.head_size(), format_.columns, 1}; }

  state_format format_;
  index batch_ = 0;
  std::vector<T> values_;
  std::vector<std::int64_t> tokens_;
};

namespace detail {

// Throws if a state, given and not empty, is not one of `format` for `batch` sequences.
template <class T>
void check_state(const char* operation, const char* name, const recurrent_state<T>* state,
                 const state_format& format, index batch) {
  if (state && !state->empty() && (!(state->format() == format) || state->batch() != batch))
    check::fail(operation, std::string(name) + " is " + print(state->format()) +
                               " for a batch of " + std::to_string(state->batch()) +
                               ", but the call needs " + print(format) + " for " +
                               std::to_string(batch));
}
template <class T>
void check_state(const char* operation, const recurrent_state<T>& state, const state_format& format,
                 index batch) {
  check_state(operation, "the state", &state, format, batch);
}
// Makes an empty state the zero state of `format`; throws if it is one of another recurrence.
template <class T>
void claim_state(const char* operation, recurrent_state<T>& state, const state_format& format,
                 index batch) {
  check_state(operation, state, format, batch);
  if (state.empty()) state = recurrent_state<T>(format, batch);
}
// The gradient of a state has the shape of a state; an empty one is zero.
template <class T>
void claim_state_gradient(const char* operation, recurrent_state<T>& gradient,
                          const state_format& format, index batch) {
  const bool fresh = gradient.empty();
  claim_state(operation, gradient, format, batch);
  if (fresh && format.logarithm)
    for (index b = 0; b < batch; ++b)
      for (index h = 0; h < format.heads; ++h) gradient.side(b, h)[format.side - 1] = 0;
}

}  // namespace detail

}  // namespace heed
