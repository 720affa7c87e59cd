// SPDX-License-Identifier: BSL-1.0
// The model to beat: an interpolated trigram model of bytes,
//   p(c | ab) = w3 · n(abc)/n(ab) + w2 · n(bc)/n(b) + w1 · n(c)/n + w0 / 256,
// with weights for each magnitude of n(ab), fitted by expectation maximisation on the last tenth of
// the training text while the counts come from the rest; then everything is counted.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace train_text {

class trigram {
 public:
  explicit trigram(std::span<const unsigned char> text) {
    const std::size_t cut = text.size() - text.size() / 10;
    count(text.first(cut));
    fit(text.subspan(cut));
    count(text);
  }

  // Bits a byte; the first two bytes are given.
  double bits_a_byte(std::span<const unsigned char> text) const {
    double sum = 0;
    for (std::size_t i = 2; i < text.size(); ++i) {
      const parts p = probabilities(&text[i]);
      double total = 0;
      for (std::size_t k = 0; k < orders; ++k) total += weights_[p.bucket][k] * p.of[k];
      sum -= std::log2(total);
    }
    return text.size() > 2 ? sum / double(text.size() - 2) : 0;
  }

 private:
  static constexpr std::size_t orders = 4, buckets = 24;
  static constexpr int rounds = 50;
  using mix = std::array<double, orders>;
  struct parts {
    mix of;
    std::size_t bucket;
  };

  static std::size_t pair(const unsigned char* c) { return std::size_t{c[0]} * 256 + c[1]; }

  void count(std::span<const unsigned char> text) {
    one_.assign(256, 0), two_.assign(256 * 256, 0), three_.assign(256 * 256 * 256, 0);
    before_one_.assign(256, 0), before_two_.assign(256 * 256, 0);
    all_ = text.size();
    for (std::size_t i = 0; i < text.size(); ++i) {
      ++one_[text[i]];
      if (i < 1) continue;
      ++two_[pair(&text[i - 1])], ++before_one_[text[i - 1]];
      if (i < 2) continue;
      ++three_[pair(&text[i - 2]) * 256 + text[i]], ++before_two_[pair(&text[i - 2])];
    }
  }

  static double share(std::uint32_t n, std::uint32_t of) { return of ? double(n) / double(of) : 0; }

  parts probabilities(const unsigned char* at) const {
    const std::size_t c = *at, ab = pair(at - 2), bc = pair(at - 1);
    const std::uint32_t seen = before_two_[ab];
    return {{1.0 / 256, double(one_[c]) / double(all_), share(two_[bc], before_one_[at[-1]]),
             share(three_[ab * 256 + c], seen)},
            static_cast<std::size_t>(std::bit_width(seen)) % buckets};
  }

  void fit(std::span<const unsigned char> text) {
    weights_.fill({0.01, 0.09, 0.3, 0.6});
    for (int round = 0; round < rounds; ++round) {
      std::array<mix, buckets> expected{};
      for (std::size_t i = 2; i < text.size(); ++i) {
        const parts p = probabilities(&text[i]);
        mix joint{};
        double total = 0;
        for (std::size_t k = 0; k < orders; ++k)
          total += joint[k] = weights_[p.bucket][k] * p.of[k];
        for (std::size_t k = 0; k < orders; ++k) expected[p.bucket][k] += joint[k] / total;
      }
      for (std::size_t b = 0; b < buckets; ++b) {
        double total = 0;
        for (double& n : expected[b]) total += n += 1e-3;  // never exactly zero
        for (std::size_t k = 0; k < orders; ++k) weights_[b][k] = expected[b][k] / total;
      }
    }
  }

  std::size_t all_ = 0;
  std::vector<std::uint32_t> one_, two_, three_, before_one_, before_two_;
  std::array<mix, buckets> weights_{};
};

}  // namespace train_text
