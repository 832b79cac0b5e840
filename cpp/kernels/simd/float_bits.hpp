// Floating-point formats as the bit tricks of the kernels need them, and a * 2^n for instruction sets that have no
// instruction for it.
#pragma once

#include "target.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct FloatFormat;

template <>
struct FloatFormat<float> {
    static constexpr int mantissa_bits = 23;
    static constexpr int exponent_bias = 127;
    // 1.5 * 2^23: adding it rounds |v| < 2^22 to an integer, which then sits in the low bits of the sum.
    static constexpr float round_to_integer = 12582912.0f;
};

template <>
struct FloatFormat<double> {
    static constexpr int mantissa_bits = 52;
    static constexpr int exponent_bias = 1023;
    static constexpr double round_to_integer = 6755399441055744.0;  // 1.5 * 2^52
};

// a * 2^n with one rounding, out of the operations of a vector. Half of n cannot make |a| near one subnormal, so only
// the second product rounds.
template <class V>
FUSEDRNN_INLINE V scale_near_one(V a, V n) {
    using T = typename V::Scalar;
    const V to_low_bits = V::broadcast(FloatFormat<T>::round_to_integer + FloatFormat<T>::exponent_bias);
    const V half_bits = fma(n, V::broadcast(T(0.5)), to_low_bits);
    const V rest_bits = (n - (half_bits - to_low_bits)) + to_low_bits;
    return a * low_bits_to_exponent(half_bits) * low_bits_to_exponent(rest_bits);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
