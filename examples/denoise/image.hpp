// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace denoise {

// Rows of red, green, blue, each from 0 to 255.
struct image {
  int width = 0;
  int height = 0;
  std::vector<float> rgb;

  image() = default;
  image(int w, int h)
      : width(w), height(h), rgb(3 * static_cast<std::size_t>(w) * static_cast<std::size_t>(h)) {}

  float* at(std::ptrdiff_t x, std::ptrdiff_t y) { return rgb.data() + 3 * (y * width + x); }
  const float* at(std::ptrdiff_t x, std::ptrdiff_t y) const {
    return rgb.data() + 3 * (y * width + x);
  }
};

// PNG, JPEG or PPM; `name` is for the message of the std::runtime_error.
image decode(std::span<const unsigned char> bytes, const std::string& name);
image load(const std::string& path);

// .png, .jpg, .jpeg and .ppm.
bool can_save(const std::string& path);
// In the format that the name ends in, else as PPM. Values are rounded and clipped to 8 bits.
void save(const image& picture, const std::string& path);

image centre(const image& picture, int width, int height);

}  // namespace denoise
