# SPDX-License-Identifier: BSL-1.0
# heed_add_isa_sources(target ISAS avx512bw avx2_fma sse2 SOURCES a.cpp ...)
#
# Compiles the sources once per instruction set, with the target's own options and the flags below,
# and links them all into the target; ISAS are given best first. An entry point is the call operator
# of a plain struct at namespace scope whose first parameter is `heed::isa`; `heed::dispatch` calls
# it. HEED_ISAS, defined for the target, makes `heed::isas` the list of what was built.
#
# Templates and inline functions that a source instantiates are weak symbols, most of them with the
# same name for every instruction set, and the linker keeps one of each: AVX2 code could reach a
# machine without it. So the objects of an instruction set are joined into one, in which all symbols
# but the entry points are made local. A variable of namespace scope is thus one per instruction set.
# Processors other than x86 get the sources once, compiled like the rest of the target.

# The linker that can join objects and their groups: GNU ld, also where clang would link with lld.
function(heed_isa_linker out)
  find_program(HEED_GNU_LD NAMES ld.bfd ld)
  mark_as_advanced(HEED_GNU_LD)
  set(${out} "" PARENT_SCOPE)
  foreach(linker IN ITEMS "${CMAKE_LINKER}" "${HEED_GNU_LD}")
    if(linker AND CMAKE_OBJCOPY AND CMAKE_NM)
      execute_process(COMMAND ${linker} --help OUTPUT_VARIABLE help ERROR_QUIET)
      if(help MATCHES "--force-group-allocation")
        set(${out} ${linker} PARENT_SCOPE)
        return()
      endif()
    endif()
  endforeach()
endfunction()

function(heed_add_isa_sources target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "ISAS;SOURCES")
  if(NOT arg_ISAS OR NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "heed_add_isa_sources(target ISAS ... SOURCES ...)")
  endif()
  get_target_property(folder ${target} SOURCE_DIR)
  if(NOT folder STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    message(FATAL_ERROR "heed_add_isa_sources: call it in the folder that defines ${target}")
  endif()
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" OR
     NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_sources(${target} PRIVATE ${arg_SOURCES})
    return()
  endif()

  set(flags_sse2)
  set(flags_sse4_2 -msse4.2)
  set(flags_avx2_fma -mavx2 -mfma -mf16c)
  set(flags_avx512bw ${flags_avx2_fma} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd)
  set(type_sse2 xsimd::sse2)
  set(type_sse4_2 xsimd::sse4_2)
  set(type_avx2_fma xsimd::fma3<xsimd::avx2>)
  set(type_avx512bw xsimd::avx512bw)
  set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/heed_isa_localise.cmake)

  heed_isa_linker(linker)
  if(NOT linker)
    message(WARNING "heed_add_isa_sources(${target}): no GNU ld, nm and objcopy here, so the "
                    "linker may mix functions of the instruction sets: run the program on the best only")
  endif()
  get_target_property(type ${target} TYPE)
  get_target_property(independent ${target} POSITION_INDEPENDENT_CODE)
  if(type MATCHES "SHARED|MODULE")
    set(independent ON)
  endif()

  set(types)
  foreach(isa IN LISTS arg_ISAS)
    if(NOT DEFINED type_${isa})
      message(FATAL_ERROR "heed_add_isa_sources: no such instruction set: ${isa}")
    endif()
    list(APPEND types ${type_${isa}})
    set(part ${target}.${isa})
    add_library(${part} OBJECT EXCLUDE_FROM_ALL ${arg_SOURCES})
    target_link_libraries(${part} PRIVATE heed::heed)
    target_include_directories(${part} PRIVATE $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
    target_compile_definitions(${part} PRIVATE $<TARGET_PROPERTY:${target},COMPILE_DEFINITIONS>)
    # Last, so that -march=native of the target yields. Only machine code has symbols to make local,
    # and clang's ways to let linkers drop parts do not survive joining.
    target_compile_options(${part} PRIVATE $<TARGET_PROPERTY:${target},COMPILE_OPTIONS>
      -march=x86-64 ${flags_${isa}} -fno-lto
      $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>
      $<$<CXX_COMPILER_ID:Clang>:-fno-addrsig;-fno-sanitize-address-globals-dead-stripping;-Qunused-arguments>)
    set_target_properties(${part} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
    if(independent)
      set_target_properties(${part} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    endif()
    if(linker)
      set(object ${CMAKE_CURRENT_BINARY_DIR}/${part}${CMAKE_CXX_OUTPUT_EXTENSION})
      add_custom_command(OUTPUT ${object}
        COMMAND ${linker} -r --force-group-allocation -o ${object}.all
                $<TARGET_OBJECTS:${part}>
        COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} -DOBJCOPY=${CMAKE_OBJCOPY} -DINPUT=${object}.all
                -DOUTPUT=${object} -P ${script}
        DEPENDS ${part} $<TARGET_OBJECTS:${part}> ${script}
        COMMENT "Making symbols of ${part} local" COMMAND_EXPAND_LISTS VERBATIM)
      set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
      target_sources(${target} PRIVATE ${object})
    else()
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${part}>)
    endif()
  endforeach()

  list(JOIN types , types)
  get_target_property(before ${target} HEED_ISAS)
  if(before AND NOT before STREQUAL types)
    message(FATAL_ERROR "heed_add_isa_sources(${target}): the same ISAS in every call, please")
  elseif(NOT before)
    set_target_properties(${target} PROPERTIES HEED_ISAS "${types}")
    target_compile_definitions(${target} PRIVATE "HEED_ISAS=${types}")
  endif()
endfunction()
