// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include "image.hpp"
#include "non_local_means.hpp"

namespace denoise {

struct options {
  std::string input, clean, out = "denoised.png", noisy_out;
  std::optional<double> sigma, level;
  std::uint64_t seed = 1;
  settings set;
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  int crop = 0;
  int samples = 100;
  bool check = false;

  double added_noise() const { return sigma.value_or(input.empty() ? 25 : 0); }
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
  app.add_option("input", o.input, "PNG, JPEG or PPM; without it, the photograph built in");
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
  app.add_option("--window", o.set.window, "Side of the window")
      ->check(CLI::Range(3, 101))
      ->check(odd)
      ->capture_default_str();
  app.add_option("--strength", o.set.strength, "Smoothing, in noise levels")
      ->check(CLI::Range(0.05, 10.0))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "Threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--crop", o.crop, "Keep only a square of this side, at the centre")
      ->check(CLI::Range(8, 1 << 20));
  app.add_option("--clean", o.clean, "Picture without noise, for the PSNR of a noisy input");
  app.add_option("--out", o.out, "Result: .png, .jpg or .ppm")
      ->check(saveable)
      ->capture_default_str();
  app.add_option("--noisy-out", o.noisy_out, "Where to keep the noisy picture")->check(saveable);
  app.add_option("--samples", o.samples, "Pixels compared with the reference")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  app.add_flag(
      "--check", o.check,
      "Fail unless the reference agrees and the PSNR rises by 4 dB; writes no default result");
}

}  // namespace denoise
