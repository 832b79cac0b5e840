// Calls the layers of a network one after the other or, as a wavefront, all at once.
#include "rnn/network/stack_forward.hpp"

#include <algorithm>

#include "fusedrnn/runtime.hpp"
#include "rnn/layer/forward.hpp"
#include "rnn/layer/token_products.hpp"
#include "rnn/network/sequences.hpp"
#include "rnn/plan/projection.hpp"
#include "rnn/plan/split.hpp"

namespace fusedrnn {
namespace {

// The state after every row's last step, unless the kernels left it there; a row without steps keeps the one that it
// came with. `state_after(step, row)` is where the layer left it.
template <class T>
void final_state(const Schedule& schedule, Index width, const T* initial, T* final, auto state_after) {
    pass_empty_rows(schedule, width, initial, final);
    for (Index row = 0; row < schedule.rows(); ++row) {
        const T* const from = state_after(schedule.length(row) - 1, row);
        T* const to = final + schedule.batch_row(row) * width;
        if (from != to) std::copy_n(from, width, to);
    }
}

template <class T>
struct StackForward {
    const NetworkSpec& spec;
    const Schedule& schedule;
    const PackedNetwork<T>& packed;
    const ForwardInputs<T>& in;
    const ForwardOutputs<T>& out;
    Workspace<T>& workspace;

    LayerForward<T> layer(Index l, View<const T> x, View<T> y, View<T> cell_states,
                          std::vector<DirectionTape<T>>* tape) const {
        LayerForward<T> call{
            .spec = spec,
            .schedule = schedule,
            .kernels = packed.kernels(),
            .input_size = spec.layer_input(l),
            .x = x,
            .y = y,
            .cell_states = cell_states,
        };
        if (l == 0 && in.tokens) take_tokens(call);
        for (Index d = 0; d < spec.directions(); ++d) {
            call.weights[d] = &packed.layer(l, d);
            call.h0[d] = state(in.h0, l, d, spec.recurrent_size());
            call.c0[d] = state(in.c0, l, d, spec.hidden_size);
            call.c_n[d] = state(out.c_n, l, d, spec.hidden_size);
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

private:
    void take_tokens(LayerForward<T>& call) const {
        call.tokens = in.tokens.tokens;
        for (Index d = 0; d < spec.directions(); ++d) {
            T* const sums = workspace.tokens[d].reserve(in.tokens.count * projected_width<T>(spec));
            project_tokens(spec, 0, d, packed, in.tokens, sums, num_threads());
            call.token_sums[d] = sums;
        }
    }

    // A layer direction's part of (layers * directions, rows, width); null stays null.
    template <class U>
    U* state(U* all, Index l, Index d, Index width) const {
        return all ? all + (l * spec.directions() + d) * schedule.batch() * width : nullptr;
    }

    void finish(Index l, const LayerForward<T>& call) const {
        const Index h_width = spec.recurrent_size(), c_width = spec.hidden_size;
        for (Index d = 0; d < spec.directions(); ++d) {
            const DirectionView<T> view = direction_view(call, d, workspace.zeros.data());
            final_state(schedule, h_width, view.h0, state(out.h_n, l, d, h_width),
                        [&](Index step, Index row) { return view.h(step, row); });
            if (out.c_n)
                final_state(schedule, c_width, view.c0, state(out.c_n, l, d, c_width),
                            [&](Index step, Index row) { return view.c(step, row); });
        }
    }
};

}  // namespace

Schedule make_schedule(const NetworkSpec& spec, const BatchShape& shape, const Index* steps_after) {
    return Schedule(shape, spec.bidirectional || !spec.reverse, spec.bidirectional || spec.reverse, steps_after);
}

template <class T>
void forward_stack(const NetworkSpec& spec, const PackedNetwork<T>& packed, const ForwardInputs<T>& in,
                   const std::vector<View<const T>>& masks, const ForwardOutputs<T>& out, Workspace<T>& workspace) {
    const Schedule schedule = make_schedule(spec, in.shape);
    StackForward<T> stack{spec, schedule, packed, in, out, workspace};
    const Index width = spec.output_size(), batch = in.shape.rows;
    zero_padding(in.shape, out.y, width);
    if (out.cell_states) zero_padding(in.shape, out.cell_states, spec.directions() * spec.hidden_size);
    const int threads = masks.empty() ? stack.wavefront_threads() : 1;
    const Index outputs = threads > 1 ? spec.layers : 2;
    workspace.layer_output.resize(std::max(workspace.layer_output.size(), static_cast<std::size_t>(outputs)));
    const auto output_of = [&](Index l) {
        return workspace.layer_output[static_cast<std::size_t>(l % outputs)].reserve(row_steps(in.shape) * width);
    };
    View<const T> x = in.x;
    std::vector<LayerForward<T>> calls;
    for (Index l = 0; l < spec.layers; ++l) {
        const bool last = l + 1 == spec.layers;
        const View<T> y = last ? out.y : time_major(output_of(l), batch, width);
        if (!last) zero_padding(in.shape, y, width);
        calls.push_back(stack.layer(l, x, y, last ? out.cell_states : View<T>{}, nullptr));
        if (threads == 1) stack.run(l, calls.back());
        if (!last && !masks.empty()) apply_mask(read_only(y), masks[static_cast<std::size_t>(l)], in.shape, width, y);
        x = read_only(y);
    }
    if (threads > 1) stack.run_wavefront(calls, threads);
}

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
        tape.apply_dropout(l);
    }
    if (threads > 1) stack.run_wavefront(calls, threads);
}

#define FUSEDRNN_FOR(T)                                                                                      \
    template void forward_stack(const NetworkSpec&, const PackedNetwork<T>&, const ForwardInputs<T>&,        \
                                const std::vector<View<const T>>&, const ForwardOutputs<T>&, Workspace<T>&); \
    template void record_stack(const NetworkSpec&, const PackedNetwork<T>&, const ForwardInputs<T>&,         \
                               const ForwardOutputs<T>&, Workspace<T>&, NetworkTape<T>&);
FUSEDRNN_FOR(float)
FUSEDRNN_FOR(double)
#undef FUSEDRNN_FOR

}  // namespace fusedrnn
