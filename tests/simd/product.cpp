// SPDX-License-Identifier: BSL-1.0
// The micro-kernels of the chunk loop against their contracts in plain loops.
#include <heed/simd/lanes.hpp>
#include <heed/simd/product_scalar.hpp>

#include "simd/buffer.hpp"
#include "support/catch.hpp"

using namespace heed::test;
namespace simd = heed::simd;
using simd::onto;

namespace {

// A [rows × depth], or its transpose; if `lower`, zero above the diagonal.
template <class T> struct left {
  matrix<T> data;
  bool turned;

  left(heed::index rows, heed::index depth, bool transposed, bool lower)
      : data(transposed ? matrix<T>::random(depth, rows, rows + depth % 3)
                        : matrix<T>::random(rows, depth, depth + rows % 3)),
        turned(transposed) {
    for (heed::index i = 0; i < rows && lower; ++i)
      for (heed::index k = i + 1; k < depth; ++k) (turned ? data(k, i) : data(i, k)) = 0;
  }
  simd::term<T> times(const matrix<T>& b, bool lower = false) const {
    return {data.begin(),
            turned ? 1 : data.stride,
            turned ? data.stride : 1,
            b.begin(),
            b.stride,
            b.rows,
            lower};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("C = keep C + A B", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  for (heed::index vectors : {0, 1, 2, 3, 4, 5, 7, 9})
    for (heed::index rows : {0, 1, 2, 3, 4, 5, 6, 7, 11, 13, 18})
      for (heed::index depth : {0, 1, 3, 4, 5, 16, 33})
        for (const onto add : {onto::nothing, onto::itself, onto::scaled}) {
          const bool turned = (rows + depth + vectors) % 2 == 0;
          const heed::index columns = vectors * W, pitch = columns + depth % 2;
          const left<T> a(rows, depth, turned, false);
          const auto b = matrix<T>::random(depth, columns, columns + rows % 2);
          const auto keep = matrix<T>::random(1, rows, rows);
          auto c = matrix<T>::random(rows, columns, pitch);
          // Nothing is read where nothing is kept.
          if (add == onto::nothing)
            std::fill(c.data.begin(), c.data.end(), std::numeric_limits<T>::quiet_NaN());
          auto expected = c;
          simd::product<T, Arch>(rows, columns, {a.times(b)},
                                 {c.begin(), pitch, add, keep.begin()});
          simd::plain::product<T>(rows, columns, {a.times(b)},
                                  {expected.begin(), pitch, add, keep.begin()});
          INFO("vectors " << vectors << ", rows " << rows << ", depth " << depth << ", onto "
                          << int(add));
          CHECK(difference(c, expected) <= tolerance<T>(depth + 1));
          CHECK(c.gaps_untouched());
        }
}

TEMPLATE_TEST_CASE("several terms, some of them lower", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  for (heed::index vectors : {1, 3, 6})
    for (heed::index rows : {1, 4, 7, 16, 19})
      for (heed::index depth : {1, 6, 16, 20}) {
        const heed::index columns = vectors * W;
        const left<T> a(rows, depth, false, false), low(rows, rows, false, true),
            other(rows, 5, true, false);
        const auto b = matrix<T>::random(depth, columns, columns),
                   u = matrix<T>::random(rows, columns, columns + 1),
                   w = matrix<T>::random(5, columns, columns);
        matrix<T> c(rows, columns, columns), expected = c;
        simd::product<T, Arch>(rows, columns, {a.times(b), low.times(u, true), other.times(w)},
                               {c.begin(), columns});
        simd::plain::product<T>(rows, columns, {a.times(b), low.times(u, true), other.times(w)},
                                {expected.begin(), columns});
        INFO("vectors " << vectors << ", rows " << rows << ", depth " << depth);
        CHECK(difference(c, expected) <= tolerance<T>(depth + rows + 5));
        // Without the flag the zeros are multiplied: the same.
        matrix<T> whole(rows, columns, columns);
        simd::product<T, Arch>(rows, columns, {a.times(b), low.times(u), other.times(w)},
                               {whole.begin(), columns});
        CHECK(difference(whole, expected) <= tolerance<T>(depth + rows + 5));
      }
}

TEMPLATE_TEST_CASE("a lower term reads no row of B past a block of the diagonal", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  constexpr heed::index block = simd::shape<T, Arch>::product_rows, rows = 3 * block;
  const left<T> low(rows, rows, false, true);
  auto u = matrix<T>::random(rows, W, W);
  for (heed::index i = block; i < rows; ++i)
    for (heed::index n = 0; n < W; ++n) u(i, n) = std::numeric_limits<T>::quiet_NaN();
  matrix<T> c(rows, W, W);
  simd::product<T, Arch>(rows, W, {low.times(u, true)}, {c.begin(), W});
  for (heed::index i = 0; i < block; ++i)
    for (heed::index n = 0; n < W; ++n) CHECK(std::isfinite(c(i, n)));
  CHECK(std::isnan(c(block, 0)));
}

TEMPLATE_TEST_CASE("only what lies up to the diagonal is wanted of C", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  for (heed::index size : {W, 2 * W, 3 * W, 5 * W})
    for (heed::index rows : {size, size - 1, heed::index{1}})
      for (heed::index depth : {1, 7, 16}) {
        const left<T> a(rows, depth, false, false);
        const auto b = matrix<T>::random(depth, size, size);
        matrix<T> c(rows, size, size), expected = c;
        simd::product<T, Arch>(rows, size, {a.times(b)},
                               {c.begin(), size, onto::nothing, nullptr, true});
        simd::plain::product<T>(rows, size, {a.times(b)}, {expected.begin(), size});
        for (heed::index i = 0; i < rows; ++i)
          for (heed::index n = 0; n <= i && n < size; ++n)
            CHECK(std::abs(double(c(i, n)) - double(expected(i, n))) <= tolerance<T>(depth));
      }
}

TEMPLATE_TEST_CASE("U = (I - N)^-1 U", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  for (heed::index vectors : {1, 2, 3, 4, 5, 9})
    for (heed::index rows : {0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 33}) {
      const heed::index columns = vectors * W, pitch = columns + rows % 2;
      auto n = matrix<T>::random(rows, rows, rows + vectors % 3);
      // Rows sum to less than 1, so that nothing grows; what is not used holds NaN.
      for (heed::index i = 0; i < rows; ++i)
        for (heed::index j = 0; j < rows; ++j)
          n(i, j) = j < i ? n(i, j) / T(rows) : std::numeric_limits<T>::quiet_NaN();
      auto u = matrix<T>::random(rows, columns, pitch), expected = u;
      simd::solve_lower<T, Arch>(rows, columns, n.begin(), n.stride, u.begin(), pitch);
      simd::plain::solve_lower<T>(rows, columns, n.begin(), n.stride, expected.begin(), pitch);
      INFO("vectors " << vectors << ", rows " << rows);
      CHECK(difference(u, expected) <= 2 * tolerance<T>(rows));
      CHECK(u.gaps_untouched());
    }
}

TEMPLATE_TEST_CASE("the first lanes are multiplied, the others stay", "", HEED_KINDS) {
  using T = typename TestType::T;
  using Arch = typename TestType::Arch;
  constexpr heed::index W = simd::width<T, Arch>;
  const auto x = matrix<T>::random(1, W, W), f = matrix<T>::random(1, W, W);
  for (heed::index count = 0; count <= W; ++count) {
    matrix<T> y(1, W, W);
    simd::store(y.begin(),
                simd::batch<T, Arch>(simd::scale_first<T, Arch>(
                    simd::load<T, Arch>(x.begin()), simd::load<T, Arch>(f.begin()), count)));
    for (heed::index i = 0; i < W; ++i) CHECK(y(0, i) == (i < count ? x(0, i) * f(0, i) : x(0, i)));
  }
}
