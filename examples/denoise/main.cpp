// SPDX-License-Identifier: BSL-1.0
// Removes noise from a photograph by attention: see non_local_means.hpp.
#define EIGEN_USE_THREADS
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <unsupported/Eigen/CXX11/Tensor>

#include "image.hpp"
#include "noise.hpp"
#include "non_local_means.hpp"
#include "options.hpp"
#include "photo.hpp"
#include "reference.hpp"

namespace {

using denoise::options;

denoise::image read(const options& o, const std::string& path) {
  const denoise::image whole =
      path.empty() ? denoise::decode(photo, "photo.jpg") : denoise::load(path);
  return o.crop > 0 ? denoise::centre(whole, o.crop, o.crop) : whole;
}

struct pair {
  denoise::image noisy;
  std::optional<denoise::image> clean;
};

pair prepare(const options& o) {
  denoise::image picture = read(o, o.input);
  const double sigma = o.added_noise();
  denoise::image noisy = denoise::with_noise(picture, sigma, o.seed);
  if (!o.clean.empty()) {
    denoise::image clean = read(o, o.clean);
    if (clean.width != picture.width || clean.height != picture.height)
      throw std::runtime_error("'" + o.clean + "' differs in size from the input");
    return {std::move(noisy), std::move(clean)};
  }
  if (sigma > 0) return {std::move(noisy), std::move(picture)};
  return {std::move(noisy), {}};
}

denoise::settings complete(const options& o, const denoise::image& noisy) {
  denoise::settings set = o.set;
  if (o.level)
    set.level = *o.level;
  else if (o.added_noise() > 0)
    set.level = o.added_noise();
  else
    set.level = std::max(0.1, denoise::estimate_noise(noisy));
  const int side = std::min(noisy.width, noisy.height);
  set.window = std::min(set.window, side - (side % 2 == 0));
  return set;
}

struct timed {
  denoise::image quiet;
  double seconds;
};

timed run(const denoise::image& noisy, const denoise::settings& set, int threads) {
  Eigen::ThreadPool pool(threads);
  const Eigen::ThreadPoolDevice device(&pool, threads);
  const auto start = std::chrono::steady_clock::now();
  denoise::image quiet = denoise::non_local_means(noisy, set, heed::on(device));
  return {std::move(quiet),
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
}

// Half a grey level is the rounding of the file; float arithmetic stays far below.
constexpr double tolerance = 0.02;
constexpr double least_gain = 4;

int report(const options& o, const pair& pictures, const denoise::settings& set,
           const timed& result) {
  const denoise::image& noisy = pictures.noisy;
  std::printf("picture      %d x %d, noise level %.1f\n", noisy.width, noisy.height, set.level);
  std::printf("attention    %zu queries x %d keys, patch %d x %d (D = %d)\n", noisy.rgb.size() / 3,
              set.window * set.window, set.patch, set.patch, set.depth());
  std::printf("time         %.3f s on %d thread(s), %.1f GFLOP/s useful\n", result.seconds,
              o.threads, denoise::operations(noisy, set) / result.seconds * 1e-9);
  bool good = true;
  if (pictures.clean) {
    const double before = denoise::psnr(noisy, *pictures.clean),
                 after = denoise::psnr(result.quiet, *pictures.clean);
    std::printf("PSNR         %.2f dB -> %.2f dB (%+.2f dB)\n", before, after, after - before);
    good = after - before >= least_gain;
  }
  if (o.samples > 0) {
    const double error = denoise::reference::largest_error(noisy, result.quiet, set, o.samples);
    std::printf("reference    largest difference %.1e grey levels over %d pixels\n", error,
                o.samples);
    good = good && error <= tolerance;
  }
  return o.check && !good ? 1 : 0;
}

int denoise_picture(const options& o, bool write_result) {
  const pair pictures = prepare(o);
  const denoise::settings set = complete(o, pictures.noisy);
  if (!o.noisy_out.empty()) denoise::save(pictures.noisy, o.noisy_out);
  const timed result = run(pictures.noisy, set, o.threads);
  const int status = report(o, pictures, set, result);
  if (write_result) {
    denoise::save(result.quiet, o.out);
    std::printf("written      %s\n", std::filesystem::absolute(o.out).c_str());
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Removes noise from a photograph: non-local means as softmax attention");
  options o;
  declare(app, o);
  try {
    app.parse(argc, argv);
    return denoise_picture(o, !o.check || app.count("--out") > 0);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "denoise: %s\n", error.what());
    return 1;
  }
}
