// Arguments of the backward kernels: a span of steps, last step first.
#pragma once

#include "fusedrnn/cell.hpp"
#include "product.hpp"
#include "span.hpp"

namespace fusedrnn {

// One row at one step; `dgates` are gate gradients, [gate gradient][hidden_size].
template <class T>
struct BackwardRow {
    const T* dgates_next;  // the recurrent ones of the step after, read; the span's `zeros` if that step gives none
    const T* dy;           // (recurrent_size), read
    T* dh_carry;  // (recurrent_size): past the product; read, and for GRU written. Null: zero. LSTM and RNN take it at
                  // the span's first step only
    T* dc_carry;  // (hidden_size), read and written. Null: the cell has no c
    const T* saved;  // [saved][hidden_size], read
    const T* h;      // (recurrent_size), the step's output, read
    const T* c;      // (hidden_size), read. Null: the cell has no c
    // h_{t-1} and c_{t-1} of the span's earliest step. Those of the other steps are the neighbours of h and c.
    const T* h_entering;
    const T* c_entering;
    T* dgates;   // gate gradients of this step, written; may be where `saved` is: a unit's values are read first
    T* dh_proj;  // (proj_size), written: gradient of the projected output, kept for dW_hr. Null without projection
};

template <class T>
struct BackwardStrides {  // elements from one step to the one before it in time, which comes next
    Index dy, saved, h, c, dgates, dh_proj;
};

template <class T>
struct BackwardSpan {
    Index steps, rows;
    BackwardRow<T>* row;  // (rows), advanced by the kernel
    BackwardStrides<T> stride;
    bool no_step_after;  // no row has a step after: the first product is skipped
    const T* zeros;      // as many as a row has gate gradients; `dgates_next` that is this pointer means none
    Index hidden_size, proj_size;
    Nonlinearity nonlinearity;         // simple RNN only
    const T* w_hh;                     // packed matrix, k = recurrent gate gradients, columns = recurrent input
    const T* w_hr;                     // packed matrix, k = projection, columns = hidden; null without projection
    Index block_begin, block_end;      // the unit blocks this call computes
    Index proj_begin, proj_end;        // the projection's blocks this call computes
    T* scratch;                        // rows * linear_tile_columns elements, owned by this call
    OverlappedProduct<T>* overlapped;  // dx of steps after the span: `dx`, by chains, of these rows. Null: none
    LinearArgs<T> dx;
    bool completes_overlapped;  // it is complete at the end of this span, and where the barrier ended it
    StepBarrier barrier;

    [[gnu::always_inline]] Index recurrent_size() const { return proj_size ? proj_size : hidden_size; }
};

}  // namespace fusedrnn
