// One layer backward through a whole schedule.
#pragma once

#include "fusedrnn/network.hpp"
#include "rnn/layer/direction_tape.hpp"
#include "rnn/layer/leftover_rows.hpp"
#include "rnn/layer/workspace.hpp"
#include "rnn/plan/schedule.hpp"
#include "rnn/weights/packed_network.hpp"

namespace fusedrnn {

template <class T>
struct LayerGradients {
    T *w_ih, *w_hh, *b_ih, *b_hh, *w_hr;  // null where there is none
};

template <class T>
struct LayerBackward {
    const NetworkSpec& spec;
    const Schedule& schedule;
    const Kernels<T>& kernels;
    const PackedLayer<T>* weights[2] = {};  // per direction, as all arrays of two here
    Index input_size;
    View<const T> x, y;
    // In place of x: tokens, and for the sums of each one's gate gradients (count, gates * hidden), in the order of the
    // gate gradients, per direction: added to.
    View<const std::int64_t> tokens = {};
    T* token_gradients[2] = {};
    View<const T> dy;       // or null: zeros
    View<T> dx;             // zero where there is no step; null: not wanted
    const T* h0[2] = {};    // (batch, recurrent size), or null: zeros
    const T* c0[2] = {};    // (batch, hidden), or null: zeros
    const T* dh_n[2] = {};  // (batch, recurrent size), or null: zeros
    const T* dc_n[2] = {};  // (batch, hidden), or null: zeros
    T* dh0[2] = {};
    T* dc0[2] = {};                        // null where the cell has no c
    const DirectionTape<T>* tape[2] = {};  // LSTM and GRU: what is saved there is overwritten
    LayerGradients<T> gradients[2] = {};   // these are added to
    Index truncate;                        // steps of a truncation window; 0: none
    LeftoverRows<T>* leftover = nullptr;   // for a segment of a longer sequence (one direction only)
    Index row_steps_before = 0;            // the segment's
};

template <class T>
void layer_backward(const LayerBackward<T>& call, Workspace<T>& workspace, int threads);

}  // namespace fusedrnn
