# SPDX-License-Identifier: BSL-1.0
# cmake -DNM= -DOBJECTS=prefix.@.o -DKIND=symbols -P: in the objects of each instruction set, @, all
# global and weak symbols have its name in theirs. KIND=symbols_as_compiled: some do not, in each.
cmake_minimum_required(VERSION 3.21)

set(name_sse2 N5xsimd4sse2E)
set(name_avx2_fma N5xsimd4fma3INS[0-9A-Z]*_4avx2EE)
set(name_avx512bw N5xsimd8avx512bwE)
foreach(isa avx512bw avx2_fma sse2)
  string(REPLACE @ ${isa} object "${OBJECTS}")
  execute_process(COMMAND ${NM} --defined-only --extern-only --format=posix ${object}
                  OUTPUT_VARIABLE lines COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]+" lines "${lines}")
  list(LENGTH lines all)
  list(FILTER lines EXCLUDE REGEX "${name_${isa}}")
  list(LENGTH lines leaks)
  message("${isa}: ${leaks} of ${all} visible symbols without its name")
  if(all EQUAL 0)
    message(FATAL_ERROR "${object} has no entry point")
  elseif(KIND STREQUAL "symbols" AND leaks GREATER 0)
    list(JOIN lines "\n" lines)
    message(FATAL_ERROR "${lines}")
  elseif(KIND STREQUAL "symbols_as_compiled" AND leaks EQUAL 0)
    message(FATAL_ERROR "nothing to make local: is this test still about something?")
  endif()
endforeach()
