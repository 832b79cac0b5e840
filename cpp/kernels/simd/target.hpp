// Facts about the compiler and the instruction set that kernel code is compiled for: attributes, registers, fusing.
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
