// What a recorded forward pass keeps, and the backward pass through the stack of layers.
#pragma once

#include <memory>
#include <vector>

#include "fusedrnn/network.hpp"
#include "rnn/layer/backward.hpp"
#include "rnn/layer/leftover_rows.hpp"
#include "rnn/network/network_shared.hpp"
#include "rnn/plan/schedule.hpp"
#include "rnn/weights/packed_network.hpp"

namespace fusedrnn {

// For a segment of a longer sequence: what its backward pass takes over from the segments after it.
template <class T>
struct SequenceSegment {
    std::vector<LeftoverRows<T>> leftover;  // per layer
    Index row_steps_before = 0;             // the segment's
};

template <class T>
class NetworkTape final : public Tape<T> {
public:
    NetworkTape(std::shared_ptr<typename Network<T>::Shared> shared, std::shared_ptr<const PackedNetwork<T>> packed,
                Schedule schedule, const ForwardInputs<T>& in, const std::vector<View<const T>>& masks);

    std::size_t bytes() const override;
    void backward(const BackwardInputs<T>& in, const BackwardOutputs<T>& out) override {
        backward_segment(in, out, nullptr);
    }
    void backward_segment(const BackwardInputs<T>& in, const BackwardOutputs<T>& out, SequenceSegment<T>* segment);

    const Schedule& schedule() const { return schedule_; }
    LayerTape<T>& layer(Index l) { return storage_->layers[static_cast<std::size_t>(l)]; }
    View<T> output(Index l);
    View<const T> input(Index l);  // null where it is tokens
    TokenInputs<T> tokens() const;
    bool has_masks() const { return has_masks_; }
    // Multiplies the layer's output by its dropout mask, if it has one, for the next layer.
    void apply_dropout(Index l);
    // y and the cell states for the caller, out of the tape.
    void copy_results(const ForwardOutputs<T>& out);

private:
    bool drops(Index l) const { return has_masks_ && l + 1 < spec_.layers; }
    Index values() const { return steps_ * batch_ * spec_.output_size(); }
    BatchShape shape() const;  // without resets, which the schedule has
    View<const T> mask(Index l);
    void keep_input(const ForwardInputs<T>& in);
    void tokens_backward(LayerBackward<T>& call, const BackwardOutputs<T>& out, Workspace<T>& workspace);
    void copy_cell_states(View<T> to);
    void one_layer_backward(Index l, View<const T> dy, View<T> dx, const BackwardInputs<T>& in,
                            const BackwardOutputs<T>& out, Workspace<T>& workspace, SequenceSegment<T>* segment);

    std::shared_ptr<typename Network<T>::Shared> shared_;
    std::shared_ptr<const PackedNetwork<T>> packed_;
    const NetworkSpec& spec_;
    Schedule schedule_;
    Index steps_, batch_;
    std::vector<std::int64_t> lengths_;  // empty: all rows have all steps
    Buffer<T> h0_, c0_;
    std::vector<std::int64_t> tokens_;  // (steps, batch): in place of x; the storage has the table then
    Index token_count_ = 0;
    bool has_table_ = false;
    const typename TapePool<T>::Lease storage_;  // goes back before shared_ may end
    const bool has_masks_;
};

}  // namespace fusedrnn
