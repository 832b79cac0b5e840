// Work on several threads. The results do not depend on how many there are, nor on which of them does what.
//
// There are two kinds. Shares are parts of work that do not wait for each other: whoever is there takes the next one,
// and a thread that comes late, or not at all, is not waited for. A team in step has a barrier at every step: it begins
// with the threads that come soon, and ends when one of them is late.
#pragma once

#include <atomic>

#include "threads/barrier.hpp"
#include "threads/clock.hpp"

namespace fusedrnn {

// What a body of work is called with.
struct Team {
    int index, size;  // part `index` of `size` is to be done
    int slot;         // by this thread: below the number of threads asked for, and no two at once have the same
    Member* member;   // of a team in step, else null
    const std::atomic<bool>*
        cancelled_;  // what another thread does is in vain: this one may stop, its results are not used
    // Whether this thread is to stop where it is.
    bool ends() const { return cancelled_->load(std::memory_order_relaxed) || (member && !member->goes_on()); }
};

// Threads that work is worth that takes one thread `work`, of `max`, now: no more than there are processors, none that
// would take longer to start than it helps, and fewer for a while after teams have lost time.
int threads_worth(Nanoseconds work, int max);
// The same without regard to lost time: for teams in step, which try again by themselves.
int threads_worth_in_step(Nanoseconds work, int max);

// What a thread's part of a step must take, so that a barrier at its end is worth it.
Nanoseconds step_worth_a_barrier();

// What threads cost on this machine and what work is worth them, measured now by some teams that do nothing much. In
// nanoseconds; with one processor what is assumed.
struct ThreadCosts {
    Nanoseconds start_awake, start_asleep, barrier;
    Nanoseconds worth_a_second_thread;  // work, on one thread
};
ThreadCosts measure_thread_costs();

struct Shares {
    int count;              // parts of each phase
    int phases = 1;         // a phase begins when all parts of the one before are done
    bool in_order = false;  // parts begin in order: a later one may wait for an earlier one
};

// Runs body(phase, team) for all phases and parts on up to `threads` threads. What a body throws is thrown here.
void run_shares(const Shares& shares, int threads, void (*body)(void* context, int phase, const Team& team),
                void* context);

template <class Body>
void for_shares(const Shares& shares, int threads, Body& body) {
    run_shares(
        shares, threads,
        [](void* context, int phase, const Team& team) { (*static_cast<Body*>(context))(phase, team); }, &body);
}

struct InStep {
    Nanoseconds work;  // of what is left, on one thread
    Nanoseconds step;  // of a step, on one thread
};

// Runs body(team) once on each thread of a team of up to `threads`. It ends early when team.member->wait() tells so:
// then the body returns, and the caller goes on from there with another team.
void run_in_step(const InStep& work, int threads, void (*body)(void* context, const Team& team), void* context);

template <class Body>
void in_step(const InStep& work, int threads, Body& body) {
    run_in_step(work, threads, [](void* context, const Team& team) { (*static_cast<Body*>(context))(team); }, &body);
}

// The part [begin, end) of `count` work items that part `index` of `size` is; parts differ by one at most.
struct Range {
    long begin, end;
};
inline Range part_of(long count, int index, int size) { return {count * index / size, count * (index + 1) / size}; }

}  // namespace fusedrnn
