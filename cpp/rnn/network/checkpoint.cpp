// Backward with checkpoints: the sequence is recorded again in parts, from the last to the first.
#include "rnn/network/checkpoint.hpp"

#include <algorithm>
#include <stdexcept>

#include "dispatch/dispatch.hpp"
#include "fusedrnn/interrupt.hpp"
#include "rnn/network/stack_forward.hpp"

namespace fusedrnn {
namespace {

template <class V>
V later(V view, Index steps) {
    if (view) view.data += steps * view.time_stride;
    return view;
}

}  // namespace

template <class T>
CheckpointTape<T>::CheckpointTape(std::shared_ptr<typename Network<T>::Shared> shared,
                                  std::shared_ptr<const PackedNetwork<T>> packed, const ForwardInputs<T>& in,
                                  const RecordOptions<T>& options)
    : shared_(std::move(shared)), packed_(std::move(packed)), spec_(shared_->spec),
      every_(std::clamp<Index>(in.shape.steps, 1, options.checkpoint)), steps_(in.shape.steps), batch_(in.shape.rows),
      h_count_(spec_.layers * batch_ * spec_.recurrent_size()),
      c_count_(spec_.traits().has_cell_state ? spec_.layers * batch_ * spec_.hidden_size : 0), x_(in.x),
      masks_(options.masks), x_fingerprint_(fingerprint_of_x()) {
    if (in.shape.lengths) lengths_.assign(in.shape.lengths, in.shape.lengths + batch_);
    if (in.shape.reset)
        for (Index t = 0; t < steps_; ++t)
            for (Index b = 0; b < batch_; ++b)
                reset_.push_back(in.shape.reset[t * in.shape.reset_time_stride + b * in.shape.reset_batch_stride]);
    const Index states = std::max<Index>(1, segments());
    h_.reserve_zeros(states * h_count_);
    if (in.h0) std::copy_n(in.h0, h_count_, h_.data());
    if (!c_count_) return;
    c_.reserve_zeros(states * c_count_);
    if (in.c0) std::copy_n(in.c0, c_count_, c_.data());
}

template <class T>
std::uint64_t CheckpointTape<T>::fingerprint_of_x() const {
    const auto fingerprint = current_kernels().fingerprint;
    const Index width = spec_.input_size;
    const bool rows_touch = batch_ == 1 || x_.batch_stride == width;
    const bool steps_touch = rows_touch && x_.time_stride == batch_ * width;
    // What lies contiguous is read at once: a call for every row would take longer than a small network's step.
    const Index steps = steps_touch ? steps_ : 1, rows = rows_touch ? batch_ : 1;
    const std::size_t bytes = static_cast<std::size_t>(steps * rows * width) * sizeof(T);
    std::uint64_t all = 0;
    if (bytes == 0) return all;
    for (Index t = 0; t < steps_; t += steps)
        for (Index b = 0; b < batch_; b += rows) {
            const std::uint64_t both[2] = {all, fingerprint(x_.at(t, b), bytes)};
            all = fingerprint(both, sizeof(both));
        }
    return all;
}

template <class T>
typename CheckpointTape<T>::Segment CheckpointTape<T>::segment(Index index) const {
    Segment segment;
    segment.begin = index * every_;
    segment.end = std::min(steps_, segment.begin + every_);
    segment.row_steps_before = 0;
    for (Index b = 0; b < batch_; ++b) {
        segment.row_steps_before += std::min(length(b), segment.begin);
        segment.steps_after.push_back(std::max<Index>(0, length(b) - segment.end));
        if (!lengths_.empty())
            segment.lengths.push_back(std::clamp<Index>(length(b) - segment.begin, 0, segment.end - segment.begin));
    }
    ForwardInputs<T>& in = segment.in;
    in.shape.steps = segment.end - segment.begin;
    in.shape.rows = batch_;
    in.shape.lengths = segment.lengths.empty() ? nullptr : segment.lengths.data();
    if (!reset_.empty()) {
        in.shape.reset = reset_.data() + segment.begin * batch_;
        in.shape.reset_time_stride = batch_;
        in.shape.reset_batch_stride = 1;
    }
    in.x = later(x_, segment.begin);
    in.h0 = h_before(index);
    in.c0 = c_before(index);
    for (const View<const T>& mask : masks_) segment.masks.push_back(later(mask, segment.begin));
    return segment;
}

template <class T>
void CheckpointTape<T>::record(const ForwardOutputs<T>& out) {
    const typename WorkspacePool<T>::Lease workspace(shared_->workspaces, every_ * batch_);
    if (segments() == 0) {
        std::copy_n(h_before(0), h_count_, out.h_n);
        if (out.c_n) std::copy_n(c_before(0), c_count_, out.c_n);
    }
    for (Index i = 0; i < segments(); ++i) {
        check_interrupt();
        const bool last = i + 1 == segments();
        ForwardOutputs<T> part;
        part.y = later(out.y, i * every_);
        part.cell_states = later(out.cell_states, i * every_);
        part.h_n = last ? out.h_n : h_before(i + 1);
        part.c_n = last ? out.c_n : c_before(i + 1);
        const Segment now = segment(i);
        forward_stack(spec_, *packed_, now.in, now.masks, part, *workspace);
    }
}

template <class T>
std::size_t CheckpointTape<T>::bytes() const {
    const auto mask = static_cast<std::size_t>(steps_ * batch_ * spec_.output_size()) * sizeof(T);
    return h_.bytes() + c_.bytes() + masks_.size() * mask + reset_.size() + lengths_.size() * sizeof(lengths_[0]);
}

// A truncation window that begins with the segment: nothing goes on to the steps before.
template <class T>
void CheckpointTape<T>::cut_at_windows(const Segment& segment, Index truncate, T* dh, T* dc) const {
    if (truncate == 0 || segment.begin == 0) return;
    for (Index b = 0; b < batch_; ++b) {
        const Index left = length(b) - segment.begin;
        if (left <= 0 || left % truncate != 0) continue;
        for (Index l = 0; l < spec_.layers; ++l) {
            const Index row = l * batch_ + b;
            std::fill_n(dh + row * spec_.recurrent_size(), spec_.recurrent_size(), T(0));
            if (dc) std::fill_n(dc + row * spec_.hidden_size, spec_.hidden_size, T(0));
        }
    }
}

template <class T>
void CheckpointTape<T>::backward(const BackwardInputs<T>& in, const BackwardOutputs<T>& out) {
    if (fingerprint_of_x() != x_fingerprint_)
        throw std::invalid_argument(
            "x: expected the values it was recorded with, but it has changed since; a tape "
            "with checkpoint reads x again in backward");
    // The gradient of the state between two segments stands where the initial state's will.
    copy_or_zero(in.dh_n, h_count_, out.dh0);
    if (out.dc0) copy_or_zero(in.dc_n, c_count_, out.dc0);
    Buffer<T> dh_n(h_count_), dc_n(c_count_), h_n(h_count_), c_n(c_count_), y;
    SequenceSegment<T> carried;
    carried.leftover.resize(static_cast<std::size_t>(spec_.layers));
    for (Index i = segments() - 1; i >= 0; --i) {
        check_interrupt();
        const Segment now = segment(i);
        NetworkTape<T> tape(shared_, packed_, make_schedule(spec_, now.in.shape, now.steps_after.data()), now.in,
                            now.masks);
        {
            const typename WorkspacePool<T>::Lease workspace(shared_->workspaces, every_ * batch_);
            ForwardOutputs<T> again;
            again.h_n = h_n.data();
            again.c_n = c_count_ ? c_n.data() : nullptr;
            record_stack(spec_, *packed_, now.in, again, *workspace, tape);
        }
        std::copy_n(out.dh0, h_count_, dh_n.data());
        if (c_count_) std::copy_n(out.dc0, c_count_, dc_n.data());
        BackwardInputs<T> part_in;
        part_in.dy = later(in.dy, now.begin);
        part_in.dh_n = dh_n.data();
        part_in.dc_n = c_count_ ? dc_n.data() : nullptr;
        part_in.truncate = in.truncate;
        BackwardOutputs<T> part_out = out;
        part_out.dx = later(out.dx, now.begin);
        carried.row_steps_before = now.row_steps_before;
        tape.backward_segment(part_in, part_out, &carried);
        cut_at_windows(now, in.truncate, out.dh0, out.dc0);
    }
}

template class CheckpointTape<float>;
template class CheckpointTape<double>;

}  // namespace fusedrnn
