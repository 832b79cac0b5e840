// Where the values of one direction of a layer lie, for its forward and its backward pass.
#pragma once

#include <type_traits>

#include "fusedrnn/network.hpp"
#include "memory/buffer.hpp"
#include "rnn/plan/schedule.hpp"

namespace fusedrnn {

// Steps are local and rows are sorted, as in Schedule. T is const in the backward pass, which writes neither h nor c.
template <class T>
struct DirectionView {
    using Value = std::remove_const_t<T>;

    const NetworkSpec& spec;
    const Schedule& schedule;
    Index direction;
    bool reverse;
    View<const Value> x;
    View<T> y;        // both directions side by side
    const Value* h0;  // (batch, recurrent size), or null: zeros
    const Value* c0;  // (batch, hidden), or null: zeros
    // c of every step is in packed order, or else both directions' side by side; or else there is c of the newest step
    // only, (batch, hidden). Null where it is not.
    T* c_by_row_step;
    View<T> cell_states;
    T* newest_c;
    const Value* zeros;  // a row

    Index time(Index step, Index row) const { return schedule.time(reverse, step, row); }
    Index batch_index(Index row) const { return schedule.batch_row(row); }
    // Null where the input is tokens.
    const Value* x_at(Index step, Index row) const { return x ? x.at(time(step, row), batch_index(row)) : nullptr; }
    // The output of the step, which is y.
    T* h(Index step, Index row) const {
        return y.at(time(step, row), batch_index(row)) + direction * spec.recurrent_size();
    }
    // Null where the cell has no c.
    T* c(Index step, Index row) const {
        if (!spec.traits().has_cell_state) return nullptr;
        if (c_by_row_step) return c_by_row_step + schedule.row_step(step, row) * spec.hidden_size;
        if (cell_states) return cell_states.at(time(step, row), batch_index(row)) + direction * spec.hidden_size;
        return newest_c + batch_index(row) * spec.hidden_size;
    }

    // The state that enters the step: (S2) of docs/design/cells.md.
    const Value* h_before(Index step, Index row) const {
        if (schedule.reset(reverse, step, row)) return zeros;
        return step > 0 ? h(step - 1, row) : initial(h0, spec.recurrent_size(), row);
    }
    const Value* c_before(Index step, Index row) const {
        if (!spec.traits().has_cell_state) return nullptr;
        if (schedule.reset(reverse, step, row)) return zeros;
        return step > 0 ? c(step - 1, row) : initial(c0, spec.hidden_size, row);
    }

    // From a step to the next one, where `active` rows have both.
    Index step_stride(Index of_sequence) const { return reverse ? -of_sequence : of_sequence; }
    Index x_stride() const { return step_stride(x.time_stride); }
    Index h_stride() const { return step_stride(y.time_stride); }
    Index c_stride(Index active) const {
        if (!spec.traits().has_cell_state) return 0;
        return c_by_row_step ? active * spec.hidden_size : step_stride(cell_states.time_stride);
    }

private:
    const Value* initial(const Value* state, Index width, Index row) const {
        return state ? state + batch_index(row) * width : zeros;
    }
};

// What a row without steps is given passes through; null: zeros.
template <class T>
void pass_empty_rows(const Schedule& schedule, Index width, const T* from, T* to) {
    for (const Index b : schedule.empty_rows()) copy_or_zero(from ? from + b * width : nullptr, width, to + b * width);
}

}  // namespace fusedrnn
