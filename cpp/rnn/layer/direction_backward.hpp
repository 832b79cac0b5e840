// What the phases of a layer's backward pass share, for one direction.
#pragma once

#include "rnn/layer/backward.hpp"
#include "rnn/layer/direction_view.hpp"
#include "rnn/plan/step_blocks.hpp"

namespace fusedrnn {

// Its arrays live in the workspace.
template <class T>
struct DirectionBackward : DirectionView<const T> {
    const LayerBackward<T>& call;
    const StepBlocks& step_blocks;
    const PackedLayer<T>& weights;
    const DirectionTape<T>& tape;
    T* const dgates;    // [row-step, or where they do not replace what was saved: place in step blocks][gate
                        // gradients][hidden]
    T* const dh_proj;   // [place in step blocks][proj], or null
    T* const dc_carry;  // [batch][hidden]
    T* const dh_carry;  // [batch][recurrent]
    const Index hidden, recurrent, dgates_width;

    DirectionBackward(const LayerBackward<T>& call_, const StepBlocks& step_blocks_, const Workspace<T>& workspace,
                      Index of)
        : DirectionView<const T>{
              .spec = call_.spec,
              .schedule = call_.schedule,
              .direction = of,
              .reverse = call_.spec.runs_in_reverse(of),
              .x = call_.x,
              .y = call_.y,
              .h0 = call_.h0[of],
              .c0 = call_.c0[of],
              .c_by_row_step = call_.tape[of]->c.data(),
              .cell_states = {},
              .newest_c = nullptr,
              .zeros = workspace.zeros.data(),
          },
          call(call_), step_blocks(step_blocks_), weights(*call_.weights[of]), tape(*call_.tape[of]),
          dgates(traits().replaces_saved() ? tape.saved.data() : workspace.dgates[of].data()),
          dh_proj(workspace.dh_proj[of].data()), dc_carry(workspace.dc_carry[of].data()),
          dh_carry(workspace.dh_carry[of].data()), hidden(call_.spec.hidden_size),
          recurrent(call_.spec.recurrent_size()), dgates_width(traits().gate_gradients * hidden) {}

    const CellTraits& traits() const { return call.spec.traits(); }
    T* dgates_at(Index step, Index row) const {
        const Index place =
            traits().replaces_saved() ? this->schedule.row_step(step, row) : step_blocks.place(step, row);
        return dgates + place * dgates_width;
    }
    T* recurrent_dgates_at(Index step, Index row) const {
        return dgates_at(step, row) + traits().recurrent_offset * hidden;
    }
    T* dh_proj_at(Index step, Index row) const { return dh_proj + step_blocks.place(step, row) * call.spec.proj_size; }
    const T* saved_at(Index step, Index row) const {
        return tape.saved.data() + this->schedule.row_step(step, row) * traits().saved * hidden;
    }
    const T* unprojected_at(Index step, Index row) const {
        return tape.unprojected.data() + this->schedule.row_step(step, row) * hidden;
    }
    // Null where there is no dy.
    const T* dy_at(Index step, Index row) const {
        if (!call.dy) return nullptr;
        return call.dy.at(this->time(step, row), this->batch_index(row)) + this->direction * recurrent;
    }
    T* dx_at(Index step, Index row) const { return call.dx.at(this->time(step, row), this->batch_index(row)); }
    // No gradient goes from this step to the one before.
    bool cut(Index step, Index row) const {
        return this->schedule.reset(this->reverse, step, row) || this->schedule.window_begins(step, row, call.truncate);
    }
};

}  // namespace fusedrnn
