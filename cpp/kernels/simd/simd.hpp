// Vec<float> and Vec<double> of the ISA this file is compiled for.
//
// The build passes -DFUSEDRNN_ISA=<token> (the namespace) and -DFUSEDRNN_ISA_<TOKEN>=1 (the header). Everything is in
// fusedrnn::<token>::{anonymous}, so two ISAs never share a symbol. Every ISA gives the same bits for every operation
// below, except that the scalar one has no fused multiply-add:
//
//   load, load_first, store, store_first, broadcast, zero
//   + - * /  unary -          IEEE, one rounding; unary minus flips the sign bit (of zero too)
//   fma(a, b, c)              a*b + c with one rounding (scalar: two)
//   fms(a, b, c), fnma(a, b, c)  a*b - c and c - a*b, likewise
//   min(a, b), max(a, b)      a < b ? a : b and a > b ? a : b: b when either is NaN or both are zeros
//   abs, copysign             bit operations
//   less                      -> Vec::Mask (false with NaN);  select(mask, if_true, if_false)
//   scale_near_one(a, n)      a * 2^n with one rounding, for 0.5 <= |a| <= 2 and integer-valued n whose magnitude is
//                             below twice the largest exponent (float_bits.hpp makes it of the other operations)
//   low_bits_to_exponent(t)   the low bits of t's representation moved into its sign and exponent field
//   multiply_by_exponent(a, power)  a * power by integer addition of the exponents: leaves the multipliers to others.
//                             a and the result normal, power a power of two. Not for NaN: gives another NaN or a number
//   product_of_halves(a)      IntegerPairs, a vector of 64-bit integers: the lower 32 bits of each times its upper 32
//   keep_in_register(a)       a is in a register from here on: its load is not folded into the instructions that use it
#pragma once

#ifndef FUSEDRNN_ISA
#error "compile kernel code with -DFUSEDRNN_ISA=<token> and -DFUSEDRNN_ISA_<TOKEN>=1"
#endif

#if defined(FUSEDRNN_ISA_AVX512)
#include "avx512.hpp"
#elif defined(FUSEDRNN_ISA_AVX2)
#include "avx2.hpp"
#elif defined(FUSEDRNN_ISA_NEON)
#include "neon.hpp"
#elif defined(FUSEDRNN_ISA_SCALAR)
#include "scalar.hpp"
#else
#error "no FUSEDRNN_ISA_<TOKEN> macro: add the ISA to kernels/simd/simd.hpp"
#endif
