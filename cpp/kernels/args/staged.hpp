// Arguments of the staged step: products go to memory, then a cell with options takes whole rows of them. Equations
// (O1)-(O11) of docs/design/cells.md; a prime there is `_prev` here.
#pragma once

#include "fusedrnn/activation.hpp"
#include "layout.hpp"

namespace fusedrnn {

template <class T>
struct ActivationOf {
    Activation kind;
    T alpha, beta;
};

// What is the same for all rows and steps. Vectors are (hidden_size); null where the option is off.
template <class T>
struct StagedCell {
    Index hidden_size;
    ActivationOf<T> gates, candidate, output;  // a simple RNN has `output` only, a GRU no `output`
    T clip, cell_clip;                         // 0: none
    bool coupled, minimal;
    const T *peephole_i, *peephole_f, *peephole_o;
    const T *gain_c, *shift_c;  // of the normalised c
    T epsilon;

    int lstm_gates() const { return coupled ? 3 : 4; }
};

// One row at one step.
template <class T>
struct StagedRow {
    const T* h_prev;     // (recurrent_size), read by a GRU
    const T* h_seen;     // (recurrent_size): h' as the products see it, read by a GRU that resets before
    const T* c_prev;     // (hidden_size), LSTM
    const T* recurrent;  // (gates * hidden_size): the recurrent products, read
    T* a;                // the same: the input products, read; the pre-activations, written
    T* q;                // (hidden_size), written: the recurrent product of n, of a GRU that resets after; or null
    T* k;                // (hidden_size), written: r * h', of a GRU that resets before
    T* m;                // (hidden_size), written: the step's output, before a projection
    T* c;                // (hidden_size), written, LSTM
    T* normal_c;         // (hidden_size), written with layer norm: c, normalised
    T* deviation_c;      // (1), the same
};

template <class T>
struct StagedForwardArgs {
    const StagedCell<T>* cell;
    Index rows;
    const StagedRow<T>* row;
    T* scratch;  // staged_scratch(hidden_size) elements
};

// The same step backward.
template <class T>
struct StagedBackwardRow {
    const T *h_prev, *h_seen, *c_prev, *q, *c, *normal_c, *deviation_c;  // as the step forward had and left them
    T* a;          // the pre-activations, read; their gradients, written
    T* recurrent;  // (gates * hidden_size), written: the gradients of the recurrent products; null where they are a's
    T* dm;         // (hidden_size): the gradient of m, read, and spoiled
    T* dc;         // (hidden_size): the gradient of c, read; that of c', written
    T* dh;         // (recurrent_size), written by a GRU: the gradient of h' beside the products
    T* dh_seen;    // (recurrent_size), written by the second stage: that of h_seen by k. May be dh, which is added to
    T* dk;         // (hidden_size): the gradient of k, read by the second stage
    T* dnormal_c;  // (hidden_size), written with layer norm: the gradient of gain_c * normal_c + shift_c
};

template <class T>
struct StagedBackwardArgs {
    const StagedCell<T>* cell;
    Index rows;
    const StagedBackwardRow<T>* row;
    T* scratch;
};

template <class T>
[[gnu::always_inline]] constexpr Index staged_scratch(Index hidden_size) {
    return 6 * padded_units<T>(hidden_size);
}

// Rows of products of mean 0 and variance 1: normal = (x - mean) / deviation. In place: normal is where x is.
template <class T>
struct NormaliseArgs {
    Index rows;
    T* const* normal;     // (rows) pointers to (width)
    T* const* deviation;  // (rows) pointers to (groups)
    T* const* out;        // (rows) pointers to (width), written: gain * normal + shift
    const Index* group_ends;
    Index groups;
    const T *gain, *shift;  // (width); shift may be null
    T epsilon;
};

// The gradient of x from that of out.
template <class T>
struct NormaliseBackwardArgs {
    Index rows;
    const T* const* normal;
    const T* const* deviation;
    const T* const* gradient;  // (rows) pointers to (width), of out
    T* const* out;             // (rows) pointers to (width), written; may be `normal`
    const Index* group_ends;
    Index groups;
    const T* gain;
};

// out = old * share + x * (1 - share), for rows of `width`; the share is the row's own, or one number. x may be out.
template <class T>
struct BlendArgs {
    Index rows, width;
    const T* const* x;
    const T* const* old;
    const T* const* share;  // null: `one_share`
    T one_share;
    T* const* out;
};

// out = a * b [+ c], for rows of `width`. c may be null; it, a and b may be out. b is of each row, or the same for all.
template <class T>
struct MultiplyArgs {
    Index rows, width;
    const T* const* a;
    const T* const* b;
    const T* same_b;  // where b is null
    const T* c;       // (width): the same for all rows
    T* const* out;
    bool adds;  // to what out holds
};

// out += the sum over rows of a * b, in chains of reduction_block rows, the blocks added last to first.
template <class T>
struct SumProductsArgs {
    Index rows;
    const T* const* a;
    const T* const* b;
    Index first, count;  // the columns that this call computes
    T* out;              // (count)
};

}  // namespace fusedrnn
