# SPDX-License-Identifier: BSL-1.0
# Every tracked text file that can hold a comment names the licence in its first lines.
cmake_minimum_required(VERSION 3.21)

execute_process(COMMAND git -C ${ROOT} ls-files OUTPUT_VARIABLE files RESULT_VARIABLE failed
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(failed)
  file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/*)
  list(FILTER files EXCLUDE REGEX "^(build|\\.git/)")
else()
  string(REPLACE "\n" ";" files "${files}")
endif()

set(tag SPDX-License-Identifier)  # apart from what follows it: reuse reads this file, too
set(missing)
foreach(file IN LISTS files)
  if(NOT file MATCHES "\\.(hpp|cpp|h|c|cmake|in|md|sh|py|js|mjs|gp|gnuplot)$|CMakeLists\\.txt$|^\\.")
    continue()
  endif()
  if(NOT EXISTS ${ROOT}/${file} OR file MATCHES "^\\.reuse/LICENSES/")
    continue()
  endif()
  file(READ ${ROOT}/${file} head LIMIT 400)
  if(NOT head MATCHES "${tag}: BSL-1\\.0")
    list(APPEND missing ${file})
  endif()
endforeach()
if(missing)
  list(JOIN missing "\n  " missing)
  message(FATAL_ERROR "no `${tag}: BSL-1.0` in\n  ${missing}")
endif()
