# SPDX-License-Identifier: BSL-1.0
# cmake -DPROGRAM=... "-DARGUMENTS=a;b" [-DRULE=regex] -P refused.cmake: passes on exit status 1 and one line on
# stderr, `program: ` and the rule, which is that a file cannot be read unless given.
if(NOT RULE)
  set(RULE "cannot read '[^\n]+")
endif()
execute_process(COMMAND "${PROGRAM}" ${ARGUMENTS} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE error)
if(NOT status EQUAL 1 OR NOT output STREQUAL "" OR NOT error MATCHES "^[a-z_]+: ${RULE}\n$")
  message(FATAL_ERROR "status ${status}\n${output}\n${error}")
endif()
