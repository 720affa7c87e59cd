# SPDX-License-Identifier: BSL-1.0
# Builds and runs tests/package/consumer against heed taken in by WAY.
cmake_minimum_required(VERSION 3.21)

set(source ${ROOT}/tests/package/consumer)
file(REMOVE_RECURSE ${BUILD})
file(MAKE_DIRECTORY ${BUILD})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output
                  ERROR_VARIABLE output)
  if(failed)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\n${output}")
  endif()
endfunction()

if(WAY STREQUAL "pkg_config")
  set(ENV{PKG_CONFIG_PATH} ${PREFIX}/share/pkgconfig)
  run(pkg-config --exact-version=${VERSION} heed)
  execute_process(COMMAND pkg-config --cflags heed OUTPUT_VARIABLE flags
                  COMMAND_ERROR_IS_FATAL ANY OUTPUT_STRIP_TRAILING_WHITESPACE)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run(${COMPILER} -O1 ${flags} ${source}/main.cpp -o ${BUILD}/consumer)
else()
  run(${CMAKE_COMMAND} -S ${source} -B ${BUILD} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
      -DCMAKE_CXX_FLAGS=-O1 -DWAY=${WAY} -DVERSION=${VERSION} -DROOT=${ROOT}
      -DCMAKE_PREFIX_PATH=${PREFIX} -DHEED_XSIMD_DIR=${XSIMD} -DHEED_EIGEN_DIR=${EIGEN}
      -DFETCHCONTENT_SOURCE_DIR_HEED=${ROOT})
  run(${CMAKE_COMMAND} --build ${BUILD})
endif()
run(${BUILD}/consumer)
