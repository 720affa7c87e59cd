// SPDX-License-Identifier: BSL-1.0
// Models in the format of RWKV/rwkv.cpp (whose folder tests/ has small ones), little-endian:
//   magic, 100 or 101, vocabulary, width, layers, type             6 × i32
//   then to the end of the file, tensors:
//     axes, length of the name, type                               3 × i32
//     extents, the nearest elements first                          axes × i32
//     name, elements
// Elements are f32 (type 0), f16 (type 1) or of five bits (type 8, Q5_1 of ggml); no others are
// read.
#pragma once

#include <map>

#include "../decoder/file.hpp"
#include "rows.hpp"

namespace rwkv {

class model_file {
 public:
  struct tensor {
    std::vector<index> extent;
    decoder::buffer<float> values;
  };

  explicit model_file(const std::string& path) : path_(path) {
    const std::vector<unsigned char> data = decoder::read_file(path);
    decoder::detail::reader from(data, path);
    if (from.get<std::int32_t>() != magic) from.fail("it is not a model of rwkv.cpp");
    const auto version = from.get<std::int32_t>();
    if (version != 100 && version != 101) from.fail("it has another version of the format");
    for (index* const size : {&vocabulary_, &width_, &layers_}) {
      *size = from.get<std::int32_t>();
      if (*size < 1 || *size > most) from.fail("a size of the model is out of range");
    }
    from.get<std::int32_t>();  // type of most tensors: each says its own
    while (!from.rest().empty()) read_tensor(from);
  }

  index vocabulary() const { return vocabulary_; }
  index width() const { return width_; }
  index layers() const { return layers_; }
  bool has(const std::string& name) const { return tensors_.contains(name); }

  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error("cannot read '" + path_ + "': " + why);
  }
  const tensor& at(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) fail("it has no tensor '" + name + "'");
    return found->second;
  }
  // [count, columns], or as many rows as there are.
  rows matrix(const std::string& name, index columns, index count = 0) const {
    const tensor& t = at(name);
    const auto size = static_cast<index>(t.values.size());
    if (t.extent.front() != columns || (count > 0 && size != count * columns))
      fail("tensor '" + name + "' has another shape");
    return Eigen::Map<const rows>(t.values.data(), size / columns, columns);
  }
  row vector(const std::string& name, index size) const {
    const tensor& t = at(name);
    if (static_cast<index>(t.values.size()) != size)
      fail("tensor '" + name + "' has another shape");
    return Eigen::Map<const row>(t.values.data(), size);
  }
  affine norm(const std::string& name) const {
    return {vector(name + ".weight", width_), vector(name + ".bias", width_)};
  }

 private:
  static constexpr std::int32_t magic = 0x67676d66;
  static constexpr index most = 1 << 20;

  void read_tensor(decoder::detail::reader& from) {
    const auto axes = from.get<std::int32_t>(), length = from.get<std::int32_t>(),
               type = from.get<std::int32_t>();
    if (axes < 1 || axes > 4 || length < 1 || length > 1024) from.fail("it is damaged");
    tensor t;
    std::size_t size = 1;
    for (std::int32_t i = 0; i < axes; ++i) {
      t.extent.push_back(from.get<std::int32_t>());
      // Before it overflows, and before anything of that size is allocated.
      if (t.extent.back() < 1 || (size *= std::size_t(t.extent.back())) > 2 * from.rest().size())
        from.fail("it is damaged");
    }
    std::string name(static_cast<std::size_t>(length), ' ');
    from.get(name.data(), name.size());
    t.values.resize(size);
    if (type == 0)
      from.get(t.values);
    else if (type == 1)
      read_halves(from, t.values);
    else if (type == 8 && size % 32 == 0)
      read_five_bits(from, t.values);
    else
      from.fail("tensor '" + name + "' is of type " + std::to_string(type));
    tensors_.insert_or_assign(std::move(name), std::move(t));
  }

  static void read_halves(decoder::detail::reader& from, decoder::buffer<float>& to) {
    std::vector<Eigen::half> halves(to.size());
    from.get(halves.data(), halves.size());
    std::copy(halves.begin(), halves.end(), to.begin());
  }
  // Blocks of 32: scale and least value, the fifth bits of all, then the others, where element i
  // shares a byte with element i + 16.
  static void read_five_bits(decoder::detail::reader& from, decoder::buffer<float>& to) {
    for (std::size_t first = 0; first < to.size(); first += 32) {
      const auto scale = from.get<Eigen::half>(), least = from.get<Eigen::half>();
      const auto fifth = from.get<std::uint32_t>();
      unsigned char low[16];
      from.get(low, 16);
      for (std::uint32_t i = 0; i < 32; ++i) {
        const std::uint32_t four = i < 16 ? low[i] & 15U : low[i - 16] >> 4U;
        const std::uint32_t code = four | ((fifth >> i & 1U) << 4U);
        to[first + i] = float(scale) * float(code) + float(least);
      }
    }
  }

  std::string path_;
  index vocabulary_ = 0, width_ = 0, layers_ = 0;
  std::map<std::string, tensor> tensors_;
};

}  // namespace rwkv
