// Squares of numbers, rows turned into columns. Moves bits only.
#pragma once

#include "../kernel_table.hpp"
#include "simd.hpp"

#if defined(FUSEDRNN_ISA_AVX2) || defined(FUSEDRNN_ISA_AVX512)
#include <immintrin.h>
#endif

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// out[k * out_stride + r] = source[r * stride + k] for r, k < transposed_square<T>; 1 where there is nothing faster.
#if defined(FUSEDRNN_ISA_AVX2) || defined(FUSEDRNN_ISA_AVX512)

template <class T>
inline constexpr int transposed_square = 32 / static_cast<int>(sizeof(T));

FUSEDRNN_INLINE void transpose_square(const float* source, Index stride, float* out, Index out_stride) {
    // Rows r and r + 4 share a register, so that three rounds of pairing are all that is left within 128 bits.
    __m256 half[2][4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r)
#pragma GCC unroll 2
        for (int k = 0; k < 2; ++k)
            half[k][r] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(source + r * stride + 4 * k)),
                                              _mm_loadu_ps(source + (r + 4) * stride + 4 * k), 1);
#pragma GCC unroll 2
    for (int k = 0; k < 2; ++k) {
        const __m256 a = _mm256_unpacklo_ps(half[k][0], half[k][1]), b = _mm256_unpackhi_ps(half[k][0], half[k][1]);
        const __m256 c = _mm256_unpacklo_ps(half[k][2], half[k][3]), d = _mm256_unpackhi_ps(half[k][2], half[k][3]);
        float* to = out + 4 * k * out_stride;
        _mm256_storeu_ps(to, _mm256_shuffle_ps(a, c, 0x44));
        _mm256_storeu_ps(to + out_stride, _mm256_shuffle_ps(a, c, 0xee));
        _mm256_storeu_ps(to + 2 * out_stride, _mm256_shuffle_ps(b, d, 0x44));
        _mm256_storeu_ps(to + 3 * out_stride, _mm256_shuffle_ps(b, d, 0xee));
    }
}

FUSEDRNN_INLINE void transpose_square(const double* source, Index stride, double* out, Index out_stride) {
#pragma GCC unroll 2
    for (int k = 0; k < 4; k += 2) {
        __m256d pair[2];
#pragma GCC unroll 2
        for (int r = 0; r < 2; ++r)
            pair[r] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(source + r * stride + k)),
                                           _mm_loadu_pd(source + (r + 2) * stride + k), 1);
        _mm256_storeu_pd(out + k * out_stride, _mm256_unpacklo_pd(pair[0], pair[1]));
        _mm256_storeu_pd(out + (k + 1) * out_stride, _mm256_unpackhi_pd(pair[0], pair[1]));
    }
}

#else

template <class T>
inline constexpr int transposed_square = 1;

template <class T>
FUSEDRNN_INLINE void transpose_square(const T* source, Index, T* out, Index) {
    *out = *source;
}

#endif

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
