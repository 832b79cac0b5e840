// When the products of x with W_ih are computed, and those of the gate gradients with W_ih that give dx. No choice
// changes a bit of the result.
#pragma once

#include "kernels/kernel_table.hpp"
#include "rnn/plan/schedule.hpp"
#include "rnn/plan/thread_share.hpp"

namespace fusedrnn {

// The bytes of W_ih and W_hh for `units` of a layer whose input has `input` values.
template <class T>
Index weight_bytes(const NetworkSpec& spec, Index input, Index units) {
    return units * spec.traits().gates * (input + spec.recurrent_size()) * static_cast<Index>(sizeof(T));
}

// How many sums a row's input product has.
template <class T>
Index projected_width(const NetworkSpec& spec) {
    return padded_units<T>(spec.hidden_size) * spec.traits().gates;
}

enum class InputProduct {
    in_step,    // each step multiplies its own x
    ahead,      // before the first of the steps, for all of them at once
    overlapped  // while the steps before wait for W_hh (kernels/gemm/overlap.hpp)
};

// Neighbouring steps whose input products are computed in the same way.
struct StepGroup {
    StepRange steps;
    InputProduct input_product;
    Index row_steps;  // of the thread
};

// Overlapped groups have the rows of a tile, but one of them, which has what is left over besides.
template <class T>
inline constexpr Index max_overlapped_group = 2 * OverlappedProduct<T>::rows;

// How one thread's pass through one direction of a layer goes on, group after group. `always_ahead`: there is no x to
// multiply in the step.
template <class T>
class ProjectionPlan {
public:
    ProjectionPlan(const NetworkSpec& spec, Index input_size, const Schedule& schedule, const ThreadShare& share,
                   const Kernels<T>& kernels, bool in_wavefront, bool always_ahead);

    // The group that begins with step `begin` of `span`; the thread has `row_steps_left` from there on.
    StepGroup next(Index begin, const StepRange& span, Index row_steps_left);

private:
    bool overlaps(Index begin, Index steps_left) const;
    StepGroup next_overlapped(Index begin, Index steps_left);
    bool has_low_tiles(Index rows) const;
    bool saves_reading(Index steps, Index row_steps) const;
    bool stays_in_l1() const;
    Index weight_bytes() const;
    Index rows_at(Index step) const { return share_.rows(schedule_.active(step)); }

    const NetworkSpec& spec_;
    const Index input_size_;
    const Schedule& schedule_;
    const ThreadShare& share_;
    const Kernels<T>& kernels_;
    const bool in_wavefront_, always_ahead_;
    bool overlapping_ = false;
};

// Whether dx of one row, through these steps, is overlapped with the backward pass of the steps before them in time.
template <class T>
bool overlaps_input_gradient(const NetworkSpec& spec, Index input_size, const ThreadShare& share,
                             const Kernels<T>& kernels, Index steps);

// The group that ends with the last of these steps, where dx is overlapped.
template <class T>
StepRange last_overlapped_group(StepRange steps);

}  // namespace fusedrnn
