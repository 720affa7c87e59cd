// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "image.hpp"
#include "noise.hpp"
#include "non_local_means.hpp"

namespace denoise {

struct options {
  std::vector<std::string> inputs;
  std::string clean, out = "denoised.png", noisy_out;
  std::optional<double> sigma, level;
  std::optional<int> window;
  std::uint64_t seed = 1;
  settings set;
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  int crop = 0;
  int samples = 100;
  bool check = false;
  bool clip = false;
  int depth = 3, rendered = 8;

  double added_noise() const { return sigma.value_or(inputs.empty() ? 25 : 0); }

  // What was left open depends on the picture.
  settings complete(const image& noisy) const {
    settings all = set;
    if (level)
      all.level = *level;
    else if (added_noise() > 0)
      all.level = added_noise();
    else
      all.level = std::max(0.1, estimate_noise(noisy));
    const int side = std::min(noisy.width, noisy.height);
    all.window = std::min(window.value_or(clip ? 9 : 21), side - (side % 2 == 0));
    return all;
  }
};

inline const CLI::Validator odd(
    [](std::string& text) {
      return std::stoi(text) % 2 != 0 ? std::string() : text + " is not odd";
    },
    "ODD");

inline const CLI::Validator saveable(
    [](std::string& path) {
      return can_save(path) ? std::string() : path + " does not end in .png, .jpg or .ppm";
    },
    "");

inline void declare(CLI::App& app, options& o) {
  app.add_option("input", o.inputs,
                 "PNG, JPEG or PPM; without it, the photograph built in. For a clip: the frames in "
                 "order, or a folder of them; without it, one is rendered");
  app.add_option("--sigma", o.sigma,
                 "Standard deviation of the noise to add [25, or 0 with an input]")
      ->check(CLI::Range(0.0, 255.0));
  app.add_option("--seed", o.seed, "Seed of the noise")->capture_default_str();
  app.add_option("--level", o.level, "Noise to remove [sigma, or estimated]")
      ->check(CLI::Range(0.1, 255.0));
  app.add_option("--patch", o.set.patch, "Side of a patch")
      ->check(CLI::Range(1, 31))
      ->check(odd)
      ->capture_default_str();
  app.add_option("--window", o.window, "Side of the window [21, or 9 in a clip]")
      ->check(CLI::Range(3, 101))
      ->check(odd);
  app.add_option("--strength", o.set.strength, "Smoothing, in noise levels")
      ->check(CLI::Range(0.05, 10.0))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "Threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--memory", o.set.memory, "MiB that patches may take, about")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--crop", o.crop, "Keep only a square of this side, at the centre")
      ->check(CLI::Range(8, 1 << 20));
  auto* const clean =
      app.add_option("--clean", o.clean, "Picture without noise, for the PSNR of a noisy input");
  app.add_option("--out", o.out, "Result: .png, .jpg or .ppm; frames are numbered")
      ->check(saveable)
      ->capture_default_str();
  app.add_option("--noisy-out", o.noisy_out, "Where to keep the noisy picture")->check(saveable);
  app.add_option("--samples", o.samples, "Pixels compared with the reference")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  auto* const clip =
      app.add_flag("--clip", o.clip, "Denoise frames together, and one by one")->excludes(clean);
  app.add_option("--depth", o.depth, "Frames that the window of a clip reaches over")
      ->check(CLI::Range(1, 99))
      ->needs(clip)
      ->capture_default_str();
  app.add_flag("--causal", o.set.causal, "Let a frame see those before it only")->needs(clip);
  app.add_option("--frames", o.rendered, "Frames to render where none are given")
      ->check(CLI::Range(1, 1 << 10))
      ->needs(clip)
      ->capture_default_str();
  app.add_flag("--check", o.check,
               "Fail unless the reference agrees and the PSNR rises by 4 dB, and in a clip by more "
               "than frame by frame; writes no default result");
}

}  // namespace denoise
