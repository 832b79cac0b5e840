// The machine's peaks, measured with the vectors that the kernels use: the rooflines of the benchmarks.
#pragma once

#include "kernel_table.hpp"
#include "simd/simd.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// Independent chains of fused multiply-adds; returns the floating point operations done.
template <class T>
double fma_peak(Index iterations) {
    using V = Vec<T>;
    constexpr int chains = 12;
    V sum[chains];
    for (int j = 0; j < chains; ++j) sum[j] = V::broadcast(static_cast<T>(j));
    V x = V::broadcast(static_cast<T>(0.5)), y = V::broadcast(static_cast<T>(0.25));
    for (Index i = 0; i < iterations; ++i)
#pragma GCC unroll 12
        for (int j = 0; j < chains; ++j) sum[j] = fma(sum[j], x, y);
    T out[V::width];
    V total = V::zero();
    for (int j = 0; j < chains; ++j) total = total + sum[j];
    total.store(out);
    const volatile T keep = out[0];
    (void)keep;
    return 2.0 * chains * V::width * static_cast<double>(iterations);
}

// Reads n elements (a multiple of 8 vectors) once; returns their sum so that nothing is left out.
template <class T>
double read_bandwidth(const T* data, Index n) {
    using V = Vec<T>;
    constexpr int streams = 8;
    V sum[streams];
    for (int j = 0; j < streams; ++j) sum[j] = V::zero();
    for (Index i = 0; i + streams * V::width <= n; i += streams * V::width)
#pragma GCC unroll 8
        for (int j = 0; j < streams; ++j) sum[j] = sum[j] + V::load(data + i + j * V::width);
    T out[V::width];
    V total = V::zero();
    for (int j = 0; j < streams; ++j) total = total + sum[j];
    total.store(out);
    return static_cast<double>(out[0]);
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
