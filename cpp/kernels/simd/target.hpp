// What kernel code needs to know of its compiler and its instruction set: attributes, and facts that sizes follow from.
#pragma once

// Every function of the kernels carries one of these two: nothing may survive as a call or as a weak symbol.
#define FUSEDRNN_INLINE [[gnu::always_inline]] inline
#define FUSEDRNN_LAMBDA __attribute__((always_inline))

#if defined(FUSEDRNN_ISA_AVX512) || defined(FUSEDRNN_ISA_NEON)
#define FUSEDRNN_VECTOR_REGISTERS 32
#else
#define FUSEDRNN_VECTOR_REGISTERS 16
#endif

#if defined(FUSEDRNN_ISA_SCALAR)
#define FUSEDRNN_HAS_FMA false
#else
#define FUSEDRNN_HAS_FMA true
#endif
