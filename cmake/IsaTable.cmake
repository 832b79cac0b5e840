# Every instruction set the kernels are compiled for, once: its processor family and its compiler flags. The first one
# that the machine has, from the end of the list, is the default; dispatch checks the features at run time.
include_guard()

set(FUSEDRNN_KERNEL_FLAGS -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-exceptions -fno-lto)

set(FUSEDRNN_ISAS_x86_64 scalar avx2 avx512)
set(FUSEDRNN_ISAS_aarch64 scalar neon)
set(FUSEDRNN_ISAS_other scalar)

set(FUSEDRNN_FLAGS_scalar "")
set(FUSEDRNN_FLAGS_avx2 -mavx2 -mfma)
set(FUSEDRNN_FLAGS_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512)
set(FUSEDRNN_FLAGS_neon "")

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(FUSEDRNN_ISAS ${FUSEDRNN_ISAS_x86_64})
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(FUSEDRNN_ISAS ${FUSEDRNN_ISAS_aarch64})
else()
  set(FUSEDRNN_ISAS ${FUSEDRNN_ISAS_other})
endif()

# For builds that need not run everywhere.
set(FUSEDRNN_ONLY_ISAS "" CACHE STRING "Compile only these of the processor's instruction sets; empty: all")
if(FUSEDRNN_ONLY_ISAS)
  foreach(isa IN LISTS FUSEDRNN_ONLY_ISAS)
    if(NOT isa IN_LIST FUSEDRNN_ISAS)
      message(FATAL_ERROR "FUSEDRNN_ONLY_ISAS: ${isa} is none of ${FUSEDRNN_ISAS}")
    endif()
  endforeach()
  if(NOT scalar IN_LIST FUSEDRNN_ONLY_ISAS)
    message(FATAL_ERROR "FUSEDRNN_ONLY_ISAS: expected scalar among them, got ${FUSEDRNN_ONLY_ISAS}")
  endif()
  set(FUSEDRNN_ISAS ${FUSEDRNN_ONLY_ISAS})
endif()

# An object library of `sources`, compiled for one ISA: the namespace, the macro that chooses the vectors, the flags.
function(fusedrnn_isa_object target isa)
  string(TOUPPER ${isa} upper)
  add_library(${target} OBJECT ${ARGN})
  target_compile_definitions(${target} PRIVATE FUSEDRNN_ISA=${isa} FUSEDRNN_ISA_${upper}=1)
  target_compile_options(${target} PRIVATE ${FUSEDRNN_KERNEL_FLAGS} ${FUSEDRNN_FLAGS_${isa}})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/cpp/kernels ${PROJECT_SOURCE_DIR}/cpp/include)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                             VISIBILITY_INLINES_HIDDEN ON)
endfunction()
