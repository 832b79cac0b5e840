// Counts the gains and losses of teams, and keeps teams small for a while after a loss.
#include "threads/backoff.hpp"

#include <algorithm>

namespace fusedrnn {

void Backoff::note(Nanoseconds gain, int present) {
    const std::lock_guard lock(mutex_);
    if (gain >= 0) {
        gained_ = std::min(gained_ + gain, tuning::longest_backoff);
        return;
    }
    const Nanoseconds loss = -gain;
    times_ = gained_ >= tuning::forgiving * loss ? 1 : std::min(2 * times_, tuning::max_backoff);
    gained_ = 0;
    limit_.store(std::max(present, 1), std::memory_order_relaxed);
    until_.store(now() + std::min(times_ * loss, tuning::longest_backoff), std::memory_order_relaxed);
}

}  // namespace fusedrnn
