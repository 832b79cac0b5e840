// Scratch memory of a call.
#pragma once

#include <vector>

#include "kernels/kernel_table.hpp"
#include "memory/buffer.hpp"
#include "memory/pool.hpp"

namespace fusedrnn {

// What one thread of a team needs for itself.
template <class T>
struct ThreadScratch {
    std::vector<ForwardRow<T>> forward_rows;
    std::vector<BackwardRow<T>> backward_rows;
    std::vector<const T*> left_rows, right_rows[2];  // where the rows of a product's operands lie
    std::vector<T*> out;
    Buffer<T> projected;  // the input products of a group of steps
    Buffer<T> sums;       // tiles in progress, packed operands
};

template <class T>
struct Workspace {
    std::vector<ThreadScratch<T>> threads;
    Buffer<T> zeros;                      // one row of zeros, wide enough for every use
    std::vector<Buffer<T>> layer_output;  // between layers: two by turns, or in a wavefront all
    Buffer<T> unprojected;                // o * tanh(c) of the step in hand, with a projection
    Buffer<T> dgates[2], dh_proj[2];      // of a few step blocks, per direction
    Buffer<T> dc_carry[2], dh_carry[2];
    Buffer<T> layer_gradient[2];  // of the outputs between layers
    Buffer<T> tokens[2];          // input products or gradients of each token, per direction

    void prepare(int team, Index zero_row) {
        if (threads.size() < static_cast<std::size_t>(team)) threads.resize(static_cast<std::size_t>(team));
        zeros.reserve_zeros(zero_row);
    }
};

template <class T>
using WorkspacePool = Pool<Workspace<T>, 4>;

}  // namespace fusedrnn
