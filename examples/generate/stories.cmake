# SPDX-License-Identifier: BSL-1.0
# The published greedy text of stories260K.
execute_process(COMMAND "${PROGRAM}" --model "${FOLDER}/stories260K.bin" --temperature 0
                RESULT_VARIABLE status OUTPUT_FILE stories.txt ERROR_QUIET)
execute_process(COMMAND "${CMAKE_COMMAND}" -E compare_files stories.txt "${FOLDER}/greedy-text.txt"
                RESULT_VARIABLE differs)
if(NOT status EQUAL 0 OR differs)
  message(FATAL_ERROR "status ${status}, the text differs from ${FOLDER}/greedy-text.txt")
endif()
