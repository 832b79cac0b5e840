// The hyperbolic tangent for float and double.
//
// With x = n ln(2)/2 + r, |r| <= ln(2)/4, t = tanh(r) and s = 2^n = e^(n ln 2):
//
//   tanh(x) = ((s - 1) + (s + 1) t) / ((s + 1) + (s - 1) t).
//
// For n = 0 this is t itself, exactly, so small x keep their relative accuracy and tiny x come back unchanged; for
// large n both sides become the same number and the result is exactly 1. It never exceeds 1: the two sides are
// roundings of numbers in the right order. A short odd polynomial is enough for t, where e^x would need a long one.
#pragma once

#include "../simd/simd.hpp"
#include "constants.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Both tanh below:
//
//   error        at most 3 ULP (float) or 2 ULP (double) of the exact value
//   measured     2.59 ULP over every float, 1.55 ULP over 10^7 doubles, with fused multiply-add
//   valid range  every x: bounded to ±9.5 (float) or ±20 (double), beyond which the result is ±1
//   result       in [-1, 1], with the sign of x; odd to the bit
//   exactly      ±0 for ±0, x itself for subnormal x and for |x| below epsilon, ±1 for ±inf
//   NaN          a quiet one comes back with its bits, a signalling one as some NaN
//
// cpp/tests/test_math.cpp holds every instruction set to these bounds.

// float: odd by construction (2^-n only scales both sides), so no absolute value and no copying of signs.
FUSEDRNN_INLINE Vec<float> tanh(Vec<float> x) {
    using V = Vec<float>;
    using C = MathConstants<float>;
    const V to_low_bits = V::broadcast(FloatFormat<float>::round_to_integer + FloatFormat<float>::exponent_bias);
    const V one = V::broadcast(1.0f);

    // The bounds stand first: max and min give their second operand for NaN.
    x = min(V::broadcast(C::tanh_is_one), max(V::broadcast(-C::tanh_is_one), x));
    const V low_bits = fma(x, V::broadcast(2.0f * C::log2_e), to_low_bits);
    const V n = low_bits - to_low_bits;
    const V s = low_bits_to_exponent(low_bits);
    const V r = fma(n, V::broadcast(-C::half_ln2), x);

    // A product last, and 1 - s taken away instead of s - 1 added: both keep the sign of x = -0.
    const V r2 = r * r;
    const V t = r * fma(r2, horner(C::tanh_tail, r2), one);
    const V one_minus_s = one - s;
    const V one_plus_s = one + s;
    return fms(one_plus_s, t, one_minus_s) / fnma(one_minus_s, t, one_plus_s);
}

// double is held to 2 ULP, which the float form misses where numerator, denominator and quotient all round badly. With
// base near tanh(n ln(2)/2), tanh(x) = base + (numerator - base * denominator) / denominator puts those errors on a
// term of at most 1/4, and only the last addition on the whole. For n = 0, 1, 2, 3 and above: 0, 1/4, 1/2, 3/4.
FUSEDRNN_INLINE Vec<double> tanh(Vec<double> x) {
    using V = Vec<double>;
    using C = MathConstants<double>;
    using Format = FloatFormat<double>;
    // Rounds to quarters, so that n/4 comes out, and still leaves the biased exponent of 2^n in the low bits.
    const V to_low_bits = V::broadcast(0.25 * (Format::round_to_integer + Format::exponent_bias));
    const V one = V::broadcast(1.0);

    const V magnitude = min(V::broadcast(C::tanh_is_one), abs(x));
    const V low_bits = fma(magnitude, V::broadcast(0.25 * 2.0 * C::log2_e), to_low_bits);
    const V quarter_n = low_bits - to_low_bits;
    const V s = low_bits_to_exponent(low_bits);
    const V r = fma(quarter_n, V::broadcast(-4.0 * C::half_ln2_high), magnitude);

    // The low part of ln(2)/2 joins the small terms: t takes one rounding, and r, while it is large, none.
    const V r2 = r * r;
    const V t = r + fma(r * r2, horner(C::tanh_tail, r2), quarter_n * V::broadcast(-4.0 * C::half_ln2_low));
    // The bound stands first: base is NaN where x is, whatever s may be there.
    const V base = min(V::broadcast(0.75), quarter_n);
    // (s - 1) - base (s + 1) and (s + 1) - base (s - 1), without the rounding of s + 1.
    const V share = (one - base) * s;
    const V constant = share - (one + base);
    const V slope = share + (one + base);
    return copysign(fma(slope, t, constant) / fma(s - one, t, s + one) + base, x);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
