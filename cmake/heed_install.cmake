# SPDX-License-Identifier: BSL-1.0
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/heed)
target_include_directories(heed INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(DIRECTORY include/heed DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp)
install(TARGETS heed EXPORT heed_targets)
install(EXPORT heed_targets NAMESPACE heed:: FILE heedTargets.cmake DESTINATION ${package_dir})

configure_file(cmake/heedConfig.cmake.in heedConfig.cmake @ONLY)
write_basic_package_version_file(heedConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/heedConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/heedConfigVersion.cmake
              cmake/heed_dependencies.cmake cmake/heed_isa_sources.cmake
              cmake/heed_isa_localise.cmake
        DESTINATION ${package_dir})

# Dependencies given by folder have no .pc file: their paths go into Cflags.
set(pc_requires xsimd)
set(pc_cflags)
if(HEED_XSIMD_DIR)
  set(pc_requires)
  string(APPEND pc_cflags " -isystem ${HEED_XSIMD_INCLUDE}")
endif()
if(HEED_EIGEN_DIR)
  string(APPEND pc_cflags " -isystem ${HEED_EIGEN_INCLUDE}")
elseif(HEED_EIGEN_INCLUDE)
  list(APPEND pc_requires eigen3)
endif()
list(JOIN pc_requires " " pc_requires)
configure_file(cmake/heed.pc.in heed.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/heed.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/heed)
