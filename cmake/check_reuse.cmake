# SPDX-License-Identifier: BSL-1.0
# cmake -DROOT=<repository> -DSTAGE=<scratch folder> -P cmake/check_reuse.cmake
# `reuse lint` of a copy of what git tracks. REUSE looks for texts of licences in a folder LICENSES on
# top and nowhere else; here they live in .reuse/, and the copy gets that folder. The copy also keeps
# what git ignores, build folders above all, out of the report.
cmake_minimum_required(VERSION 3.21)

find_program(REUSE reuse)
if(NOT REUSE)
  message("no `reuse` here: skipped")
  return()
endif()
execute_process(COMMAND git -C ${ROOT} ls-files OUTPUT_VARIABLE files RESULT_VARIABLE failed
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(failed)
  message("no git repository: skipped")
  return()
endif()
string(REPLACE "\n" ";" files "${files}")

file(REMOVE_RECURSE ${STAGE})
foreach(file IN LISTS files)
  if(EXISTS ${ROOT}/${file} AND NOT file MATCHES "^\\.reuse/LICENSES/")
    cmake_path(GET file PARENT_PATH folder)
    file(COPY ${ROOT}/${file} DESTINATION ${STAGE}/${folder})
  endif()
endforeach()
file(COPY ${ROOT}/.reuse/LICENSES DESTINATION ${STAGE})
configure_file(${ROOT}/LICENSE ${STAGE}/LICENSES/BSL-1.0.txt COPYONLY)

# Below a repository that ignores it, reuse would take every file of the copy for an ignored one.
cmake_path(GET STAGE PARENT_PATH above)
set(ENV{GIT_CEILING_DIRECTORIES} ${above})
execute_process(COMMAND ${REUSE} --root ${STAGE} lint RESULT_VARIABLE failed OUTPUT_VARIABLE report
                ERROR_VARIABLE errors)
string(FIND "${report}" "# SUMMARY" summary)
if(failed OR errors MATCHES "ERROR")
  message(FATAL_ERROR "${errors}${report}")
endif()
string(SUBSTRING "${report}" ${summary} -1 report)
message("${report}")
