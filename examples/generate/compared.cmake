# SPDX-License-Identifier: BSL-1.0
# cmake -DPROGRAM=... "-DARGUMENTS=a;b" -DEXPECTED=file [-DWORDS=n] -P compared.cmake: passes if the output equals
# the file, or its first n words do, and the program tells what it took.
execute_process(COMMAND "${PROGRAM}" ${ARGUMENTS} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE error)
file(READ "${EXPECTED}" expected)
if(WORDS)
  foreach(text output expected)
    string(REPLACE " " ";" words "${${text}}")
    list(SUBLIST words 0 ${WORDS} ${text})
  endforeach()
endif()
if(NOT status EQUAL 0 OR NOT output STREQUAL expected)
  message(FATAL_ERROR "status ${status}, not the text of ${EXPECTED}:\n${output}\n${error}")
endif()
set(stage "[0-9]+ tokens, [0-9]+ a second, [0-9]+ % of the time in attention\n")
if(NOT error MATCHES "^prefill  ${stage}decode   ${stage}cache    [a-z]+, [a-z0-9]+, [0-9]+ bytes\n$")
  message(FATAL_ERROR "unexpected report:\n${error}")
endif()
