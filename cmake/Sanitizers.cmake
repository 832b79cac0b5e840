# -DFUSEDRNN_SANITIZE=address,undefined builds everything with these sanitizers; the first report ends the program.
include_guard()

set(FUSEDRNN_SANITIZE "" CACHE STRING "Comma separated sanitizers, e.g. address,undefined")

function(fusedrnn_sanitize target)
  if(FUSEDRNN_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${FUSEDRNN_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer -g)
    target_link_options(${target} PRIVATE -fsanitize=${FUSEDRNN_SANITIZE})
  endif()
endfunction()
