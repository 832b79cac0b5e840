// A tape that keeps the states of every k steps only and runs the steps between again in its backward pass.
//
// The gradients equal those of a full tape to the bit: forward, a sequence may be cut anywhere; backward, the carries
// cross the cuts unchanged and weight gradients wait until their reduction blocks are complete (LeftoverRows).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fusedrnn/network.hpp"
#include "memory/buffer.hpp"
#include "rnn/network/network_shared.hpp"
#include "rnn/weights/packed_network.hpp"

namespace fusedrnn {

template <class T>
class CheckpointTape final : public Tape<T> {
public:
    CheckpointTape(std::shared_ptr<typename Network<T>::Shared> shared, std::shared_ptr<const PackedNetwork<T>> packed,
                   const ForwardInputs<T>& in, const RecordOptions<T>& options);

    // The forward pass, in segments of k steps.
    void record(const ForwardOutputs<T>& out);

    std::size_t bytes() const override;
    // Throws std::invalid_argument when x has changed since it was recorded.
    void backward(const BackwardInputs<T>& in, const BackwardOutputs<T>& out) override;

private:
    // One segment of the sequence as a call of its own.
    struct Segment {
        Index begin, end;
        std::vector<std::int64_t> lengths;  // empty: all rows have all steps
        std::vector<Index> steps_after;     // of each row after the segment
        Index row_steps_before;             // row-steps before the segment
        ForwardInputs<T> in;
        std::vector<View<const T>> masks;
    };

    Index segments() const { return (steps_ + every_ - 1) / every_; }
    Index length(Index row) const {
        return lengths_.empty() ? steps_ : static_cast<Index>(lengths_[static_cast<std::size_t>(row)]);
    }
    Segment segment(Index index) const;
    T* h_before(Index segment) const { return h_.data() + segment * h_count_; }
    T* c_before(Index segment) const { return c_.data() ? c_.data() + segment * c_count_ : nullptr; }
    std::uint64_t fingerprint_of_x() const;
    void cut_at_windows(const Segment& segment, Index truncate, T* dh, T* dc) const;

    std::shared_ptr<typename Network<T>::Shared> shared_;
    std::shared_ptr<const PackedNetwork<T>> packed_;
    const NetworkSpec& spec_;
    const Index every_, steps_, batch_, h_count_, c_count_;
    std::vector<std::int64_t> lengths_;
    std::vector<std::uint8_t> reset_;  // (steps, batch); empty: none
    View<const T> x_;
    std::vector<View<const T>> masks_;
    std::uint64_t x_fingerprint_;
    Buffer<T> h_, c_;  // before every segment
};

}  // namespace fusedrnn
