#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# What including heed costs a user: seconds to compile small files, best of five, one core, against
# the budgets. Run it on a quiet machine.
#
#   cmake/compile_time.sh [--strict] [--runs N] [--part core|kernels|eigen|more] [COMPILER]
#
# CXXFLAGS holds the flags, -O2 -march=native by default; EIGEN the folder of Eigen's headers. Exits
# with 1 over budget if --strict is given, with 3 if a file does not compile.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
strict=0 runs=5 parts='core kernels eigen more' compiler=${CXX:-c++}
while [ $# -gt 0 ]; do
  case $1 in
    --strict) strict=1 ;;
    --runs) runs=$2; shift ;;
    --part) parts=$2; shift ;;
    -*) echo "compile_time.sh: unknown option $1" >&2; exit 2 ;;
    *) compiler=$1 ;;
  esac
  shift
done
read -ra flags <<<"${CXXFLAGS:--O2 -march=native}"
unset CCACHE_PREFIX
export CCACHE_DISABLE=1

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pin=()
if command -v taskset >/dev/null; then pin=(taskset -c 0); fi

# best UNIT: sets `least`, milliseconds
best() {
  least=0
  local run start taken
  for ((run = 0; run < runs; ++run)); do
    start=$(date +%s%N)
    "${pin[@]}" "$compiler" -std=c++20 "${flags[@]}" -I"$root/include" \
      -isystem "${EIGEN:-/usr/include/eigen3}" -c "$1" -o "$scratch/unit.o" || exit 3
    taken=$((($(date +%s%N) - start) / 1000000))
    if [ "$least" -eq 0 ] || [ "$taken" -lt "$least" ]; then least=$taken; fi
  done
}

# unit FILE HEADER SPEC...: one attend a spec
unit() {
  local file=$1 header=$2
  shift 2
  {
    printf '#include <heed/%s>\n' "$header" mask/causal.hpp mask/window.hpp normalizer/sigmoid.hpp \
      normalizer/sink_softmax.hpp position/rope.hpp score/alibi.hpp score/softcap.hpp
    echo 'void use(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,'
    echo '         heed::view<float> out) {'
    printf '  heed::attend(heed::attention{%s}, q, k, v, out);\n' "$@"
    echo '}'
  } >"$file"
}

# Eigen's tensors in and a fresh one out.
eigen_unit() {
  local header=heed.hpp
  [ -f "$root/include/heed/heed.hpp" ] || header=eigen.hpp
  {
    printf '#include <heed/%s>\n' "$header" mask/causal.hpp
    echo 'using tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;'
    echo 'tensor use(const tensor& q, const tensor& k, const tensor& v) {'
    echo '  return heed::attend(heed::attention{.mask = heed::causal{}}, q, k, v);'
    echo '}'
  } >"$1"
}

over=0
row() {  # row NAME MILLISECONDS BUDGET
  local verdict=''
  if [ "$3" -gt 0 ]; then
    verdict=ok
    if [ "$2" -gt "$3" ]; then verdict=OVER over=1; fi
    printf '%-66s %5d.%02d %6d.%02d  %s\n' "$1" $(($2 / 1000)) $(($2 % 1000 / 10)) $(($3 / 1000)) $(($3 % 1000 / 10)) $verdict
  else
    printf '%-66s %5d.%02d\n' "$1" $(($2 / 1000)) $(($2 % 1000 / 10))
  fi
}

echo "$compiler ${flags[*]}, best of $runs"
printf '%-66s %8s %9s\n' '' seconds budget
for part in $parts; do
  file=$scratch/$part.cpp
  case $part in
    core)
      echo '#include <heed/attention/attend.hpp>' >"$file"
      best "$file"
      row 'heed/attention/attend.hpp, no call' "$least" 0
      unit "$file" attention/attend.hpp '.mask = heed::causal{}'
      best "$file"
      row 'heed/attention/attend.hpp, one attend' "$least" 4000
      ;;
    kernels)
      unit "$file" kernels.hpp '.mask = heed::causal{}'
      sed -i '1i #include <heed/attention/attend.hpp>' "$file"
      best "$file"
      row 'the same where heed/kernels.hpp is compiled elsewhere' "$least" 3000
      printf '#define HEED_COMPILE_KERNELS\n#include <heed/kernels.hpp>\n' >"$file"
      best "$file"
      row 'heed/kernels.hpp, once a program' "$least" 0
      ;;
    eigen)
      echo '#include <unsupported/Eigen/CXX11/Tensor>' >"$file"
      best "$file"
      alone=$least
      row "Eigen's Tensor header alone" "$alone" 0
      eigen_unit "$file"
      best "$file"
      row 'heed/heed.hpp, one attend, beside that' $((least - alone)) 6000
      ;;
    more)
      unit "$file" attention/attend.hpp '.mask = heed::causal{}'
      best "$file"
      first=$least
      for spec in '' '.mask = heed::window{512}, .score = heed::softcap{}' \
        '.score = heed::alibi{}, .normalizer = heed::sink_softmax{}' \
        '.normalizer = heed::sigmoid{}, .query = heed::rope{}'; do
        unit "$file" attention/attend.hpp '.mask = heed::causal{}' "$spec"
        best "$file"
        row "+ attention{${spec//heed::/}}" $((least > first ? least - first : 0)) 1000
      done
      ;;
    *) echo "compile_time.sh: unknown part $part" >&2; exit 2 ;;
  esac
done
if [ "$over" -ne 0 ]; then
  echo 'over budget'
  [ "$strict" -eq 0 ] || exit 1
fi
