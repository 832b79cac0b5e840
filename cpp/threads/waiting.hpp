// How a thread waits for another one of its team: awake, and when that takes too long asleep.
#pragma once

#include <sched.h>

#include "threads/clock.hpp"
#include "threads/sleepers.hpp"

namespace fusedrnn {

// Waits until done(), which reads what Sleepers asks for. After `patience` late() is called and the thread gives its
// processor away, for it may be the one that the late thread is queued on. Returns the time it took, 0 where that was
// too short to measure.
template <class Done, class Late>
Nanoseconds wait_until(Done done, Sleepers& sleepers, Nanoseconds patience, Late late) {
    constexpr int unmeasured_looks = 32, looks_per_measurement = 8;
    for (int look = 0; look < unmeasured_looks; ++look) {
        if (done()) return 0;
        pause();
    }
    const Nanoseconds start = now();
    while (now() - start < patience)
        for (int look = 0; look < looks_per_measurement; ++look) {
            if (done()) return now() - start;
            pause();
        }
    late();
    for (int turn = 0; turn < tuning::yields_before_sleep; ++turn) {
        sched_yield();
        if (done()) return now() - start;
    }
    sleepers.sleep_until(done);
    return now() - start;
}

}  // namespace fusedrnn
