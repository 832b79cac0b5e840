// Horner's rule over the constant tables of this directory.
#pragma once

#include "../simd/simd.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// c[0] + t (c[1] + t (c[2] + ...)), one fma a coefficient.
template <class V, int count>
FUSEDRNN_INLINE V horner(const typename V::Scalar (&c)[count], V t) {
    V sum = V::broadcast(c[count - 1]);
#pragma GCC unroll 16
    for (int k = count - 2; k >= 0; --k) sum = fma(sum, t, V::broadcast(c[k]));
    return sum;
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
