// The logistic function 1 / (1 + e^-x) for float and double.
#pragma once

#include "../simd/simd.hpp"
#include "constants.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// With -x = n ln 2 - r, |r| <= ln(2)/2, and the even function g = r coth(r/2):  e^-x = 2^n (g - r) / (g + r), so
//
//   sigmoid(x) = (g + r) / ((g + r) + 2^n (g - r)).
//
// One polynomial in r^2 of half the length that e^r would need, no absolute value, no selection by the sign of x, and
// small results keep their relative accuracy because nothing cancels. Numerator and denominator carry a factor
// 2^sigmoid_exponent_shift, without which 2^n would overflow for results near the smallest subnormal. All intermediate
// values are normal numbers: only the division can give a subnormal, rounded once.
//
// Additions and integer operations are preferred to multiplications: they may run in ports that the matrix product
// leaves free.
//
//   error        at most 3 ULP (float) or 2 ULP (double) of the exact value
//   measured     2.46 ULP over every float, 1.84 ULP over 10^7 doubles, with fused multiply-add
//   valid range  every x: bounded to [-104, 32] (float) or [-746, 64] (double), beyond which the result is 0 or 1
//   result       in [0, 1], never -0
//   exactly      0.5 for ±0 and subnormal x, 1 for inf, 0 for -inf
//   NaN          a quiet one comes back with its bits, a signalling one as some NaN
//
// cpp/tests/test_math.cpp holds every instruction set to these bounds. Where denormals are flushed (denormals.hpp), a
// subnormal result is 0 or the smallest normal number.
template <class V>
FUSEDRNN_INLINE V sigmoid(V x) {
    using T = typename V::Scalar;
    using C = MathConstants<T>;
    constexpr T unit = T(1) / T(1ull << -C::sigmoid_exponent_shift);
    constexpr T factor = C::sigmoid_factor;
    constexpr bool compensated = factor != T(1);
    // Rounds to an integer and leaves the biased exponent of 2^n * unit in the low bits.
    const V to_low_bits =
        V::broadcast(FloatFormat<T>::round_to_integer + FloatFormat<T>::exponent_bias + C::sigmoid_exponent_shift);

    // The bounds stand first: max and min give their second operand for NaN.
    x = min(V::broadcast(C::sigmoid_is_one), max(V::broadcast(C::exp_smallest), x));
    const V low_bits = fma(x, V::broadcast(-C::log2_e), to_low_bits);
    const V n = low_bits - to_low_bits;
    const V scale = low_bits_to_exponent(low_bits);
    V r = fma(n, V::broadcast(C::ln2_high), x);  // exact; g and r carry the factor from here on
    if constexpr (compensated) {
        r = fma(r, V::broadcast(factor), n * V::broadcast(factor * C::ln2_low));
    } else {
        r = fma(n, V::broadcast(C::ln2_low), r);
    }

    const V g = horner(C::sigmoid_even, r * r);
    const V difference = g - r;
    const V numerator = multiply_by_exponent(g + r, V::broadcast(unit));
    V rest = numerator;
    // If g - r outweighs the rest of the denominator, its rounding error is added to the rest.
    if constexpr (compensated) rest = fma(scale, (g - difference) - r, rest);
    return numerator / fma(scale, difference, rest);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
