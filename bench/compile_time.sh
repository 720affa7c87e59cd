#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Best of five compile times (seconds, -O2, one core) of what users include and instantiate:
#   bench/compile_time.sh [COMPILER [FLAGS...]]
set -eu
cd "$(dirname "$0")/.."
compiler=${1:-g++}
[ $# -gt 0 ] && shift
flags=${*:--march=native}
eigen=$(pkg-config --cflags-only-I eigen3 2>/dev/null | sed 's/-I/-isystem /g' || true)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

call='void NAME(float* x) {
  const heed::view<const float> in(x, {1, 8, 512, 64});
  heed::attend(SPEC, in, in, in, heed::view<float>(x, {1, 8, 512, 64}));
}'
instance() { echo "$call" | sed "s/NAME/$1/; s/SPEC/$2/"; }

measure() {
  best=
  for round in 1 2 3 4 5; do
    start=$(date +%s%N)
    # shellcheck disable=SC2086
    "$compiler" -std=c++20 -O2 $flags -Iinclude $eigen -c "$folder/$2.cpp" -o "$folder/out.o"
    taken=$(( ($(date +%s%N) - start) / 1000000 ))
    if [ -z "$best" ] || [ "$taken" -lt "$best" ]; then best=$taken; fi
  done
  awk -v name="$1" -v ms="$best" 'BEGIN { printf "%-52s %5.2f\n", name, ms / 1000 }'
}

{ echo '#include <heed/attention/attend.hpp>'; instance one 'heed::attention{}'; } > "$folder/core.cpp"
{ cat "$folder/core.cpp"; echo '#include <heed/mask/causal.hpp>'
  instance two 'heed::attention{.mask = heed::causal{}}'; } > "$folder/two.cpp"
{ echo '#include <heed/heed.hpp>'; instance one 'heed::attention{}'; } > "$folder/all.cpp"
echo '#include <unsupported/Eigen/CXX11/Tensor>' > "$folder/tensor.cpp"

measure 'heed/attention/attend.hpp and one attend' core
measure 'the same and a second instantiation' two
measure 'Eigen Tensor alone' tensor
[ -f include/heed/heed.hpp ] && measure 'heed/heed.hpp and one attend' all
