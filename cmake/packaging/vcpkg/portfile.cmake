# SPDX-License-Identifier: BSL-1.0
# An overlay port of this checkout: vcpkg install heed --overlay-ports=cmake/packaging/vcpkg
# In a registry, vcpkg_from_git or the like sets SOURCE_PATH; the rest stays.
cmake_path(SET SOURCE_PATH NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../..")

set(VCPKG_BUILD_TYPE release)  # headers only

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DHEED_INSTALL=ON
    -DHEED_BUILD_TESTS=OFF
    -DHEED_BUILD_BENCHMARKS=OFF
    -DHEED_BUILD_EXAMPLES=OFF
    -DFETCHCONTENT_FULLY_DISCONNECTED=ON)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/heed)
vcpkg_fixup_pkgconfig()

# Licences have a place of their own in vcpkg.
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/licenses")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
