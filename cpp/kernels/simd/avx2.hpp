// AVX2 with FMA: 8 floats or 4 doubles.
#pragma once

#include <immintrin.h>

#include "float_bits.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// A window of `width` lanes starting at [8 - n] (or [4 - n]) has its first n lanes set.
alignas(64) constexpr int first_lanes_32[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
alignas(64) constexpr long long first_lanes_64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

template <class T>
struct Vec;

template <>
struct Vec<float> {
    using Scalar = float;
    static constexpr int width = 8;
    struct Mask {
        __m256 bits;
    };

    __m256 v;

    FUSEDRNN_INLINE static __m256i first_lanes(int n) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first_lanes_32 + 8 - n));
    }
    FUSEDRNN_INLINE static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
    FUSEDRNN_INLINE static Vec load_first(const float* p, int n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
    FUSEDRNN_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
    FUSEDRNN_INLINE void store_first(float* p, int n) const { _mm256_maskstore_ps(p, first_lanes(n), v); }
    FUSEDRNN_INLINE static Vec broadcast(float s) { return {_mm256_set1_ps(s)}; }
    FUSEDRNN_INLINE static Vec zero() { return {_mm256_setzero_ps()}; }
};

template <>
struct Vec<double> {
    using Scalar = double;
    static constexpr int width = 4;
    struct Mask {
        __m256d bits;
    };

    __m256d v;

    FUSEDRNN_INLINE static __m256i first_lanes(int n) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first_lanes_64 + 4 - n));
    }
    FUSEDRNN_INLINE static Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
    FUSEDRNN_INLINE static Vec load_first(const double* p, int n) { return {_mm256_maskload_pd(p, first_lanes(n))}; }
    FUSEDRNN_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
    FUSEDRNN_INLINE void store_first(double* p, int n) const { _mm256_maskstore_pd(p, first_lanes(n), v); }
    FUSEDRNN_INLINE static Vec broadcast(double s) { return {_mm256_set1_pd(s)}; }
    FUSEDRNN_INLINE static Vec zero() { return {_mm256_setzero_pd()}; }
};

FUSEDRNN_INLINE void keep_in_register(Vec<float>& a) { asm("" : "+x"(a.v)); }
FUSEDRNN_INLINE Vec<float> operator+(Vec<float> a, Vec<float> b) { return {_mm256_add_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator-(Vec<float> a, Vec<float> b) { return {_mm256_sub_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator*(Vec<float> a, Vec<float> b) { return {_mm256_mul_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator/(Vec<float> a, Vec<float> b) { return {_mm256_div_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator-(Vec<float> a) { return {-a.v}; }
FUSEDRNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
FUSEDRNN_INLINE Vec<float> fms(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm256_fmsub_ps(a.v, b.v, c.v)}; }
FUSEDRNN_INLINE Vec<float> fnma(Vec<float> a, Vec<float> b, Vec<float> c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
FUSEDRNN_INLINE Vec<float> abs(Vec<float> a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
FUSEDRNN_INLINE Vec<float> min(Vec<float> a, Vec<float> b) { return {_mm256_min_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> max(Vec<float> a, Vec<float> b) { return {_mm256_max_ps(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> copysign(Vec<float> magnitude, Vec<float> sign) {
    const __m256 sign_bit = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_andnot_ps(sign_bit, magnitude.v), _mm256_and_ps(sign_bit, sign.v))};
}
FUSEDRNN_INLINE Vec<float>::Mask less(Vec<float> a, Vec<float> b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
FUSEDRNN_INLINE Vec<float> select(Vec<float>::Mask mask, Vec<float> if_true, Vec<float> if_false) {
    return {_mm256_blendv_ps(if_false.v, if_true.v, mask.bits)};
}
FUSEDRNN_INLINE Vec<float> low_bits_to_exponent(Vec<float> t) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t.v), 23))};
}
FUSEDRNN_INLINE Vec<float> multiply_by_exponent(Vec<float> a, Vec<float> power) {
    const __m256i one = _mm256_castps_si256(_mm256_set1_ps(1.0f));
    const __m256i exponent = _mm256_sub_epi32(_mm256_castps_si256(power.v), one);
    return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), exponent))};
}

FUSEDRNN_INLINE void keep_in_register(Vec<double>& a) { asm("" : "+x"(a.v)); }
FUSEDRNN_INLINE Vec<double> operator+(Vec<double> a, Vec<double> b) { return {_mm256_add_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator-(Vec<double> a, Vec<double> b) { return {_mm256_sub_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator*(Vec<double> a, Vec<double> b) { return {_mm256_mul_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator/(Vec<double> a, Vec<double> b) { return {_mm256_div_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator-(Vec<double> a) { return {-a.v}; }
FUSEDRNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
FUSEDRNN_INLINE Vec<double> fms(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {_mm256_fmsub_pd(a.v, b.v, c.v)};
}
FUSEDRNN_INLINE Vec<double> fnma(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {_mm256_fnmadd_pd(a.v, b.v, c.v)};
}
FUSEDRNN_INLINE Vec<double> abs(Vec<double> a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
FUSEDRNN_INLINE Vec<double> min(Vec<double> a, Vec<double> b) { return {_mm256_min_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> max(Vec<double> a, Vec<double> b) { return {_mm256_max_pd(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> copysign(Vec<double> magnitude, Vec<double> sign) {
    const __m256d sign_bit = _mm256_set1_pd(-0.0);
    return {_mm256_or_pd(_mm256_andnot_pd(sign_bit, magnitude.v), _mm256_and_pd(sign_bit, sign.v))};
}
FUSEDRNN_INLINE Vec<double>::Mask less(Vec<double> a, Vec<double> b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ)}; }
FUSEDRNN_INLINE Vec<double> select(Vec<double>::Mask mask, Vec<double> if_true, Vec<double> if_false) {
    return {_mm256_blendv_pd(if_false.v, if_true.v, mask.bits)};
}
FUSEDRNN_INLINE Vec<double> low_bits_to_exponent(Vec<double> t) {
    return {_mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(t.v), 52))};
}
FUSEDRNN_INLINE Vec<double> multiply_by_exponent(Vec<double> a, Vec<double> power) {
    const __m256i one = _mm256_castpd_si256(_mm256_set1_pd(1.0));
    const __m256i exponent = _mm256_sub_epi64(_mm256_castpd_si256(power.v), one);
    return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a.v), exponent))};
}

using IntegerPairs [[gnu::vector_size(32)]] = unsigned long long;
FUSEDRNN_INLINE IntegerPairs product_of_halves(IntegerPairs a) {
    return reinterpret_cast<IntegerPairs>(
        _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(a >> 32)));
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
