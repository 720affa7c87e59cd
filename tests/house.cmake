# SPDX-License-Identifier: BSL-1.0
foreach(check doc_filter operators reuse snippets spdx versions)
  add_test(NAME house.${check}
    COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DSTAGE=${PROJECT_BINARY_DIR}/reuse
      -P ${PROJECT_SOURCE_DIR}/cmake/check_${check}.cmake)
endforeach()
