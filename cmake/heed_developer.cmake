# SPDX-License-Identifier: BSL-1.0
# What tests, benches and examples share; nothing here reaches users of heed::heed.

option(HEED_WARNINGS_AS_ERRORS
       "Warnings are errors in tests, benches and examples; so does the variable of the environment"
       OFF)
set(HEED_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")
set(HEED_MODELS_DIR "$ENV{HEED_MODELS_DIR}" CACHE PATH "Folder of trained models for tests")
set(native_flags)
if(PROJECT_IS_TOP_LEVEL AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  set(native_flags -march=native)
endif()
set(HEED_ARCH_FLAGS "${native_flags}" CACHE STRING "Target flags of tests, benches and examples")

find_package(Threads REQUIRED)
add_library(heed_developer INTERFACE)
target_link_libraries(heed_developer INTERFACE heed::heed Threads::Threads)
separate_arguments(arch_flags NATIVE_COMMAND "${HEED_ARCH_FLAGS}")
target_compile_options(heed_developer INTERFACE ${arch_flags})
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(heed_developer INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
    $<$<OR:$<BOOL:${HEED_WARNINGS_AS_ERRORS}>,$<BOOL:$ENV{HEED_WARNINGS_AS_ERRORS}>>:-Werror>)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms inside its own AVX-512 intrinsics and std::string (GCC bugs 105593, 105651).
  target_compile_options(heed_developer INTERFACE -Wno-maybe-uninitialized -Wno-uninitialized
                                                  -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # collects garbage later than at 128 MB: 5 % of the time
  target_compile_options(heed_developer INTERFACE --param=ggc-min-heapsize=400000)
endif()
if(HEED_SANITIZE)
  set(sanitize -fsanitize=${HEED_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(HEED_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND sanitize -Wno-tsan)  # Eigen's pool uses fences, which g++ reports at each include
  endif()
  target_compile_options(heed_developer INTERFACE ${sanitize})
  target_link_options(heed_developer INTERFACE ${sanitize})
endif()

# heed_target_name(OUT tests/mask/causal.cpp test) gives test.mask.causal
function(heed_target_name out path prefix)
  cmake_path(REMOVE_EXTENSION path LAST_ONLY)
  string(REPLACE / . name "${path}")
  set(${out} ${prefix}.${name} PARENT_SCOPE)
endfunction()
