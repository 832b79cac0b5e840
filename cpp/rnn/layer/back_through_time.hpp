// The backward pass through the steps, which gives the gate gradients, and the gradient of the initial state.
#pragma once

#include <vector>

#include "rnn/layer/direction_backward.hpp"
#include "rnn/layer/workspace.hpp"
#include "rnn/plan/thread_share.hpp"

namespace fusedrnn {

// The gradients that enter at the rows' last steps.
template <class T>
void load_carries(const DirectionBackward<T>& d);

// dx: the gate gradients times W_ih, for rows that the caller names.
template <class T>
LinearArgs<T> input_gradient(const DirectionBackward<T>& d);

// How far a backward pass came, and the steps from there on whose dx has not been taken: [begin, dx_end).
struct Reached {
    Index begin, dx_end;
};

// One thread's backward pass through a step block: the gate gradients of its row-steps, and where dx is overlapped, dx
// of the last ones.
template <class T>
class BackThroughTime {
public:
    BackThroughTime(const DirectionBackward<T>& d, const ThreadShare& share, ThreadScratch<T>& scratch,
                    const Team& team)
        : d_(d), share_(share), scratch_(scratch), team_(team) {}

    // Ends before the step block's beginning where the team ends.
    Reached run(const std::vector<StepRange>& spans, StepRange step_block);

private:
    bool overlaps(StepRange step_block) const;
    void next_group(StepRange step_block);
    Index run_span(StepRange range);
    void overlap(BackwardSpan<T>& span, bool completes);
    BackwardRow<T> row_at(StepRange range, Index row);
    void clear_carries(const BackwardRow<T>& row);
    BackwardStrides<T> strides(Index active) const;

    const DirectionBackward<T>& d_;
    const ThreadShare& share_;
    ThreadScratch<T>& scratch_;
    const Team& team_;
    StepRange group_ = {0, 0};              // the steps in hand
    OverlappedProduct<T> overlapped_ = {};  // dx of the group after it
};

// dh0 and dc0: what comes through the first step. Rows [part) of the batch's sorted rows.
template <class T>
void initial_state_gradient(const DirectionBackward<T>& d, ThreadScratch<T>& scratch, Range part);

}  // namespace fusedrnn
