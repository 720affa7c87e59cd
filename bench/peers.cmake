# SPDX-License-Identifier: BSL-1.0
# Each peer found defines HEED_PEER_<NAME>=1 and is linked into every bench.

find_path(HEED_OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas openblas-pthread
          x86_64-linux-gnu/openblas-pthread)
find_library(HEED_OPENBLAS_LIBRARY openblas)
if(HEED_OPENBLAS_INCLUDE AND HEED_OPENBLAS_LIBRARY)
  target_include_directories(heed_bench SYSTEM INTERFACE ${HEED_OPENBLAS_INCLUDE})
  target_link_libraries(heed_bench INTERFACE ${HEED_OPENBLAS_LIBRARY})
  target_compile_definitions(heed_bench INTERFACE HEED_PEER_OPENBLAS=1)
endif()

find_path(HEED_ONEDNN_INCLUDE oneapi/dnnl/dnnl.hpp)
find_library(HEED_ONEDNN_LIBRARY dnnl)
if(HEED_ONEDNN_INCLUDE AND HEED_ONEDNN_LIBRARY)
  target_include_directories(heed_bench SYSTEM INTERFACE ${HEED_ONEDNN_INCLUDE})
  target_link_libraries(heed_bench INTERFACE ${HEED_ONEDNN_LIBRARY})
  target_compile_definitions(heed_bench INTERFACE HEED_PEER_ONEDNN=1)
endif()

find_package(Torch QUIET)
if(Torch_FOUND)
  target_link_libraries(heed_bench INTERFACE ${TORCH_LIBRARIES})
  target_compile_definitions(heed_bench INTERFACE HEED_PEER_LIBTORCH=1)
endif()
mark_as_advanced(HEED_OPENBLAS_INCLUDE HEED_OPENBLAS_LIBRARY HEED_ONEDNN_INCLUDE
                 HEED_ONEDNN_LIBRARY)
