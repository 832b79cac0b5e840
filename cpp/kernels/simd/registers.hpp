// What the tile sizes follow from: how many vector registers an ISA has, and whether it fuses multiply and add.
#pragma once

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
