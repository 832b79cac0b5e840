// What the phases of a layer's backward pass share, for one direction.
#pragma once

#include "rnn/layer/layer.hpp"
#include "rnn/plan/step_blocks.hpp"

namespace fusedrnn {

// Its arrays live in the workspace.
template <class T>
struct DirectionBackward {
    const LayerBackward<T>& call;
    const NetworkSpec& spec;
    const Schedule& schedule;
    const StepBlocks& step_blocks;
    Workspace<T>& workspace;
    const Index direction;
    const bool reverse;
    const Kernels<T>& kernels;
    const PackedLayer<T>& weights;
    const DirectionTape<T>& tape;
    T* const dgates;    // [row-step, or where they do not replace what was saved: place in step blocks][gate
                        // gradients][hidden]
    T* const dh_proj;   // [place in step blocks][proj], or null
    T* const dc_carry;  // [batch][hidden]
    T* const dh_carry;  // [batch][recurrent]
    const Index hidden, recurrent, dgates_width;

    DirectionBackward(const LayerBackward<T>& call_, const StepBlocks& step_blocks_, Workspace<T>& workspace_,
                      Index direction_)
        : call(call_), spec(call_.spec), schedule(call_.schedule), step_blocks(step_blocks_), workspace(workspace_),
          direction(direction_), reverse(spec.runs_in_reverse(direction_)), kernels(call_.kernels),
          weights(*call_.weights[direction_]), tape(*call_.tape[direction_]),
          dgates(spec.traits().replaces_saved() ? tape.saved.data() : workspace_.dgates[direction_].data()),
          dh_proj(workspace_.dh_proj[direction_].data()), dc_carry(workspace_.dc_carry[direction_].data()),
          dh_carry(workspace_.dh_carry[direction_].data()), hidden(spec.hidden_size), recurrent(spec.recurrent_size()),
          dgates_width(spec.traits().gate_gradients * spec.hidden_size) {}

    const T* zeros() const { return workspace.zeros.data(); }
    Index batch_index(Index row) const { return schedule.batch_row(row); }
    Index time(Index step, Index row) const { return schedule.time(reverse, step, row); }
    T* dgates_at(Index step, Index row) const {
        const bool in_tape = spec.traits().replaces_saved();
        return dgates + (in_tape ? schedule.packed(step, row) : step_blocks.place(step, row)) * dgates_width;
    }
    T* dh_proj_at(Index step, Index row) const { return dh_proj + step_blocks.place(step, row) * spec.proj_size; }
    const T* unprojected_at(Index step, Index row) const {
        return tape.unprojected.data() + schedule.packed(step, row) * hidden;
    }
    T* recurrent_dgates_at(Index step, Index row) const {
        return dgates_at(step, row) + spec.traits().recurrent_offset * hidden;
    }
    const T* y(Index step, Index row) const {
        return call.y.at(time(step, row), batch_index(row)) + direction * recurrent;
    }
    const T* h_before(Index step, Index row) const {
        if (schedule.reset(reverse, step, row)) return zeros();
        if (step > 0) return y(step - 1, row);
        const T* h0 = call.h0[direction];
        return h0 ? h0 + batch_index(row) * recurrent : zeros();
    }
    const T* c_before(Index step, Index row) const {
        if (!spec.traits().has_cell_state) return nullptr;
        if (schedule.reset(reverse, step, row)) return zeros();
        if (step > 0) return tape.c.data() + schedule.packed(step - 1, row) * hidden;
        const T* c0 = call.c0[direction];
        return c0 ? c0 + batch_index(row) * hidden : zeros();
    }
    // No gradient goes from this step to the one before.
    bool cut(Index step, Index row) const {
        return schedule.reset(reverse, step, row) || schedule.window_begins(step, row, call.truncate);
    }
};

}  // namespace fusedrnn
