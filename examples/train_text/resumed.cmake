# SPDX-License-Identifier: BSL-1.0
# Trains a few steps in one go on one thread, and again in two parts on other numbers of threads: the same bytes must
# come out. A part file of a save that was cut short must not matter.
file(REMOVE_RECURSE "${FOLDER}")
file(MAKE_DIRECTORY "${FOLDER}")

function(train out)
  execute_process(
    COMMAND "${PROGRAM}" "${TEXT}" --width 16 --hidden 24 --layers 2 --heads 4 --kv-heads 2 --length 32 --shares 3
            --sequences 2 --steps 7 --checkpoint "${FOLDER}/checkpoint" --out "${FOLDER}/${out}" ${ARGN}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE error)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "status ${status}\n${output}\n${error}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

train(whole --threads 1)
train(parts --threads 2 --stop 3)
if(EXISTS "${FOLDER}/parts" OR NOT EXISTS "${FOLDER}/checkpoint")
  message(FATAL_ERROR "--stop must leave a checkpoint and no weights")
endif()
file(WRITE "${FOLDER}/checkpoint.part" "half a checkp")
train(parts --threads 3 --save-seconds 0)
if(NOT output MATCHES "going on     at step 3\n")
  message(FATAL_ERROR "it did not go on from the checkpoint\n${output}")
endif()
if(EXISTS "${FOLDER}/checkpoint")
  message(FATAL_ERROR "the checkpoint of a finished run is still there")
endif()
file(SHA256 "${FOLDER}/whole" whole)
file(SHA256 "${FOLDER}/parts" parts)
if(NOT whole STREQUAL parts)
  message(FATAL_ERROR "the weights differ")
endif()
