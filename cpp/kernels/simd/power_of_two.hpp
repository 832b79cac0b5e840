// a * 2^n with one rounding, for the ISAs without a scaling instruction. Included at the end of their headers.
#pragma once

#include "float_format.hpp"
#include "inline.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Half of n cannot make |a| near one subnormal, so only the second product rounds.
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
