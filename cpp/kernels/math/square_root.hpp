// The square root of one number, as one instruction.
#pragma once

#include "../simd/simd.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
FUSEDRNN_INLINE T square_root(T x) {
    if constexpr (sizeof(T) == sizeof(float))
        return __builtin_sqrtf(x);
    else
        return __builtin_sqrt(x);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
