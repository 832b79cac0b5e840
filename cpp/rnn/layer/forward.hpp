// One layer of a network, forward and backward through a whole schedule.
#pragma once

#include <vector>

#include "fusedrnn/network.hpp"
#include "rnn/layer/workspace.hpp"
#include "rnn/plan/schedule.hpp"
#include "rnn/weights/packed_network.hpp"
#include "threads/parallel.hpp"
#include "threads/progress.hpp"

namespace fusedrnn {

// What one direction of a layer keeps for its backward pass, in packed order (Schedule::packed).
template <class T>
struct DirectionTape {
    Buffer<T> saved;        // [row-step][saved][hidden]
    Buffer<T> c;            // [row-step][hidden]
    Buffer<T> unprojected;  // [row-step][hidden]: o * tanh(c), with a projection
};

template <class T>
struct LayerForward {
    const NetworkSpec& spec;
    const Schedule& schedule;
    const Kernels<T>& kernels;
    const PackedLayer<T>* weights[2];  // per direction
    Index input_size;
    View<const T> x;
    View<T> y;       // both directions side by side; padding is not written
    const T* h0[2];  // (batch, recurrent size), or null
    const T* c0[2];
    T* c_n[2];            // (batch, hidden), LSTM
    View<T> cell_states;  // where every step's c goes, or null; not together with a tape
    DirectionTape<T>* tape[2];
    // In a wavefront of layers: how far the layer below has come, if there is one, and how far this one.
    Progress* below = nullptr;
    Progress* progress = nullptr;
};

template <class T>
void layer_forward(const LayerForward<T>& call, Workspace<T>& workspace, int threads);

// Layers of one direction, bottom up, that go through time at once, each a few steps behind the one below.
template <class T>
void wavefront_forward(std::vector<LayerForward<T>>& calls, Workspace<T>& workspace, int threads);

template <class T>
struct LayerGradients {
    T *w_ih, *w_hh, *b_ih, *b_hh, *w_hr;  // null where there is none
};

// Row-steps whose weight gradient waits: where a long sequence is walked back in segments, the reduction block that
// straddles a segment's beginning is complete only with the segment before. The chains, and so the bits, stay those of
// one walk.
template <class T>
struct PendingRows {
    Index count = 0;
    Buffer<T> dgates, x, h_prev, unprojected, dh_proj;
};

template <class T>
struct LayerBackward {
    const NetworkSpec& spec;
    const Schedule& schedule;
    const Kernels<T>& kernels;
    const PackedLayer<T>* weights[2];
    Index input_size;
    View<const T> x, y;
    View<const T> dy;  // or null: zeros
    View<T> dx;        // zero where there is no step
    const T* h0[2];
    const T* c0[2];
    const T* dh_n[2];  // (batch, recurrent size), or null: zeros
    const T* dc_n[2];
    T* dh0[2];
    T* dc0[2];
    const DirectionTape<T>* tape[2];
    LayerGradients<T> gradients[2];
    Index truncate;
    PendingRows<T>* pending = nullptr;  // for a segment of a longer sequence (one direction only)
    Index rows_before = 0;              // row-steps before the segment
};

template <class T>
void layer_backward(const LayerBackward<T>& call, Workspace<T>& workspace, int threads);

}  // namespace fusedrnn
