// Forward through a span of time steps: products and cell, and where there is one the projection, step by step.
#pragma once

#include <type_traits>

#include "gemm/linear.hpp"
#include "step/gated_forward.hpp"
#include "step/single_sum_forward.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
FUSEDRNN_INLINE void advance(ForwardRow<T>& row, const ForwardStrides<T>& stride) {
    row.h_prev = row.h;
    row.c_prev = row.c;
    row.x += stride.x;
    row.unprojected += stride.unprojected;
    row.h += stride.h;
    row.c += stride.c;
    if (row.saved) row.saved += stride.saved;
}

// h = W_hr (o * tanh(c)), equation (L6), for the rows of one step.
template <class T>
void project_output(const ForwardSpan<T>& p) {
    for (Index first = 0; first < p.rows; first += reduction_block) {
        const T* unprojected[reduction_block];
        T* h[reduction_block];
        const Index rows = p.rows - first < reduction_block ? p.rows - first : reduction_block;
        for (Index r = 0; r < rows; ++r) {
            unprojected[r] = p.row[first + r].unprojected;
            h[r] = p.row[first + r].h;
        }
        Linear<T>::run({.rows = rows,
                        .a = unprojected,
                        .out = h,
                        .depth = p.hidden_size,
                        .columns = p.proj_size,
                        .b = p.w_hr,
                        .start = nullptr,
                        .by_chains = false,
                        .add_to_out = false,
                        .block_begin = p.proj_begin,
                        .block_end = p.proj_end});
    }
}

template <class T, template <class> class CellOf>
struct Forward {
    using Step = std::conditional_t<CellOf<T>::accumulators == 1, SingleSumForward<T, CellOf>, GatedForward<T, CellOf>>;

    // The steps taken: all, unless the barrier ends the span.
    static Index run(const ForwardSpan<T>& p) {
        bool goes_on = true;
        Index taken = 0;
        while (goes_on && taken < p.steps) {
            Step::step(p, p.descending != (taken % 2 == 1));
            ++taken;
            if (p.w_hr) {
                p.barrier.within_step();
                project_output(p);
            }
            goes_on = p.barrier.after_step();
            for (Index r = 0; r < p.rows; ++r) advance(p.row[r], p.stride);
        }
        if constexpr (interleaved<T>)
            if (p.overlapped && p.completes_overlapped && taken == p.steps) Step::overlapped_tiles(p).complete();
        return taken;
    }

    static void project(const ProjectArgs<T>& p) { Step::project(p); }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
