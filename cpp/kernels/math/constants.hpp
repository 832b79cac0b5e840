// Constants of exp, sigmoid and tanh, and the rule that evaluates their polynomials. derive_coefficients.py prints the
// constants; errors are relative, over the stated interval, of the polynomial with its rounded coefficients in exact
// arithmetic.
#pragma once

#include "../simd/simd.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
    static constexpr float log2_e = 0x1.715476p+0f;
    // ln 2 = high + low; high has 15 bits, so its product with any exponent is exact, with FMA or without.
    static constexpr float ln2_high = 0x1.62e4p-1f;
    static constexpr float ln2_low = 0x1.7f7d1cp-20f;
    static constexpr float half_ln2 = 0x1.62e43p-2f;

    // exp(r) = 1 + r + r^2 p(r), |r| <= 0.3467, minimax of degree 6, error 3.2e-9.
    static constexpr float exp_tail[] = {0x1.fffffcp-2f, 0x1.55548cp-3f, 0x1.555858p-5f, 0x1.123ddep-7f,
                                         0x1.6ac72p-10f};
    // r coth(r/2), |r| <= 0.3467, in powers of r^2; error of e^r 2.4e-9.
    static constexpr float sigmoid_even[] = {0x1p+1f, 0x1.5554e6p-3f, -0x1.6a4592p-9f};
    // tanh(r) = r + r^3 p(r^2), |r| <= 0.1734, minimax of degree 5, error 5.6e-8.
    static constexpr float tanh_tail[] = {-0x1.554feep-2f, 0x1.0c8154p-3f};

    // exp overflows above exp_largest and is zero below exp_smallest; the reduction holds a little beyond both.
    static constexpr float exp_largest = 89.0f;
    static constexpr float exp_smallest = -104.0f;
    static constexpr float sigmoid_is_one = 32.0f;  // and anything from 17.4 to 70
    static constexpr float tanh_is_one = 9.5f;      // and anything from 9.02 to 40
    // sigmoid works with everything times this, so that exp(-exp_smallest) does not overflow.
    static constexpr int sigmoid_exponent_shift = -24;
    static constexpr float sigmoid_factor = 1.0f;  // sigmoid is not compensated
};

template <>
struct MathConstants<double> {
    static constexpr double log2_e = 0x1.71547652b82fep+0;
    static constexpr double ln2_high = 0x1.62e42fefa38p-1;  // 42 bits
    static constexpr double ln2_low = 0x1.ef35793c7673p-45;
    static constexpr double half_ln2_high = 0x1.62e42fefa39fp-2;  // 49 bits: exact times n as long as that matters
    static constexpr double half_ln2_low = -0x1.950d871319ffp-55;

    // Degree 11, error 1.1e-17.
    static constexpr double exp_tail[] = {0x1.000000000000ap-1,  0x1.55555555554fap-3,  0x1.5555555550866p-5,
                                          0x1.1111111127c56p-7,  0x1.6c16c1842f699p-10, 0x1.a01a012a3cd3bp-13,
                                          0x1.a01999fd0f7c6p-16, 0x1.71df25757350dp-19, 0x1.28ad81a644624p-22,
                                          0x1.ad82cef5de339p-26};
    // 0.8 r coth(r/2), in powers of (0.8 r)^2; error of e^r 1.9e-18. The 0.8 is sigmoid_factor.
    static constexpr double sigmoid_even[] = {0x1.999999999999ap+0,  0x1.aaaaaaaaaaa41p-3,   -0x1.638e38e338c49p-8,
                                              0x1.a747c7f5c17ecp-13, -0x1.088a58d553e3ep-17, 0x1.4abec44baae79p-22};
    // Degree 13, error 4.2e-18.
    static constexpr double tanh_tail[] = {-0x1.55555555554bcp-2, 0x1.11111110e0964p-3,  -0x1.ba1ba116b33edp-5,
                                           0x1.664ec9c8d6c96p-6,  -0x1.223c6f4902141p-7, 0x1.c382ca3e8cc0ap-9};

    static constexpr double exp_largest = 710.0;
    static constexpr double exp_smallest = -746.0;
    static constexpr double sigmoid_is_one = 64.0;
    static constexpr double tanh_is_one = 20.0;
    static constexpr int sigmoid_exponent_shift = -54;
    // sigmoid is compensated, and the sums it divides are kept far from the lower end of a binade, where a rounding
    // costs most: 1.9 ULP instead of 2.3. Of 0.77, 0.78, ... 0.84 the one with the smallest largest error.
    static constexpr double sigmoid_factor = 0.8;
};

// Horner's rule: c[0] + t (c[1] + t (c[2] + ...)), one fma a coefficient.
template <class V, int count>
FUSEDRNN_INLINE V horner(const typename V::Scalar (&c)[count], V t) {
    V sum = V::broadcast(c[count - 1]);
#pragma GCC unroll 16
    for (int k = count - 2; k >= 0; --k) sum = fma(sum, t, V::broadcast(c[k]));
    return sum;
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
