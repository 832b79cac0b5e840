// Shared by forward and backward spans.
//
// A *span* is a run of time steps in which the set of active rows does not change and no row's carried state is
// replaced; the kernels walk a whole span. Row structs describe a row at the span's first step. The kernel advances
// them in place, step by step, by the strides.
//
// All pointers of a span are the caller's: they live until the kernel returns, and what is written overlaps nothing
// else unless it is said to.
#pragma once

#include "../tuning.hpp"
#include "layout.hpp"

namespace fusedrnn {

// Called by every thread that shares a span's units at the points where all must have written before any reads.
struct StepBarrier {
    bool (*wait)(void*, bool may_end) = nullptr;
    void* context = nullptr;
    // In the middle of a step.
    [[gnu::always_inline]] void within_step() const {
        if (wait) wait(context, false);
    }
    // At its end. Whether to go on: if not, the span ends after this step, on all threads.
    [[gnu::always_inline]] bool after_step() const { return !wait || wait(context, true); }
};

// A product that is computed while spans of one row wait for W_hh (gemm/overlap.hpp). Its progress is part of it: the
// next spans may go on with it, so it lives as long as they do.
template <class T>
struct OverlappedProduct {
    static constexpr Index rows = tuning::overlapped_rows;
    const T* x;  // the first of so many rows, and from one to the next
    Index x_stride;
    T* out;  // the same
    Index out_stride;
    // Progress, all 0 at first: the current column, in cache lines; the first k of the current chain; the next k.
    Index column, chain, k;
    alignas(cache_line) T sums[rows * tuning::overlapped_vectors * unit_block<T>];
};

}  // namespace fusedrnn
