// SPDX-License-Identifier: BSL-1.0
// Clips: frames denoised together by a window of [frame, y, x], against one by one.
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "image.hpp"
#include "noise.hpp"
#include "non_local_means.hpp"
#include "options.hpp"
#include "reference.hpp"
#include "render.hpp"
#include "timed.hpp"

namespace denoise {

using clip = std::vector<image>;

// What three dimensions have to gain over two, in decibel.
inline constexpr double least_gain_of_time = 0.5;

// The frames given, in order: files, or those of one folder by name.
inline std::vector<std::string> frame_paths(const std::vector<std::string>& inputs) {
  namespace fs = std::filesystem;
  if (inputs.size() != 1 || !fs::is_directory(inputs[0])) return inputs;
  std::vector<std::string> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(inputs[0]))
    if (can_save(entry.path().string())) paths.push_back(entry.path().string());
  if (paths.empty())
    throw std::runtime_error("cannot read '" + inputs[0] + "': no pictures in the folder");
  std::ranges::sort(paths);
  return paths;
}

inline clip read_clip(const options& o) {
  clip frames;
  if (o.inputs.empty())
    for (int t = 0; t < o.rendered; ++t) frames.push_back(rendered(t, 160, 112));
  for (const std::string& path : frame_paths(o.inputs)) {
    frames.push_back(load(path));
    if (frames.back().width != frames[0].width || frames.back().height != frames[0].height)
      throw std::runtime_error("'" + path + "' differs in size from the first frame");
  }
  if (o.crop > 0)
    for (image& frame : frames) frame = centre(frame, o.crop, o.crop);
  return frames;
}

// Of all frames together.
inline double psnr(const clip& frames, const clip& clean) {
  image all, exact;
  for (std::size_t t = 0; t < clean.size(); ++t) {
    all.rgb.insert(all.rgb.end(), frames[t].rgb.begin(), frames[t].rgb.end());
    exact.rgb.insert(exact.rgb.end(), clean[t].rgb.begin(), clean[t].rgb.end());
  }
  return psnr(all, exact);
}

// name.png, name-000.png, name-001.png, …
inline void save(const clip& frames, const std::string& path) {
  const std::filesystem::path name(path);
  for (std::size_t t = 0; t < frames.size(); ++t) {
    const std::string digits = std::to_string(t);
    const std::string number =
        std::string(3 - std::min<std::size_t>(digits.size(), 3), '0') + digits;
    save(frames[t],
         name.parent_path() / (name.stem().string() + "-" + number + name.extension().string()));
  }
}

inline void print(const char* way, const timed<clip>& result, const settings& set) {
  const image& frame = result.value[0];
  const double work = static_cast<double>(result.value.size()) * operations(frame, set);
  std::printf("%-12s %d keys a pixel, %.3f s, %.1f GFLOP/s useful\n", way, set.keys(),
              result.seconds, work / result.seconds * 1e-9);
}

// 0, or 1 where `o.check` finds fault.
inline int denoise_clip(const options& o, bool write_result) {
  const clip given = read_clip(o);
  const double sigma = o.added_noise();
  clip noisy;
  for (std::size_t t = 0; t < given.size(); ++t)
    noisy.push_back(with_noise(given[t], sigma, o.seed + t));
  const settings flat = o.complete(noisy[0]);
  settings deep = flat;
  deep.frames = std::min(o.depth, static_cast<int>(noisy.size()));
  std::printf("clip         %zu frames of %d x %d, noise level %.1f\n", noisy.size(),
              noisy[0].width, noisy[0].height, flat.level);
  if (!o.noisy_out.empty()) save(noisy, o.noisy_out);

  const auto single = timed_on(o.threads, [&](const heed::executor_ref& on) {
    clip quiet;
    for (const image& frame : noisy) quiet.push_back(non_local_means(frame, flat, on));
    return quiet;
  });
  const auto together = timed_on(
      o.threads, [&](const heed::executor_ref& on) { return non_local_means(noisy, deep, on); });
  print("one by one", single, flat);
  print("together", together, deep);
  bool good = true;
  if (sigma > 0) {
    const double before = psnr(noisy, given), alone = psnr(single.value, given),
                 after = psnr(together.value, given);
    std::printf("PSNR         %.2f dB -> %.2f dB one by one, %.2f dB together (%+.2f dB)\n", before,
                alone, after, after - alone);
    good = after - before >= least_gain && after - alone >= least_gain_of_time;
  }
  if (o.samples > 0) {
    const double error = reference::largest_error(noisy, together.value, deep, o.samples);
    std::printf("reference    largest difference %.1e grey levels over %d pixels\n", error,
                o.samples);
    good = good && error <= tolerance;
  }
  if (write_result) {
    save(together.value, o.out);
    std::printf("written      %s, numbered\n", std::filesystem::absolute(o.out).c_str());
  }
  return o.check && !good ? 1 : 0;
}

}  // namespace denoise
