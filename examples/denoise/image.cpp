// SPDX-License-Identifier: BSL-1.0
#include "image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string_view>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNM
#include <stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb_image_write.h>

namespace denoise {
namespace {

using bytes_view = std::span<const unsigned char>;

// stb decodes what it can of a damaged file: these three look for damage.

std::uint32_t big_endian(bytes_view four) {
  std::uint32_t value = 0;
  for (const unsigned char byte : four) value = value << 8 | byte;
  return value;
}

std::uint32_t crc32(bytes_view bytes) {
  std::uint32_t crc = ~0u;
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

// Chunks of length, name, data and checksum of name and data, up to the one called IEND.
bool sound_png(bytes_view bytes) {
  constexpr std::size_t frame = 12;
  for (bytes_view rest = bytes.subspan(8); rest.size() >= frame;) {
    const std::size_t size = big_endian(rest.first(4));
    if (size > rest.size() - frame) return false;
    const bytes_view named = rest.subspan(4, size + 4);
    if (big_endian(rest.subspan(8 + size, 4)) != crc32(named)) return false;
    if (std::ranges::equal(named.first(4), std::string_view("IEND"))) return true;
    rest = rest.subspan(frame + size);
  }
  return false;
}

// Neither marker occurs inside compressed data: the end of the picture follows its last scan.
bool sound_jpeg(bytes_view bytes) {
  constexpr std::array<unsigned char, 2> scan{0xff, 0xda}, end{0xff, 0xd9};
  const auto last_scan = std::ranges::find_end(bytes, scan),
             last_end = std::ranges::find_end(bytes, end);
  return last_end.begin() != bytes.end() && last_scan.begin() < last_end.begin();
}

bool sound(bytes_view bytes, std::size_t values) {
  if (bytes[0] == 0x89) return sound_png(bytes);
  if (bytes[0] == 0xff) return sound_jpeg(bytes);
  const bool wide = stbi_is_16_bit_from_memory(bytes.data(), static_cast<int>(bytes.size())) != 0;
  return bytes.size() > values * (wide ? 2 : 1);
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw std::runtime_error("cannot read '" + name + "': " + why);
}

bool ends_with_any(const std::string& path, std::initializer_list<const char*> endings) {
  return std::ranges::any_of(endings, [&](const char* ending) { return path.ends_with(ending); });
}

std::vector<unsigned char> to_bytes(const image& picture) {
  std::vector<unsigned char> bytes(picture.rgb.size());
  std::ranges::transform(picture.rgb, bytes.begin(), [](float value) {
    return static_cast<unsigned char>(std::lround(std::clamp(value, 0.0f, 255.0f)));
  });
  return bytes;
}

bool write_ppm(const image& picture, const std::vector<unsigned char>& bytes,
               const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << picture.width << ' ' << picture.height << "\n255\n";
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  return static_cast<bool>(file.flush());
}

}  // namespace

image decode(std::span<const unsigned char> bytes, const std::string& name) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    refuse(name, "larger than 2 GiB");
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<unsigned char, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height,
                            &channels, 3),
      stbi_image_free);
  if (!pixels)
    refuse(name, std::string("not a sound PNG, JPEG or PPM image (") + stbi_failure_reason() + ")");
  if (width < 1 || height < 1) refuse(name, "the image is empty");
  image picture(width, height);
  if (!sound(bytes, picture.rgb.size() / 3 * static_cast<std::size_t>(channels)))
    refuse(name, "the image is damaged or cut short");
  std::copy_n(pixels.get(), picture.rgb.size(), picture.rgb.begin());
  return picture;
}

image load(const std::string& path) {
  if (std::filesystem::is_directory(path)) refuse(path, "it is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, "no such file, or no permission");
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) refuse(path, "the file is empty");
  return decode({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()}, path);
}

bool can_save(const std::string& path) {
  return ends_with_any(path, {".png", ".jpg", ".jpeg", ".ppm"});
}

void save(const image& picture, const std::string& path) {
  const std::vector<unsigned char> bytes = to_bytes(picture);
  const int width = picture.width, height = picture.height;
  const bool written = path.ends_with(".png") ? stbi_write_png(path.c_str(), width, height, 3,
                                                               bytes.data(), 3 * width) != 0
                       : ends_with_any(path, {".jpg", ".jpeg"})
                           ? stbi_write_jpg(path.c_str(), width, height, 3, bytes.data(), 95) != 0
                           : write_ppm(picture, bytes, path);
  if (!written) throw std::runtime_error("cannot write '" + path + "'");
}

image centre(const image& picture, int width, int height) {
  image part(std::min(width, picture.width), std::min(height, picture.height));
  const int left = (picture.width - part.width) / 2, top = (picture.height - part.height) / 2;
  for (int y = 0; y < part.height; ++y)
    std::copy_n(picture.at(left, top + y), 3 * part.width, part.at(0, y));
  return part;
}

}  // namespace denoise
