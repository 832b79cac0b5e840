// One layer forward through a whole schedule.
#pragma once

#include <vector>

#include "fusedrnn/network.hpp"
#include "rnn/layer/direction_tape.hpp"
#include "rnn/layer/direction_view.hpp"
#include "rnn/layer/workspace.hpp"
#include "rnn/plan/schedule.hpp"
#include "rnn/weights/packed_network.hpp"
#include "threads/progress.hpp"

namespace fusedrnn {

template <class T>
struct LayerForward {
    const NetworkSpec& spec;
    const Schedule& schedule;
    const Kernels<T>& kernels;
    const PackedLayer<T>* weights[2] = {};  // per direction, as all arrays of two here
    Index input_size;
    View<const T> x;
    // In place of x: tokens, and the input products of each one (project_tokens), per direction.
    View<const std::int64_t> tokens = {};
    const T* token_sums[2] = {};
    View<T> y;            // both directions side by side; padding is not written
    const T* h0[2] = {};  // (batch, recurrent size), or null: zeros
    const T* c0[2] = {};  // (batch, hidden), or null: zeros
    // LSTM: where c goes. With a tape, into the tape; or else where there are cell_states, there, for every step; or
    // else into c_n, (batch, hidden), where that of the last step is left.
    DirectionTape<T>* tape[2] = {};
    View<T> cell_states = {};
    T* c_n[2] = {};
    // In a wavefront of layers: how far the layer below has come, if there is one, and how far this one.
    Progress* below = nullptr;
    Progress* progress = nullptr;
};

template <class T>
DirectionView<T> direction_view(const LayerForward<T>& call, Index direction, const T* zeros) {
    return {
        .spec = call.spec,
        .schedule = call.schedule,
        .direction = direction,
        .reverse = call.spec.runs_in_reverse(direction),
        .x = call.x,
        .y = call.y,
        .h0 = call.h0[direction],
        .c0 = call.c0[direction],
        .c_by_row_step = call.tape[direction] ? call.tape[direction]->c.data() : nullptr,
        .cell_states = call.cell_states,
        .newest_c = call.c_n[direction],
        .zeros = zeros,
    };
}

template <class T>
void layer_forward(const LayerForward<T>& call, Workspace<T>& workspace, int threads);

// Layers of one direction, bottom up, that go through time at once, each a few steps behind the one below.
template <class T>
void wavefront_forward(std::vector<LayerForward<T>>& calls, Workspace<T>& workspace, int threads);

}  // namespace fusedrnn
