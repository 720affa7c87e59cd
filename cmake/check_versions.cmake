# SPDX-License-Identifier: BSL-1.0
# cmake -DROOT=<repository> -P cmake/check_versions.cmake
# The recipes and the newest release of docs/CHANGELOG.md have the version of heed/version.hpp, and
# the vcpkg port sets no option that the project lacks.
cmake_minimum_required(VERSION 3.21)

file(STRINGS ${ROOT}/include/heed/version.hpp lines REGEX "define HEED_VERSION_(MAJOR|MINOR|PATCH)")
string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]+([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2.\\3" version
       "${lines}")

function(expect found where)
  if(NOT found STREQUAL version)
    message(SEND_ERROR "heed/version.hpp says ${version}, ${where} says `${found}`")
  endif()
endfunction()

set(packaging ${ROOT}/cmake/packaging)
file(STRINGS ${packaging}/conanfile.py line REGEX "^    version = ")
string(REGEX REPLACE "^    version = \"([^\"]*)\"$" "\\1" found "${line}")
expect("${found}" conanfile.py)

file(READ ${packaging}/vcpkg/vcpkg.json manifest)
string(JSON found GET "${manifest}" version)
expect("${found}" vcpkg.json)

file(STRINGS ${ROOT}/docs/CHANGELOG.md headings REGEX "^## ")
list(GET headings 0 first)
list(GET headings 1 second)
if(NOT first STREQUAL "## Unreleased")
  message(SEND_ERROR "docs/CHANGELOG.md must begin with `## Unreleased`, not `${first}`")
endif()
if(NOT second MATCHES "^## ([0-9.]+), [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$")
  message(SEND_ERROR "docs/CHANGELOG.md: `${second}` is not `## version, yyyy-mm-dd`")
endif()
expect("${CMAKE_MATCH_1}" docs/CHANGELOG.md)

file(READ ${packaging}/vcpkg/portfile.cmake port)
file(READ ${ROOT}/CMakeLists.txt project)
string(REGEX MATCHALL "-DHEED_[A-Z_]+" options "${port}")
foreach(option IN LISTS options)
  string(SUBSTRING ${option} 2 -1 option)
  if(NOT project MATCHES "option\\(${option} ")
    message(SEND_ERROR "portfile.cmake sets ${option}, which CMakeLists.txt does not have")
  endif()
endforeach()
