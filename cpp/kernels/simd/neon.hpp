// AArch64 Advanced SIMD: 4 floats or 2 doubles.
#pragma once

#include <arm_neon.h>

#include "float_bits.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct Vec;

template <>
struct Vec<float> {
    using Scalar = float;
    static constexpr int width = 4;
    struct Mask {
        uint32x4_t bits;
    };

    float32x4_t v;

    FUSEDRNN_INLINE static Vec load(const float* p) { return {vld1q_f32(p)}; }
    FUSEDRNN_INLINE static Vec load_first(const float* p, int n) {
        float32x4_t v = vdupq_n_f32(0.0f);
        if (n >= 4) return {vld1q_f32(p)};
        if (n >= 1) v = vld1q_lane_f32(p, v, 0);
        if (n >= 2) v = vld1q_lane_f32(p + 1, v, 1);
        if (n >= 3) v = vld1q_lane_f32(p + 2, v, 2);
        return {v};
    }
    FUSEDRNN_INLINE void store(float* p) const { vst1q_f32(p, v); }
    FUSEDRNN_INLINE void store_first(float* p, int n) const {
        if (n >= 4) return vst1q_f32(p, v);
        if (n >= 1) vst1q_lane_f32(p, v, 0);
        if (n >= 2) vst1q_lane_f32(p + 1, v, 1);
        if (n >= 3) vst1q_lane_f32(p + 2, v, 2);
    }
    FUSEDRNN_INLINE static Vec broadcast(float s) { return {vdupq_n_f32(s)}; }
    FUSEDRNN_INLINE static Vec zero() { return {vdupq_n_f32(0.0f)}; }
};

template <>
struct Vec<double> {
    using Scalar = double;
    static constexpr int width = 2;
    struct Mask {
        uint64x2_t bits;
    };

    float64x2_t v;

    FUSEDRNN_INLINE static Vec load(const double* p) { return {vld1q_f64(p)}; }
    FUSEDRNN_INLINE static Vec load_first(const double* p, int n) {
        if (n >= 2) return {vld1q_f64(p)};
        const float64x2_t v = vdupq_n_f64(0.0);
        return {n >= 1 ? vld1q_lane_f64(p, v, 0) : v};
    }
    FUSEDRNN_INLINE void store(double* p) const { vst1q_f64(p, v); }
    FUSEDRNN_INLINE void store_first(double* p, int n) const {
        if (n >= 2) return vst1q_f64(p, v);
        if (n >= 1) vst1q_lane_f64(p, v, 0);
    }
    FUSEDRNN_INLINE static Vec broadcast(double s) { return {vdupq_n_f64(s)}; }
    FUSEDRNN_INLINE static Vec zero() { return {vdupq_n_f64(0.0)}; }
};

FUSEDRNN_INLINE void keep_in_register(Vec<float>&) {}  // multiply-adds take registers only
FUSEDRNN_INLINE Vec<float> operator+(Vec<float> a, Vec<float> b) { return {vaddq_f32(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator-(Vec<float> a, Vec<float> b) { return {vsubq_f32(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator*(Vec<float> a, Vec<float> b) { return {vmulq_f32(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator/(Vec<float> a, Vec<float> b) { return {vdivq_f32(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> operator-(Vec<float> a) { return {vnegq_f32(a.v)}; }
FUSEDRNN_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> fms(Vec<float> a, Vec<float> b, Vec<float> c) {
    return {vfmaq_f32(vnegq_f32(c.v), a.v, b.v)};
}
FUSEDRNN_INLINE Vec<float> fnma(Vec<float> a, Vec<float> b, Vec<float> c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> abs(Vec<float> a) { return {vabsq_f32(a.v)}; }
// Not FMIN and FMAX: they differ from the x86 instructions for NaN and for zeros of both signs.
FUSEDRNN_INLINE Vec<float> min(Vec<float> a, Vec<float> b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> max(Vec<float> a, Vec<float> b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> copysign(Vec<float> magnitude, Vec<float> sign) {
    return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, magnitude.v)};
}
FUSEDRNN_INLINE Vec<float>::Mask less(Vec<float> a, Vec<float> b) { return {vcltq_f32(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<float> select(Vec<float>::Mask mask, Vec<float> if_true, Vec<float> if_false) {
    return {vbslq_f32(mask.bits, if_true.v, if_false.v)};
}
FUSEDRNN_INLINE Vec<float> low_bits_to_exponent(Vec<float> t) {
    return {vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(t.v), 23))};
}
FUSEDRNN_INLINE Vec<float> multiply_by_exponent(Vec<float> a, Vec<float> power) {
    const uint32x4_t one = vreinterpretq_u32_f32(vdupq_n_f32(1.0f));
    const uint32x4_t exponent = vsubq_u32(vreinterpretq_u32_f32(power.v), one);
    return {vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a.v), exponent))};
}

FUSEDRNN_INLINE void keep_in_register(Vec<double>&) {}  // multiply-adds take registers only
FUSEDRNN_INLINE Vec<double> operator+(Vec<double> a, Vec<double> b) { return {vaddq_f64(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator-(Vec<double> a, Vec<double> b) { return {vsubq_f64(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator*(Vec<double> a, Vec<double> b) { return {vmulq_f64(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator/(Vec<double> a, Vec<double> b) { return {vdivq_f64(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> operator-(Vec<double> a) { return {vnegq_f64(a.v)}; }
FUSEDRNN_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> fms(Vec<double> a, Vec<double> b, Vec<double> c) {
    return {vfmaq_f64(vnegq_f64(c.v), a.v, b.v)};
}
FUSEDRNN_INLINE Vec<double> fnma(Vec<double> a, Vec<double> b, Vec<double> c) { return {vfmsq_f64(c.v, a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> abs(Vec<double> a) { return {vabsq_f64(a.v)}; }
FUSEDRNN_INLINE Vec<double> min(Vec<double> a, Vec<double> b) { return {vbslq_f64(vcltq_f64(a.v, b.v), a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> max(Vec<double> a, Vec<double> b) { return {vbslq_f64(vcgtq_f64(a.v, b.v), a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> copysign(Vec<double> magnitude, Vec<double> sign) {
    return {vbslq_f64(vdupq_n_u64(0x8000000000000000ull), sign.v, magnitude.v)};
}
FUSEDRNN_INLINE Vec<double>::Mask less(Vec<double> a, Vec<double> b) { return {vcltq_f64(a.v, b.v)}; }
FUSEDRNN_INLINE Vec<double> select(Vec<double>::Mask mask, Vec<double> if_true, Vec<double> if_false) {
    return {vbslq_f64(mask.bits, if_true.v, if_false.v)};
}
FUSEDRNN_INLINE Vec<double> low_bits_to_exponent(Vec<double> t) {
    return {vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(t.v), 52))};
}
FUSEDRNN_INLINE Vec<double> multiply_by_exponent(Vec<double> a, Vec<double> power) {
    const uint64x2_t one = vreinterpretq_u64_f64(vdupq_n_f64(1.0));
    const uint64x2_t exponent = vsubq_u64(vreinterpretq_u64_f64(power.v), one);
    return {vreinterpretq_f64_u64(vaddq_u64(vreinterpretq_u64_f64(a.v), exponent))};
}

using IntegerPairs [[gnu::vector_size(16)]] = unsigned long long;
FUSEDRNN_INLINE IntegerPairs product_of_halves(IntegerPairs a) {
    const auto pairs = reinterpret_cast<uint64x2_t>(a);
    return reinterpret_cast<IntegerPairs>(vmull_u32(vmovn_u64(pairs), vshrn_n_u64(pairs, 32)));
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
