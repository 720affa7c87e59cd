// SPDX-License-Identifier: BSL-1.0
// A recurrent state as bytes. Little-endian, whatever the machine:
//
//   8 bytes   "heedstat"
//   u32       version, 1
//   u32       bytes of a number, 4 or 8 (IEEE 754)
//   u32, …    length of the kind, and the kind
//   i64 × 6   batch, heads, rows, columns, side, logarithm (0 or 1)
//   i64       tokens seen, for every sequence
//   numbers   for every sequence and head: S row by row, then the side
//   u64       FNV-1a of every byte before
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <heed/recurrence/state.hpp>
#include <istream>
#include <ostream>

namespace heed {

namespace detail {

inline constexpr std::array<char, 8> state_magic = {'h', 'e', 'e', 'd', 's', 't', 'a', 't'};

struct byte_sum {
  std::uint64_t value = 14695981039346656037u;
  void add(const char* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      value = (value ^ static_cast<unsigned char>(bytes[i])) * 1099511628211u;
  }
};

template <class N> using bits_of = std::conditional_t<sizeof(N) == 8, std::uint64_t, std::uint32_t>;

class state_writer {
 public:
  explicit state_writer(std::ostream& to) : to_(to) {}
  void bytes(const char* from, std::size_t count) {
    sum_.add(from, count);
    to_.write(from, static_cast<std::streamsize>(count));
  }
  template <class N> void number(N x) {
    const auto bits = std::bit_cast<bits_of<N>>(x);
    char out[sizeof(N)];
    for (std::size_t i = 0; i < sizeof(N); ++i) out[i] = static_cast<char>(bits >> (8 * i));
    bytes(out, sizeof(N));
  }
  void finish() {
    number(sum_.value);
    if (!to_.flush()) check::fail("heed::save", "the stream takes no more bytes");
  }

 private:
  std::ostream& to_;
  byte_sum sum_;
};

class state_reader {
 public:
  explicit state_reader(std::istream& from) : from_(from) {}
  void bytes(char* to, std::size_t count) {
    if (!from_.read(to, static_cast<std::streamsize>(count)))
      check::fail("heed::load", "the stream ends inside a state");
    sum_.add(to, count);
  }
  template <class N> N number() {
    char in[sizeof(N)];
    bytes(in, sizeof(N));
    bits_of<N> bits = 0;
    for (std::size_t i = 0; i < sizeof(N); ++i)
      bits |= bits_of<N>(static_cast<unsigned char>(in[i])) << (8 * i);
    return std::bit_cast<N>(bits);
  }
  void finish() {
    const std::uint64_t sum = sum_.value;
    if (number<std::uint64_t>() != sum) check::fail("heed::load", "the check does not match");
  }

 private:
  std::istream& from_;
  byte_sum sum_;
};

// An extent that a state can have: what is read before the check is not to be trusted.
inline index state_extent(state_reader& in) {
  const auto n = in.number<std::int64_t>();
  if (n < 0 || n > (std::int64_t{1} << 40)) check::fail("heed::load", "an extent is out of range");
  return static_cast<index>(n);
}

}  // namespace detail

// Throws std::invalid_argument if the stream fails.
template <class T> void save(std::ostream& to, const recurrent_state<T>& state) {
  const state_format& f = state.format();
  detail::state_writer out(to);
  out.bytes(detail::state_magic.data(), detail::state_magic.size());
  out.number(std::uint32_t{1});
  out.number(static_cast<std::uint32_t>(sizeof(T)));
  out.number(static_cast<std::uint32_t>(f.kind.size()));
  out.bytes(f.kind.data(), f.kind.size());
  for (const index n : {state.batch(), f.heads, f.rows, f.columns, f.side, index(f.logarithm)})
    out.number(static_cast<std::int64_t>(n));
  for (index b = 0; b < state.batch(); ++b) out.number(state.tokens(b));
  for (index b = 0; b < state.batch(); ++b)
    for (index i = 0; i < f.size(); ++i) out.number(state.head(b, 0)[i]);
  out.finish();
}

// What `save` wrote, float read as double or back where T is the other. Throws
// std::invalid_argument if it is not a state, of another version, cut short or damaged.
template <class T> recurrent_state<T> load_state(std::istream& from) {
  detail::state_reader in(from);
  std::array<char, 8> magic{};
  in.bytes(magic.data(), magic.size());
  if (magic != detail::state_magic) check::fail("heed::load", "this is no state");
  if (const auto version = in.number<std::uint32_t>(); version != 1)
    check::fail("heed::load", "version " + std::to_string(version) + " is not known, 1 is");
  const auto size = in.number<std::uint32_t>(), letters = in.number<std::uint32_t>();
  if ((size != 4 && size != 8) || letters > 4096)
    check::fail("heed::load", "the header is damaged");
  state_format f;
  f.kind.resize(letters);
  in.bytes(f.kind.data(), letters);
  const index batch = detail::state_extent(in);
  for (index* n : {&f.heads, &f.rows, &f.columns, &f.side}) *n = detail::state_extent(in);
  f.logarithm = detail::state_extent(in) != 0;
  // Read piece by piece: a damaged extent meets the end of the stream, not the end of memory.
  // Bounded for one head and sequence too, so that no product of indices leaves its type.
  const double numbers = double(std::max<index>(batch, 1)) * double(std::max<index>(f.heads, 1)) *
                         (double(f.rows) * double(f.columns) + double(f.side));
  if (numbers > 0x1p40 || (f.logarithm && f.side == 0))
    check::fail("heed::load", "the header is damaged");
  std::vector<std::int64_t> tokens;
  for (index b = 0; b < batch; ++b) tokens.push_back(detail::state_extent(in));
  std::vector<T> values;
  for (index i = 0; i < batch * f.size(); ++i)
    values.push_back(size == 4 ? static_cast<T>(in.number<float>())
                               : static_cast<T>(in.number<double>()));
  in.finish();
  if (f.kind.empty()) return {};
  recurrent_state<T> state(f, batch);
  for (index b = 0; b < batch; ++b) {
    state.tokens(b) = tokens[std::size_t(b)];
    std::copy_n(values.data() + b * f.size(), f.size(), state.head(b, 0));
  }
  return state;
}

}  // namespace heed
