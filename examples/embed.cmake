# SPDX-License-Identifier: BSL-1.0
# cmake -DINPUT=file -DOUTPUT=header -DNAME=identifier -P embed.cmake: the bytes of a file as a C++ array.
file(READ "${INPUT}" bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUTPUT}" "#pragma once\ninline constexpr unsigned char ${NAME}[] = {\n${bytes}};\n")
