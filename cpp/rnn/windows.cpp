// Cuts the backward pass of a layer into windows of steps.
#include "rnn/windows.hpp"

namespace fusedrnn {

Windows::Windows(const Schedule& schedule, Index rows) : place_(static_cast<std::size_t>(schedule.steps())) {
    Index left = schedule.total();  // row-steps before the windows so far
    for (Index end = schedule.steps(); end > 0;) {
        Index begin = end, taken = 0;
        // What would be less than half a window at the sequence's beginning goes with the one after.
        while (begin > 0 && (taken < rows || left < rows / 2)) {
            --begin;
            taken += schedule.active(begin);
            left -= schedule.active(begin);
        }
        windows_.push_back({begin, end});
        rows_ = std::max(rows_, taken);
        end = begin;
    }
    for (Index window = 0; window < count(); ++window)
        for (Index step = steps(window).begin; step < steps(window).end; ++step)
            place_[static_cast<std::size_t>(step)] =
                window % at_once * rows_ + schedule.packed(step, 0) - schedule.packed(steps(window).begin, 0);
}

}  // namespace fusedrnn
