// Arguments of the forward kernels: a span of steps, and the input products of many steps at once.
#pragma once

#include "fusedrnn/cell.hpp"
#include "span.hpp"

namespace fusedrnn {

// One row at one step. T (hidden) means an array of so many elements.
template <class T>
struct ForwardRow {
    const T* x;       // (input_size), read; with `input_projected` the sums' start instead, [unit block][gate][unit],
                      // and then the rows of a span are evenly spaced
    const T* h_prev;  // (recurrent_size), read; overlaps nothing that this step writes
    const T* c_prev;  // (hidden_size), read; may be c. Null: the cell has no c
    T* unprojected;   // (hidden_size), written: o * tanh(c) before the projection; h itself where there is none
    T* h;             // (recurrent_size), written: the step's output, h_prev of the next step
    T* c;             // (hidden_size), written: c_prev of the next step. Null: the cell has no c
    T* saved;         // [saved][hidden_size], written for the tape. Null: no tape, or nothing to save
};

template <class T>
struct ForwardStrides {  // elements from one step to the next; 0: the same place
    Index x, unprojected, h, c, saved;
};

template <class T>
struct ForwardSpan {
    Index steps, rows;
    ForwardRow<T>* row;  // (rows), advanced by the kernel: afterwards they stand at the step after the span
    ForwardStrides<T> stride;
    bool input_projected;
    Index input_size, hidden_size, proj_size;  // proj_size 0: no projection
    Nonlinearity nonlinearity;                 // simple RNN only
    const T* bias;                             // [unit block][accumulator][unit]: what every sum starts from
    const T* w_ih;                             // packed gates (LSTM, GRU) or a packed matrix (RNN), k = input
    const T* w_hh;                             // the same, k = recurrent input
    const T* w_hr;                             // packed matrix, k = hidden; null without projection
    Index block_begin, block_end;              // the unit blocks this call computes
    Index proj_begin, proj_end;                // the projection's blocks this call computes
    bool descending;                           // the first step goes downwards through the blocks, the next one upwards
    OverlappedProduct<T>* overlapped;  // the input projection of steps after the span, as project() would store it, for
                                       // the span's blocks. Null: none
    bool completes_overlapped;         // it is complete at the end of this span, unless the barrier ended it
    StepBarrier barrier;

    [[gnu::always_inline]] Index recurrent_size() const { return proj_size ? proj_size : hidden_size; }
};

// Starts of the accumulators for many input rows at once: out = bias + x W_ih.
template <class T>
struct ProjectArgs {
    Index rows;
    const T* const* x;  // (rows) pointers to (input_size)
    T* out;  // rows of [unit block][gate][unit], `out_stride` apart, all blocks; only the given ones are written
    Index out_stride;
    Index input_size, hidden_size;
    const T* bias;  // [unit block][accumulator][unit]
    const T* w_ih;  // as ForwardSpan's
    Index block_begin, block_end;
};

}  // namespace fusedrnn
