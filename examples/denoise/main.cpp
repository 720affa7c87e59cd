// SPDX-License-Identifier: BSL-1.0
// Removes noise from a photograph or a clip by attention: see non_local_means.hpp.
#define EIGEN_USE_THREADS
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>

#include "clip.hpp"
#include "image.hpp"
#include "noise.hpp"
#include "non_local_means.hpp"
#include "options.hpp"
#include "photo.hpp"
#include "reference.hpp"
#include "timed.hpp"

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
  denoise::image picture = read(o, o.inputs.empty() ? std::string() : o.inputs[0]);
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

int report(const options& o, const pair& pictures, const denoise::settings& set,
           const denoise::timed<denoise::image>& result) {
  const denoise::image& noisy = pictures.noisy;
  std::printf("picture      %d x %d, noise level %.1f\n", noisy.width, noisy.height, set.level);
  std::printf("attention    %zu queries x %d keys, patch %d x %d (D = %d)\n", noisy.rgb.size() / 3,
              set.window * set.window, set.patch, set.patch, set.depth());
  std::printf("time         %.3f s on %d thread(s), %.1f GFLOP/s useful\n", result.seconds,
              o.threads, denoise::operations(noisy, set) / result.seconds * 1e-9);
  bool good = true;
  if (pictures.clean) {
    const double before = denoise::psnr(noisy, *pictures.clean),
                 after = denoise::psnr(result.value, *pictures.clean);
    std::printf("PSNR         %.2f dB -> %.2f dB (%+.2f dB)\n", before, after, after - before);
    good = after - before >= denoise::least_gain;
  }
  if (o.samples > 0) {
    const double error =
        denoise::reference::largest_error({&noisy, 1}, {&result.value, 1}, set, o.samples);
    std::printf("reference    largest difference %.1e grey levels over %d pixels\n", error,
                o.samples);
    good = good && error <= denoise::tolerance;
  }
  return o.check && !good ? 1 : 0;
}

int denoise_picture(const options& o, bool write_result) {
  if (o.inputs.size() > 1) throw std::runtime_error("several pictures: --clip takes them");
  const pair pictures = prepare(o);
  const denoise::settings set = o.complete(pictures.noisy);
  if (!o.noisy_out.empty()) denoise::save(pictures.noisy, o.noisy_out);
  const auto result = denoise::timed_on(o.threads, [&](const heed::executor_ref& on) {
    return denoise::non_local_means(pictures.noisy, set, on);
  });
  const int status = report(o, pictures, set, result);
  if (write_result) {
    denoise::save(result.value, o.out);
    std::printf("written      %s\n", std::filesystem::absolute(o.out).c_str());
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Removes noise from a photograph or a clip: non-local means as neighborhood attention");
  options o;
  declare(app, o);
  try {
    app.parse(argc, argv);
    const bool write_result = !o.check || app.count("--out") > 0;
    return o.clip ? denoise::denoise_clip(o, write_result) : denoise_picture(o, write_result);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "denoise: %s\n", error.what());
    return 1;
  }
}
