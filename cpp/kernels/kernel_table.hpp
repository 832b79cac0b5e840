// The contract of the kernels: what one instruction set offers to the layers above, as plain function pointers over
// plain structs. In the order in which they are best read:
//
//   args/layout.hpp    how packed weights lie in memory, and the sizes that bits depend on
//   args/span.hpp      what a span of time steps is
//   args/forward.hpp   a span forward, and input products ahead of it
//   args/product.hpp   a plain product with a packed matrix
//   args/backward.hpp  a span backward
//   args/reduce.hpp    sums over rows: weight gradients
//   args/staged.hpp    a step of a cell with options, over whole rows
//   args/training.hpp  what training needs beside products
//   this file          the table of functions
#pragma once

#include <cstddef>
#include <cstdint>

#include "args/backward.hpp"
#include "args/forward.hpp"
#include "args/layout.hpp"
#include "args/product.hpp"
#include "args/reduce.hpp"
#include "args/staged.hpp"
#include "args/training.hpp"
#include "fusedrnn/cell.hpp"

namespace fusedrnn {

enum class MathFunction : int { exp, tanh, sigmoid };
inline constexpr const char* math_function_names[] = {"exp", "tanh", "sigmoid"};

// The staged step of one cell. A GRU that resets before has two stages of each, with a product between them; the other
// cells' second stages are null.
template <class T>
struct StagedKernels {
    void (*forward)(const StagedForwardArgs<T>&);
    void (*backward)(const StagedBackwardArgs<T>&);
    void (*second_forward)(const StagedForwardArgs<T>&);
    void (*second_backward)(const StagedBackwardArgs<T>&);
};

template <class T>
struct Kernels {
    Index tile_rows;    // rows of a full register tile
    Index enough_rows;  // with fewer a tile waits for loads
    // So many columns of x cost one row's step nothing: it multiplies them while it waits for the activations of the
    // step before.
    Index columns_while_waiting;
    bool overlaps_products;  // ForwardSpan::overlapped, BackwardSpan::overlapped
    // The steps taken, which are all but where the barrier ended the span.
    Index (*forward[cell_kind_count])(const ForwardSpan<T>&);
    void (*project[cell_kind_count])(const ProjectArgs<T>&);
    Index (*backward[cell_kind_count])(const BackwardSpan<T>&);
    void (*linear)(const LinearArgs<T>&);
    void (*outer)(const OuterArgs<T>&);
    // out[k * out_stride + r] = source[r * source_stride + k] for r < rows, zero up to the unit block.
    void (*pack_micro_panel)(const T* source, Index source_stride, Index rows, Index depth, T* out, Index out_stride);
    void (*softmax)(const SoftmaxArgs<T>&);
    void (*dropout)(const DropoutArgs<T>&);
    void (*sum_rows)(const SumRowsArgs<T>&);
    void (*update[optimiser_count])(const UpdateArgs<T>&);
    double (*sum_of_squares)(const T*, Index n);
    StagedKernels<T> staged[cell_kind_count];
    StagedKernels<T> staged_reset_before;
    void (*normalise)(const NormaliseArgs<T>&);
    void (*normalise_backward)(const NormaliseBackwardArgs<T>&);
    void (*blend)(const BlendArgs<T>&);
    void (*multiply)(const MultiplyArgs<T>&);
    void (*sum_products)(const SumProductsArgs<T>&);
    void (*evaluate)(MathFunction, const T* x, T* y, Index n);
    // The machine's peak, for benchmarks: chains of fused multiply-adds; returns the operations done.
    double (*fma_peak)(Index iterations);
    // Reads n elements once; returns their sum.
    double (*read_bandwidth)(const T* data, Index n);
};

struct KernelTable {
    const char* name;
    Index vector_bytes;
    bool interleaved;  // the layout of packed weights
    bool fused_multiply_add;
    std::uint64_t (*fingerprint)(const void* data, std::size_t bytes);
    Kernels<float> f32;
    Kernels<double> f64;
};

template <class T>
const Kernels<T>& kernels_of(const KernelTable& table);
template <>
inline const Kernels<float>& kernels_of<float>(const KernelTable& table) {
    return table.f32;
}
template <>
inline const Kernels<double>& kernels_of<double>(const KernelTable& table) {
    return table.f64;
}

}  // namespace fusedrnn
