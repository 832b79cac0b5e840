// AVX-512 (F, DQ, BW, VL): 16 floats or 8 doubles.
#pragma once

#include <immintrin.h>

#include "float_bits.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// GCC 12 warns of its own "undefined" source operand in the unmasked forms of some intrinsics. With a constant full
// mask the zero-masked forms compile to the same single unmasked instruction.
constexpr __mmask16 every_16 = 0xFFFF;
constexpr __mmask8 every_8 = 0xFF;

template <class T>
struct Vec;

template <>
struct Vec<float> {
    using Scalar = float;
    static constexpr int width = 16;
    struct Mask {
        __mmask16 bits;
    };

    __m512 v;

    FUSEDRNN_INLINE static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
    FUSEDRNN_INLINE static Vec load_first(const float* p, int n) {
        return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p)};
    }
    FUSEDRNN_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
    FUSEDRNN_INLINE void store_first(float* p, int n) const {
        _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), v);
    }
    FUSEDRNN_INLINE static Vec broadcast(float s) { return {_mm512_set1_ps(s)}; }
    FUSEDRNN_INLINE static Vec zero() { return {_mm512_setzero_ps()}; }
};

template <>
struct Vec<double> {
    using Scalar = double;
    static constexpr int width = 8;
    struct Mask {
        __mmask8 bits;
    };

    __m512d v;

    FUSEDRNN_INLINE static Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
    FUSEDRNN_INLINE static Vec load_first(const double* p, int n) {
        return {_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1u), p)};
    }
    FUSEDRNN_INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
    FUSEDRNN_INLINE void store_first(double* p, int n) const {
        _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1u), v);
    }
    FUSEDRNN_INLINE static Vec broadcast(double s) { return {_mm512_set1_pd(s)}; }
    FUSEDRNN_INLINE static Vec zero() { return {_mm512_setzero_pd()}; }
};

FUSEDRNN_INLINE void keep_in_register(Vec<float>& a) { asm("" : "+v"(a.v)); }
FUSEDRNN_INLINE Vec<float> operator+(Vec<float> a, Vec<float> b) { return {_mm512_add_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator-(Vec<float> a, Vec<float> b) { return {_mm512_sub_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator*(Vec<float> a, Vec<float> b) { return {_mm512_mul_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator/(Vec<float> a, Vec<float> b) { return {_mm512_div_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator-(Vec<float> a) { return {-a.v}; }
FUSEDRNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
FUSEDRNN_INLINE Vec<float> fms(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm512_fmsub_ps(a.v, b.v, c.v)}; }
FUSEDRNN_INLINE Vec<float> fnma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
FUSEDRNN_INLINE Vec<float> abs(Vec<float> a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.v)}; }
FUSEDRNN_INLINE Vec<float> min(Vec<float> a, Vec<float> b) { return {_mm512_maskz_min_ps(every_16, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> max(Vec<float> a, Vec<float> b) { return {_mm512_maskz_max_ps(every_16, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> copysign(Vec<float> magnitude, Vec<float> sign) {
    // Truth table 0xCA: the first operand chooses between the second (sign) and the third (magnitude), bit by bit.
    return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_set1_epi32(static_cast<int>(0x80000000u)),
                                                          _mm512_castps_si512(sign.v), _mm512_castps_si512(magnitude.v),
                                                          0xCA))};
}
FUSEDRNN_INLINE Vec<float>::Mask less(Vec<float> a, Vec<float> b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
FUSEDRNN_INLINE Vec<float> select(Vec<float>::Mask mask, Vec<float> if_true, Vec<float> if_false) {
    return {_mm512_mask_blend_ps(mask.bits, if_false.v, if_true.v)};
}
FUSEDRNN_INLINE Vec<float> scale_near_one(Vec<float> a, Vec<float> n) {
    return {_mm512_maskz_scalef_ps(every_16, a.v, n.v)};
}
FUSEDRNN_INLINE Vec<float> low_bits_to_exponent(Vec<float> t) {
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(every_16, _mm512_castps_si512(t.v), 23))};
}
FUSEDRNN_INLINE Vec<float> multiply_by_exponent(Vec<float> a, Vec<float> power) {
    const __m512i one = _mm512_castps_si512(_mm512_set1_ps(1.0f));
    const __m512i exponent = _mm512_sub_epi32(_mm512_castps_si512(power.v), one);
    return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), exponent))};
}

FUSEDRNN_INLINE void keep_in_register(Vec<double>& a) { asm("" : "+v"(a.v)); }
FUSEDRNN_INLINE Vec<double> operator+(Vec<double> a, Vec<double> b) { return {_mm512_add_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator-(Vec<double> a, Vec<double> b) { return {_mm512_sub_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator*(Vec<double> a, Vec<double> b) { return {_mm512_mul_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator/(Vec<double> a, Vec<double> b) { return {_mm512_div_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator-(Vec<double> a) { return {-a.v}; }
FUSEDRNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
FUSEDRNN_INLINE Vec<double> fms(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {_mm512_fmsub_pd(a.v, b.v, c.v)};
}
FUSEDRNN_INLINE Vec<double> fnma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {_mm512_fnmadd_pd(a.v, b.v, c.v)};
}
FUSEDRNN_INLINE Vec<double> abs(Vec<double> a) { return {_mm512_andnot_pd(_mm512_set1_pd(-0.0), a.v)}; }
FUSEDRNN_INLINE Vec<double> min(Vec<double> a, Vec<double> b) { return {_mm512_maskz_min_pd(every_8, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> max(Vec<double> a, Vec<double> b) { return {_mm512_maskz_max_pd(every_8, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> copysign(Vec<double> magnitude, Vec<double> sign) {
    return {_mm512_castsi512_pd(
        _mm512_ternarylogic_epi64(_mm512_set1_epi64(static_cast<long long>(0x8000000000000000ull)),
                                  _mm512_castpd_si512(sign.v), _mm512_castpd_si512(magnitude.v), 0xCA))};
}
FUSEDRNN_INLINE Vec<double>::Mask less(Vec<double> a, Vec<double> b) {
    return {_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ)};
}
FUSEDRNN_INLINE Vec<double> select(Vec<double>::Mask mask, Vec<double> if_true, Vec<double> if_false) {
    return {_mm512_mask_blend_pd(mask.bits, if_false.v, if_true.v)};
}
FUSEDRNN_INLINE Vec<double> scale_near_one(Vec<double> a, Vec<double> n) {
    return {_mm512_maskz_scalef_pd(every_8, a.v, n.v)};
}
FUSEDRNN_INLINE Vec<double> low_bits_to_exponent(Vec<double> t) {
    return {_mm512_castsi512_pd(_mm512_maskz_slli_epi64(every_8, _mm512_castpd_si512(t.v), 52))};
}
FUSEDRNN_INLINE Vec<double> multiply_by_exponent(Vec<double> a, Vec<double> power) {
    const __m512i one = _mm512_castpd_si512(_mm512_set1_pd(1.0));
    const __m512i exponent = _mm512_sub_epi64(_mm512_castpd_si512(power.v), one);
    return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a.v), exponent))};
}

using IntegerPairs [[gnu::vector_size(64)]] = unsigned long long;
FUSEDRNN_INLINE IntegerPairs product_of_halves(IntegerPairs a) {
    constexpr __mmask8 all = 0xff;  // the form without a mask reads a register that GCC takes for uninitialized
    return reinterpret_cast<IntegerPairs>(
        _mm512_maskz_mul_epu32(all, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(a >> 32)));
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
