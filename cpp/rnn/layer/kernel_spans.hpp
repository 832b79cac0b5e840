// The arguments of the kernels that go through a span of steps. They are filled here only.
#pragma once

#include <vector>

#include "kernels/kernel_table.hpp"
#include "rnn/plan/thread_share.hpp"
#include "rnn/weights/packed_network.hpp"

namespace fusedrnn {

// All products are computed in the step, and blocks go up first. A caller that wants it otherwise changes it.
template <class T>
ForwardSpan<T> forward_span(const NetworkSpec& spec, Index input_size, const PackedLayer<T>& weights,
                            const ThreadShare& share, Index steps, std::vector<ForwardRow<T>>& rows,
                            const ForwardStrides<T>& stride) {
    return {
        .steps = steps,
        .rows = static_cast<Index>(rows.size()),
        .row = rows.data(),
        .stride = stride,
        .input_projected = false,
        .input_size = input_size,
        .hidden_size = spec.hidden_size,
        .proj_size = spec.proj_size,
        .nonlinearity = spec.nonlinearity,
        .bias = weights.bias.data(),
        .w_ih = weights.w_ih.data(),
        .w_hh = weights.w_hh.data(),
        .w_hr = weights.w_hr.data(),
        .block_begin = share.block_begin,
        .block_end = share.block_end,
        .proj_begin = share.proj_begin,
        .proj_end = share.proj_end,
        .descending = false,
        .overlapped = nullptr,
        .completes_overlapped = false,
        .barrier = share.barrier,
    };
}

// `no_step_after`: no row has a step after the span. `scratch` has room for linear_tile_columns<T> values of each row.
template <class T>
BackwardSpan<T> backward_span(const NetworkSpec& spec, const PackedLayer<T>& weights, const ThreadShare& share,
                              Index steps, std::vector<BackwardRow<T>>& rows, const BackwardStrides<T>& stride,
                              bool no_step_after, const T* zeros, T* scratch) {
    return {
        .steps = steps,
        .rows = static_cast<Index>(rows.size()),
        .row = rows.data(),
        .stride = stride,
        .no_step_after = no_step_after,
        .zeros = zeros,
        .hidden_size = spec.hidden_size,
        .proj_size = spec.proj_size,
        .nonlinearity = spec.nonlinearity,
        .w_hh = weights.w_hh_backward.data(),
        .w_hr = weights.w_hr_backward.data(),
        .block_begin = share.block_begin,
        .block_end = share.block_end,
        .proj_begin = share.proj_begin,
        .proj_end = share.proj_end,
        .scratch = scratch,
        .overlapped = nullptr,
        .dx = {},
        .completes_overlapped = false,
        .barrier = share.barrier,
    };
}

// A product of rows from `x` on, whose results go to the rows from `out` on; nothing of it is computed yet.
template <class T>
void begin_overlapped(OverlappedProduct<T>& product, const T* x, Index x_stride, T* out, Index out_stride) {
    product.x = x;
    product.x_stride = x_stride;
    product.out = out;
    product.out_stride = out_stride;
    product.column = product.chain = product.k = 0;
}

}  // namespace fusedrnn
