// SPDX-License-Identifier: BSL-1.0
// Files as bytes: read with every length checked, written beside the name and then renamed, so that
// a kill leaves the file of before.
#pragma once

#include <bit>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>

#include "shape.hpp"

namespace decoder {

using bytes = std::span<const unsigned char>;

namespace detail {

static_assert(std::endian::native == std::endian::little);

inline std::uint64_t fnv1a(bytes data, std::uint64_t hash = 0xcbf29ce484222325U) {
  for (const unsigned char c : data) hash = (hash ^ c) * 0x100000001b3U;
  return hash;
}

using file = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
inline file open(const std::string& path, const char* mode) {
  return {std::fopen(path.c_str(), mode), &std::fclose};
}

class writer {
 public:
  template <class T> void put(const T* from, std::size_t count) {
    const auto* raw = reinterpret_cast<const unsigned char*>(from);
    data_.insert(data_.end(), raw, raw + count * sizeof(T));
  }
  template <class T> void put(const T& value) { put(&value, 1); }
  void put(const buffer<float>& x) { put(x.data(), x.size()); }

  void save(const std::string& path) {
    put(fnv1a(data_));
    const std::string part = path + ".part";
    file out = open(part, "wb");
    if (!out || std::fwrite(data_.data(), 1, data_.size(), out.get()) != data_.size() ||
        std::fclose(out.release()) != 0)
      throw std::runtime_error("cannot write '" + part + "'");
    std::filesystem::rename(part, path);
  }

 private:
  std::vector<unsigned char> data_;
};

// `name` is for the message of the std::runtime_error.
class reader {
 public:
  reader(bytes data, std::string name) : rest_(data), name_(std::move(name)) {}
  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error("cannot read '" + name_ + "': " + why);
  }
  template <class T> void get(T* to, std::size_t count) {
    if (rest_.size() / sizeof(T) < count) fail("it is too short");
    std::memcpy(to, rest_.data(), count * sizeof(T));
    rest_ = rest_.subspan(count * sizeof(T));
  }
  template <class T> T get() {
    T value;
    get(&value, 1);
    return value;
  }
  void get(buffer<float>& x) { get(x.data(), x.size()); }
  // Before anything of that size is allocated.
  void expect(std::size_t size) const {
    if (rest_.size() != size)
      fail("it should have " + std::to_string(size) + " more bytes, not " +
           std::to_string(rest_.size()));
  }
  bytes rest() const { return rest_; }

 private:
  bytes rest_;
  std::string name_;
};

inline void checked(const shape& s, const reader& from) try {
  s.check();
} catch (const std::runtime_error& error) {
  from.fail(error.what());
}

}  // namespace detail

inline std::vector<unsigned char> read_file(const std::string& path) {
  detail::file in = detail::open(path, "rb");
  std::vector<unsigned char> data;
  unsigned char block[1 << 14];
  bool good = in != nullptr && !std::filesystem::is_directory(path);
  while (good) {
    const std::size_t n = std::fread(block, 1, sizeof block, in.get());
    data.insert(data.end(), block, block + n);
    if (n < sizeof block) {
      good = std::ferror(in.get()) == 0;
      break;
    }
  }
  if (!good) throw std::runtime_error("cannot read '" + path + "'");
  return data;
}

// Before hours of work that would be lost.
inline void check_writable(const std::string& path) {
  const std::string part = path + ".part";
  if (!detail::open(part, "wb")) throw std::runtime_error("cannot write '" + part + "'");
  std::filesystem::remove(part);
}

}  // namespace decoder
