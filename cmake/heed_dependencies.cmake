# SPDX-License-Identifier: BSL-1.0
# Read by the build and by the installed package. heed_dependencies() defines
#   heed::xsimd  required
#   heed::eigen  empty where Eigen is absent; `heed/eigen.hpp` and `heed/heed.hpp` need it
# Order: HEED_XSIMD_DIR / HEED_EIGEN_DIR, the system, then with FETCH the network.

set(HEED_XSIMD_DIR "" CACHE PATH "Folder that holds xsimd/xsimd.hpp")
set(HEED_EIGEN_DIR "" CACHE PATH "Folder that holds Eigen/Core")

function(heed_find_headers name header hint suffix target)
  find_path(HEED_${name}_INCLUDE ${header} HINTS ${hint} PATH_SUFFIXES include ${suffix})
  if(NOT HEED_${name}_INCLUDE AND TARGET ${target})
    get_target_property(dirs ${target} INTERFACE_INCLUDE_DIRECTORIES)
    string(REGEX REPLACE "\\$<BUILD_INTERFACE:([^>]*)>" "\\1" dirs "${dirs}")
    find_path(HEED_${name}_INCLUDE ${header} PATHS ${dirs} NO_DEFAULT_PATH)
  endif()
  mark_as_advanced(HEED_${name}_INCLUDE)
endfunction()

function(heed_fetch_headers name header url tag suffix)
  message(STATUS "heed: ${header} not found, fetching ${url} ${tag}")
  include(FetchContent)
  string(TOLOWER heed_${name} content)
  FetchContent_Declare(${content} GIT_REPOSITORY ${url} GIT_TAG ${tag} GIT_SHALLOW ON
                       SOURCE_SUBDIR no-cmake)
  FetchContent_MakeAvailable(${content})
  find_path(HEED_${name}_INCLUDE ${header} PATHS ${${content}_SOURCE_DIR} PATH_SUFFIXES ${suffix}
            NO_DEFAULT_PATH)
endfunction()

function(heed_define_headers name target)
  if(TARGET ${target})
    return()
  endif()
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  if(HEED_${name}_INCLUDE)
    target_include_directories(${target} INTERFACE ${HEED_${name}_INCLUDE})
  endif()
endfunction()

macro(heed_dependencies)
  cmake_parse_arguments(heed_dependencies "FETCH" "" "" ${ARGN})
  heed_find_headers(XSIMD xsimd/xsimd.hpp "${HEED_XSIMD_DIR}" include xsimd)
  heed_find_headers(EIGEN Eigen/Core "${HEED_EIGEN_DIR}" eigen3 Eigen3::Eigen)
  if(heed_dependencies_FETCH)
    if(NOT HEED_XSIMD_INCLUDE)
      heed_fetch_headers(XSIMD xsimd/xsimd.hpp https://github.com/xtensor-stack/xsimd.git 13.2.0
                         include)
    endif()
    if(NOT HEED_EIGEN_INCLUDE AND HEED_BUILD_TESTS)
      heed_fetch_headers(EIGEN Eigen/Core https://gitlab.com/libeigen/eigen.git 3.4.0 .)
    endif()
  endif()
  heed_define_headers(XSIMD heed::xsimd)
  heed_define_headers(EIGEN heed::eigen)
endmacro()
