// The inner loop of packing: rows of a weight matrix become columns of a micro-panel.
#pragma once

#include "kernel_table.hpp"
#include "simd/transpose.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// out[k * out_stride + r] = source[r * source_stride + k] for r < rows, zero up to the unit block.
template <class T>
void pack_micro_panel(const T* source, Index source_stride, Index rows, Index depth, T* out, Index out_stride) {
    constexpr Index block = unit_block<T>, square = transposed_square<T>;
    Index k = 0;
    if (rows == block)
        for (; k + square <= depth; k += square)
            for (Index r = 0; r < block; r += square)
                transpose_square(source + r * source_stride + k, source_stride, out + k * out_stride + r, out_stride);
    for (; k < depth; ++k) {
        for (Index r = 0; r < rows; ++r) out[k * out_stride + r] = source[r * source_stride + k];
        for (Index r = rows; r < block; ++r) out[k * out_stride + r] = 0;
    }
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
