// SPDX-License-Identifier: BSL-1.0
// Golden cases: inputs and outputs of programs that are not ours (tests/golden).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace heed::test {

/// A row-major tensor, in double whatever it was stored in.
struct golden_tensor {
  std::vector<std::ptrdiff_t> shape;
  std::vector<double> data;

  double scalar() const { return data.at(0); }
  Eigen::VectorXd vector() const {
    return Eigen::Map<const Eigen::VectorXd>(data.data(), static_cast<Eigen::Index>(data.size()));
  }
  std::vector<std::ptrdiff_t> integers() const { return {data.begin(), data.end()}; }
  /// The last two axes at the n-th place of the others: of [B, H, L, D], n = b·H + h.
  Eigen::MatrixXd matrix(std::ptrdiff_t n = 0) const {
    const Eigen::Index rows = shape.at(shape.size() - 2), columns = shape.back();
    using row_major = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    return Eigen::Map<const row_major>(data.data() + n * rows * columns, rows, columns);
  }
};

/// One case: its tensors by name.
struct golden_case {
  std::string name;
  std::map<std::string, golden_tensor> tensors;

  bool has(const std::string& tensor) const { return tensors.contains(tensor); }
  const golden_tensor& operator[](const std::string& tensor) const {
    const auto found = tensors.find(tensor);
    if (found == tensors.end()) throw std::out_of_range("no golden tensor " + name + "/" + tensor);
    return found->second;
  }
  double scalar_or(const std::string& tensor, double otherwise) const {
    return has(tensor) ? (*this)[tensor].scalar() : otherwise;
  }
};

/// The little-endian number of type T at `bytes`.
template <class T> T little_endian(const char* bytes) {
  std::array<unsigned char, sizeof(T)> raw;
  std::copy_n(bytes, sizeof(T), raw.begin());
  if constexpr (std::endian::native == std::endian::big) std::reverse(raw.begin(), raw.end());
  return std::bit_cast<T>(raw);
}

/// tests/golden, or the folder of a family in it; of main.cpp.
std::string golden_folder(const std::string& family = "");

/// Every case under <folder>/cases.txt and <folder>/cases.bin, in their order.
inline std::vector<golden_case> golden_cases(const std::string& folder = golden_folder()) {
  std::ifstream index(folder + "/cases.txt"), blob(folder + "/cases.bin", std::ios::binary);
  if (!index || !blob) throw std::runtime_error("no golden cases in " + folder);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(blob), {});
  std::vector<golden_case> cases;
  std::string name, type, shape;
  for (std::size_t offset; index >> name >> type >> shape >> offset;) {
    golden_tensor x;
    std::size_t size = 1, each = type == "f4" ? sizeof(float) : sizeof(double);
    std::istringstream extents(shape);
    for (std::string extent; std::getline(extents, extent, 'x');) {
      x.shape.push_back(std::stol(extent));
      size *= static_cast<std::size_t>(x.shape.back());
    }
    if (offset + size * each > bytes.size()) throw std::runtime_error("cut short: " + name);
    for (std::size_t n = 0; n < size; ++n) {
      const char* at = bytes.data() + offset + n * each;
      x.data.push_back(type == "f4" ? double{little_endian<float>(at)} : little_endian<double>(at));
    }
    const std::size_t slash = name.rfind('/');
    const std::string owner = name.substr(0, slash);
    if (cases.empty() || cases.back().name != owner) cases.push_back({owner, {}});
    cases.back().tensors[name.substr(slash + 1)] = std::move(x);
  }
  return cases;
}

inline golden_case golden(const std::string& name) {
  for (golden_case& c : golden_cases())
    if (c.name == name) return c;
  throw std::out_of_range("no golden case " + name);
}

}  // namespace heed::test
