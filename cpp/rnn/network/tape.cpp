// The public class Tape: what a recorded call keeps, and backward through the layers.
#include "rnn/network/tape.hpp"

#include <algorithm>

#include "fusedrnn/runtime.hpp"
#include "rnn/layer/backward.hpp"
#include "rnn/layer/token_products.hpp"
#include "rnn/network/sequences.hpp"

namespace fusedrnn {
namespace {

template <class T>
void copy_into(Buffer<T>& to, const T* from, Index count) {
    if (from) std::copy_n(from, count, to.reserve(count));
}

}  // namespace

template <class T>
NetworkTape<T>::NetworkTape(std::shared_ptr<typename Network<T>::Shared> shared,
                            std::shared_ptr<const PackedNetwork<T>> packed, Schedule schedule,
                            const ForwardInputs<T>& in, const std::vector<View<const T>>& masks)
    : shared_(std::move(shared)), packed_(std::move(packed)), spec_(shared_->spec), schedule_(std::move(schedule)),
      steps_(in.shape.steps), batch_(in.shape.rows), storage_(shared_->tapes, steps_ * batch_),
      has_masks_(!masks.empty()) {
    if (in.shape.lengths) lengths_.assign(in.shape.lengths, in.shape.lengths + batch_);
    const CellTraits& traits = spec_.traits();
    const Index states = spec_.layers * spec_.directions() * batch_;
    copy_into(h0_, in.h0, states * spec_.recurrent_size());
    copy_into(c0_, in.c0, states * spec_.hidden_size);
    keep_input(in);
    storage_->layers.resize(static_cast<std::size_t>(spec_.layers));
    for (Index l = 0; l < spec_.layers; ++l) {
        LayerTape<T>& kept = layer(l);
        kept.y.reserve(values());
        kept.directions.resize(static_cast<std::size_t>(spec_.directions()));
        for (DirectionTape<T>& direction : kept.directions) {
            direction.saved.reserve(schedule_.total() * traits.saved * spec_.hidden_size);
            if (traits.has_cell_state) direction.c.reserve(schedule_.total() * spec_.hidden_size);
            if (spec_.proj_size) direction.unprojected.reserve(schedule_.total() * spec_.hidden_size);
        }
        if (!drops(l)) {
            kept.mask = Buffer<T>();
            kept.dropped = Buffer<T>();
            continue;
        }
        kept.dropped.reserve(values());
        const View<T> mask = time_major(kept.mask.reserve(values()), batch_, spec_.output_size());
        copy_sequence(masks[static_cast<std::size_t>(l)], shape(), spec_.output_size(), mask);
    }
}

// The caller may change x or the table before the backward pass; the tape must not see that.
template <class T>
void NetworkTape<T>::keep_input(const ForwardInputs<T>& in) {
    if (!in.tokens) {
        T* const x = storage_->x.reserve(steps_ * batch_ * spec_.input_size);
        copy_sequence(in.x, shape(), spec_.input_size, time_major(x, batch_, spec_.input_size));
        return;
    }
    token_count_ = in.tokens.count;
    has_table_ = in.tokens.table != nullptr;
    for (Index t = 0; t < steps_; ++t)
        for (Index b = 0; b < batch_; ++b) tokens_.push_back(*in.tokens.tokens.at(t, b));
    copy_into(storage_->x, in.tokens.table, token_count_ * spec_.input_size);
}

template <class T>
TokenInputs<T> NetworkTape<T>::tokens() const {
    if (tokens_.empty()) return {};
    return {{tokens_.data(), batch_, 1}, has_table_ ? storage_->x.data() : nullptr, token_count_};
}

template <class T>
std::size_t NetworkTape<T>::bytes() const {
    return storage_->bytes() + h0_.bytes() + c0_.bytes() + tokens_.size() * sizeof(std::int64_t);
}

template <class T>
BatchShape NetworkTape<T>::shape() const {
    return {.steps = steps_, .rows = batch_, .lengths = lengths_.empty() ? nullptr : lengths_.data()};
}

template <class T>
View<T> NetworkTape<T>::output(Index l) {
    return time_major(layer(l).y.data(), batch_, spec_.output_size());
}

template <class T>
View<const T> NetworkTape<T>::mask(Index l) {
    return read_only(time_major(layer(l).mask.data(), batch_, spec_.output_size()));
}

template <class T>
View<const T> NetworkTape<T>::input(Index l) {
    if (l == 0 && !tokens_.empty()) return {};
    if (l == 0) return read_only(time_major(storage_->x.data(), batch_, spec_.input_size));
    if (!drops(l - 1)) return read_only(output(l - 1));
    return read_only(time_major(layer(l - 1).dropped.data(), batch_, spec_.output_size()));
}

template <class T>
void NetworkTape<T>::apply_dropout(Index l) {
    if (!drops(l)) return;
    const View<T> dropped = time_major(layer(l).dropped.data(), batch_, spec_.output_size());
    apply_mask(read_only(output(l)), mask(l), shape(), spec_.output_size(), dropped);
}

template <class T>
void NetworkTape<T>::copy_results(const ForwardOutputs<T>& out) {
    copy_sequence(read_only(output(spec_.layers - 1)), shape(), spec_.output_size(), out.y);
    if (out.cell_states) copy_cell_states(out.cell_states);
}

template <class T>
void NetworkTape<T>::copy_cell_states(View<T> to) {
    const Index width = spec_.hidden_size;
    zero_padding(shape(), to, width * spec_.directions());
    for (Index d = 0; d < spec_.directions(); ++d) {
        const T* from = layer(spec_.layers - 1).directions[static_cast<std::size_t>(d)].c.data();
        schedule_.for_each(0, schedule_.total(), [&](Index step, Index row) {
            const Index t = schedule_.time(spec_.runs_in_reverse(d), step, row);
            std::copy_n(from, width, to.at(t, schedule_.batch_row(row)) + d * width);
            from += width;
        });
    }
}

template <class T>
void NetworkTape<T>::one_layer_backward(Index l, View<const T> dy, View<T> dx, const BackwardInputs<T>& in,
                                        const BackwardOutputs<T>& out, Workspace<T>& workspace,
                                        SequenceSegment<T>* segment) {
    LayerBackward<T> call{
        .spec = spec_,
        .schedule = schedule_,
        .kernels = packed_->kernels(),
        .input_size = spec_.layer_input(l),
        .x = input(l),
        .y = read_only(output(l)),
        .dy = dy,
        .dx = dx,
        .truncate = in.truncate,
        .leftover = segment ? &segment->leftover[static_cast<std::size_t>(l)] : nullptr,
        .row_steps_before = segment ? segment->row_steps_before : 0,
    };
    for (Index d = 0; d < spec_.directions(); ++d) {
        const auto state = [&]<class U>(U* all, Index width) {
            return all ? all + (l * spec_.directions() + d) * batch_ * width : nullptr;
        };
        const ParameterSlots slots = parameter_slots(spec_, l, d);
        const auto param = [&](Index slot) { return slot < 0 ? nullptr : out.params[static_cast<std::size_t>(slot)]; };
        call.weights[d] = &packed_->layer(l, d);
        call.h0[d] = state(h0_.data(), spec_.recurrent_size());
        call.c0[d] = state(c0_.data(), spec_.hidden_size);
        call.dh_n[d] = state(in.dh_n, spec_.recurrent_size());
        call.dc_n[d] = state(in.dc_n, spec_.hidden_size);
        call.dh0[d] = state(out.dh0, spec_.recurrent_size());
        call.dc0[d] = state(out.dc0, spec_.hidden_size);
        call.tape[d] = &layer(l).directions[static_cast<std::size_t>(d)];
        call.gradients[d] = {
            .w_ih = param(slots.w_ih),
            .w_hh = param(slots.w_hh),
            .b_ih = param(slots.b_ih),
            .b_hh = param(slots.b_hh),
            .w_hr = param(slots.w_hr),
        };
    }
    if (l == 0 && !tokens_.empty()) return tokens_backward(call, out, workspace);
    layer_backward(call, workspace, num_threads());
}

template <class T>
void NetworkTape<T>::tokens_backward(LayerBackward<T>& call, const BackwardOutputs<T>& out, Workspace<T>& workspace) {
    const TokenInputs<T> inputs = tokens();
    call.tokens = inputs.tokens;
    const Index count = inputs.count * spec_.traits().gates * spec_.hidden_size;
    for (Index d = 0; d < spec_.directions(); ++d) call.token_gradients[d] = workspace.tokens[d].reserve_zeros(count);
    layer_backward(call, workspace, num_threads());
    for (Index d = 0; d < spec_.directions(); ++d) token_gradients_backward(call, d, inputs, out.dtable, num_threads());
}

template <class T>
void NetworkTape<T>::backward_segment(const BackwardInputs<T>& in, const BackwardOutputs<T>& out,
                                      SequenceSegment<T>* segment) {
    const typename WorkspacePool<T>::Lease workspace(shared_->workspaces, steps_ * batch_);
    View<const T> dy = in.dy;
    for (Index l = spec_.layers - 1; l >= 0; --l) {
        const Index width = spec_.layer_input(l);
        View<T> dx = out.dx;
        if (l > 0) dx = time_major(workspace->layer_gradient[l % 2].reserve(values()), batch_, width);
        if (dx) zero_padding(shape(), dx, width);
        one_layer_backward(l, dy, dx, in, out, *workspace, segment);
        if (l > 0 && drops(l - 1)) apply_mask(read_only(dx), mask(l - 1), shape(), width, dx);
        dy = read_only(dx);
    }
}

template class NetworkTape<float>;
template class NetworkTape<double>;

}  // namespace fusedrnn
