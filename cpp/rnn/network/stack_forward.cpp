// Forward through all layers of a network, with and without a tape.
#pragma once

#include <algorithm>
#include <vector>

#include "fusedrnn/network.hpp"
#include "fusedrnn/runtime.hpp"
#include "rnn/layer/layer.hpp"
#include "rnn/network/tape.hpp"
#include "rnn/plan/split.hpp"

namespace fusedrnn {

// Rows past a sequence's end come out as zeros.
template <class T>
inline void zero_padding(const BatchShape& shape, View<T> y, Index width) {
    if (!shape.lengths) return;
    for (Index b = 0; b < shape.rows; ++b)
        for (Index t = shape.lengths[b]; t < shape.steps; ++t) std::fill_n(y.at(t, b), width, T(0));
}

// out = a * mask, elementwise; a and out may be the same. Rows of `width`.
template <class T>
void multiply(View<T> a, View<const T> mask, Index steps, Index batch, Index width, View<T> out) {
    for (Index t = 0; t < steps; ++t)
        for (Index b = 0; b < batch; ++b) {
            const T *from = a.at(t, b), *factor = mask.at(t, b);
            T* to = out.at(t, b);
            for (Index i = 0; i < width; ++i) to[i] = from[i] * factor[i];
        }
}

template <class T>
View<T> time_major(T* data, Index batch, Index width) {
    return {data, batch * width, width};
}

template <class T>
View<const T> read_only(View<T> view) {
    return {view.data, view.time_stride, view.batch_stride};
}

// The state after every row's last step; a row without steps keeps the state it came with.
template <class T>
void gather_final(const Schedule& schedule, Index width, const T* initial, T* final, auto last_step_of) {
    copy_or_zero(initial, schedule.batch() * width, final);
    for (Index row = 0; row < schedule.rows(); ++row)
        std::copy_n(last_step_of(row), width, final + schedule.batch_row(row) * width);
}

template <class T>
struct StackForward {
    const NetworkSpec& spec;
    const Schedule& schedule;
    const PackedNetwork<T>& packed;
    const ForwardInputs<T>& in;
    const ForwardOutputs<T>& out;
    Workspace<T>& workspace;

    Index index(Index layer, Index direction) const { return layer * spec.directions() + direction; }

    LayerForward<T> layer(Index l, View<const T> x, View<T> y, View<T> cell_states,
                          std::vector<DirectionTape<T>>* tape) {
        LayerForward<T> call{spec, schedule, packed.kernels(), {}, spec.layer_input(l), x, y, {},
                             {},   {},       cell_states,      {}};
        const Index h_size = schedule.batch() * spec.recurrent_size(), c_size = schedule.batch() * spec.hidden_size;
        for (Index d = 0; d < spec.directions(); ++d) {
            call.weights[d] = &packed.layer(l, d);
            call.h0[d] = in.h0 ? in.h0 + index(l, d) * h_size : nullptr;
            call.c0[d] = in.c0 ? in.c0 + index(l, d) * c_size : nullptr;
            call.c_n[d] = out.c_n ? out.c_n + index(l, d) * c_size : nullptr;
            if (tape) call.tape[d] = &(*tape)[static_cast<std::size_t>(d)];
        }
        return call;
    }

    void run(Index l, const LayerForward<T>& call) {
        layer_forward(call, workspace, num_threads());
        finish(l, call);
    }

    void run_wavefront(std::vector<LayerForward<T>>& calls, int threads) {
        wavefront_forward(calls, workspace, threads);
        for (Index l = 0; l < spec.layers; ++l) finish(l, calls[static_cast<std::size_t>(l)]);
    }

    // Threads for a wavefront through all layers; 1: layer after layer.
    int wavefront_threads() const {
        return choose_wavefront<T>(spec, schedule.rows(), schedule.steps(), num_threads());
    }

    void finish(Index l, const LayerForward<T>& call) {
        const Index h_width = spec.recurrent_size(), c_width = spec.hidden_size;
        for (Index d = 0; d < spec.directions(); ++d) {
            const bool reverse = spec.runs_in_reverse(d);
            const auto last = [&](Index row) { return schedule.time(reverse, schedule.length(row) - 1, row); };
            gather_final(schedule, h_width, call.h0[d], out.h_n + index(l, d) * schedule.batch() * h_width,
                         [&](Index row) { return call.y.at(last(row), schedule.batch_row(row)) + d * h_width; });
            if (!call.c_n[d]) continue;
            if (call.tape[d])
                gather_final(schedule, c_width, call.c0[d], call.c_n[d], [&](Index row) {
                    return call.tape[d]->c.data() + schedule.packed(schedule.length(row) - 1, row) * c_width;
                });
            else if (call.cell_states)
                gather_final(schedule, c_width, call.c0[d], call.c_n[d], [&](Index row) {
                    return call.cell_states.at(last(row), schedule.batch_row(row)) + d * c_width;
                });
            else  // the kernels left it there, but for the rows without steps
                pass_empty_rows(call.c0[d], call.c_n[d]);
        }
    }

    void pass_empty_rows(const T* c0, T* c_n) {
        const BatchShape& shape = in.shape;
        if (!shape.lengths && shape.steps > 0) return;
        const Index width = spec.hidden_size;
        for (Index b = 0; b < schedule.batch(); ++b) {
            if (shape.steps > 0 && shape.lengths[b] > 0) continue;
            copy_or_zero(c0 ? c0 + b * width : nullptr, width, c_n + b * width);
        }
    }
};

inline Schedule make_schedule(const NetworkSpec& spec, const BatchShape& shape, const Index* steps_beyond = nullptr) {
    return Schedule(shape, spec.bidirectional || !spec.reverse, spec.bidirectional || spec.reverse, steps_beyond);
}

// Without a tape. masks as in Network::record.
template <class T>
void forward_stack(const NetworkSpec& spec, const PackedNetwork<T>& packed, const ForwardInputs<T>& in,
                   const std::vector<View<const T>>& masks, const ForwardOutputs<T>& out, Workspace<T>& workspace) {
    const Schedule schedule = make_schedule(spec, in.shape);
    StackForward<T> stack{spec, schedule, packed, in, out, workspace};
    const Index width = spec.output_size(), steps = in.shape.steps, batch = in.shape.rows;
    zero_padding(in.shape, out.y, width);
    if (out.cell_states) zero_padding(in.shape, out.cell_states, spec.directions() * spec.hidden_size);
    const int threads = masks.empty() ? stack.wavefront_threads() : 1;
    const Index outputs = threads > 1 ? spec.layers : 2;
    workspace.layer_output.resize(std::max(workspace.layer_output.size(), static_cast<std::size_t>(outputs)));
    const auto output_of = [&](Index l) {
        return workspace.layer_output[static_cast<std::size_t>(l % outputs)].reserve(steps * batch * width);
    };
    View<const T> x = in.x;
    std::vector<LayerForward<T>> calls;
    for (Index l = 0; l < spec.layers; ++l) {
        const bool last = l + 1 == spec.layers;
        const View<T> y = last ? out.y : time_major(output_of(l), batch, width);
        if (!last) zero_padding(in.shape, y, width);
        calls.push_back(stack.layer(l, x, y, last ? out.cell_states : View<T>{}, nullptr));
        if (threads == 1) stack.run(l, calls.back());
        if (!last && !masks.empty()) multiply(y, masks[static_cast<std::size_t>(l)], steps, batch, width, y);
        x = read_only(y);
    }
    if (threads > 1) stack.run_wavefront(calls, threads);
}

// Runs forward and fills the tape, which was made for these inputs.
template <class T>
void record_stack(const NetworkSpec& spec, const PackedNetwork<T>& packed, const ForwardInputs<T>& in,
                  const ForwardOutputs<T>& out, Workspace<T>& workspace, NetworkTape<T>& tape) {
    StackForward<T> stack{spec, tape.schedule(), packed, in, out, workspace};
    const int threads = tape.has_masks() ? 1 : stack.wavefront_threads();
    std::vector<LayerForward<T>> calls;
    for (Index l = 0; l < spec.layers; ++l) {
        const View<T> y = tape.output(l);
        zero_padding(in.shape, y, spec.output_size());
        calls.push_back(stack.layer(l, tape.input(l), y, {}, &tape.layer(l).directions));
        if (threads == 1) stack.run(l, calls.back());
        tape.drop(l);
    }
    if (threads > 1) stack.run_wavefront(calls, threads);
}

}  // namespace fusedrnn
