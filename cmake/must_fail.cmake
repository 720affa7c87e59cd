# SPDX-License-Identifier: BSL-1.0
# cmake -DCOMPILER= -DSOURCE= -DINCLUDES= -DIMPLICIT= -DFLAGS= -P must_fail.cmake
cmake_minimum_required(VERSION 3.21)

file(STRINGS ${SOURCE} first LIMIT_COUNT 1)
if(NOT first MATCHES "^// expect: (.+)$")
  message(FATAL_ERROR "${SOURCE}: the first line must read `// expect: text of the error`")
endif()
set(expected "${CMAKE_MATCH_1}")

list(REMOVE_ITEM INCLUDES ${IMPLICIT})
list(TRANSFORM INCLUDES PREPEND -I)
set(compile ${COMPILER} -std=c++20 ${FLAGS} ${INCLUDES} -S -o /dev/null)

execute_process(COMMAND ${compile} ${SOURCE} RESULT_VARIABLE failed ERROR_VARIABLE output)
if(failed)
  message(FATAL_ERROR "${SOURCE} must compile without MUST_FAIL:\n${output}")
endif()
execute_process(COMMAND ${compile} -DMUST_FAIL ${SOURCE} RESULT_VARIABLE failed
                ERROR_VARIABLE output)
if(NOT failed)
  message(FATAL_ERROR "${SOURCE} compiles with MUST_FAIL")
endif()
string(FIND "${output}" "${expected}" found)
if(found EQUAL -1)
  message(FATAL_ERROR "${SOURCE}: the error does not say `${expected}`:\n${output}")
endif()
