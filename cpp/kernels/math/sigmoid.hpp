// The logistic function 1 / (1 + e^-x) for float and double.
#pragma once

#include "../simd/simd.hpp"
#include "constants.hpp"
#include "polynomial.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// The coefficients of 2 tanh(r/2) = r + r^3 q(r^2), from those of tanh: q_k = p_k / 4^(k+1), exactly.
template <class T>
struct HalfArgumentTail {
    static constexpr int count = sizeof(MathConstants<T>::tanh_tail) / sizeof(T);
    T coefficient[count];

    consteval HalfArgumentTail() : coefficient{} {
        T factor = T(0.25);
        for (int k = 0; k < count; ++k, factor *= T(0.25)) coefficient[k] = factor * MathConstants<T>::tanh_tail[k];
    }
};

template <class T>
constexpr HalfArgumentTail<T> half_argument_tail;

// With -x = n ln 2 - r, |r| <= ln(2)/2, and h = 2 tanh(r/2):  e^-x = 2^n (2 - h) / (2 + h), so
//
//   sigmoid(x) = (2 + h) / ((2 + h) + 2^n (2 - h)).
//
// One odd polynomial in r of half the length that e^r would need, no absolute value, no selection by the sign of x, and
// small results keep their relative accuracy because nothing cancels. Numerator and denominator carry a factor
// 2^sigmoid_exponent_shift, without which 2^n would overflow for results near the smallest subnormal. All intermediate
// values are normal numbers: only the division can give a subnormal, rounded once.
template <class V>
FUSEDRNN_INLINE V sigmoid(V x) {
    using T = typename V::Scalar;
    using C = MathConstants<T>;
    constexpr T unit = T(1) / T(1ull << -C::sigmoid_exponent_shift);
    constexpr T factor = C::sigmoid_factor;
    // Rounds to an integer and leaves the biased exponent of 2^n * unit in the low bits.
    const V to_low_bits = V::broadcast(FloatFormat<T>::round_to_integer + FloatFormat<T>::exponent_bias +
                                       C::sigmoid_exponent_shift);

    // The bounds stand first: max and min give their second operand for NaN.
    x = min(V::broadcast(C::sigmoid_is_one), max(V::broadcast(C::exp_smallest), x));
    const V low_bits = fma(x, V::broadcast(-C::log2_e), to_low_bits);
    const V n = low_bits - to_low_bits;
    const V scale = low_bits_to_exponent(low_bits);
    V r = fma(n, V::broadcast(C::ln2_high), x);
    r = fma(n, V::broadcast(C::ln2_low), r);

    const V r2 = r * r;
    const V h = fma(r * r2, horner(half_argument_tail<T>.coefficient, r2), r);  // 2 tanh(r/2) = r + r^3 q(r^2)
    const V numerator = fma(h, V::broadcast(factor * unit), V::broadcast(2 * factor * unit));
    V complement;
    if constexpr (factor == T(1)) {
        complement = V::broadcast(T(2)) - h;  // an addition: it may run where the matrix product does not
    } else {
        complement = fma(h, V::broadcast(-factor), V::broadcast(2 * factor));
    }
    return numerator / fma(scale, complement, numerator);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
