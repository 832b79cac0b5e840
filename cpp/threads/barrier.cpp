// Waits for the threads of a team at the end of a step, and ends the team if one of them is late.
#include "threads/barrier.hpp"

#include "threads/team_mode.hpp"
#include "threads/waiting.hpp"

namespace fusedrnn {

bool Barrier::wait(bool may_end, Nanoseconds& waited) {
    // This thread has read the present round when it left the last one; no other can end it before this one arrives.
    const unsigned round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        const bool ends = may_end && ends_.load(std::memory_order_relaxed);
        round_.store(round + one_round + (ends ? ended : 0));
        if (threads_ > 1) sleepers_.wake_all();
        return !ends && !given_up();
    }
    const auto done = [&] { return round_.load() != round || given_up_.load(); };
    waited += wait_until(done, sleepers_, patience_, [&] {
        const int here = arrived_.load(std::memory_order_relaxed);
        if (here > 0 && here < present_.load(std::memory_order_relaxed))
            present_.store(here, std::memory_order_relaxed);
        if (team_mode() == TeamMode::adaptive) end_soon();
    });
    return !(round_.load(std::memory_order_acquire) & ended) && !given_up();
}

void Barrier::give_up() {
    given_up_.store(true);
    sleepers_.wake_all();
}

bool Member::wait_for_others(bool may_end) {
    if (team_mode() == TeamMode::random && chance(8)) barrier_.end_soon();
    const Nanoseconds before = waited_;
    const bool go_on = barrier_.wait(may_end, waited_);
    // Of the calling thread's time more than the others' part was waiting: one thread alone would have been as fast.
    if (index_ == 0 && waited_ > before && waited_ > tuning::patience && team_mode() == TeamMode::adaptive &&
        waited_ * size_ > (now() - began_) * (size_ - 1))
        barrier_.end_soon();
    return go_on;
}

bool Member::wait_alone(bool may_end) {
    constexpr unsigned rounds_between_looks = 4;
    if (barrier_.given_up()) return false;
    if (!may_end || ++rounds_ % rounds_between_looks != 0) return true;
    if (team_mode() == TeamMode::random) return !chance(4);
    return now() < retry_ && !(come_ && come_->load(std::memory_order_relaxed));
}

}  // namespace fusedrnn
