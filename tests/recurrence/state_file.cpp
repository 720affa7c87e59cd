// SPDX-License-Identifier: BSL-1.0
// Saved states: what comes back, the bytes of the format, and what is refused.
#include <heed/recurrence/state_file.hpp>
#include <limits>
#include <sstream>

#include "support/catch.hpp"

namespace heed::test {

namespace {

template <class T> recurrent_state<T> some_state() {
  recurrent_state<T> s({"scalar decay, delta, direct", 2, 3, 5, 4, true}, 3);
  T x = 0;
  for (index b = 0; b < 2; ++b) {  // the last sequence stays new
    for (index i = 0; i < s.format().size(); ++i) s.head(b, 0)[i] = x += T(0.37);
    s.tokens(b) = 1000000007 * (b + 1);
  }
  return s;
}
template <class T> std::string bytes_of(const recurrent_state<T>& s) {
  std::ostringstream out;
  save(out, s);
  return out.str();
}
template <class T> recurrent_state<T> read(const std::string& bytes) {
  std::istringstream in(bytes);
  return load_state<T>(in);
}
void refused(const std::string& bytes, const char* why) {
  try {
    (void)read<float>(bytes);
    FAIL("not refused: " << why);
  } catch (const std::invalid_argument& e) {
    INFO(e.what());
    CHECK(std::string(e.what()).find(why) != std::string::npos);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("A saved state comes back to the bit", "", float, double) {
  const auto s = some_state<TestType>();
  CHECK(read<TestType>(bytes_of(s)) == s);
  CHECK(read<TestType>(bytes_of(s.sequence(1))) == s.sequence(1));
  CHECK(read<TestType>(bytes_of(recurrent_state<TestType>{})).empty());
  auto special = s;
  special.head(0, 0)[0] = std::numeric_limits<TestType>::infinity();
  special.head(0, 1)[1] = std::numeric_limits<TestType>::denorm_min();
  CHECK(read<TestType>(bytes_of(special)) == special);
}

TEST_CASE("States follow each other in a stream") {
  std::stringstream both;
  const auto a = some_state<float>(), b = a.sequence(0);
  save(both, a);
  save(both, b);
  CHECK(load_state<float>(both) == a);
  CHECK(load_state<float>(both) == b);
}

TEST_CASE("A state in float is read as double") {
  const auto s = some_state<float>();
  const auto d = read<double>(bytes_of(s));
  REQUIRE(d.format() == s.format());
  CHECK(d.tokens(1) == s.tokens(1));
  CHECK(d.head(1, 1)[7] == double(s.head(1, 1)[7]));
  CHECK(read<float>(bytes_of(d)) == s);
}

TEST_CASE("The bytes are those of the format") {
  recurrent_state<float> s({"ab", 1, 1, 2, 0, false}, 1);
  s.head(0, 0)[0] = 1;
  s.head(0, 0)[1] = -2;
  s.tokens(0) = 0x0102;
  const std::string b = bytes_of(s);
  REQUIRE(b.size() == 8 + 4 + 4 + 4 + 2 + 6 * 8 + 8 + 2 * 4 + 8);
  CHECK(b.substr(0, 8) == "heedstat");
  CHECK(b.substr(8, 14) == std::string("\1\0\0\0\4\0\0\0\2\0\0\0ab", 14));
  CHECK(b.substr(22, 8) == std::string("\1\0\0\0\0\0\0\0", 8));
  CHECK(b.substr(70, 8) == std::string("\2\1\0\0\0\0\0\0", 8));
  CHECK(b.substr(78, 8) == std::string("\0\0\x80\x3f\0\0\0\xc0", 8));
}

TEST_CASE("What is no whole state is refused") {
  const std::string good = bytes_of(some_state<float>());
  refused("", "ends inside");
  for (std::size_t cut = 1; cut < good.size(); cut += 7)
    refused(good.substr(0, good.size() - cut), "ends inside");
  std::string other = good;
  other[0] = 'H';
  refused(other, "no state");
  other = good;
  other[8] = 2;
  refused(other, "version 2");
  // Any changed byte behind the header's first is found.
  for (std::size_t i = 16; i < good.size(); i += 5) {
    other = good;
    other[i] = static_cast<char>(other[i] ^ 0x10);
    CHECK_THROWS_AS(read<float>(other), std::invalid_argument);
  }
}

// As who means harm writes them: the check is right, the numbers are not.
TEST_CASE("Sizes and tokens that no state can have are refused behind a right check") {
  const auto with = [](std::size_t place, std::int64_t number) {
    std::string bytes = bytes_of(recurrent_state<float>({"ab", 1, 1, 2, 0, false}, 0));
    if (place >= 70) bytes = bytes_of(recurrent_state<float>({"ab", 1, 1, 2, 0, false}, 1));
    for (std::size_t i = 0; i < 8; ++i)
      bytes[place + i] = static_cast<char>(std::uint64_t(number) >> (8 * i));
    detail::byte_sum sum;
    sum.add(bytes.data(), bytes.size() - 8);
    for (std::size_t i = 0; i < 8; ++i)
      bytes[bytes.size() - 8 + i] = static_cast<char>(sum.value >> (8 * i));
    return bytes;
  };
  CHECK(read<float>(with(22, 0)).batch() == 0);
  CHECK(read<float>(with(70, 12)).tokens(0) == 12);
  refused(with(38, std::int64_t{1} << 40),
          "header is damaged");  // 2^41 numbers a head, no head read
  refused(with(70, -1), "out of range");
  refused(with(70, std::numeric_limits<std::int64_t>::max()), "out of range");
}

TEST_CASE("States of other recurrences and sequences that are not there are refused") {
  auto a = some_state<float>();
  recurrent_state<float> b({"other", 2, 3, 5, 4, true}, 3);
  CHECK_THROWS_AS(a.assign(0, b, 0), std::invalid_argument);
  CHECK_THROWS_AS(a.assign(3, a, 0), std::invalid_argument);
  CHECK_THROWS_AS(a.sequence(-1), std::invalid_argument);
  CHECK_THROWS_AS(a.reset(3), std::invalid_argument);
  a.reset(0);
  CHECK(a.tokens(0) == 0);
  CHECK(a.sequence(0) == a.sequence(2));
  CHECK_FALSE(a.sequence(0) == a.sequence(1));
  a.assign(0, a, 1);
  CHECK(a.sequence(0) == a.sequence(1));
}

}  // namespace heed::test
