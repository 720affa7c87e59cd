# SPDX-License-Identifier: BSL-1.0
# cmake -DPROGRAM=example.denoise -DINPUT=file -P refused.cmake: passes on exit status 1 and one line on stderr.
execute_process(COMMAND "${PROGRAM}" "${INPUT}" RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE error)
if(NOT status EQUAL 1 OR NOT output STREQUAL "" OR NOT error MATCHES "^denoise: cannot read '[^\n]+\n$")
  message(FATAL_ERROR "status ${status}\n${output}\n${error}")
endif()
