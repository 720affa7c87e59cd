# SPDX-License-Identifier: BSL-1.0
# docs/filter.awk, which makes Doxygen's comments of ours, on a header and a page.
cmake_minimum_required(VERSION 3.21)

find_program(awk NAMES awk mawk gawk)
if(NOT awk)
  message("no awk: not tested")
  return()
endif()

string(RANDOM folder)
set(folder ${CMAKE_CURRENT_BINARY_DIR}/filter.${folder})

# filtered(name input expected): what the filter makes of a file of this name
function(filtered name input expected)
  file(WRITE ${folder}/${name} "${input}")
  execute_process(COMMAND ${awk} -f ${ROOT}/docs/filter.awk ${folder}/${name}
                  OUTPUT_VARIABLE output RESULT_VARIABLE failed)
  file(REMOVE_RECURSE ${folder})
  if(failed OR NOT output STREQUAL expected)
    message(FATAL_ERROR "docs/filter.awk makes of ${name}\n${output}\ninstead of\n${expected}")
  endif()
endfunction()

filtered(include/heed/mask/some.hpp [[
// SPDX-License-Identifier: BSL-1.0
// mask/some: k < a & b, and
// - more.
//
//   x..  <- @kept
//
// After `a < b`.
#pragma once
namespace heed {
namespace detail {
// Hidden.
struct hidden {};
}  // namespace detail
template <class T>
struct some {
  // Why.
  int a = 0;
  int b = 0;   // how *much*
               // of it
  void f() {
    // Inside.
    g();  // inside
  }
};
// Not before a declaration.

// Says [B,H]
//   in a drawing.
void free() {
  // Inside, too.
  int local = 0;  // inside
}
}  // namespace heed
]] [[
/** @file
mask/some: k \< a \& b, and
&minus; more.
 @verbatim
  x..  <- @kept

@endverbatim After `a < b`. */
#pragma once
namespace heed {




/** mask/some: k \< a \& b, and - more. @see @ref heed/mask/some.hpp */ template <class T>
struct some {
/** Why. */
  int a = 0;
  int b = 0;   /**< how \*much\*
of it */
  void f() {
    // Inside.
    g();  // inside
  }
};
// Not before a declaration.

/** Says [B,H] @verbatim
  in a drawing. @endverbatim */
void free() {
  // Inside, too.
  int local = 0;  // inside
}
}  // namespace heed
]])

filtered(tests/some.cpp [[
// SPDX-License-Identifier: BSL-1.0
// What is tested.
// Not this.
int x;  // nor this
]] [[
/** @file
What is tested.
Not this. */

]])

filtered(docs/page.md [[
<!-- SPDX-License-Identifier: BSL-1.0 -->
# Page
[`a`](../include/heed/mask/a.hpp), [b](bench/b.cpp) and [c](design.md)
<!-- snippet: c -->
]] [[

# Page
[a](@ref heed/mask/a.hpp), [b](@ref bench/b.cpp) and [c](design.md)

]])
