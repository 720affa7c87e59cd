// SPDX-License-Identifier: BSL-1.0
// A heat map as a PPM file: one square a number, dark blue 0, yellow the largest.
#pragma once

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace sinks {

struct heat_map {
  int rows = 0, columns = 0;
  std::vector<double> of = std::vector<double>(static_cast<std::size_t>(rows * columns), 0.0);

  heat_map(int r, int c) : rows(r), columns(c) {}
  double& operator()(int row, int column) {
    return of[static_cast<std::size_t>(row * columns + column)];
  }

  // Squares of `wide` × `high` points; every `group` rows a black line.
  void write(const std::string& path, double top, int wide, int high, int group) const {
    static constexpr double stops[5][3] = {
        {68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};
    const int lines = (rows - 1) / group;
    std::ofstream file(path, std::ios::binary);
    file << "P6\n" << columns * wide << ' ' << rows * high + 2 * lines << "\n255\n";
    for (int row = 0; row < rows; ++row) {
      std::string line;
      for (int column = 0; column < columns; ++column) {
        const double x =
            4 * std::clamp(of[static_cast<std::size_t>(row * columns + column)] / top, 0.0, 1.0);
        const int low = std::min(static_cast<int>(x), 3);
        std::string point;
        for (int c = 0; c < 3; ++c)
          point += static_cast<char>(static_cast<unsigned char>(
              stops[low][c] + (x - low) * (stops[low + 1][c] - stops[low][c])));
        for (int i = 0; i < wide; ++i) line += point;
      }
      for (int i = 0; i < high; ++i) file << line;
      if (row + 1 < rows && (row + 1) % group == 0)
        file << std::string(static_cast<std::size_t>(2 * 3 * columns * wide), '\0');
    }
    if (!file) throw std::runtime_error("cannot write " + path);
  }
};

}  // namespace sinks
