# SPDX-License-Identifier: BSL-1.0
# tests/fail/*.cpp must compile as they stand and must not with -DMUST_FAIL; then the compiler must
# print the text of the first line, `// expect: ...`.

file(GLOB fragments RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS fail/*.cpp)
if(HEED_TESTS)
  list(FILTER fragments INCLUDE REGEX "${HEED_TESTS}")
endif()
foreach(fragment IN LISTS fragments)
  heed_target_name(name ${fragment} test)
  add_test(NAME ${name}
    COMMAND ${CMAKE_COMMAND} -DCOMPILER=${CMAKE_CXX_COMPILER}
      -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/${fragment}
      "-DINCLUDES=$<TARGET_PROPERTY:heed_test,INTERFACE_INCLUDE_DIRECTORIES>"
      "-DIMPLICIT=${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES}"
      "-DFLAGS=${arch_flags}"
      -P ${PROJECT_SOURCE_DIR}/cmake/must_fail.cmake)
endforeach()
