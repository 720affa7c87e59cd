#!/bin/sh
# SPDX-License-Identifier: BSL-1.0
# Installs what building and testing heed needs and is missing (Debian 12 and later).
set -eu

wanted='g++ cmake ninja-build git libxsimd-dev libeigen3-dev catch2 libbenchmark-dev
  libcli11-dev libstb-dev nlohmann-json3-dev pkg-config'
if [ "${1-}" = --ci ]; then
  wanted="$wanted clang-19 clang-tidy-19 libclang-rt-19-dev ccache reuse"
fi

missing=
for package in $wanted; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
$as_root apt-get install -q -y --no-install-recommends $missing
