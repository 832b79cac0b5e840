// a * 2^n with one rounding, for the ISAs without a scaling instruction. Included at the end of their headers.
#pragma once

#include "float_format.hpp"
#include "inline.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// 2^n for integer-valued n with a normal result.
template <class V>
FUSEDRNN_INLINE V normal_power_of_two(V n) {
    using Format = FloatFormat<typename V::Scalar>;
    return low_bits_to_exponent(n + V::broadcast(Format::round_to_integer + Format::exponent_bias));
}

// The part of n to apply in one multiplication while more remains: 0 when n is itself a normal exponent.
//
// A downward step stops mantissa_bits + 1 above the smallest normal exponent. If it makes the value subnormal, what is
// left of n takes the value below half of the smallest subnormal, so the rounding of that step is never seen.
template <class V>
FUSEDRNN_INLINE V partial_exponent(V n) {
    using T = typename V::Scalar;
    using Format = FloatFormat<T>;
    const V largest = V::broadcast(T(Format::exponent_bias));
    const V smallest = V::broadcast(T(1 - Format::exponent_bias));
    const V step_down = smallest + V::broadcast(T(Format::mantissa_bits + 1));
    return select(less(n, smallest), step_down, select(less(largest, n), largest, V::zero()));
}

template <class V>
FUSEDRNN_INLINE V scale_in_three_steps(V a, V n) {
    using T = typename V::Scalar;
    using Format = FloatFormat<T>;
    // Beyond this every a overflows or vanishes; two partial steps then leave a normal exponent.
    const T enough = T(2 * (Format::exponent_bias + Format::mantissa_bits + 3));
    n = max(V::broadcast(-enough), min(V::broadcast(enough), n));
    const V first = partial_exponent(n);
    n = n - first;
    const V second = partial_exponent(n);
    n = n - second;
    return a * normal_power_of_two(first) * normal_power_of_two(second) * normal_power_of_two(n);
}

// The same for |a| near one: half of n cannot make it subnormal, so only the second product rounds.
template <class V>
FUSEDRNN_INLINE V scale_in_two_steps(V a, V n) {
    using T = typename V::Scalar;
    const V to_low_bits = V::broadcast(FloatFormat<T>::round_to_integer + FloatFormat<T>::exponent_bias);
    const V half_bits = fma(n, V::broadcast(T(0.5)), to_low_bits);
    const V rest_bits = (n - (half_bits - to_low_bits)) + to_low_bits;
    return a * low_bits_to_exponent(half_bits) * low_bits_to_exponent(rest_bits);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
