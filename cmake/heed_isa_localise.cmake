# SPDX-License-Identifier: BSL-1.0
# cmake -DNM= -DOBJCOPY= -DINPUT=a.o -DOUTPUT=b.o -P: b.o is a.o with all defined symbols made local
# but the entry points: call operators of plain structs at namespace scope whose first template
# argument is an architecture, as the Itanium ABI mangles them.
cmake_minimum_required(VERSION 3.21)

execute_process(COMMAND ${NM} --defined-only --format=posix ${INPUT} OUTPUT_VARIABLE symbols
                COMMAND_ERROR_IS_FATAL ANY)

# Sanitizers and gcov bring their own; anything else may use instructions that the machine lacks.
string(REGEX MATCHALL "_GLOBAL__sub_I_[^ \n]*" early "${symbols}")
list(FILTER early EXCLUDE REGEX "_GLOBAL__sub_I_00[0-9]+_[01]")
if(early)
  message(FATAL_ERROR "${early}: sources compiled per instruction set must run no code before main; "
                      "<iostream> and dynamic initialisers of globals do")
endif()

set(entries)
string(REGEX MATCHALL "_ZNK?[A-Za-z0-9_]+clI(N5xsimd|N4heed4simd6scalarE)[^ \n]* [WT]" candidates
       "${symbols}")
foreach(candidate IN LISTS candidates)
  string(REGEX REPLACE "^_ZNK?" "" rest "${candidate}")
  while(rest MATCHES "^([0-9]+)(.*)$")
    string(SUBSTRING "${CMAKE_MATCH_2}" ${CMAKE_MATCH_1} -1 rest)
  endwhile()
  if(rest MATCHES "^clI")
    string(REGEX REPLACE " .*" "" candidate "${candidate}")
    list(APPEND entries ${candidate})
  endif()
endforeach()
if(NOT entries)
  message(FATAL_ERROR "no entry point: instantiate the call operator of a struct at namespace scope, "
                      "`template void name::operator()(heed::isa, ...) const;`")
endif()

list(JOIN entries "\n" lines)
file(WRITE ${OUTPUT}.entries "${lines}\n")
execute_process(COMMAND ${OBJCOPY} --keep-global-symbols=${OUTPUT}.entries ${INPUT} ${OUTPUT}
                COMMAND_ERROR_IS_FATAL ANY)
