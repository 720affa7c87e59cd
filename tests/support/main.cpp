// SPDX-License-Identifier: BSL-1.0
// What all tests share and only one object may know: Catch2's main, where the sources lie.
#include <string>

#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif

namespace heed::test {
std::string golden_folder(const std::string& family) {
  return HEED_TESTS_DIR "/golden" + (family.empty() ? "" : "/" + family);
}
}  // namespace heed::test
