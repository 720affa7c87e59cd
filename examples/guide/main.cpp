// SPDX-License-Identifier: BSL-1.0
// The code of docs/guide.md and docs/algebra.md: the pages show the marked regions of these files,
// and this program runs them against the reference.
#include "checked.hpp"

int main() {
  guide::sdpa();
  guide::decoder();
  guide::flex();
  guide::natten();
  guide::linear();
  guide::algebra();
  return guide::failures == 0 ? 0 : 1;
}
