# SPDX-License-Identifier: BSL-1.0
foreach(check spdx snippets)
  add_test(NAME house.${check}
    COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR}
      -P ${PROJECT_SOURCE_DIR}/cmake/check_${check}.cmake)
endforeach()
