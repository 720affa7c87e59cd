# SPDX-License-Identifier: BSL-1.0
# cmake -DOUT=single/heed.hpp [-DEIGEN=OFF] -P cmake/amalgamate.cmake
# One file in place of heed/heed.hpp: every header of heed that it includes, once, each after what it
# includes. xsimd and Eigen stay includes; with EIGEN=OFF the file does without heed/eigen.hpp and Eigen.
# Assumed: no header of heed is included below an #if. Checked: each is included by a line of its own,
# `#include <heed/...>`.
cmake_minimum_required(VERSION 3.21)

if(NOT OUT)
  message(FATAL_ERROR "name the file to write: -DOUT=...")
endif()
if(NOT DEFINED EIGEN)
  set(EIGEN ON)
endif()
cmake_path(SET root NORMALIZE ${CMAKE_CURRENT_LIST_DIR}/..)
set(include ${root}include)

# In two parts, for tools that look for it in this file.
set(tag SPDX-License-Identifier:)
string(APPEND tag " BSL-1.0")

set_property(GLOBAL PROPERTY taken)

function(take header)
  get_property(taken GLOBAL PROPERTY taken)
  if(header IN_LIST taken OR (NOT EIGEN AND header STREQUAL "heed/eigen.hpp"))
    return()
  endif()
  set_property(GLOBAL APPEND PROPERTY taken ${header})

  # Lines are matched in whole, so that a bracket or semicolon of the code cannot cut them.
  file(STRINGS ${include}/${header} includes REGEX "^#include <heed/[^>]+>$")
  foreach(line IN LISTS includes)
    string(REGEX REPLACE "^#include <(.+)>$" "\\1" other "${line}")
    take(${other})
  endforeach()

  file(READ ${include}/${header} text)
  string(REGEX REPLACE "#include <heed/[^>]+>\n" "" text "${text}")
  string(REPLACE "// ${tag}\n" "" text "${text}")
  string(REPLACE "#pragma once\n" "" text "${text}")
  string(REGEX REPLACE "\n\n\n+" "\n\n" text "${text}")
  string(REGEX REPLACE "^\n+" "" text "${text}")
  if(text MATCHES "#[ \t]*include[ \t]*[<\"]heed/" OR text MATCHES "#[ \t]*pragma[ \t]+once")
    message(FATAL_ERROR "${header}: `${CMAKE_MATCH_0}` is not in the form that this script takes out")
  endif()
  file(APPEND ${OUT} "\n// ---- ${header}\n${text}")
endfunction()

file(STRINGS ${include}/heed/version.hpp numbers REGEX "define HEED_VERSION_(MAJOR|MINOR|PATCH)")
string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]+([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2.\\3" version
       "${numbers}")
file(READ ${root}LICENSE licence)
string(REGEX REPLACE "\n$" "" licence "${licence}")
string(REPLACE "\n" "\n// " licence "// ${licence}")
string(REPLACE "// \n" "//\n" licence "${licence}")
set(needs ", xsimd and Eigen")
if(NOT EIGEN)
  set(needs " and xsimd")
endif()
file(WRITE ${OUT} "// ${tag}
// heed ${version} in one file, made by cmake/amalgamate.cmake: change the headers instead.
// Needs C++20${needs}. In place of <heed/heed.hpp>, not beside it.
//
${licence}
#pragma once
")
take(heed/version.hpp)
take(heed/heed.hpp)
