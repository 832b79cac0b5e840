// Packing's one piece of real work: rows of a weight matrix become columns of a panel.
#pragma once

#include "kernel_table.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

// out[k * out_stride + r] = source[r * source_stride + k] for r < rows, zero up to the unit block.
template <class T>
void transpose_panel(const T* source, Index source_stride, Index rows, Index depth, T* out, Index out_stride) {
    constexpr Index block = unit_block<T>;
    if (rows == block) {
        for (Index k = 0; k < depth; ++k)
            for (Index r = 0; r < block; ++r) out[k * out_stride + r] = source[r * source_stride + k];
        return;
    }
    for (Index k = 0; k < depth; ++k) {
        for (Index r = 0; r < rows; ++r) out[k * out_stride + r] = source[r * source_stride + k];
        for (Index r = rows; r < block; ++r) out[k * out_stride + r] = 0;
    }
}

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
