# Builds for AArch64 Linux with Debian's cross compiler (g++-aarch64-linux-gnu) and runs the result with qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Debian's packages qemu-user and qemu-user-static name the program differently.
find_program(FUSEDRNN_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
if(FUSEDRNN_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${FUSEDRNN_QEMU_AARCH64} -L /usr/aarch64-linux-gnu)
endif()
