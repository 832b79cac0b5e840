// The public class Tape: what a recorded call keeps, and backward through the layers.
#include "rnn/network/tape.hpp"

#include <algorithm>

#include "fusedrnn/runtime.hpp"

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
    // The caller may change x before the backward pass; the tape must not see that.
    T* x = storage_->x.reserve(steps_ * batch_ * spec_.input_size);
    for (Index t = 0; t < steps_; ++t)
        for (Index b = 0; b < batch_; ++b) x = std::copy_n(in.x.at(t, b), spec_.input_size, x);
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
        T* mask = kept.mask.reserve(values());
        for (Index t = 0; t < steps_; ++t)
            for (Index b = 0; b < batch_; ++b)
                mask = std::copy_n(masks[static_cast<std::size_t>(l)].at(t, b), spec_.output_size(), mask);
    }
}

template <class T>
std::size_t NetworkTape<T>::bytes() const {
    return storage_->bytes() + h0_.bytes() + c0_.bytes();
}

template <class T>
View<T> NetworkTape<T>::output(Index l) {
    return {layer(l).y.data(), batch_ * spec_.output_size(), spec_.output_size()};
}

template <class T>
View<const T> NetworkTape<T>::input(Index l) {
    if (l == 0) return time_major(storage_->x.data(), spec_.input_size);
    LayerTape<T>& below = layer(l - 1);
    return time_major(drops(l - 1) ? below.dropped.data() : below.y.data(), spec_.output_size());
}

template <class T>
void NetworkTape<T>::drop(Index l) {
    LayerTape<T>& kept = layer(l);
    if (!drops(l)) return;
    for (Index i = 0; i < values(); ++i) kept.dropped.data()[i] = kept.y.data()[i] * kept.mask.data()[i];
}

template <class T>
void NetworkTape<T>::copy_results(const ForwardOutputs<T>& out) {
    const View<T> y = output(spec_.layers - 1);
    for (Index t = 0; t < steps_; ++t)
        for (Index b = 0; b < batch_; ++b) std::copy_n(y.at(t, b), spec_.output_size(), out.y.at(t, b));
    if (!out.cell_states) return;
    const Index width = spec_.hidden_size;
    for (Index t = 0; t < steps_; ++t)
        for (Index b = 0; b < batch_; ++b) std::fill_n(out.cell_states.at(t, b), width * spec_.directions(), T(0));
    for (Index d = 0; d < spec_.directions(); ++d) {
        const T* from = layer(spec_.layers - 1).directions[static_cast<std::size_t>(d)].c.data();
        for (Index s = 0; s < schedule_.steps(); ++s)
            for (Index row = 0; row < schedule_.active(s); ++row, from += width)
                std::copy_n(
                    from, width,
                    out.cell_states.at(schedule_.time(spec_.runs_in_reverse(d), s, row), schedule_.batch_row(row)) +
                        d * width);
    }
}

template <class T>
void NetworkTape<T>::zero_missing(View<T> dx, Index width) const {
    for (Index b = 0; b < batch_; ++b)
        for (Index t = lengths_.empty() ? steps_ : lengths_[static_cast<std::size_t>(b)]; t < steps_; ++t)
            std::fill_n(dx.at(t, b), width, T(0));
}

template <class T>
void NetworkTape<T>::layer_back(Index l, View<const T> dy, View<T> dx, const BackwardInputs<T>& in,
                                const BackwardOutputs<T>& out, Workspace<T>& workspace, SequenceSegment<T>* segment) {
    const View<T> y = output(l);
    LayerBackward<T> call{spec_,
                          schedule_,
                          packed_->kernels(),
                          {},
                          spec_.layer_input(l),
                          input(l),
                          {y.data, y.time_stride, y.batch_stride},
                          dy,
                          dx,
                          {},
                          {},
                          {},
                          {},
                          {},
                          {},
                          {},
                          {},
                          in.truncate};
    for (Index d = 0; d < spec_.directions(); ++d) {
        const Index index = l * spec_.directions() + d;
        const Index h_at = index * batch_ * spec_.recurrent_size(), c_at = index * batch_ * spec_.hidden_size;
        call.weights[d] = &packed_->layer(l, d);
        call.h0[d] = h0_.data() ? h0_.data() + h_at : nullptr;
        call.c0[d] = c0_.data() ? c0_.data() + c_at : nullptr;
        call.dh_n[d] = in.dh_n ? in.dh_n + h_at : nullptr;
        call.dc_n[d] = in.dc_n ? in.dc_n + c_at : nullptr;
        call.dh0[d] = out.dh0 + h_at;
        call.dc0[d] = out.dc0 ? out.dc0 + c_at : nullptr;
        call.tape[d] = &layer(l).directions[static_cast<std::size_t>(d)];
        const ParameterSlots slots = parameter_slots(spec_, l, d);
        const auto param = [&](Index slot) { return slot < 0 ? nullptr : out.params[static_cast<std::size_t>(slot)]; };
        call.gradients[d] = {param(slots.w_ih), param(slots.w_hh), param(slots.b_ih), param(slots.b_hh),
                             param(slots.w_hr)};
    }
    if (segment) {
        call.pending = &segment->pending[static_cast<std::size_t>(l)];
        call.rows_before = segment->rows_before;
    }
    layer_backward(call, workspace, num_threads());
}

template <class T>
void NetworkTape<T>::backward_segment(const BackwardInputs<T>& in, const BackwardOutputs<T>& out,
                                      SequenceSegment<T>* segment) {
    const typename WorkspacePool<T>::Lease workspace(shared_->workspaces, steps_ * batch_);
    View<const T> dy = in.dy;
    for (Index l = spec_.layers - 1; l >= 0; --l) {
        const Index width = spec_.layer_input(l);
        View<T> dx = out.dx;
        if (l > 0) dx = {workspace->layer_gradient[l % 2].reserve(values()), batch_ * width, width};
        zero_missing(dx, width);
        layer_back(l, dy, dx, in, out, *workspace, segment);
        if (l > 0 && drops(l - 1))
            for (Index i = 0; i < values(); ++i) dx.data[i] *= layer(l - 1).mask.data()[i];
        dy = {dx.data, dx.time_stride, dx.batch_stride};
    }
}

template class NetworkTape<float>;
template class NetworkTape<double>;

}  // namespace fusedrnn
