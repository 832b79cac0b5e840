# The warnings every target is held to.
include_guard()

option(FUSEDRNN_WERROR "Treat warnings as errors" OFF)

function(fusedrnn_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)
  if(FUSEDRNN_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()

# Kernels: the tile sizes chosen at run time look to the compiler as if parts of a tile were never written.
function(fusedrnn_kernel_warnings target)
  fusedrnn_warnings(${target})
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endfunction()
