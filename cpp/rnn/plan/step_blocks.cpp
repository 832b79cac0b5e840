// Cuts the backward pass of a layer into blocks of steps.
#include "rnn/plan/step_blocks.hpp"

#include "dispatch/caches.hpp"
#include "rnn/plan/projection.hpp"
#include "rnn/plan/tuning.hpp"

namespace fusedrnn {

template <class T>
Index min_step_block(const NetworkSpec& spec, Index rows) {
    const bool large = weight_bytes<T>(spec, 0, spec.hidden_size) > cache_sizes().l2;
    const Index reductions = large ? tuning::reductions_for_large_weights : tuning::reductions_of_step_block;
    return std::max(reductions * reduction_block, tuning::min_steps_of_step_block * rows);
}

template Index min_step_block<float>(const NetworkSpec&, Index);
template Index min_step_block<double>(const NetworkSpec&, Index);

StepBlocks::StepBlocks(const Schedule& schedule, Index rows) : place_(static_cast<std::size_t>(schedule.steps())) {
    Index left = schedule.total();  // row-steps before the step blocks so far
    for (Index end = schedule.steps(); end > 0;) {
        Index begin = end, taken = 0;
        // What would be less than half a step block at the sequence's beginning goes with the one after.
        while (begin > 0 && (taken < rows || left < rows / 2)) {
            --begin;
            taken += schedule.active(begin);
            left -= schedule.active(begin);
        }
        step_blocks_.push_back({begin, end});
        rows_ = std::max(rows_, taken);
        end = begin;
    }
    for (Index step_block = 0; step_block < count(); ++step_block)
        for (Index step = steps(step_block).begin; step < steps(step_block).end; ++step)
            place_[static_cast<std::size_t>(step)] = step_block % at_once * rows_ + schedule.row_step(step, 0) -
                                                     schedule.row_step(steps(step_block).begin, 0);
}

}  // namespace fusedrnn
