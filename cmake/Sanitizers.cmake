# -DFUSEDRNN_SANITIZE=address,undefined builds everything with these sanitizers; the first report ends the program.
#
# -O1 -g1 comes after the kernels' own -O3 and wins: the checks would keep the compiler busy for many minutes otherwise,
# and line tables are all that a report needs.
include_guard()

set(FUSEDRNN_SANITIZE "" CACHE STRING "Comma separated sanitizers, e.g. address,undefined")

function(fusedrnn_sanitize target)
  if(FUSEDRNN_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${FUSEDRNN_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer -O1 -g1)
    target_link_options(${target} PRIVATE -fsanitize=${FUSEDRNN_SANITIZE})
  endif()
endfunction()

# Kernels do without three of UndefinedBehaviorSanitizer's checks, which are made at every load and store and take most of the
# compiler's time: AddressSanitizer stops at a null pointer and beyond an object's end as well, and vectors are loaded
# and stored without regard to alignment.
function(fusedrnn_kernel_sanitize target)
  fusedrnn_sanitize(${target})
  if(FUSEDRNN_SANITIZE)
    target_compile_options(${target} PRIVATE -fno-sanitize=null,alignment,object-size)
  endif()
endfunction()
