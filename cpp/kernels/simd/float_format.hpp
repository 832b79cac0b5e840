// What the bit tricks of the kernels need to know of a floating-point format.
#pragma once

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct FloatFormat;

template <>
struct FloatFormat<float> {
    static constexpr int mantissa_bits = 23;
    static constexpr int exponent_bias = 127;
    // 1.5 * 2^23: adding it rounds |v| < 2^22 to an integer, which then sits in the low bits of the sum.
    static constexpr float round_to_integer = 12582912.0f;
};

template <>
struct FloatFormat<double> {
    static constexpr int mantissa_bits = 52;
    static constexpr int exponent_bias = 1023;
    static constexpr double round_to_integer = 6755399441055744.0;  // 1.5 * 2^52
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
