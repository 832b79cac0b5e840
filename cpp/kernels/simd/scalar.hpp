// One float or one double in plain C++: any CPU, no fused multiply-add.
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "float_bits.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct BitsOf;
template <>
struct BitsOf<float> {
    using type = unsigned int;
    static_assert(sizeof(type) == sizeof(float));
};
template <>
struct BitsOf<double> {
    using type = unsigned long long;
    static_assert(sizeof(type) == sizeof(double));
};

template <class T>
struct Vec {
    using Scalar = T;
    static constexpr int width = 1;
    struct Mask {
        bool bits;
    };

    T v;

    // By memcpy, since the interface promises any alignment; it compiles to one move.
    FUSEDRNN_INLINE static Vec load(const T* p) {
        Vec loaded;
        __builtin_memcpy(&loaded.v, p, sizeof(T));
        return loaded;
    }
    FUSEDRNN_INLINE static Vec load_first(const T* p, int n) { return n > 0 ? load(p) : zero(); }
    FUSEDRNN_INLINE void store(T* p) const { __builtin_memcpy(p, &v, sizeof(T)); }
    FUSEDRNN_INLINE void store_first(T* p, int n) const {
        if (n > 0) store(p);
    }
    FUSEDRNN_INLINE static Vec broadcast(T s) { return {s}; }
    FUSEDRNN_INLINE static Vec zero() { return {T(0)}; }

    // The representation as an unsigned integer.
    using Bits = typename BitsOf<T>::type;
    static constexpr Bits sign_bit = Bits(1) << (8 * sizeof(T) - 1);
    FUSEDRNN_INLINE Bits to_bits() const { return __builtin_bit_cast(Bits, v); }
    FUSEDRNN_INLINE static Vec from_bits(Bits bits) { return {__builtin_bit_cast(T, bits)}; }
};

template <class T>
FUSEDRNN_INLINE void keep_in_register(Vec<T>&) {}
template <class T>
FUSEDRNN_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {
    return {a.v + b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {
    return {a.v - b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {
    return {a.v * b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {
    return {a.v / b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> operator-(Vec<T> a) {
    return {-a.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
    return {a.v * b.v + c.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> fms(Vec<T> a, Vec<T> b, Vec<T> c) {
    return {a.v * b.v - c.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> fnma(Vec<T> a, Vec<T> b, Vec<T> c) {
    return {c.v - a.v * b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
    return {a.v < b.v ? a.v : b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
    return {a.v > b.v ? a.v : b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> abs(Vec<T> a) {
    return Vec<T>::from_bits(a.to_bits() & ~Vec<T>::sign_bit);
}
template <class T>
FUSEDRNN_INLINE Vec<T> copysign(Vec<T> magnitude, Vec<T> sign) {
    return Vec<T>::from_bits((magnitude.to_bits() & ~Vec<T>::sign_bit) | (sign.to_bits() & Vec<T>::sign_bit));
}
template <class T>
FUSEDRNN_INLINE typename Vec<T>::Mask less(Vec<T> a, Vec<T> b) {
    return {a.v < b.v};
}
template <class T>
FUSEDRNN_INLINE Vec<T> select(typename Vec<T>::Mask mask, Vec<T> if_true, Vec<T> if_false) {
    return mask.bits ? if_true : if_false;
}
template <class T>
FUSEDRNN_INLINE Vec<T> low_bits_to_exponent(Vec<T> t) {
    return Vec<T>::from_bits(t.to_bits() << FloatFormat<T>::mantissa_bits);
}
template <class T>
FUSEDRNN_INLINE Vec<T> multiply_by_exponent(Vec<T> a, Vec<T> power) {
    return Vec<T>::from_bits(a.to_bits() + (power.to_bits() - Vec<T>::broadcast(T(1)).to_bits()));
}

// Two at a time where every processor of the kind can: compilers do not see that the upper halves of the factors are
// zero.
#if defined(__SSE2__)
using IntegerPairs [[gnu::vector_size(16)]] = unsigned long long;
FUSEDRNN_INLINE IntegerPairs product_of_halves(IntegerPairs a) {
    return reinterpret_cast<IntegerPairs>(
        _mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(a >> 32)));
}
#else
using IntegerPairs [[gnu::vector_size(8)]] = unsigned long long;
FUSEDRNN_INLINE IntegerPairs product_of_halves(IntegerPairs a) { return (a & 0xffffffffu) * (a >> 32); }
#endif

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
