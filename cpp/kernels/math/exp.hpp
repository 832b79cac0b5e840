// e^x for float and double.
#pragma once

#include "../simd/simd.hpp"
#include "constants.hpp"
#include "polynomial.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// x = n ln 2 + r with |r| <= ln(2)/2, e^x = 2^n (1 + r + r^2 p(r)). Overflows to inf, underflows through the subnormals
// with one rounding, e^-inf = 0, NaN comes back.
template <class V>
FUSEDRNN_INLINE V exp(V x) {
    using T = typename V::Scalar;
    using C = MathConstants<T>;
    const V to_integer = V::broadcast(FloatFormat<T>::round_to_integer);
    const V one = V::broadcast(T(1));

    // The bounds stand first: max and min give their second operand for NaN.
    x = min(V::broadcast(C::exp_largest), max(V::broadcast(C::exp_smallest), x));
    const V n = fma(x, V::broadcast(C::log2_e), to_integer) - to_integer;
    V r = fma(n, V::broadcast(-C::ln2_high), x);
    r = fma(n, V::broadcast(-C::ln2_low), r);
    const V slope = fma(horner(C::exp_tail, r), r, one);
    return scale_near_one(fma(slope, r, one), n);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
